//! Starting the daemon: the lock, the store, the socket, and a report to whoever started it.

use super::{Daemon, callers, lifecycle::status_by_store, run, translate};
use crate::{
    audit::{Act, Actor, Log, Outcome},
    cli::command::up::{DYING, Kind, Report, Up, is_new, pause, report, told},
    failure::{Exit, Failure},
    home::Home,
    lifecycle::{self, Backing, Wanted},
    records::Layout,
    socket::{client::Client, message::Event},
    vault::{Step, place::Place},
};
use donjon_drivers::{material::Material, memory::Linked};
use rustix::fs::FlockOperation;
use std::{
    fs::{File, OpenOptions},
    io::{IsTerminal, Read, Write, stdout},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Runs the daemon until it is told to end.
pub fn foreground(home: &Home, up: &Up) -> Result<(), Failure> {
    // Fails where this process leads its group already, as under systemd or a shell: then there is nothing to leave.
    let _ = rustix::process::setsid();
    let ended = start(home, up);
    if let (Err(failure), true) = (&ended, up.is_of_another_process()) {
        report(&Report::Failed(failure.clone()));
    }
    ended
}

fn start(home: &Home, up: &Up) -> Result<(), Failure> {
    #[cfg(feature = "failpoints")]
    let _points = fail::FailScenario::setup();
    home.make()?;
    let new = is_new(home);
    let _lock = lock(home)?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // Where the log's own disk is full, saying so on the same disk would end whoever was about to answer.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("DONJON_LOG").unwrap_or_else(|_| LOGGED.into()))
        .init();
    let linked = Linked::of_this_process().unwrap_or_else(|error| {
        tracing::debug!(%error, "what is mapped of the program cannot be told, and stays in memory");
        Linked::default()
    });
    let deployment = crate::config::deployment(home)?;
    let lookup_socket = deployment.lookup_socket().map(PathBuf::from);
    let lease = Duration::from_secs(u64::from(deployment.read_lease));
    let layout = Layout::new(deployment.deployment)
        .map_err(|error| Failure::new(Exit::Usage, "cannot use this deployment").because(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Bug, "cannot start the runtime").because(&error))?;
    runtime.block_on(async {
        let audit = Log::open(&home.audit()).map_err(|error| translate::audit(&error))?;
        // Before the store: what cannot be opened shall not leave a Vault behind that nobody asks for.
        let callers = lookup_socket.as_deref().map(callers::Listening::bind).transpose()?;
        let backing = open_store(home, up).await?;
        let daemon = Arc::new(Daemon::new(home.clone(), layout, audit, backing, lease));
        let own = Actor::own();
        daemon.record(own, Act::Up, &[], Outcome::Done)?;
        let listener = run::listen(&daemon)?;
        daemon.listens_at(lookup_socket);
        match up.is_of_another_process() {
            true => report(&Report::Serving),
            false => {
                let told = told::up(home, &status_by_store(&daemon).await, new);
                // Nobody may be there to read it.
                let _ = stdout().write_all(told.as_bytes());
            }
        }
        let_go_of_output()?;
        let served = run::serve(daemon.clone(), listener, callers, Arc::new(linked)).await;
        donjon_drivers::host::ssh::close(&home.connections()).await;
        served?;
        daemon.record(own, Act::Down, &[], Outcome::Done)
    })
}

async fn open_store(home: &Home, up: &Up) -> Result<Backing, Failure> {
    let token = up.token_on_stdin.then(read_token).transpose()?;
    let wanted = Wanted {
        folder: match up.store {
            Some(store) => store == Kind::File,
            // A folder that was used before is not left behind for a new, empty Vault.
            None => {
                up.custodian.is_empty() && home.file_store().exists() && !Place::new(&home.vault()).state().exists()
            }
        },
        custodians: &up.custodian,
        threshold: up.threshold,
        token: token.filter(|token| !token.is_empty()),
    };
    let told = up.is_of_another_process();
    let watcher = Arc::new(move |step: Step| {
        tracing::info!("{step}");
        if told {
            report(&Report::Step(Event::text(step.to_string())));
        }
    });
    lifecycle::open(home, wanted, watcher).await
}

/// The token for a Vault that is already there: it came through a pipe, not through this process's environment.
fn read_token() -> Result<Material, Failure> {
    let mut token = Vec::with_capacity(LONGEST_TOKEN);
    let unread =
        |error: std::io::Error| Failure::new(Exit::Bug, "cannot read the token from standard input").because(&error);
    std::io::stdin().lock().take(LONGEST_TOKEN as u64).read_to_end(&mut token).map_err(unread)?;
    Ok(Material::new(token))
}

const LONGEST_TOKEN: usize = 4096;

/// The state after whatever stops a daemon before its store is brought up.
pub const NOT_STARTED: &str = "nothing was started; what is stored is as it was";

/// One daemon per home: the second finds the lock held.
fn lock(home: &Home) -> Result<File, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot lock {}", home.lock().display())).because(error).state(NOT_STARTED)
    };
    let file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(home.lock()).map_err(|error| failed(&error))?;
    let end = Instant::now() + DYING;
    let mut locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    // A daemon that has just been killed holds it for a moment; one that answers keeps it.
    while locked == Err(rustix::io::Errno::WOULDBLOCK) && Instant::now() < end && Client::connect(home).is_err() {
        pause();
        locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
    }
    match locked {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(Failure::new(Exit::Conflict, "another daemon runs in this DONJON_HOME")
                .cause(format!("{} is locked", home.lock().display()))
                .state("nothing was changed")
                .hint("`donjon status` tells its process: end that by SIGTERM, then this again; what is stored stays"))
        }
        Err(error) => Err(failed(&error.into())),
    }
}

/// The daemon's log, owner-only.
pub fn open_log(home: &Home) -> Result<File, Failure> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(home.log()).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot open {}", home.log().display())).because(&error).state(NOT_STARTED)
    })
}

/// Whoever started the daemon waits for the end of its output.
fn let_go_of_output() -> Result<(), Failure> {
    if stdout().is_terminal() {
        return Ok(());
    }
    let failed = |error: std::io::Error| Failure::new(Exit::Bug, "cannot let go of standard output").because(&error);
    let nothing = OpenOptions::new().write(true).open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdout(&nothing).map_err(|error| failed(error.into()))
}

/// What is logged where DONJON_LOG says nothing. The client of the Vault calls each record that is not there an error; what is one
/// is told by whoever asked.
const LOGGED: &str = "info,rustify=off,vaultrs=off";
