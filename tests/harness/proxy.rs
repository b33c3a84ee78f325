//! A proxy before a SQL server that passes, holds or loses what goes through it, statement by statement.
//!
//! It reads no more of the protocol than its packets: three bytes of length, one of sequence; a command begins at
//! sequence 0, and a statement is a command whose first byte is 3. The server sees the address, or the user, of the
//! proxy's own client.

use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    process::Uid,
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, UnixListener, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

/// What happens to a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It never reaches the server, and the connection breaks.
    LoseStatement,
    /// The server did it, but the connection breaks before its reply.
    LoseReply,
    /// The server did it, but its reply stays away until [`Proxy::release`].
    HoldReply,
    /// It stays away from the server until [`Proxy::release`] lets it through, however late, or [`Proxy::drop_held`] loses it.
    HoldStatement,
    /// The server did it, but its client is told this error instead.
    Refuse(u16),
}

/// Which statement something happens to.
#[derive(Debug, Clone)]
struct Rule {
    part: String,
    skip: usize,
    act: Act,
}

#[derive(Debug, Default)]
struct Shared {
    rule: Mutex<Option<Rule>>,
    statements: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    released: watch::Sender<Released>,
}

/// How often what was held was released, and what became of it the last time.
#[derive(Debug, Clone, Copy, Default)]
struct Released {
    count: u64,
    lost: bool,
}

impl Proxy {
    /// Listens on a port of 127.0.0.1, which it returns.
    pub async fn tcp(server: SocketAddr) -> (Self, u16) {
        let mut proxy = Self { shared: Arc::default(), tasks: Vec::new() };
        let port = proxy.and_tcp(server).await;
        (proxy, port)
    }

    /// Listens on a socket; its folder must be one that other users may enter.
    pub async fn unix(at: &Path, server: PathBuf) -> Self {
        let mut proxy = Self { shared: Arc::default(), tasks: Vec::new() };
        proxy.and_unix(at, server);
        proxy
    }

    /// Listens on a port too, which it returns: whatever is set holds for the first statement on any of its ways.
    pub async fn and_tcp(&mut self, server: SocketAddr) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::clone(&self.shared);
        self.tasks.push(tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((client, from)) = listener.accept().await {
                let shared = Arc::clone(&served);
                running.spawn(async move {
                    if let Ok(node) = connect_from(from.ip(), server).await {
                        shared.pass(client, node).await;
                    }
                });
            }
        }));
        port
    }

    /// Listens on a socket too.
    pub fn and_unix(&mut self, at: &Path, server: PathBuf) {
        let listener = UnixListener::bind(at).unwrap();
        std::fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let served = Arc::clone(&self.shared);
        self.tasks.push(tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (shared, server) = (Arc::clone(&served), server.clone());
                running.spawn(async move {
                    let Ok(user) = client.peer_cred().map(|peer| peer.uid()) else { return };
                    if let Ok(node) = connect_as(user, &server).await {
                        shared.pass(client, node).await;
                    }
                });
            }
        }));
    }

    /// From now on, the first statement that contains `part`, after `skip` others that do, meets with `act`. Once.
    pub fn set(&self, part: &str, skip: usize, act: Act) {
        *self.shared.rule.lock().unwrap() = Some(Rule { part: part.to_owned(), skip, act });
    }

    /// Whether the rule that was set last has met its statement.
    pub fn has_acted(&self) -> bool {
        self.shared.rule.lock().unwrap().is_none()
    }

    /// Forgets the rule and lets what is held go where it was to go.
    pub fn release(&self) {
        self.let_go(false);
    }

    /// Forgets the rule and loses what is held, with its connection.
    pub fn drop_held(&self) {
        self.let_go(true);
    }

    fn let_go(&self, lost: bool) {
        *self.shared.rule.lock().unwrap() = None;
        self.shared.released.send_modify(|released| *released = Released { count: released.count + 1, lost });
    }

    /// Every statement seen, in order.
    pub fn statements(&self) -> Vec<String> {
        self.shared.statements.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The sets of connections live in the tasks and end with them.
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// How replies travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replies {
    Flow,
    /// The next one is lost, and with it the connection.
    Lost,
    /// None travels until the count of releases has passed this.
    Held(u64),
    /// This error travels instead of the next one.
    Refused(u16),
}

impl Shared {
    async fn pass<C, N>(&self, client: C, node: N)
    where
        C: AsyncRead + AsyncWrite,
        N: AsyncRead + AsyncWrite,
    {
        *self.connections.lock().unwrap() += 1;
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_node, mut to_node) = tokio::io::split(node);
        let (say, replies) = watch::channel(Replies::Flow);
        let say_again = say.clone();
        let forth = async {
            while let Ok(packet) = packet(&mut from_client).await {
                match self.judge(&packet) {
                    None => {}
                    Some(Act::LoseStatement) => return,
                    Some(Act::LoseReply) => drop(say.send(Replies::Lost)),
                    Some(Act::HoldReply) => drop(say.send(Replies::Held(self.released.borrow().count))),
                    Some(Act::HoldStatement) => {
                        let count = self.released.borrow().count;
                        if self.held(count).await.lost {
                            return;
                        }
                    }
                    Some(Act::Refuse(code)) => drop(say.send(Replies::Refused(code))),
                }
                if to_node.write_all(&packet).await.is_err() {
                    return;
                }
            }
        };
        let back = async {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let Ok(mut read @ 1..) = from_node.read(&mut buffer).await else { return };
                let state = *replies.borrow();
                match state {
                    Replies::Flow => {}
                    Replies::Lost => return,
                    Replies::Held(at) => drop(self.held(at).await),
                    Replies::Refused(code) => {
                        read = refusal(&mut buffer, code);
                        say_again.send_replace(Replies::Flow);
                    }
                }
                if to_client.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = forth => {}, () = back => {} }
    }

    /// Waits for a release after this many.
    async fn held(&self, count: u64) -> Released {
        let mut released = self.released.subscribe();
        // The sender lives as long as this.
        released.wait_for(|released| released.count > count).await.map_or(Released::default(), |released| *released)
    }

    /// Notes a statement, and says what happens to it.
    fn judge(&self, packet: &[u8]) -> Option<Act> {
        let (0, 3) = (*packet.get(3)?, *packet.get(4)?) else { return None };
        let text = String::from_utf8_lossy(&packet[5..]).into_owned();
        let mut slot = self.rule.lock().unwrap();
        let act = match slot.as_mut() {
            Some(rule) if text.contains(&rule.part) && rule.skip == 0 => slot.take().map(|rule| rule.act),
            Some(rule) if text.contains(&rule.part) => {
                rule.skip -= 1;
                None
            }
            Some(_) | None => None,
        };
        self.statements.lock().unwrap().push(text);
        act
    }
}

/// Writes an error as a server's reply to a statement.
fn refusal(buffer: &mut [u8], code: u16) -> usize {
    let text = b"#HY000Operation failed";
    let length = 3 + text.len();
    buffer[..4].copy_from_slice(&[u8::try_from(length).unwrap(), 0, 0, 1]);
    buffer[4] = 0xff;
    buffer[5..7].copy_from_slice(&code.to_le_bytes());
    buffer[7..4 + length].copy_from_slice(text);
    4 + length
}

/// One packet with its header.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await?;
    let length = usize::from(packet[0]) | usize::from(packet[1]) << 8 | usize::from(packet[2]) << 16;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

async fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Connects as a user, in a thread of its own: Linux keeps the user id per thread.
async fn connect_as(user: u32, to: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(to)?;
    let (say, hear) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let connect = || -> io::Result<std::os::fd::OwnedFd> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            let user = Uid::from_raw(user);
            if user != rustix::process::geteuid() {
                rustix::thread::set_thread_res_uid(user, user, user)?;
            }
            rustix::net::connect(&socket, &address)?;
            Ok(socket)
        };
        let _ = say.send(connect());
    });
    UnixStream::from_std(hear.await.map_err(io::Error::other)??.into())
}
