//! The order of it: the first server takes the database, the others join it, and then what came along is worth nothing.

use super::{
    archive::Snapshot,
    clean,
    error::{SnapshotError, here, kept, there},
    journal::{Held, Opens, Share, Step},
    take::{BY_SNAPSHOT, mark_fits},
};
use crate::{
    rotation::checkpoint::reached,
    transfer::{
        authority::Authority,
        key::PublicKey,
        mark::{self, Mark, Move},
        private::Places,
        push::{Credential, Destination, PushError, WithCredentials},
    },
    vault::{
        Custody, Temporary, VaultError,
        controller::{Controller, Empty, Look, Opened, Restored, Revoked},
    },
};
use donjon_drivers::{material::Material, store::Store};
use donjon_policies::{access::Access, name::RoleName};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// The source, the cluster, and who opens it from now on.
pub struct Carrying<'a> {
    /// The Vault.
    pub vault: &'a Temporary,
    /// Its store.
    pub here: &'a dyn Store,
    /// Its transfer records.
    pub places: &'a Places,
    /// The servers of the cluster; the first one takes the database.
    pub servers: Vec<Controller>,
    /// What opens the source, once or, where its shares were being renewed, twice.
    pub shares: Vec<Vec<Material>>,
    /// The database; not needed any more once the first server has it.
    pub snapshot: Option<Snapshot>,
    /// Who holds the new shares.
    pub custody: Custody,
    /// Where the new shares are kept, each encrypted to its custodian.
    pub keep_in: PathBuf,
    /// Who may read what.
    pub access: &'a Access,
    /// The roles.
    pub roles: Vec<RoleName>,
    /// Whether the roles get credentials.
    pub with: WithCredentials,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// How far it is.
#[derive(Debug)]
pub struct Stand {
    /// What is certainly done; `None` before a snapshot was taken.
    pub step: Option<Step>,
    /// Each server, and how it is.
    pub servers: Vec<(String, Look)>,
}

/// What has arrived.
#[derive(Debug)]
pub struct Arrived {
    /// The key that signs there.
    pub key: PublicKey,
    /// What came along and was revoked.
    pub revoked: Revoked,
    /// The token for the broker there.
    pub token: Material,
    /// What consumers log in with, where that was asked for.
    pub credentials: Vec<Credential>,
}

/// Who is told what happens.
pub(super) type Tell<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Looks, and changes nothing.
pub async fn stand(carrying: &Carrying<'_>) -> Result<Stand, SnapshotError> {
    let Carrying { here: store, places, .. } = carrying;
    mark_fits(mark::read(*store, places).await.map_err(here)?.mark)?;
    let step = Held::read(*store, places).await.map_err(here)?.map(|held| held.journal.step);
    Ok(Stand { step, servers: look_at_all(carrying).await? })
}

/// Carries it as far as the new authority signs there. A second run goes on where the first one ended.
pub async fn carry(carrying: &Carrying<'_>, tell: Tell<'_>) -> Result<Arrived, SnapshotError> {
    let Carrying { here: store, places, servers, .. } = carrying;
    mark_fits(mark::read(*store, places).await.map_err(here)?.mark)?;
    let mut held = Held::read(*store, places).await.map_err(here)?.ok_or(SnapshotError::OtherSnapshot)?;
    look_at_all(carrying).await?;
    let (first, others) = servers.split_first().ok_or(PushError::NoAddress)?;
    restore(carrying, first, &mut held, tell).await?;
    held.reach(Step::Restored, *store, places).await.map_err(kept)?;
    reached("snapshot.restored");
    join(carrying, first, others, &held, tell).await?;
    held.reach(Step::Joined, *store, places).await.map_err(kept)?;
    reached("snapshot.joined");
    rekey(carrying, first, &mut held, tell).await?;
    reached("snapshot.rekeyed");
    audited(first, servers, tell).await?;
    let revoked = first.revoke_inherited(&held.journal.accessor).await?;
    tell(format!("{} logins and {} tokens that came along are revoked", revoked.logins, revoked.tokens));
    reached("snapshot.revoked");
    let own = Authority::ensure(*store, places, carrying.now).await?;
    held.reach(Step::Arriving, *store, places).await.map_err(kept)?;
    // Whoever takes the snapshot back has written the journal first: from here on the fence stays.
    let id = match mark::read(*store, places).await.map_err(here)?.mark {
        Some(Mark::Moving(Move { to, id })) if to == BY_SNAPSHOT => id,
        None | Some(_) => return Err(SnapshotError::Overtaken),
    };
    let key = clean::arrive(&first.store(), places, &own, id, carrying.now).await?;
    tell("the cluster signs with a key of its own, and holds no journal and no pending value of this one".to_owned());
    let mount = "donjon".parse().unwrap_or_else(|_| unreachable!("`donjon` is a path"));
    let destination = Destination::at(first.connection().clone(), mount);
    let roles = carrying.roles.iter().cloned();
    let credentials = destination.grant(carrying.access, roles, places.deployment(), &carrying.with).await?;
    let token = first.token_for_broker().await?;
    first.leave().await?;
    reached("snapshot.handed-over");
    Ok(Arrived { key, revoked, token, credentials })
}

/// Once the operator has what it takes to go on there: this store is fenced for good, and the login that it was done with
/// is destroyed.
pub async fn finish(carrying: &Carrying<'_>) -> Result<(), SnapshotError> {
    let Carrying { here: store, places, servers, now, .. } = carrying;
    let first = servers.first().ok_or(PushError::NoAddress)?;
    let mut held = Held::read(*store, places).await.map_err(here)?.ok_or(SnapshotError::OtherSnapshot)?;
    let logged_in = held.journal.step != Step::Done && first.log_in(&held.journal.login).await?;
    let marked = mark::read(*store, places).await.map_err(here)?;
    if !marked.mark.as_ref().is_some_and(|mark| matches!(mark, Mark::Moved { .. })) {
        let own = Authority::read(*store, places).await?;
        let arrived = mark::read(&first.store(), places).await.map_err(there)?.mark;
        may_end(held.journal.step, marked.mark.as_ref(), arrived.as_ref(), own.as_ref())?;
        let signs = Authority::read(&first.store(), places).await?;
        let key = signs.ok_or(SnapshotError::OtherSnapshot)?.public().id();
        let mark = Mark::Moved { to: first.place(), key };
        mark::write(*store, places, &marked, mark, *now).await.map_err(kept)?;
    }
    reached("snapshot.moved");
    if logged_in {
        first.forget_login(&held.journal.accessor).await?;
        first.leave().await?;
    }
    held.journal.login = Material::new(Vec::new());
    held.journal.empty = None;
    held.reach(Step::Done, *store, places).await.map_err(kept)
}

/// Whoever asks for the end of it may have seen no more than a conflict: this store goes on as the authority unless it is
/// fenced for a snapshot, and that one has arrived.
fn may_end(
    step: Step,
    ours: Option<&Mark>,
    theirs: Option<&Mark>,
    own: Option<&Authority>,
) -> Result<(), SnapshotError> {
    let Some(Mark::Moving(moving)) = ours.filter(|_| step >= Step::Arriving) else {
        return Err(SnapshotError::NotArrived);
    };
    match theirs {
        Some(Mark::Here { from: Some(from), id })
            if own.is_some_and(|own| own.has_signed_with(from)) && moving.goes_to(BY_SNAPSHOT, id.as_ref()) =>
        {
            Ok(())
        }
        None | Some(_) => Err(SnapshotError::NotArrived),
    }
}

async fn look_at_all(carrying: &Carrying<'_>) -> Result<Vec<(String, Look)>, SnapshotError> {
    let source_version = carrying.vault.version().await?;
    let mut looks = Vec::new();
    for server in &carrying.servers {
        let (place, look) = (server.place(), server.look().await?);
        if look.storage_type != "raft" {
            return Err(SnapshotError::Storage { place, found: look.storage_type });
        }
        if numbers(&look.version) < numbers(&source_version) {
            return Err(SnapshotError::Version { place, found: look.version, source_version });
        }
        looks.push((place, look));
    }
    Ok(looks)
}

fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// The first server gets the database, and is logged in to.
async fn restore(
    carrying: &Carrying<'_>,
    first: &Controller,
    held: &mut Held,
    tell: Tell<'_>,
) -> Result<(), SnapshotError> {
    let look = first.look().await?;
    let taken = || SnapshotError::Taken { place: first.place() };
    if !look.initialized {
        if held.journal.step >= Step::Restored {
            return Err(taken());
        }
        let Empty { root, shares } = first.initialise(carrying.vault.opening()).await?;
        reached("snapshot.initialised-unwritten");
        let shares = shares.into_iter().map(Share).collect();
        held.journal.empty = Some(Opens { root, shares });
        held.journal.step = Step::Initialised;
        held.save(carrying.here, carrying.places).await.map_err(kept)?;
        reached("snapshot.initialised");
    }
    let empty: Vec<Material> =
        held.journal.empty.iter().flat_map(|empty| empty.shares.iter().map(|share| share.0.duplicate())).collect();
    if first.look().await?.sealed && !opens(first, &carrying.shares).await? {
        if held.journal.step >= Step::Rekeyed {
            return Err(SnapshotError::Sealed { place: first.place() });
        }
        if empty.is_empty() || first.unseal(&empty).await? == Opened::No {
            return Err(taken());
        }
    }
    // Until others have joined it is alone, and soon leads; later any of them may.
    let alone = held.journal.step < Step::Restored;
    let served = if alone { first.leads().await } else { first.serves().await };
    if let (true, Err(VaultError::NoLeader { place, .. })) = (alone, &served) {
        return Err(SnapshotError::Standby { place: place.clone() });
    }
    served?;
    if first.log_in(&held.journal.login).await? {
        return Ok(());
    }
    // It is the empty one, or somebody else's.
    let Some(Opens { root, .. }) = held.journal.empty.as_ref() else { return Err(taken()) };
    let snapshot = carrying.snapshot.as_ref().ok_or(SnapshotError::OtherSnapshot)?;
    if snapshot.digest() != held.journal.digest {
        return Err(SnapshotError::OtherSnapshot);
    }
    tell(format!("{} takes the database in", first.place()));
    match first.restore(root, snapshot.bytes()).await? {
        Restored::Sealed => {}
        Restored::Standby => return Err(SnapshotError::Standby { place: first.place() }),
        Restored::NotYet => return Err(SnapshotError::NotYet { place: first.place() }),
    }
    reached("snapshot.sent");
    if !opens(first, &carrying.shares).await? {
        return Err(SnapshotError::NotYet { place: first.place() });
    }
    first.leads().await?;
    tell(format!("{} has the database and is open with the shares of the source", first.place()));
    if first.log_in(&held.journal.login).await? { Ok(()) } else { Err(SnapshotError::NotYet { place: first.place() }) }
}

async fn opens(server: &Controller, sets: &[Vec<Material>]) -> Result<bool, SnapshotError> {
    for set in sets {
        if server.unseal(set).await? == Opened::Yes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The others become servers of the same cluster, and all of them vote.
async fn join(
    carrying: &Carrying<'_>,
    first: &Controller,
    others: &[Controller],
    held: &Held,
    tell: Tell<'_>,
) -> Result<(), SnapshotError> {
    let cluster = first.look().await?.cluster_id;
    for server in others {
        let look = server.look().await?;
        if !look.initialized {
            server.join(&first.place()).await?;
        }
        let end = Instant::now() + JOINED_WITHIN;
        while server.look().await?.sealed && !opens(server, &carrying.shares).await? {
            let place = server.place();
            match (held.journal.step >= Step::Rekeyed, look.initialized) {
                (true, _) => return Err(SnapshotError::Sealed { place }),
                (false, true) => return Err(SnapshotError::Taken { place }),
                // It asks the first one for a challenge, and takes shares once it has one.
                (false, false) if Instant::now() > end => return Err(SnapshotError::NotYet { place }),
                (false, false) => tokio::time::sleep(PAUSE).await,
            }
        }
        server.serves().await?;
        if server.look().await?.cluster_id != cluster {
            return Err(SnapshotError::Taken { place: server.place() });
        }
        tell(format!("{} has joined", server.place()));
        reached("snapshot.one-joined");
    }
    let (servers, end) = (others.len() + 1, Instant::now() + VOTES_WITHIN);
    loop {
        let voters = first.voters().await?;
        if voters >= servers {
            tell(format!("{voters} servers vote"));
            return Ok(());
        }
        if Instant::now() > end {
            return Err(SnapshotError::Voters { voters, servers });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether each server has an audit device in a configuration of its own. One that has none is no concern while another
/// leads; once it leads, it removes the devices of all of them.
async fn audited(first: &Controller, servers: &[Controller], tell: Tell<'_>) -> Result<(), SnapshotError> {
    // One that keeps nothing was there for the snapshot alone; the cluster has its own by its configuration.
    let keeps = |devices: &[String]| devices.iter().any(|name| name != "handover/");
    let mut without = Vec::new();
    for server in servers {
        match server.configured_audit_devices(first).await? {
            Some(devices) if keeps(&devices) => {}
            Some(_) => without.push(server.place()),
            None => {
                tell(format!("which audit device {} is configured with cannot be asked: look yourself", server.place()))
            }
        }
    }
    if !without.is_empty() {
        return Err(SnapshotError::NoAudit { places: without.join(", ") });
    }
    let named = first.audit_devices().await?;
    if keeps(&named) { Ok(()) } else { Err(SnapshotError::NoAudit { places: first.place() }) }
}

/// New shares for the custodians there, then a new key for what is written from now on.
async fn rekey(
    carrying: &Carrying<'_>,
    first: &Controller,
    held: &mut Held,
    tell: Tell<'_>,
) -> Result<(), SnapshotError> {
    let Carrying { here: store, places, custody, keep_in, .. } = carrying;
    let (count, threshold) = custody.shares();
    let wanted = (custody.keys(), u8::try_from(threshold).unwrap_or(u8::MAX));
    let others = held.journal.custodians.as_ref().is_some_and(|before| *before != wanted);
    if held.journal.step < Step::Rekeyed {
        if !others {
            held.journal.custodians = Some(wanted.clone());
            held.save(*store, places).await.map_err(kept)?;
        }
        // Where there are as many as the new ones and other than the source had, an earlier run has come so far.
        let (look, source) = (first.look().await?, carrying.vault.opening());
        let new = (look.shares, look.threshold) == (count, threshold);
        let mut renewed = false;
        if !new || (source.shares, source.threshold) == (count, threshold) {
            for old in &carrying.shares {
                renewed = renewed || first.renew_shares(old, custody, keep_in).await?;
            }
        }
        reached("snapshot.shares-taken");
        // Those that an earlier run has kept hold, then; the server says how many there are of them.
        if !renewed {
            let look = first.look().await?;
            let fits = (look.shares, look.threshold) == (count, threshold);
            if others || !fits || !keep_in.join("shares").exists() {
                return Err(SnapshotError::OtherCustodians);
            }
        }
        held.journal.custodians = Some(wanted);
        first.rotate_barrier().await?;
        held.reach(Step::Rekeyed, *store, places).await.map_err(kept)?;
    } else if others {
        return Err(SnapshotError::OtherCustodians);
    }
    tell(format!("{threshold} of {count} new shares open the cluster, and its barrier key is new"));
    Ok(())
}

const JOINED_WITHIN: Duration = Duration::from_secs(60);
const VOTES_WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// Every point at which a test kills the daemon.
pub const POINTS: &[&str] = &[
    "snapshot.fenced",
    "snapshot.taken",
    "snapshot.initialised",
    "snapshot.sent",
    "snapshot.restored",
    "snapshot.one-joined",
    "snapshot.joined",
    "snapshot.shares-kept",
    "snapshot.shares-taken",
    "snapshot.rekeyed",
    "snapshot.revoked",
    "snapshot.cleaned",
    "snapshot.arrived",
    "snapshot.handed-over",
    "snapshot.moved",
];

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    #[tokio::test]
    async fn a_store_stays_the_authority_until_the_snapshot_that_it_is_fenced_for_has_arrived() {
        let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
        let own = Authority::ensure(&store, &places, 1).await.unwrap();
        let other = Authority::ensure(&Memory::default(), &places, 1).await.unwrap();
        let moving = Move::begin(BY_SNAPSHOT);
        let arrived = |from: &Authority, moving: &Move| {
            let from = Some(from.public().id());
            Some(Mark::Here { from, id: moving.id.clone() })
        };
        let (fenced, there) = (Some(Mark::Moving(moving.clone())), arrived(&own, &moving));
        let ended = |step, ours: &Option<Mark>, theirs: &Option<Mark>| {
            may_end(step, ours.as_ref(), theirs.as_ref(), Some(&own)).is_ok()
        };
        assert!(ended(Step::Arriving, &fenced, &there), "the control");
        for step in [Step::Taken, Step::Initialised, Step::Restored, Step::Joined, Step::Rekeyed] {
            assert!(!ended(step, &fenced, &there), "{step:?}");
        }
        for ours in [None, Some(Mark::Here { from: None, id: None }), Some(Mark::Moving(Move::begin("a push")))] {
            assert!(!ended(Step::Arriving, &ours, &there), "{ours:?}");
        }
        let earlier = arrived(&own, &Move::begin(BY_SNAPSHOT));
        for theirs in [None, fenced.clone(), arrived(&other, &moving), earlier] {
            assert!(!ended(Step::Arriving, &fenced, &theirs), "{theirs:?}");
        }
        // One that an older donjon has begun.
        let older = Move { to: BY_SNAPSHOT.to_owned(), id: None };
        assert!(ended(Step::Arriving, &Some(Mark::Moving(older.clone())), &arrived(&own, &older)));
    }
}
