//! A blind proxy: it cannot read what passes, but can lose a server's next answer and the connection with it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Wire {
    /// Its port on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    skip: Mutex<Option<usize>>,
    lost: AtomicBool,
}

impl Wire {
    /// Listens before a server.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&served);
                running.spawn(async move {
                    if let Ok(node) = TcpStream::connect(server).await {
                        shared.pass(client, node).await;
                    }
                });
            }
        });
        Self { port, shared, task }
    }

    /// From now on, what is asked after `skip` other things goes to the server, and its answer is lost. Once.
    pub fn lose_answer(&self, skip: usize) {
        self.shared.lost.store(false, SeqCst);
        *self.shared.skip.lock().unwrap() = Some(skip);
    }

    /// Whether the server's answer came and was lost.
    pub fn has_lost(&self) -> bool {
        self.shared.lost.load(SeqCst)
    }

    /// Forgets what was set.
    pub fn calm(&self) {
        *self.shared.skip.lock().unwrap() = None;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn pass(&self, mut client: TcpStream, mut node: TcpStream) {
        for stream in [&client, &node] {
            stream.set_nodelay(true).unwrap();
        }
        let doomed = AtomicBool::new(false);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_node, mut to_node) = node.split();
        let forth = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                if self.is_next() {
                    doomed.store(true, SeqCst);
                }
                if to_node.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        };
        let back = async {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from_node.read(&mut buffer).await {
                if doomed.load(SeqCst) {
                    self.lost.store(true, SeqCst);
                    return;
                }
                if to_client.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = forth => {}, () = back => {} }
    }

    fn is_next(&self) -> bool {
        let mut skip = self.skip.lock().unwrap();
        match skip.as_mut() {
            None => false,
            Some(0) => skip.take().is_some(),
            Some(more) => {
                *more -= 1;
                false
            }
        }
    }
}
