//! Who is on the other end of a connection, as the kernel and TLS tell it. What a peer says of itself does not count.

use super::owner;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpStream, UnixStream};

/// The other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub place: Place,
    /// The key that it proved to hold in the TLS handshake.
    pub key: Option<Key>,
}

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the unix socket.
    Socket {
        /// Its user.
        uid: u32,
        /// Its process.
        pid: i32,
    },
    /// On this machine, over TCP; its user, where the kernel can tell.
    Machine {
        /// Its user.
        uid: Option<u32>,
    },
    /// On another machine.
    Network(IpAddr),
}

/// A public key: the SHA-256 of its SubjectPublicKeyInfo. Names in a certificate count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(#[serde(with = "crate::transfer::bundle::hexadecimal")] [u8; 32]);

impl Peer {
    pub(super) fn tcp(stream: &TcpStream) -> std::io::Result<Self> {
        let (theirs, ours) = (plain(stream.peer_addr()?), plain(stream.local_addr()?));
        let here = theirs.ip().is_loopback() || theirs.ip() == ours.ip();
        let place = match here {
            true => Place::Machine { uid: owner::of(theirs, ours) },
            false => Place::Network(theirs.ip()),
        };
        Ok(Self { place, key: None })
    }

    pub(super) fn unix(stream: &UnixStream) -> std::io::Result<Self> {
        let peer = stream.peer_cred()?;
        Ok(Self { place: Place::Socket { uid: peer.uid(), pid: peer.pid().unwrap_or(0) }, key: None })
    }

    /// The user, where the kernel told it.
    pub fn uid(&self) -> Option<u32> {
        match self.place {
            Place::Socket { uid, .. } => Some(uid),
            Place::Machine { uid } => uid,
            Place::Network(_) => None,
        }
    }
}

impl Key {
    /// The key of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &key).as_ref());
        Ok(Self(out))
    }
}

/// An address of the old kind in its own clothes.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_before_anything_is_counted_by_it() {
        for (shown, known) in [
            ("[::ffff:192.0.2.7]:5", "192.0.2.7:5"),
            ("[::ffff:c000:207]:5", "192.0.2.7:5"),
            ("192.0.2.7:5", "192.0.2.7:5"),
            ("[2001:db8::7]:5", "[2001:db8::7]:5"),
        ] {
            assert_eq!(plain(shown.parse().unwrap()), known.parse().unwrap(), "{shown}");
        }
    }
}
