//! Which account a login from an address meets: MariaDB asks the most specific host entry of the user, and only that.

use crate::target::Account;
use std::net::{IpAddr, Ipv4Addr};

/// Whether a host entry covers an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    /// It does not.
    No,
    /// It is a name, and only the server knows what name it finds for the address.
    Perhaps,
    /// It does.
    Yes,
}

/// What is expected of a login from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meets {
    /// This very account.
    This,
    /// This account, unless the server knows the address by a name that another entry has.
    Likely,
    /// Another account, or none.
    Another,
}

/// Whether a login from `from` meets `account` among all entries of its user.
pub(super) fn meets(account: &Account, among: &[Account], from: IpAddr) -> Meets {
    if covers(&account.host, from) == Cover::No {
        return Meets::Another;
    }
    let mut result = match covers(&account.host, from) {
        Cover::Yes => Meets::This,
        Cover::Perhaps | Cover::No => Meets::Likely,
    };
    for other in among.iter().filter(|other| other.user == account.user && other.host != account.host) {
        if rank(&other.host) < rank(&account.host) {
            continue;
        }
        match covers(&other.host, from) {
            Cover::Yes => return Meets::Another,
            Cover::Perhaps => result = Meets::Likely,
            Cover::No => {}
        }
    }
    result
}

/// Whether a host entry covers an address.
pub(super) fn covers(host: &str, from: IpAddr) -> Cover {
    if host == "%" {
        return Cover::Yes;
    }
    if let Some((base, mask)) = netmask(host) {
        return match from {
            IpAddr::V4(from) if u32::from(from) & u32::from(mask) == u32::from(base) => Cover::Yes,
            IpAddr::V4(_) | IpAddr::V6(_) => Cover::No,
        };
    }
    if let Ok(literal) = host.parse::<IpAddr>() {
        return if literal == from { Cover::Yes } else { Cover::No };
    }
    if like(host.as_bytes(), from.to_string().as_bytes()) {
        return Cover::Yes;
    }
    let by_number = host.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b'%' | b'_'));
    match from.is_loopback() {
        _ if by_number => Cover::No,
        // The server calls the first loopback address `localhost` without asking; no resolver names the others.
        true if is_first_loopback(from) && like(&host.to_ascii_lowercase().into_bytes(), b"localhost") => {
            Cover::Perhaps
        }
        true => Cover::No,
        false => Cover::Perhaps,
    }
}

fn is_first_loopback(from: IpAddr) -> bool {
    from == IpAddr::V4(Ipv4Addr::LOCALHOST) || matches!(from, IpAddr::V6(v6) if v6.is_loopback())
}

/// The order in which the server asks: names and addresses first, then networks, then patterns by the length of what
/// stands before the first wildcard.
fn rank(host: &str) -> usize {
    match host.find(['%', '_']) {
        None if netmask(host).is_none() => usize::MAX,
        None => usize::MAX - 1,
        Some(before) => before,
    }
}

fn netmask(host: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (base, mask) = host.split_once('/')?;
    Some((base.parse().ok()?, mask.parse().ok()?))
}

/// SQL's LIKE.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'%', rest)), _) => like(rest, text) || (!text.is_empty() && like(pattern, &text[1..])),
        (Some((b'_', rest)), Some((_, tail))) => like(rest, tail),
        (Some((p, rest)), Some((t, tail))) if p == t => like(rest, tail),
        (None | Some(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(host: &str) -> Account {
        Account { user: "root".into(), host: host.into() }
    }

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_covers_what_the_server_says() {
        for (host, address, expected) in [
            ("%", "10.1.2.3", Cover::Yes),
            ("10.1.%", "10.1.2.3", Cover::Yes),
            ("10.2.%", "10.1.2.3", Cover::No),
            ("10.1.0.0/255.255.0.0", "10.1.2.3", Cover::Yes),
            ("10.1.2._", "10.1.2.3", Cover::Yes),
            ("db.example", "10.1.2.3", Cover::Perhaps),
            ("%.example", "10.1.2.3", Cover::Perhaps),
            ("db.example", "127.0.0.2", Cover::No),
            ("localhost", "127.0.0.1", Cover::Perhaps),
            ("localhost", "127.0.0.2", Cover::No),
            ("::1", "::1", Cover::Yes),
            ("localhost", "::1", Cover::Perhaps),
        ] {
            assert_eq!(covers(host, from(address)), expected, "{host} {address}");
        }
    }

    #[test]
    fn the_most_specific_entry_is_met() {
        let among: Vec<_> = ["%", "127.0.0.%", "127.0.0.1", "localhost"].into_iter().map(account).collect();
        let met = |host: &str, address: &str| meets(&account(host), &among, from(address));
        assert_eq!(met("%", "127.0.0.1"), Meets::Another);
        assert_eq!(met("%", "127.0.0.2"), Meets::Another);
        assert_eq!(met("%", "127.0.1.9"), Meets::This);
        assert_eq!(met("127.0.0.%", "127.0.0.2"), Meets::This);
        assert_eq!(met("127.0.0.1", "127.0.0.1"), Meets::Likely);
    }

    #[test]
    fn other_users_entries_do_not_count() {
        let among = [Account { user: "nova".into(), host: "127.0.0.1".into() }, account("%")];
        assert_eq!(meets(&account("%"), &among, from("127.0.0.1")), Meets::This);
    }
}
