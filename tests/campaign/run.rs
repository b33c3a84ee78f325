//! The row of sites and, on each, the row of faults.

use super::{
    chance::Chance,
    fault::{Fault, Rotated},
    found::Found,
    inflict::{Landing, inflict},
    outside::{Seen, meanwhile, settled},
    recover::recover,
    site::Site,
    strike::{Mend, mend},
    tally::Tally,
};
use std::{path::PathBuf, time::Duration};
use tokio::{runtime::Handle, time::Instant};

/// What is asked of a campaign.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The seed of the first site; the next ones have the next.
    pub seed: u64,
    /// How many faults shall land.
    pub faults: usize,
    /// How many are tried on one site.
    pub each: usize,
    /// The servers.
    pub servers: Servers,
    /// A small disk for the store, where there is one.
    pub disk: Option<PathBuf>,
    /// Where each fault is told.
    pub tell: fn(&str),
}

/// What rotations meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Servers {
    /// One MariaDB.
    Single,
    /// A Galera cluster of three.
    Galera,
}

/// Strikes until so many faults have landed.
pub async fn run(asked: &Asked) -> Tally {
    let mut tally = Tally::default();
    let mut seed = asked.seed;
    while tally.landed < asked.faults {
        let most = asked.each.min(asked.faults - tally.landed);
        let (again, here) = (asked.clone(), Handle::current());
        // A thread of its own: a site waits for programs, and those that it starts end with their thread.
        let site = tokio::task::spawn_blocking(move || here.block_on(site(again, seed, most)));
        match site.await {
            Ok(sums) => tally.add(sums),
            Err(died) => tally.broken.push(format!("seed {seed}: the campaign itself stopped: {died}")),
        }
        if tally.broken.len() > MOST_BROKEN {
            return tally;
        }
        seed += 1;
    }
    tally
}

/// Strikes as before.
pub async fn again(found: &[Found], tell: fn(&str)) -> Tally {
    let mut site = Site::start(false, None).await;
    let mut tally = Tally::default();
    for Found { what, fault, rotated } in found {
        struck(&mut site, fault, *rotated, what, tell, &mut tally).await;
    }
    tally
}

/// One site, and faults on it until so many have landed.
async fn site(asked: Asked, seed: u64, most: usize) -> Tally {
    let clustered = asked.servers == Servers::Galera;
    let mut site = Site::start(clustered, asked.disk.clone()).await;
    let (mut chance, mut tally) = (Chance::new(seed), Tally::default());
    let mut tried = 0;
    // What is broken breaks what follows.
    while tally.landed < most && tried < 3 * most + 10 && tally.broken.is_empty() {
        let (fault, rotated) = Fault::choose(&mut chance, clustered, asked.disk.is_some());
        tried += 1;
        struck(&mut site, &fault, rotated, &format!("seed {seed} #{tried}"), asked.tell, &mut tally).await;
    }
    tally.broken.extend(plaintext(&site).await.into_iter().map(|found| format!("seed {seed}: {found}")));
    tally
}

/// One fault, told.
async fn struck(site: &mut Site, fault: &Fault, rotated: Rotated, name: &str, tell: fn(&str), tally: &mut Tally) {
    let began = Instant::now();
    let mut sums = Tally::default();
    let told = one(site, fault, rotated, &mut sums).await;
    let name = format!("{name} {rotated:?} {fault}");
    tell(&format!("{name}: {told} ({} ms)", began.elapsed().as_millis()));
    for broken in &mut sums.broken {
        *broken = format!("{name}: {broken}");
        tell(&format!("BROKEN {broken}"));
    }
    tally.add(sums);
}

async fn one(site: &mut Site, fault: &Fault, rotated: Rotated, tally: &mut Tally) -> String {
    let Landing { evidence, mend: wrong, broken } = inflict(site, fault, rotated).await;
    tally.broken.extend(broken);
    // A single server that stands still can be seen by nobody.
    let blind = site.away.is_some() && site.nodes.len() == 1;
    if !blind {
        add(tally, looked(site).await);
    }
    if wrong == Mend::Arrives {
        // It arrives while the next one is at it already.
        site.broker.ready();
    }
    mend(site, wrong).await;
    let recovery = recover(site);
    let state = format!("{:.1} ms", recovery.took.as_secs_f64() * 1e3);
    if let Some(stuck) = &recovery.stuck {
        tally.broken.push(format!("`rotate resume` does not end: {stuck}"));
    }
    tally.typed_again += usize::from(recovery.typed > 1);
    let times = if recovery.restarted { &mut tally.with_restarts } else { &mut tally.recoveries };
    times.push(recovery.took);
    add(tally, settled(site).await);
    if evidence.is_empty() {
        tally.missed += 1;
        return format!("met nothing; {state}");
    }
    tally.landed += evidence.len();
    *tally.kinds.entry(fault.kind()).or_default() += evidence.len();
    let killed = evidence.iter().filter_map(|told| told.strip_prefix("killed at ")?.split(',').next());
    tally.points.extend(killed.map(str::to_owned));
    format!("{}; resumed in {state}", evidence.join("; "))
}

/// Looks; a cluster that has just lost a node needs a moment to answer.
async fn looked(site: &Site) -> Seen {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = meanwhile(site).await;
        let unclear = seen.broken.iter().any(|broken| broken.starts_with("unclear"));
        if !unclear || Instant::now() > end {
            return seen;
        }
    }
}

fn add(tally: &mut Tally, seen: Seen) {
    tally.looks += seen.looks;
    let refused = |broken: &&String| broken.starts_with("LOCKED OUT") || broken.starts_with("served value refused");
    tally.lockouts += seen.broken.iter().filter(refused).count();
    tally.broken.extend(seen.broken);
}

/// Whether a value of the site stands in clear in what the servers or the brokers wrote.
async fn plaintext(site: &Site) -> Vec<String> {
    let journal = site.store.journal().await;
    let mut found = Vec::new();
    for (secret, _) in super::site::ACCOUNTS {
        let stored = site.store.stored(secret, &journal).await;
        for value in stored.earlier.iter().chain([&stored.current]) {
            let places = site.nodes.iter().flat_map(|node| node.holds(value.as_bytes()));
            let homes = [site.broker.home(), site.other.home()];
            let places = places.chain(homes.iter().flat_map(|home| crate::search::holding(home, value.as_bytes())));
            found.extend(places.map(|place| format!("a value of {secret} stands in {}", place.display())));
        }
    }
    found
}

/// After so many, something is wrong with all of it.
const MOST_BROKEN: usize = 40;
