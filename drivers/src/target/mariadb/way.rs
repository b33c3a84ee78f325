//! How a node is reached: through its own socket or by TCP, from a chosen address, or as another user than this process's.

use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    process::Uid,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
};

/// A way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its own socket.
    Socket {
        /// Where it lies.
        path: PathBuf,
        /// As whom.
        peer: Peer,
    },
    /// TCP.
    Tcp {
        /// The node's address.
        to: SocketAddr,
        /// From which address; the system's choice where there is none.
        from: Option<IpAddr>,
    },
}

/// Whom the server finds at the other end of its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This process.
    Own,
    /// A user whom no account lets in by name, so that only a value can.
    Nobody,
}

/// What a SQL client connects to.
#[derive(Debug)]
pub(super) enum End {
    /// A socket.
    Socket(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

impl Way {
    /// Prepares the way. Where the client library cannot go itself, one connection is made here and handed on.
    pub(super) async fn end(&self, within: Duration) -> io::Result<End> {
        match self {
            Self::Socket { path, peer: Peer::Own } => Ok(End::Socket(path.clone())),
            Self::Socket { path, peer: Peer::Nobody } => hand_on(connect_as_nobody(path).await?, within).await,
            Self::Tcp { to, from: None } => Ok(End::Tcp(*to)),
            Self::Tcp { to, from: Some(from) } => hand_on(connect_from(*from, *to).await?, within).await,
        }
    }
}

impl Way {
    /// An error of this way that names the socket: the node's address says nothing of it.
    pub(super) fn named(&self, source: io::Error) -> io::Error {
        match self {
            Self::Socket { path, .. } => {
                io::Error::new(source.kind(), format!("its socket {}: {source}", path.display()))
            }
            Self::Tcp { .. } => source,
        }
    }
}

/// Whether this process can become nobody.
pub(super) fn can_be_nobody() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user with no rights, by old custom.
const NOBODY: u32 = 65534;

async fn connect_as_nobody(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let (say, hear) = tokio::sync::oneshot::channel();
    // Linux keeps the user id per thread: a thread of its own becomes nobody, connects and ends. The socket does not block,
    // so the thread cannot stay behind.
    std::thread::Builder::new().spawn(move || {
        let _ = say.send(as_nobody(&address));
    })?;
    let socket = hear.await.map_err(io::Error::other)??;
    UnixStream::from_std(socket.into())
}

fn as_nobody(address: &SocketAddrUnix) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let nobody = Uid::from_raw(NOBODY);
    rustix::thread::set_thread_res_uid(nobody, nobody, nobody)?;
    rustix::net::connect(&socket, address)?;
    Ok(socket)
}

async fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Waits for one client on loopback and passes bytes between it and the node until either side ends.
async fn hand_on<S>(mut node: S, within: Duration) -> io::Result<End>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let Ok(Ok((mut client, _))) = tokio::time::timeout(within, listener.accept()).await else { return };
        drop(listener);
        let _ = client.set_nodelay(true);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_node, mut to_node) = tokio::io::split(&mut node);
        // The first to end ends both: a silent node must not keep this task.
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_node) => {}
            _ = tokio::io::copy(&mut from_node, &mut to_client) => {}
        }
    });
    Ok(End::Tcp(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_by_the_socket_names_it_where_it_fails_and_another_does_not() {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let socket = Way::Socket { path: PathBuf::from("/run/wrong.sock"), peer: Peer::Own };
        assert!(socket.named(gone()).to_string().starts_with("its socket /run/wrong.sock: "));
        assert_eq!(socket.named(gone()).kind(), io::ErrorKind::NotFound);
        let tcp = Way::Tcp { to: (Ipv4Addr::LOCALHOST, 1).into(), from: None };
        assert_eq!(tcp.named(gone()).to_string(), gone().to_string());
    }
}
