//! The values of a rotation, read from where the journal says they are, and who logs in with which.

use super::{
    Rotation, Subject,
    journal::Item,
    probe::{self, Found},
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{
        Layout,
        secrets::{self, Held},
    },
};
use donjon_drivers::{
    material::Material,
    store::{
        Store, StoreError, Version, Which,
        secret::{SecretRecord, SecretValue},
    },
    target::{Admin, Pass, fence::Fence},
};
use donjon_policies::{
    name::{SecretName, TargetName},
    transition::{Path, State},
};
use futures_util::future::{try_join, try_join_all};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// The old and the new value of every secret of a rotation, and what administrators log in with.
#[derive(Debug)]
pub struct Values {
    values: BTreeMap<SecretName, Arc<Both>>,
    administrators: BTreeMap<TargetName, Login>,
}

/// The values that a rotation has read: the version that was current when it began and the one that it made are the same in
/// each of its steps.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeMap<SecretName, Arc<Both>>>);

impl Seen {
    fn of(&self, secret: &SecretName) -> Option<Arc<Both>> {
        self.0.lock().ok()?.get(secret).cloned()
    }

    /// Keeps the two values of a secret.
    pub(super) fn keep(&self, secret: &SecretName, both: Both) -> Arc<Both> {
        let both = Arc::new(both);
        if let Ok(mut seen) = self.0.lock() {
            seen.insert(secret.clone(), both.clone());
        }
        both
    }
}

/// The two values of a secret.
#[derive(Debug)]
pub struct Both {
    /// What was current before.
    pub old: SecretRecord,
    /// What is to be current.
    pub new: SecretRecord,
}

/// A user and the values that it may log in with, the likeliest first.
#[derive(Debug)]
pub struct Login {
    user: String,
    values: Vec<Material>,
    passes: Vec<Pass>,
}

/// Which of the two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What was current before.
    Old,
    /// What is to be current.
    New,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

impl Values {
    /// The two values of a secret.
    pub fn of(&self, secret: &SecretName) -> &Both {
        self.values.get(secret).expect("values are read for every secret of the rotation")
    }

    /// Who changes accounts on a target.
    pub fn administrator(&self, target: &TargetName) -> &Login {
        self.administrators.get(target).expect("administrators are read for every target of the rotation")
    }
}

impl Both {
    /// One of the two.
    pub fn record(&self, side: Side) -> &SecretRecord {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// One of the two.
    pub fn side(&self, side: Side) -> &Material {
        self.record(side).value.material()
    }
}

impl Login {
    /// The values to log in with.
    pub fn values(&self) -> Vec<&Material> {
        self.values.iter().collect()
    }

    /// It, as targets take it. Who only looks needs no fence.
    pub fn admin<'a>(&'a self, values: &'a [&'a Material], fence: Option<&'a dyn Fence>) -> Admin<'a> {
        Admin { user: &self.user, values, fence, passes: &self.passes }
    }
}

/// Reads both values of what the rotation holds. The new one is pending, or already published.
pub async fn values(rotation: &Rotation<'_>) -> Result<Values, Failure> {
    let items = rotation.items();
    let read = try_join_all(items.iter().map(|item| both(rotation, item))).await?;
    let values: BTreeMap<SecretName, Arc<Both>> = items.iter().map(|item| item.secret.clone()).zip(read).collect();
    let logins = rotation.subject.targets.iter().map(async |(name, reached)| {
        let login = match values.get(&reached.administrator.secret) {
            Some(own) => Login {
                passes: passes(rotation.store, rotation.layout, rotation.subject, name).await?,
                ..rotated(rotation, name, own).await?
            },
            None => administrator(rotation.store, rotation.layout, rotation.subject, name).await?,
        };
        Ok::<_, Failure>((name.clone(), login))
    });
    let administrators = try_join_all(logins).await?.into_iter().collect();
    Ok(Values { values, administrators })
}

async fn both(rotation: &Rotation<'_>, item: &Item) -> Result<Arc<Both>, Failure> {
    if let Some(seen) = rotation.seen.of(&item.secret) {
        return Ok(seen);
    }
    let (store, layout, journal) = (rotation.store, rotation.layout, rotation.journal());
    let secret = &item.secret;
    let failed = |error: StoreError| translate::store(format!("cannot read the values of `{secret}`"), &error);
    let lost = |which: &str| {
        Failure::new(Exit::Ambiguous, format!("the {which} value of `{secret}` is not in the store"))
            .state(journal.meaning())
            .hint("`donjon doctor` tells which stored value logs in where")
    };
    let new = async {
        match item.new {
            Some(version) => secrets::read(store, layout, secret, Which::Number(version)).await,
            None => secrets::read_at(store, &layout.pending(&journal.id, secret), secret, Which::Latest).await,
        }
    };
    let old = secrets::read(store, layout, secret, Which::Number(item.old));
    let (old, new) = try_join(old, new).await.map_err(failed)?;
    let both = Both { old: old.ok_or_else(|| lost("old"))?.record, new: new.ok_or_else(|| lost("new"))?.record };
    Ok(rotation.seen.keep(secret, both))
}

/// An administrator that is itself rotated. Of two twins it is the one that stays on in this state; where a step makes the
/// one and removes the other, the one that the target lets in.
async fn rotated(rotation: &Rotation<'_>, target: &TargetName, own: &Both) -> Result<Login, Failure> {
    let administrator = &rotation.subject.targets[target].administrator;
    let twinned = rotation.items().into_iter().find_map(|item| {
        let credential = item.credentials.iter().find(|c| c.target == *target && c.twin.is_some())?;
        (item.secret == administrator.secret).then_some(credential)
    });
    let (old, new) = (own.side(Side::Old), own.side(Side::New));
    let Some(credential) = twinned else {
        // The likelier first: each that is refused is a login for nothing, and a line in the server's log.
        let values = match rotation.journal().state {
            State::Planned | State::Staged | State::Aborting => vec![old.duplicate(), new.duplicate()],
            State::Added
            | State::Verified
            | State::Published
            | State::Switched
            | State::Rolling
            | State::Wave
            | State::Promoted
            | State::Drained
            | State::Trial
            | State::Restoring
            | State::Retired
            | State::Settled
            | State::Aborted
            | State::Restored => vec![new.duplicate(), old.duplicate()],
        };
        return Ok(Login { user: administrator.user.clone(), values, passes: Vec::new() });
    };
    let side = match (rotation.journal().path, rotation.journal().state) {
        (_, State::Aborting | State::Restoring) => Side::Old,
        (_, State::Drained | State::Trial) => Side::New,
        (Path::Compromised | Path::Cutover, _) => {
            let reached = &*rotation.subject.targets[target].target;
            let (accounts, entries) = (credential.accounts(Side::New), credential.entries(Side::New));
            let mut found = Found::default();
            let tried = probe::logins(reached, &accounts, &entries, new, &mut found).await;
            tried.map_err(|error| probe::failed(rotation.subject, target, &error))?;
            if found.refused.is_empty() && !found.accepted.is_empty() { Side::New } else { Side::Old }
        }
        (Path::Overlap | Path::Keyring | Path::Together, _) => Side::Old,
    };
    let (record, value) = if side == Side::New { (&own.new, new) } else { (&own.old, old) };
    let user = record.user.clone().unwrap_or_else(|| administrator.user.clone());
    Ok(Login { user, values: vec![value.duplicate()], passes: Vec::new() })
}

/// What the administrator of a target may log in with: what the store serves for it, and what it served before.
pub async fn administrator(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
    target: &TargetName,
) -> Result<Login, Failure> {
    let administrator = &subject.targets[target].administrator;
    let secret = &administrator.secret;
    let failed = |error: StoreError| {
        translate::store(format!("cannot read `{secret}`, which the administrator of `{target}` logs in with"), &error)
    };
    let held = latest(store, layout, secret).await.map_err(failed)?;
    let [current, ..] = held.as_slice() else {
        return Err(Failure::new(
            Exit::NotThere,
            format!("there is no secret `{secret}`, which the administrator of `{target}` logs in with"),
        )
        .state("nothing was changed")
        .hint("`donjon put` or `donjon adopt` stores the value that works now"));
    };
    let user = current.record.user.clone().unwrap_or_else(|| administrator.user.clone());
    let values = held.iter().map(|held| held.record.value.material().duplicate()).collect();
    Ok(Login { user, values, passes: passes(store, layout, subject, target).await? })
}

/// What the store serves of a secret, and what it served before, as far as they are there.
async fn latest(store: &dyn Store, layout: &Layout, secret: &SecretName) -> Result<Vec<Held>, StoreError> {
    let Some(current) = secrets::read(store, layout, secret, Which::Latest).await? else { return Ok(Vec::new()) };
    let before = match current.version {
        Version(1) => None,
        Version(number) => secrets::read(store, layout, secret, Which::Number(Version(number - 1))).await?,
    };
    Ok([Some(current), before].into_iter().flatten().collect())
}

/// What the secrets hold that a target's options name.
async fn passes(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
    target: &TargetName,
) -> Result<Vec<Pass>, Failure> {
    let mut passes = Vec::new();
    for secret in subject.targets[target].target.named() {
        if subject.secrets.iter().any(|item| item.secret == secret) {
            return Err(Failure::new(Exit::Refused, format!("cannot rotate `{secret}` on `{target}`"))
                .cause(format!("the options of `{target}` name it too, as what a server beside its nodes asks for, and that one would keep the old value"))
                .state("nothing was changed")
                .hint("give that server a password of its own, store it by `donjon put NAME`, and name it there"));
        }
        let failed = |error: StoreError| {
            translate::store(format!("cannot read `{secret}`, which the options of `{target}` name"), &error)
        };
        let held = latest(store, layout, &secret).await.map_err(failed)?;
        if held.is_empty() {
            return Err(Failure::new(
                Exit::NotThere,
                format!("there is no secret `{secret}`, which the options of `{target}` name"),
            )
            .state("nothing was changed")
            .hint("`donjon put` stores the value that works now"));
        }
        let pass = |held: &Held| Pass { secret: secret.clone(), value: held.record.value.material().duplicate() };
        passes.extend(held.iter().map(pass));
    }
    Ok(passes)
}

/// Whether two versions hold the same value for the same account.
pub fn same(a: &SecretRecord, value: &SecretValue, user: Option<&str>) -> bool {
    a.value.matches(value) && a.user.as_deref() == user
}
