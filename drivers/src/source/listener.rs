//! Whose a socket is that listens on loopback: any user may listen at a high port, and in clear nothing else says who answers.
//!
//! The kernel's table `/proc/net/tcp` names the user of each: addresses as hexadecimal numbers of four bytes, states as numbers
//! (proc(5); `0A` is LISTEN).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why nothing is asked there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotTrusted {
    /// Another user listens.
    #[error("the process that listens there is of user {0}, neither root nor this one")]
    User(u32),
    /// The tables do not say.
    #[error("who listens there cannot be told: use the reader's unix socket, or https")]
    Unknown,
}

/// Whether root or this user listens at an address of this machine.
pub(super) fn trusted(address: IpAddr, port: u16) -> Result<(), NotTrusted> {
    let read = |name| std::fs::read_to_string(name).unwrap_or_default();
    let tables = [read("/proc/net/tcp"), read("/proc/net/tcp6")];
    let users = tables.iter().flat_map(|table| listening(table, address, port));
    judged(users, rustix::process::geteuid().as_raw())
}

fn judged(users: impl Iterator<Item = u32>, own: u32) -> Result<(), NotTrusted> {
    let mut found = Err(NotTrusted::Unknown);
    for user in users {
        if user != 0 && user != own {
            return Err(NotTrusted::User(user));
        }
        found = Ok(());
    }
    found
}

/// The users of the sockets of a table that listen there, or at every address.
fn listening(table: &str, address: IpAddr, port: u16) -> impl Iterator<Item = u32> {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (&local, &state, &user) = (fields.get(1)?, fields.get(3)?, fields.get(7)?);
        let (found, at) = end(local)?;
        let there = at == port && (found == address.to_canonical() || found.is_unspecified());
        (state == LISTEN && there).then(|| user.parse().ok())?
    })
}

fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word = |text: &str| Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes());
    let words: Option<Vec<[u8; 4]>> =
        address.as_bytes().chunks(8).map(|word_of| word(std::str::from_utf8(word_of).ok()?)).collect();
    let address = match words?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn who_listens_is_found_in_the_kernels_table() {
        let own = rustix::process::geteuid().as_raw();
        for bind in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(bind) else { continue };
            let address = listener.local_addr().unwrap();
            let asked = if address.ip().is_unspecified() { LOOPBACK } else { address.ip() };
            assert_eq!(trusted(asked, address.port()), Ok(()), "{bind}");
            let table =
                std::fs::read_to_string("/proc/net/tcp").unwrap() + &std::fs::read_to_string("/proc/net/tcp6").unwrap();
            assert_eq!(listening(&table, asked, address.port()).collect::<Vec<_>>(), [own], "{bind}");
            drop(listener);
            assert_eq!(trusted(asked, address.port()), Err(NotTrusted::Unknown), "nobody is not root");
        }
    }

    #[test]
    fn one_of_another_user_is_enough() {
        assert_eq!(judged([0, 7].into_iter(), 7), Ok(()));
        assert_eq!(judged([0, 65_534].into_iter(), 7), Err(NotTrusted::User(65_534)));
        assert_eq!(judged(std::iter::empty(), 7), Err(NotTrusted::Unknown));
    }
}
