//! Whose is the other end of a TCP connection within this machine? The kernel's socket diagnostics tell.
//!
//! A socket that its owner has closed lives on for a while without one, and is told of with uid 0 and inode 0. So only
//! an established socket with an inode has an owner here; a ghost is nobody's, and never root's.

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::SOCK_DIAG, recv, send, socket_with,
};
use std::net::{IpAddr, SocketAddr};

/// The user of the socket at `end`, which is connected to `other`. `None` where the kernel does not tell.
pub(super) fn of(end: SocketAddr, other: SocketAddr) -> Option<u32> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG)).ok()?;
    let question = question(end, other)?;
    if send(&socket, &question, SendFlags::empty()).ok()? != question.len() {
        return None;
    }
    let mut answer = [0; 512];
    // The kernel has answered a question for a single socket before the sending ends.
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    owner(answer.get(..length)?, end.port())
}

/// `nlmsghdr` and `inet_diag_req_v2`, 72 bytes.
fn question(end: SocketAddr, other: SocketAddr) -> Option<Vec<u8>> {
    let (family, ends) = match (end.ip(), other.ip()) {
        (IpAddr::V4(end), IpAddr::V4(other)) => (AF_INET, (wide(&end.octets()), wide(&other.octets()))),
        (IpAddr::V6(end), IpAddr::V6(other)) => (AF_INET6, (wide(&end.octets()), wide(&other.octets()))),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let mut out = Vec::with_capacity(QUESTION);
    out.extend((QUESTION as u32).to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, IPPROTO_TCP, 0, 0]);
    out.extend(u32::MAX.to_ne_bytes());
    out.extend(end.port().to_be_bytes());
    out.extend(other.port().to_be_bytes());
    out.extend(ends.0);
    out.extend(ends.1);
    // Any interface, any cookie.
    out.extend([0; 4]);
    out.extend([0xff; 8]);
    Some(out)
}

fn wide(octets: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..octets.len()].copy_from_slice(octets);
    out
}

/// The owner in an `inet_diag_msg` behind its `nlmsghdr`.
fn owner(answer: &[u8], port: u16) -> Option<u32> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let state = *answer.get(HEADER + 1)?;
    let found = u16::from_be_bytes(answer.get(HEADER + 4..HEADER + 6)?.try_into().ok()?);
    let (uid, inode) = (number(HEADER + 64)?, number(HEADER + 68)?);
    (kind == SOCK_DIAG_BY_FAMILY && state == ESTABLISHED && found == port && inode != 0).then_some(uid)
}

const HEADER: usize = 16;
const QUESTION: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const ESTABLISHED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    fn connected(to: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(to).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_live_connection_has_its_owner() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (client, server) = connected(address);
            let ends = (client.local_addr().unwrap(), server.local_addr().unwrap());
            assert_eq!(of(ends.0, ends.1), Some(rustix::process::geteuid().as_raw()), "{address}");
        }
    }

    #[test]
    fn a_ghost_is_nobody_and_so_is_who_never_was() {
        let (client, mut server) = connected("127.0.0.1:0");
        let ends = (client.local_addr().unwrap(), server.local_addr().unwrap());
        assert!(of(ends.0, ends.1).is_some(), "the control");
        drop(client);
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0, "it has gone");
        assert_eq!(of(ends.0, ends.1), None);
        assert_eq!(of("127.0.0.1:1".parse().unwrap(), ends.1), None);
        assert_eq!(of("[::1]:1".parse().unwrap(), ends.1), None);
    }

    #[test]
    fn what_the_kernel_says_of_a_ghost_names_no_owner() {
        let mut answer = vec![0; HEADER + 72];
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        answer[HEADER + 1] = ESTABLISHED;
        answer[HEADER + 4..HEADER + 6].copy_from_slice(&7_u16.to_be_bytes());
        answer[HEADER + 68] = 1;
        assert_eq!(owner(&answer, 7), Some(0), "the control: root's own");
        let without = |at: usize, byte: u8| {
            let mut answer = answer.clone();
            answer[at] = byte;
            owner(&answer, 7)
        };
        assert_eq!(without(HEADER + 68, 0), None, "no inode");
        assert_eq!(without(HEADER + 1, 6), None, "another state");
        assert_eq!(without(4, 2), None, "an error");
        assert_eq!(owner(&answer, 8), None, "another's");
        for length in 0..answer.len() {
            assert_eq!(owner(&answer[..length], 7), None);
        }
    }
}
