//! The order of a push: what is written where, and when the authority changes sides.

use super::{
    Change, Compared, Credential, Destination, Grant, PushError, Side,
    compare::{There, compare, paths},
    fill::fill,
    grants,
    sides::{Begun, Sides, elsewhere},
};
use crate::{
    records::Layout,
    rotation::{checkpoint::reached, heartbeat::Broker},
    transfer::{
        authority::Authority,
        export::Paths,
        fence::{FenceError, fence},
        key::PublicKey,
        mark::Mark,
        private::Places,
    },
};
use donjon_drivers::store::{Store, vault::Vault};
use donjon_policies::{
    access::Access,
    name::{HostName, RoleName},
};

/// Both ends, and what the readers of the new one may read.
pub struct Pushing<'a> {
    /// The store that is the authority.
    pub here: &'a dyn Store,
    /// Its paths.
    pub layout: &'a Layout,
    /// Its transfer records.
    pub places: &'a Places,
    /// The cluster.
    pub destination: &'a Destination,
    /// Who may read what.
    pub access: &'a Access,
    /// The roles.
    pub roles: Vec<RoleName>,
    /// Who does it.
    pub broker: &'a Broker,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// How the two stores stand to each other.
#[derive(Debug)]
pub struct Stand {
    /// Whether the mount is there.
    pub mounted: bool,
    /// Each record.
    pub records: Vec<Compared>,
    /// Each policy.
    pub grants: Vec<Grant>,
    /// Whether the authority is there already.
    pub done: bool,
}

/// What was done.
#[derive(Debug)]
pub struct Pushed {
    /// How many records are the same on both sides.
    pub records: usize,
    /// How many of them were written by this run.
    pub written: usize,
    /// The key that signs there.
    pub key: PublicKey,
    /// What consumers log in with, where that was asked for.
    pub credentials: Vec<Credential>,
}

/// Compares, and changes nothing.
pub async fn stand(pushing: &Pushing<'_>) -> Result<Stand, PushError> {
    let Pushing { here, places, destination, .. } = pushing;
    let (there, place) = (destination.store(), destination.place());
    let sides = Sides { here: *here, there: &there, places, place: &place };
    let mounted = destination.mounted().await?;
    let begun = if mounted { sides.begun().await? } else { Begun::Nothing };
    if let (true, Some(own)) = (mounted, Authority::read(*here, places).await?) {
        sides.are_two(&own).await?;
    }
    if !mounted {
        match sides.ours().await?.mark {
            None | Some(Mark::Here { .. }) => {}
            Some(no @ (Mark::Following {} | Mark::Withdrawn { .. } | Mark::Restoring { .. })) => {
                return Err(elsewhere(&no));
            }
            Some(Mark::Moving { .. } | Mark::Moved { .. } | Mark::Arriving { .. }) => {
                return Err(PushError::OtherDestination);
            }
        }
    }
    let mut records = Vec::new();
    for path in paths(*here, places).await? {
        let change = match (mounted, begun) {
            // What has changed there since is that store's own business.
            (_, Begun::Done) => Change::Keep,
            (true, _) => compare(*here, &there, &path, begun.there()).await?,
            (false, _) => {
                let known = here.versions(&path).await.map_err(Side::Here.failed())?;
                Change::Create { versions: known.iter().map(|info| info.version.0).max().unwrap_or(0) }
            }
        };
        records.push(Compared { path, change });
    }
    let deployment = places.deployment();
    let grants = grants::compare(destination, pushing.access, pushing.roles.iter().cloned(), deployment).await?;
    Ok(Stand { mounted, records, grants, done: begun == Begun::Done })
}

/// Does what [`stand`] found, then moves the authority. `tell` hears how many records of how many are looked at.
pub async fn push(
    pushing: &Pushing<'_>,
    stand: &Stand,
    with_credentials: WithCredentials,
    tell: &(dyn Fn(&str, usize, usize) + Send + Sync),
) -> Result<Pushed, PushError> {
    let Pushing { here, places, layout, destination, broker, now, .. } = pushing;
    let (there, place) = (destination.store(), destination.place());
    let sides = Sides { here: *here, there: &there, places, place: &place };
    let own = Authority::ensure(*here, places, *now).await?;
    if stand.mounted {
        sides.are_two(&own).await?;
    }
    if let Err(differs) = refuse_others(&stand.records) {
        sides.take_back(*now).await?;
        return Err(differs);
    }
    if !stand.mounted {
        destination.make_mount().await?;
    }
    grants::write(destination, &stand.grants).await?;
    let mut written = 0;
    let mut claimed = None;
    if !stand.done {
        let claim = sides.claim(&own, *now).await?;
        reached("push.claimed");
        written += copy(pushing, &there, &stand.records, "copied", tell).await?;
        // Read back once before this store is fenced: what cannot be the same there keeps nobody from rotating here.
        refuse_others(&compared(pushing, &there).await?)?;
        let fenced = fence(*here, places, layout, broker, claim.moving.clone(), *now).await;
        if let Err(FenceError::Unfinished { .. } | FenceError::Deployer { .. }) = &fenced {
            sides.take_back(*now).await?;
        }
        fenced?;
        reached("push.fenced");
        claimed = Some(claim);
    }
    // Nothing changes here any more. What changed since the comparison is copied, then all of it is read back.
    let settled = async {
        if !stand.done {
            let since = compared(pushing, &there).await?;
            refuse_others(&since)?;
            written += copy(pushing, &there, &since, "copied what changed", tell).await?;
        }
        read_back(*here, &there, places, stand.done, tell).await
    };
    let records = match settled.await {
        Err(error @ (PushError::Differs { .. } | PushError::ReadBack { .. })) => {
            sides.take_back(*now).await?;
            return Err(error);
        }
        settled => settled?,
    };
    let key = sides.arrive(&own, claimed.as_ref(), *now).await?;
    let credentials = match with_credentials {
        WithCredentials::Yes(hosts) => grants::credentials(destination, &stand.grants, &hosts).await?,
        WithCredentials::No => Vec::new(),
    };
    Ok(Pushed { records, written, key, credentials })
}

/// Whether new credentials are made for the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithCredentials {
    /// They are, for each of these hosts, or for any where there are none.
    Yes(Vec<HostName>),
    /// They are not.
    No,
}

async fn compared(pushing: &Pushing<'_>, there: &Vault) -> Result<Vec<Compared>, PushError> {
    let mut records = Vec::new();
    for path in paths(pushing.here, pushing.places).await? {
        let change = compare(pushing.here, there, &path, There::Ours).await?;
        records.push(Compared { path, change });
    }
    Ok(records)
}

async fn copy(
    pushing: &Pushing<'_>,
    there: &Vault,
    records: &[Compared],
    text: &str,
    tell: &(dyn Fn(&str, usize, usize) + Send + Sync),
) -> Result<usize, PushError> {
    let mut written = 0;
    let todo: Vec<_> = records.iter().filter(|record| record.change != Change::Keep).collect();
    for (done, record) in todo.iter().enumerate() {
        fill(pushing.here, there, &record.path, &record.change).await?;
        written += 1;
        reached("push.written");
        tell(text, done + 1, todo.len());
    }
    Ok(written)
}

/// Reads everything on both sides.
pub(super) async fn read_back(
    here: &dyn Store,
    there: &dyn Store,
    places: &Places,
    done: bool,
    tell: &(dyn Fn(&str, usize, usize) + Send + Sync),
) -> Result<usize, PushError> {
    let paths = paths(here, places).await?;
    if done {
        return Ok(paths.len());
    }
    let mut other = Vec::new();
    for (seen, path) in paths.iter().enumerate() {
        if compare(here, there, path, There::Ours).await? != Change::Keep {
            other.push(path.clone());
        }
        tell("read back", seen + 1, paths.len());
    }
    if other.is_empty() { Ok(paths.len()) } else { Err(PushError::ReadBack { paths: Paths(other) }) }
}

fn refuse_others(records: &[Compared]) -> Result<(), PushError> {
    let others: Vec<_> = records.iter().filter(|r| r.change == Change::Differs).map(|r| r.path.clone()).collect();
    if others.is_empty() { Ok(()) } else { Err(PushError::Differs { paths: Paths(others) }) }
}

/// Every point at which a test kills a push.
pub const POINTS: &[&str] = &["push.claimed", "push.written", "push.fenced", "push.arrived"];
