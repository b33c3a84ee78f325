//! What happens while a statement is held, and how it is put right afterwards.

use super::{
    fault::{Meanwhile, Rotated},
    inflict::Landing,
    site::Site,
};
use crate::{donjon::Ran, galera, wait};
use rustix::process::Signal;
use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// What is to be put right before anybody can recover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mend {
    /// Nothing.
    #[default]
    Nothing,
    /// A statement of a dead broker arrives now.
    Arrives,
    /// A node goes on.
    Continue(usize),
    /// A node joins the others.
    Join(usize),
    /// The server takes hashes again.
    TakeHashes,
}

/// Strikes, and lets the statement go; says what shows that it landed.
pub(super) async fn strike(
    site: &mut Site,
    meanwhile: Meanwhile,
    rotated: Rotated,
    landing: &mut Landing,
) -> Option<String> {
    match meanwhile {
        Meanwhile::BrokerKilled { late } => {
            let signal = site.broker.kill();
            if late {
                landing.mend = Mend::Arrives;
            } else {
                site.proxy.drop_held();
            }
            (signal == Some(9)).then(|| "the broker ended by signal 9".to_owned())
        }
        Meanwhile::HashesRefused => {
            site.nodes[0].sql("INSTALL SONAME 'simple_password_check'").await;
            landing.mend = Mend::TakeHashes;
            site.proxy.release();
            Some("the server answered 1396".to_owned())
        }
        Meanwhile::ServerKilled => {
            let pid = site.nodes[0].pid();
            site.nodes[0].kill();
            site.proxy.release();
            site.nodes[0].restart().await;
            (site.nodes[0].pid() != pid).then(|| format!("mariadbd {pid} was killed and is another now"))
        }
        Meanwhile::Paused(node) => {
            let node = node % site.nodes.len();
            site.nodes[node].pause();
            site.away = Some(node);
            landing.mend = Mend::Continue(node);
            let stopped = stopped(site.nodes[node].pid()).await;
            site.proxy.release();
            stopped.then(|| format!("node {node} stood in state T"))
        }
        Meanwhile::CutOff(node) => {
            galera::isolate(&site.nodes[node], true).await;
            site.away = Some(node);
            landing.mend = Mend::Join(node);
            let status = wait::until("the node to be alone", Duration::from_secs(30), async || {
                let rows = site.nodes[node].try_sql("SHOW STATUS LIKE 'wsrep_cluster_status'").await.ok()?;
                (rows[0][1] != "Primary").then(|| rows[0][1].clone())
            });
            let status = status.await;
            site.proxy.release();
            Some(format!("node {node} said {status}"))
        }
        Meanwhile::StoreKilled => {
            let pid = site.vault.pid();
            site.vault.kill();
            site.proxy.release();
            site.vault.restart().await;
            (site.vault.pid() != pid).then(|| format!("bao {pid} was killed and is another now"))
        }
        Meanwhile::StoreSealed => {
            site.vault.seal().await;
            let refused = site.store.takes_writes().await.err();
            site.proxy.release();
            // A moment in which the broker meets it.
            wait::until("the broker to meet the seal", Duration::from_millis(300), async || None::<()>.or(Some(())))
                .await;
            site.vault.unseal().await;
            refused.map(|why| format!("the store said {why}"))
        }
        Meanwhile::DiskFull => full(site).await,
        Meanwhile::Overtaken { again } => overtaken(site, again, rotated, landing).await,
    }
}

/// Puts right what a fault left.
pub(super) async fn mend(site: &mut Site, mend: Mend) {
    match mend {
        Mend::Nothing => {}
        Mend::Arrives => site.proxy.release(),
        Mend::TakeHashes => drop(site.nodes[0].sql("UNINSTALL SONAME 'simple_password_check'").await),
        Mend::Continue(node) => site.nodes[node].resume(),
        Mend::Join(node) => galera::isolate(&site.nodes[node], false).await,
    }
    if let Some(node) = site.away.take()
        && site.nodes.len() > 1
    {
        for other in [node].into_iter().chain(0..site.nodes.len()) {
            galera::ready(&site.nodes[other]).await;
        }
    }
}

/// Fills the store's disk, lets the statement go, and makes room again.
async fn full(site: &mut Site) -> Option<String> {
    let ballast = site.disk.as_ref()?.join("ballast");
    fill(&ballast);
    // What the database has free inside is used up first.
    let mut refused = None;
    for _ in 0..400 {
        refused = site.store.takes_writes().await.err();
        if refused.is_some() {
            break;
        }
        fill(&ballast);
    }
    site.proxy.release();
    wait::until("the broker to meet the full disk", Duration::from_secs(5), async || {
        site.store.takes_writes().await.err().map(drop)
    })
    .await;
    std::fs::remove_file(ballast).unwrap();
    wait::until("the store to take writes again", Duration::from_secs(60), async || {
        site.store.takes_writes().await.ok()
    })
    .await;
    refused.map(|why| format!("the store said {}", why.chars().take(160).collect::<String>()))
}

fn fill(ballast: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(ballast).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let chunk = vec![7; size];
        while file.write_all(&chunk).is_ok() {}
    }
}

/// The broker stands still while another one takes its rotation over and ends it.
async fn overtaken(site: &mut Site, again: bool, rotated: Rotated, landing: &mut Landing) -> Option<String> {
    site.broker.signal(Signal::STOP);
    site.other.ready();
    let apply = [&["rotate", "apply"][..], rotated.names()].concat();
    // Held before its journal was written, it has begun nothing that another could wait for.
    let begun = !site.store.journal().await.ended();
    let second = site.other.run(&apply);
    // Of two secrets the first may be free, and wait for the session of the one that stands still.
    if begun && second.code != 5 && !waits(&second) {
        landing.broken.push(format!("a second rotation did not wait: exit {}: {}", second.code, second.err));
    }
    let resumed = site.other.run(&["rotate", "resume", "--take-over"]);
    let (resumed, mut waited) = once_gone(site, resumed);
    if resumed.code != 0 {
        landing.broken.push(format!("the one that took over: exit {}: {}", resumed.code, resumed.err));
    }
    if again && !waited {
        let once_more = site.other.run(&apply);
        // The one that took over may have had nothing to wait for: the session is from before the next rotation, too.
        let (once_more, still) = once_gone(site, once_more);
        waited = still;
        if once_more.code != 0 {
            landing.broken.push(format!("its next rotation: exit {}: {}", once_more.code, once_more.err));
        }
    }
    site.broker.signal(Signal::CONT);
    site.proxy.release();
    Some(format!(
        "another broker ended the rotation of one that stood in state T{}",
        match (waited, again) {
            (true, _) => ", once the session of that one was gone",
            (false, true) => ", and one more",
            (false, false) => "",
        }
    ))
}

/// Where nothing fenced it off yet, the one that stands still has a session from before the rotation, which is waited for: it
/// goes on, and so does the rotation. Says how that ended, and whether it had to wait.
fn once_gone(site: &mut Site, mut ran: Ran) -> (Ran, bool) {
    let waited = waits(&ran);
    if waited {
        site.broker.signal(Signal::CONT);
        site.proxy.release();
        let end = Instant::now() + Duration::from_secs(60);
        while waits(&ran) && Instant::now() < end {
            ran = site.other.run(&["rotate", "resume"]);
        }
    }
    (ran, waited)
}

/// Whether a command ended because sessions from before are still open.
fn waits(ran: &Ran) -> bool {
    ran.code == 13 && ran.err.contains("sessions from before")
}

/// Whether a process stands still.
async fn stopped(pid: u32) -> bool {
    wait::until("the process to stop", Duration::from_secs(5), async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ").filter(|(_, rest)| rest.starts_with('T')).map(|_| true)
    })
    .await
}
