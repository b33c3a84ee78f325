//! A fresh login as one account, from where only that account can be met.

use super::{
    connection::Fault,
    entry::{self, Meets},
    server::{DENIED, DENIED_WITHOUT_VALUE, MariaDb, Member},
    way::{self, Peer, Way},
};
use crate::{
    material::Material,
    target::{Account, Login, Node, TargetError},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// Logs in, or says why it cannot be tried from here. At most two logins are denied.
pub(super) async fn login(
    target: &MariaDb,
    node: &Node,
    account: &Account,
    among: &[Account],
    value: &Material,
) -> Result<Login, TargetError> {
    let member = target.member(node)?;
    let attempt = Attempt { target, node, member, account, value };
    if account.host == "localhost" { attempt.by_socket().await } else { attempt.by_tcp(among).await }
}

struct Attempt<'a> {
    target: &'a MariaDb,
    node: &'a Node,
    member: &'a Member,
    account: &'a Account,
    value: &'a Material,
}

/// What one try found.
enum Found {
    This,
    Another(String),
    Denied,
    Unprovable(String),
    /// The server was not there; the address decides what that means.
    Absent(io::Error),
}

impl Attempt<'_> {
    async fn by_socket(&self) -> Result<Login, TargetError> {
        let Some(path) = &self.member.socket else {
            return Ok(Login::Unprovable(
                "the node's own socket is not reachable from here; name its `socket`".to_owned(),
            ));
        };
        // To the server, a process of the account's own user needs no value where the socket is accepted too. So someone
        // without a name goes; where this process cannot become that, a wrong value must be refused for the right one to count.
        if way::can_be_nobody() && self.account.user != "nobody" {
            let way = Way::Socket { path: path.clone(), peer: Peer::Nobody };
            let found = self.try_way(&way, self.value).await?;
            if !matches!(&found, Found::Absent(why) if why.kind() == io::ErrorKind::PermissionDenied) {
                return self.conclude(found);
            }
        }
        let way = Way::Socket { path: path.clone(), peer: Peer::Own };
        let found = self.try_way(&way, self.value).await?;
        if matches!(found, Found::This) {
            let wrong = Material::from(hex::encode(rand::random::<[u8; 16]>()));
            if !matches!(self.try_way(&way, &wrong).await?, Found::Denied) {
                return Ok(Login::Unprovable("the socket lets this process in with any value".to_owned()));
            }
        }
        self.conclude(found)
    }

    async fn by_tcp(&self, among: &[Account]) -> Result<Login, TargetError> {
        let own = self.member.resolve().await.map_err(|source| Fault::Silent(source).at(self.node))?;
        let here = own.ip().is_loopback() || self.member.socket.is_some();
        let literal = self.account.host.parse::<IpAddr>().ok();
        let to = match literal {
            // These two are met on the node itself alone, whatever address it has for others.
            Some(loopback) if loopback.is_loopback() && here => {
                SocketAddr::new(loopback_of(loopback, own.ip()), own.port())
            }
            Some(_) | None => own,
        };
        let mut another = None;
        for (from, meets) in self.places(to, literal, among) {
            let way = Way::Tcp { to, from: Some(from) };
            match self.try_way(&way, self.value).await? {
                // MariaDB calls 127.0.0.1 `localhost` where it resolves names, and asks that account first.
                Found::Another(matched) if literal.is_some() => return Ok(Login::Shadowed(matched)),
                Found::Another(matched) => another = Some(format!("{matched} answers from {from} instead")),
                Found::Absent(why) if why.kind() == io::ErrorKind::AddrNotAvailable => {}
                Found::Absent(why) if why.kind() == io::ErrorKind::ConnectionRefused && to.ip() != own.ip() => {
                    return Ok(Login::Unprovable(format!("the node does not listen on {}", to.ip())));
                }
                // A literal entry has no other place, so whoever answered there, the value is refused to this account.
                Found::Denied if meets == Meets::Likely && literal.is_none() => {
                    return Ok(Login::Unprovable(format!(
                        "refused from {from}, but perhaps for another entry of the user"
                    )));
                }
                found @ (Found::This | Found::Denied | Found::Unprovable(_) | Found::Absent(_)) => {
                    return self.conclude(found);
                }
            }
        }
        Ok(Login::Unprovable(
            another.unwrap_or_else(|| format!("only from an address that `{}` covers", self.account.host)),
        ))
    }

    /// The addresses of this machine from which the login could meet the account, the surest first; three at most.
    fn places(&self, to: SocketAddr, literal: Option<IpAddr>, among: &[Account]) -> Vec<(IpAddr, Meets)> {
        let mut places: Vec<IpAddr> = literal.into_iter().collect();
        match to.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => {
                places.extend(LOOPBACK.iter().map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, *last))));
                places.push(IpAddr::V4(Ipv4Addr::new(127, 77, 77, 77)));
            }
            IpAddr::V4(_) | IpAddr::V6(_) => places.extend(systems_choice(to)),
        }
        let mut placed: Vec<_> = places
            .into_iter()
            .filter(|from| from.is_ipv4() == to.is_ipv4())
            .map(|from| (from, entry::meets(self.account, among, from)))
            .filter(|(_, meets)| *meets != Meets::Another)
            .collect();
        placed.sort_by_key(|(_, meets)| *meets == Meets::Likely);
        placed.dedup();
        placed.truncate(3);
        placed
    }

    async fn try_way(&self, way: &Way, value: &Material) -> Result<Found, TargetError> {
        let opened = self.target.open(self.node, self.member, way, &self.account.user, value).await;
        let answer = match opened {
            Ok(mut connection) => {
                let answer = connection.field("SELECT CURRENT_USER()").await;
                connection.close().await;
                answer
            }
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(Some(matched)) if matched == format!("{}@{}", self.account.user, self.account.host) => Ok(Found::This),
            Ok(matched) => Ok(Found::Another(matched.unwrap_or_default())),
            Err(Fault::Answered(DENIED | DENIED_WITHOUT_VALUE)) => Ok(Found::Denied),
            Err(Fault::Answered(code)) => match reason(code) {
                Some(why) => Ok(Found::Unprovable(format!("{why} (error {code})"))),
                None => Err(Fault::Answered(code).at(self.node)),
            },
            Err(Fault::Silent(source)) => Ok(Found::Absent(source)),
            Err(fault @ (Fault::Plugin(_) | Fault::NotText)) => Ok(Found::Unprovable(fault.to_string())),
        }
    }

    fn conclude(&self, found: Found) -> Result<Login, TargetError> {
        match found {
            Found::This => Ok(Login::Accepted),
            Found::Denied => Ok(Login::Refused),
            Found::Another(matched) => Ok(Login::Unprovable(format!("{matched} answers instead"))),
            Found::Unprovable(why) => Ok(Login::Unprovable(why)),
            Found::Absent(source) => Err(Fault::Silent(source).at(self.node)),
        }
    }
}

/// Loopback addresses to try a login from; the first is the one that host entries name.
const LOOPBACK: [u8; 4] = [1, 2, 3, 77];

/// Of two families, the one that the entry is of; of the same, the address where the node listens.
fn loopback_of(entry: IpAddr, node: IpAddr) -> IpAddr {
    match (entry, node) {
        (IpAddr::V4(_), IpAddr::V4(node)) if node.is_loopback() => node.into(),
        (IpAddr::V4(_), _) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V6(_), _) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// The address from which the system would go there. Nothing is sent.
fn systems_choice(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// What the server's error says of the account rather than of the value.
fn reason(code: u16) -> Option<&'static str> {
    match code {
        1040 | 1203 | 1226 => Some("there are too many connections"),
        1129 => Some("the server blocks this machine after too many errors"),
        1130 => Some("the server has no account for this machine"),
        1820 | 1862 => Some("the value has expired"),
        4150 => Some("the account is blocked after too many wrong values"),
        4151 => Some("the account is locked"),
        _ => None,
    }
}
