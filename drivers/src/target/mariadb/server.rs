//! The target itself: its nodes, and an administrator's connection to each.

pub use super::connection::Limits;
use super::connection::{Connection, Fault, Tls};
use super::log::Log;
use super::own::Own;
use super::twin::Pair;
use super::way::{Peer, Way};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Knocks, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError,
        Twins, fence::Fencing,
    },
};
use async_trait::async_trait;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// A MariaDB server or a Galera cluster.
#[derive(Debug)]
pub struct MariaDb {
    nodes: Vec<Node>,
    members: Vec<Member>,
    pub(super) limits: Limits,
    pub(super) own: Own,
}

/// One node, as the deployment file describes it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The name or address at which it listens.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// Its own socket, where it runs on this machine.
    pub socket: Option<PathBuf>,
    /// Its error log, where it can be read.
    pub log: Option<Log>,
    /// The authority that signed its certificate; without one, TCP connections are in clear.
    pub tls_ca: Option<PathBuf>,
}

impl MariaDb {
    /// A target of these nodes. Nothing is connected yet.
    pub fn new(members: Vec<Member>, limits: Limits) -> Self {
        let nodes = members
            .iter()
            .map(|member| Node { name: member.name.clone(), address: format!("{}:{}", member.address, member.port) })
            .collect::<Vec<_>>();
        let own = Own::at(&nodes);
        Self { nodes, members, limits, own }
    }

    pub(super) fn member(&self, node: &Node) -> Result<&Member, TargetError> {
        self.members.iter().find(|member| member.name == node.name).ok_or_else(|| TargetError::Unable {
            node: node.name.clone(),
            what: "this target has no such node".to_owned(),
        })
    }

    /// Logs in, and remembers that this session is an own one.
    pub(super) async fn open(
        &self,
        node: &Node,
        member: &Member,
        way: &Way,
        user: &str,
        value: &Material,
    ) -> Result<Connection, Fault> {
        let entering = self.own.enter(node).await;
        let connection = Connection::open(way, user, value, member.tls().as_ref(), self.limits).await?;
        entering.entered(connection.number());
        Ok(connection)
    }

    /// Logs in as the administrator: each value once, over the node's own socket where there is one, else by TCP.
    pub(super) async fn administer(&self, node: &Node, admin: &Admin<'_>) -> Result<Connection, TargetError> {
        let member = self.member(node)?;
        let mut denied = 0;
        let mut silent = None;
        for way in member.ways().await {
            let way = match way {
                Ok(way) => way,
                Err(source) => {
                    silent = Some(source);
                    continue;
                }
            };
            for value in admin.values {
                if denied == MOST_DENIED {
                    break;
                }
                match self.open(node, member, &way, admin.user, value).await {
                    Ok(mut connection) => {
                        connection.prepare().await.map_err(|fault| fault.at(node))?;
                        return Ok(connection);
                    }
                    Err(Fault::Answered(DENIED | DENIED_WITHOUT_VALUE)) => denied += 1,
                    Err(Fault::Silent(source)) => {
                        silent = Some(source);
                        break;
                    }
                    Err(fault @ (Fault::Answered(_) | Fault::Plugin(_) | Fault::NotText)) => return Err(fault.at(node)),
                }
            }
        }
        match silent {
            Some(source) if denied == 0 => Err(Fault::Silent(source).at(node)),
            Some(_) | None => Err(TargetError::AdminRefused {
                node: node.name.clone(),
                address: node.address.clone(),
                user: admin.user.to_owned(),
            }),
        }
    }
}

/// Denied logins count against `max_password_errors`, so no call makes more.
pub(super) const MOST_DENIED: usize = 3;
pub(in crate::target) const DENIED: u16 = 1045;
pub(super) const DENIED_WITHOUT_VALUE: u16 = 1698;

impl Member {
    /// The ways for an administrator, the best first.
    async fn ways(&self) -> Vec<io::Result<Way>> {
        let mut ways = Vec::new();
        if let Some(path) = &self.socket {
            ways.push(Ok(Way::Socket { path: path.clone(), peer: Peer::Own }));
        }
        ways.push(self.resolve().await.map(|to| Way::Tcp { to, from: None }));
        ways
    }

    /// Its address as a number.
    pub(super) async fn resolve(&self) -> io::Result<SocketAddr> {
        if let Ok(ip) = self.address.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, self.port));
        }
        let mut found = tokio::net::lookup_host((self.address.as_str(), self.port)).await?;
        found.next().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls_ca.as_ref().map(|ca| Tls { ca: ca.clone(), name: self.address.clone() })
    }
}

impl Fault {
    /// The same for the caller, where no change was asked for.
    pub(in crate::target) fn at(self, node: &Node) -> TargetError {
        match self {
            Self::Silent(source) => TargetError::Unreachable {
                node: node.name.clone(),
                address: node.address.clone(),
                source: Box::new(source),
            },
            other @ (Self::Answered(_) | Self::Plugin(_) | Self::NotText) => {
                TargetError::Unable { node: node.name.clone(), what: other.to_string() }
            }
        }
    }

    /// The same for the caller, where an account was to be changed.
    pub(in crate::target) fn changing(self, node: &Node, account: &Account) -> TargetError {
        match self {
            Self::Answered(code) => TargetError::Refused { node: node.name.clone(), account: account.clone(), code },
            other @ (Self::Silent(_) | Self::Plugin(_) | Self::NotText) => other.at(node),
        }
    }
}

#[async_trait]
impl Target for MariaDb {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "mariadb", values_at_once: 2, twins: Twins::Yes, sessions: Sessions::Told }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn fencing(&self) -> Fencing {
        Fencing::Target
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        super::survey::survey(self, admin, user, known).await
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        self.declare_all(admin, &[account], values, &|| ()).await
    }

    async fn declare_all(
        &self,
        admin: &Admin<'_>,
        accounts: &[&Account],
        values: &[&Material],
        done: &(dyn Fn() + Send + Sync),
    ) -> Result<(), TargetError> {
        for node in &self.nodes {
            super::declare::declare(self, node, admin, accounts, values, done).await?;
        }
        Ok(())
    }

    async fn login(
        &self,
        node: &Node,
        account: &Account,
        among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        super::login::login(self, node, account, among, value).await
    }

    async fn sessions(
        &self,
        admin: &Admin<'_>,
        node: &Node,
        user: &str,
        began: Began,
    ) -> Result<Vec<Session>, TargetError> {
        super::session::sessions(self, admin, node, user, began).await
    }

    async fn end_sessions(&self, admin: &Admin<'_>, node: &Node, user: &str, until: Mark) -> Result<(), TargetError> {
        super::session::end(self, admin, node, user, until).await
    }

    async fn mark(&self, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
        super::session::mark(self, admin, node).await
    }

    async fn knocks(&self, node: &Node, since: Option<u64>) -> Result<Option<Knocks>, TargetError> {
        super::knock::knocks(self.member(node)?, node, since).await
    }

    async fn twin(
        &self,
        admin: &Admin<'_>,
        account: &Account,
        twin: &Account,
        value: &Material,
    ) -> Result<(), TargetError> {
        for node in &self.nodes {
            super::twin::twin(self, node, admin, Pair { account, twin }, value).await?;
        }
        Ok(())
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        for node in &self.nodes {
            super::twin::remove(self, node, admin, account).await?;
        }
        Ok(())
    }
}
