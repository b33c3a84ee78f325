//! The accept loop: a private socket, one task per connection, an orderly end.

use super::{Daemon, answer, callers, generation, state::Ending, translate};
use crate::{
    cache::watch as epochs,
    failure::{Exit, Failure},
    records::expire,
};
use donjon_drivers::memory::Linked;
use std::{io::ErrorKind, sync::Arc, time::Duration};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::Instant,
};

/// Opens the socket in its 0700 folder. The caller holds the daemon's lock, so a socket that is there is a dead one.
pub fn listen(daemon: &Daemon) -> Result<UnixListener, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot open the socket {}", daemon.home.socket().display()))
            .because(error)
            .state(UNHEARD)
    };
    donjon_drivers::fs::private_folder(&daemon.home.run())
        .map_err(|error| translate::file("cannot make the socket's folder", &error).state(UNHEARD))?;
    match std::fs::remove_file(daemon.home.socket()) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&error)),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(daemon.home.socket()).map_err(|error| failed(&error))
}

/// Serves until SIGTERM, SIGINT or `donjon down`.
pub async fn serve(
    daemon: Arc<Daemon>,
    listener: UnixListener,
    callers: Option<callers::Listening>,
    linked: Arc<Linked>,
) -> Result<(), Failure> {
    let no_signals = |error: std::io::Error| Failure::new(Exit::Bug, "cannot listen for signals").because(&error);
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut ending = daemon.ending.subscribe();
    let looking = tokio::spawn(super::tick::run(daemon.clone()));
    let watching = tokio::spawn(watch_epoch(daemon.clone()));
    let following = tokio::spawn(super::views::run(daemon.clone()));
    drop(tokio::spawn(make_ahead(daemon.clone())));
    let (drained, drain) = watch::channel(());
    match callers {
        Some(callers) => drop(tokio::spawn(callers.serve(daemon.clone(), drain))),
        // Nobody is waited for.
        None => drop(drain),
    }
    let (answering, mut answered) = mpsc::channel::<()>(1);
    let mut sync = tokio::time::interval(Duration::from_secs(1));
    let mut tidy = tokio::time::interval(Duration::from_secs(600));
    let mut lean = tokio::time::interval_at(Instant::now() + STARTED_BY, Duration::from_secs(60));
    loop {
        tokio::select! {
            // The end comes first: whoever connects after it is no caller of this daemon.
            biased;
            _ = ending.changed() => break,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = sync.tick() => drop(tokio::task::spawn_blocking({
                let daemon = daemon.clone();
                move || sync_audit(&daemon)
            })),
            _ = lean.tick() => drop(tokio::task::spawn_blocking({
                let linked = linked.clone();
                move || give_back(&linked)
            })),
            _ = tidy.tick() => {
                daemon.reserve.expire();
                drop(tokio::spawn(destroy_expired(daemon.clone())));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (daemon, answering) = (daemon.clone(), answering.clone());
                    // As of this look: an end that is told meanwhile is not one that it has seen.
                    let ending = ending.clone();
                    tokio::spawn(async move {
                        let _answering = answering;
                        if let Err(error) = answer::serve(daemon, stream, ending).await {
                            tracing::debug!(%error, "a connection ended early");
                        }
                    });
                }
                // Out of descriptors, or the peer left: one bad connection never stops the loop.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    // Who waits for an answer, also for that of `down` itself, gets it; connections without a question end.
    daemon.ending.send_if_modified(|ending| {
        let going = *ending == Ending::No;
        if going {
            *ending = Ending::Stop;
        }
        going
    });
    drop(answering);
    let _ = tokio::time::timeout(DRAINED_WITHIN, answered.recv()).await;
    // Callers get the answers that are under way; those that do not read them are cut.
    let _ = drained.send(());
    let _ = tokio::time::timeout(DRAINED_WITHIN, drained.closed()).await;
    looking.abort();
    watching.abort();
    following.abort();
    // A store that hangs is none that others wait for.
    let _ = tokio::time::timeout(RESTED_WITHIN, epochs::rest(&daemon.cache, daemon.behind())).await;
    if *daemon.ending.borrow() != Ending::Destroyed {
        daemon.ending.send_replace(Ending::Stop);
        daemon.backing.stop().await?;
    }
    // The socket is removed by who holds the lock; what is gone already needs no removal.
    let _ = std::fs::remove_file(daemon.home.socket());
    daemon.audit.sync().map_err(|error| translate::audit(&error))
}

fn sync_audit(daemon: &Daemon) {
    if let Err(error) = daemon.audit.sync() {
        tracing::error!(%error, "the audit log cannot be made durable");
    }
}

/// What of the program was run once is not what the daemon needs; what is run still is mapped again at once.
fn give_back(linked: &Linked) {
    if let Err(error) = linked.give_back() {
        tracing::debug!(%error, "pages of the program could not be given back");
    }
}

async fn watch_epoch(daemon: Arc<Daemon>) {
    epochs::run(&daemon.cache, || daemon.behind()).await;
}

async fn make_ahead(daemon: Arc<Daemon>) {
    generation::ahead(&daemon).await;
}

/// Destroys previous versions whose time has come. What fails now is tried again in the next round.
async fn destroy_expired(daemon: Arc<Daemon>) {
    let Ok(store) = daemon.store() else { return };
    let now = jiff::Timestamp::now().as_second();
    // A store that is being handed over holds still.
    let here = super::transfer::authority_is_here(&daemon).await.is_ok();
    if here && let Err(error) = expire::forget(&*store, &daemon.layout, now).await {
        tracing::warn!(%error, "journals of rotations that have ended could not be laid aside or removed");
    }
    match expire::expire(&*store, &daemon.layout, now).await {
        Ok(destroyed) => destroyed
            .iter()
            .for_each(|(name, version)| tracing::info!(%name, %version, "a previous version was destroyed")),
        Err(error) => tracing::warn!(%error, "previous versions could not be destroyed"),
    }
}

/// By then, what starting alone needs has been run.
const STARTED_BY: Duration = Duration::from_secs(5);
const DRAINED_WITHIN: Duration = Duration::from_secs(5);
const RESTED_WITHIN: Duration = Duration::from_secs(1);
/// The store is up by then, and goes on as after any other end of a daemon.
const UNHEARD: &str = "the store is up and as it was; no daemon answers";
