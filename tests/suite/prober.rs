//! A login prober: a thousand times a second it logs in anew at a node with a value that somebody may hold right now, and
//! reports every refusal of one.

use donjon::socket::{
    client::Client,
    message::{Asked, Request},
};
use donjon_drivers::material::Material;
use donjon_tests::wait;
use mysql_async::{Conn, OptsBuilder};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

/// An account, and who holds its value.
#[derive(Debug, Clone)]
pub(crate) struct Probed {
    /// The user.
    pub(crate) user: &'static str,
    /// The secret that it logs in with.
    pub(crate) secret: &'static str,
    /// When each of its consumers started last, in microseconds since 1970: one file each, as the service has it.
    pub(crate) started: Vec<PathBuf>,
}

/// The prober, until it is ended.
pub(crate) struct Prober {
    ended: Arc<AtomicBool>,
    logins: Arc<AtomicU64>,
    refused: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What it saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How many logins it tried.
    pub(crate) logins: u64,
    /// Each refusal of a value that the store served or that a consumer could hold.
    pub(crate) refused: Vec<String>,
}

/// What has been served for an account.
struct Served {
    now: String,
    /// What was served before, until every consumer has started since `changed`.
    before: Option<String>,
    changed: u128,
}

impl Prober {
    /// Probes these accounts at these ports of 127.0.0.1, reading what is served at the daemon's socket.
    pub(crate) fn start(socket: PathBuf, ports: &[u16], accounts: &[Probed]) -> Self {
        let (ended, logins, refused): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<Mutex<Vec<String>>>) = Default::default();
        let mut tasks = Vec::new();
        for account in accounts {
            let first = Served { now: read(&socket, account.secret).unwrap(), before: None, changed: 0 };
            let served = Arc::new(Mutex::new(first));
            tasks.push(tokio::task::spawn_blocking({
                let (ended, served, socket, account) =
                    (Arc::clone(&ended), Arc::clone(&served), socket.clone(), account.clone());
                move || watch(&ended, &served, &socket, account.secret)
            }));
            for at in 0..LOOPS {
                let (ended, logins, refused) = (Arc::clone(&ended), Arc::clone(&logins), Arc::clone(&refused));
                let (served, account, ports) = (Arc::clone(&served), account.clone(), ports.to_vec());
                let pace = Duration::from_millis(1) * u32::try_from(LOOPS * accounts.len()).unwrap();
                tasks.push(tokio::spawn(async move {
                    let mut tick = tokio::time::interval(pace);
                    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
                    let mut round = at;
                    while !ended.load(SeqCst) {
                        tick.tick().await;
                        round += 1;
                        let port = ports[round % ports.len()];
                        if let Some(what) = probe(&served, &account, port, round / ports.len() % 2 == 1).await {
                            refused.lock().unwrap().push(what);
                        }
                        logins.fetch_add(1, SeqCst);
                    }
                }));
            }
        }
        Self { ended, logins, refused, tasks }
    }

    /// Waits for so many more logins.
    pub(crate) async fn tried(&self, more: u64) {
        let begin = self.logins.load(SeqCst);
        let enough = async || (self.logins.load(SeqCst) >= begin + more).then_some(());
        wait::until("logins", Duration::from_secs(60), enough).await;
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Seen {
        self.ended.store(true, SeqCst);
        for task in std::mem::take(&mut self.tasks) {
            task.await.unwrap();
        }
        let refused = std::mem::take(&mut *self.refused.lock().unwrap());
        Seen { logins: self.logins.load(SeqCst), refused }
    }
}

/// A test that fails ends it too: its runtime waits for the thread that watches.
impl Drop for Prober {
    fn drop(&mut self) {
        self.ended.store(true, SeqCst);
    }
}

/// One login; what was wrong where it was refused although somebody may hold the value still.
async fn probe(served: &Mutex<Served>, account: &Probed, port: u16, held: bool) -> Option<String> {
    let value = {
        let served = served.lock().unwrap();
        match &served.before {
            Some(before) if held => before.clone(),
            Some(_) | None => served.now.clone(),
        }
    };
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).prefer_socket(false);
    let refusal = match Conn::new(options.user(Some(account.user)).pass(Some(value.clone()))).await {
        Ok(session) => {
            // It was let in; how it leaves does not matter.
            let _ = session.disconnect().await;
            return None;
        }
        Err(mysql_async::Error::Server(refusal)) if DENIED.contains(&refusal.code) => refusal.code,
        Err(other) => return Some(format!("{} at {port}: {other}", account.user)),
    };
    // A value that nobody holds any more by now may have been refused already.
    let served = served.lock().unwrap();
    let whose = if served.now == value {
        "what the store serves"
    } else if served.before.as_ref() == Some(&value) && !all_since(account, served.changed) {
        "what a consumer holds"
    } else {
        return None;
    };
    Some(format!("{} at {port}: {whose} was refused with {refusal}", account.user))
}

/// Whether every consumer has started since then, so that none holds an earlier value.
fn all_since(account: &Probed, then: u128) -> bool {
    let since = |path: &PathBuf| {
        std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).is_some_and(|at: u128| at > then)
    };
    account.started.iter().all(since)
}

/// Keeps what is served in sight, a thousand times a second.
fn watch(ended: &AtomicBool, served: &Mutex<Served>, socket: &Path, secret: &str) {
    // The begin of the last look that saw what was served before: a new value was published after it.
    let mut last = 0;
    while !ended.load(SeqCst) {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        if let Some(now) = read(socket, secret) {
            let mut served = served.lock().unwrap();
            if served.now == now {
                last = begun;
            } else {
                let before = std::mem::replace(&mut served.now, now);
                served.before = Some(before);
                served.changed = last;
            }
        }
        #[expect(clippy::disallowed_methods, reason = "the pace of a prober, not a wait for something")]
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn read(socket: &Path, secret: &str) -> Option<String> {
    let names = vec![Asked { name: secret.to_owned(), part: donjon_drivers::store::secret::Part::Whole }];
    let request = Request::Read { names, version: None, epoch: None };
    let reply = Client::at(socket).ok()?.ask_quietly(&request, Vec::new()).ok()?;
    let value: &Material = reply.materials.first()?;
    // EXPOSE: a value of this test's own site, to log in with
    Some(value.expose_text().unwrap().to_owned())
}

const LOOPS: usize = 4;
/// Access denied; the same for a plugin; blocked after too many; the same for an account.
const DENIED: [u16; 4] = [1045, 1698, 4150, 4151];
