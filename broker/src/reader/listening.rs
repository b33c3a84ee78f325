//! Where the reader listens: a unix socket, TCP on loopback, or TLS anywhere; and how it ends.
//!
//! One connection can do nothing to the others: each has its own task, its errors end that task alone, and accepting
//! goes on. When the end is asked for, accepting stops, requests under way are answered, idle connections close.

use super::{
    peer::Peer,
    room::{Face, Room},
    serve::{Reader, Visit},
    server::{self, Limits},
    tls::{Certificate, Tls},
};
use crate::socket::open::{self, OpenError};
use donjon_drivers::fs::FileError;
use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    time::timeout,
};

/// A bound address, not served yet.
pub struct Listening {
    listener: Listener,
    tls: Option<Tls>,
    url: String,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why the reader cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Secrets would cross a network in clear.
    #[error("{address} is not a loopback address, and without a certificate secrets would cross the network in clear")]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error(transparent)]
    Socket(#[from] OpenError),
    /// Certificate or key cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificate or key is none.
    #[error("{} holds no {what}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not fit.
    #[error("the certificate cannot be used")]
    Tls(#[from] rustls::Error),
}

impl Listening {
    /// Binds an address: loopback, or any with a certificate.
    pub async fn bind(address: SocketAddr, certificate: Option<Certificate>) -> Result<Self, ListenError> {
        let tls = certificate.map(Tls::open).transpose()?;
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(ListenError::Open { address });
        }
        let bind = |source| ListenError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().map_err(bind)?);
        Ok(Self { listener: Listener::Tcp(listener), tls, url })
    }

    /// Makes a unix socket that every user may connect to: who it is decides what is read.
    pub fn unix(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Socket(OpenError::Io { path: path.into(), source });
        let listener = UnixListener::from_std(open::open(path)?).map_err(failed)?;
        Ok(Self { listener: Listener::Unix(listener), tls: None, url: format!("unix://{}", path.display()) })
    }

    /// Where clients find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What its handshakes are made with, to be renewed while it serves.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// Serves until `end`, and then until requests under way are answered.
    pub async fn serve(self, reader: Arc<Reader>, limits: Limits, end: impl Future<Output = ()>) {
        let (ending, ended) = watch::channel(());
        let room = Room::new(limits);
        tokio::pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut end => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    // Out of descriptors or of memory: that does not end the others, nor is it over at once.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            // Who has gone already is waited for by nobody.
            let Ok(peer) = stream.peer() else { continue };
            let Some((within, unknown)) = room.admit(&peer, reader.face(&peer)) else { continue };
            let (reader, tls, mut ended) = (Arc::clone(&reader), self.tls.clone(), ended.clone());
            tokio::spawn(async move {
                match (stream, tls) {
                    (Stream::Tcp(stream), Some(tls)) => {
                        let shaken = tokio::select! {
                            shaken = timeout(limits.patience, tls.accept(stream)) => shaken,
                            _ = ended.changed() => return,
                        };
                        if let Ok(Some((stream, key))) = shaken {
                            let peer = Peer { key, ..peer };
                            let unknown = unknown.filter(|_| reader.face(&peer) != Face::Known);
                            server::connection(stream, reader, Visit::new(peer, unknown), limits, ended).await;
                        }
                    }
                    (Stream::Tcp(stream), None) => {
                        server::connection(stream, reader, Visit::new(peer, unknown), limits, ended).await;
                    }
                    (Stream::Unix(stream), _) => {
                        server::connection(stream, reader, Visit::new(peer, unknown), limits, ended).await;
                    }
                }
                drop(within);
            });
        }
        drop((self.listener, ended));
        // Nobody listens where no connection is left.
        let _ = ending.send(());
        // Those that are still there after the bound are cut.
        let _ = timeout(limits.drain, ending.closed()).await;
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

impl Stream {
    fn peer(&self) -> io::Result<Peer> {
        match self {
            Self::Tcp(stream) => {
                // Answers are small and written whole.
                stream.set_nodelay(true)?;
                Peer::tcp(stream)
            }
            Self::Unix(stream) => Peer::unix(stream),
        }
    }
}
