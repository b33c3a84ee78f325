//! Beginning a rotation: look before anything changes, then the journal, then the claim.

use super::{
    Journal, Rotation, Subject, checkpoint,
    journal::{FORMAT, Held},
    probe,
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{Layout, labels, secrets},
};
use donjon_drivers::{
    material::Material,
    store::{Rotation as Allowed, Store, StoreError, Version, Which},
    target::{Account, Survey},
};
use donjon_policies::{name::SecretName, transition::State};
use std::collections::BTreeMap;

/// What a look at the target found before anything was changed.
#[derive(Debug)]
pub struct Preflight {
    /// The version that is current.
    pub old: Version,
    /// The accounts.
    pub survey: Survey,
    /// Accounts that nobody can try from here, and why. The operator may vouch for them by name.
    pub unprovable: Vec<(String, Account, String)>,
}

/// Looks at the store and the target: is the stored value the one that works, everywhere?
pub async fn preflight(store: &dyn Store, layout: &Layout, subject: &Subject) -> Result<Preflight, Failure> {
    let capabilities = store.capabilities();
    if capabilities.rotation == Allowed::Refused {
        return Err(Failure::new(Exit::Refused, format!("the `{}` store cannot hold a rotation", capabilities.driver))
            .cause("it has not been through the fault tests that a journal needs")
            .state("nothing was changed")
            .hint("`donjon up` without `--store file` brings up a temporary Vault"));
    }
    let failed = |error: StoreError| translate::store(format!("cannot rotate `{}`", subject.secret), &error);
    if let Some(id) = labels::read(store, layout, &subject.secret).await.map_err(failed)?.labels.rotation {
        return Err(taken(&subject.secret, &id));
    }
    let held = secrets::read(store, layout, &subject.secret, Which::Latest).await.map_err(failed)?;
    let missing = || {
        Failure::new(Exit::NotThere, format!("there is no secret `{}`", subject.secret))
            .state("nothing was changed")
            .hint("`donjon adopt` or `donjon put` stores the value that works now")
    };
    let held = held.ok_or_else(missing)?;
    let old = held.record.value.material();
    let administrator = administrator(store, layout, subject, old, None).await?;
    let survey =
        probe::survey(subject, &administrator.values(), &[old]).await.map_err(|f| f.state("nothing was changed"))?;
    let found = probe::logins(subject, &survey.accounts, &survey.entries, old)
        .await
        .map_err(|error| probe::failed(subject, &error).state("nothing was changed"))?;
    if !found.refused.is_empty() {
        return Err(Failure::new(Exit::Ambiguous, format!("cannot rotate `{}`", subject.secret))
            .cause(format!("the stored value is refused for {}", probe::places(&found.refused)))
            .state("nothing was changed")
            .hint("someone changed it there: give every account the stored value, or store the one that works with `donjon put`"));
    }
    let unprovable = found.unprovable.into_iter().map(|(node, account, why)| (node.name, account, why)).collect();
    Ok(Preflight { old: held.version, survey, unprovable })
}

/// Writes the journal and claims the secret. A second rotation of the same secret is told to wait.
pub async fn begin(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
    broker: &str,
    preflight: Preflight,
    vouched: &[String],
    now: i64,
) -> Result<Held, Failure> {
    let stranger = |(_, account, _): &&(String, Account, String)| !vouched.contains(&account.to_string());
    let unknown: Vec<_> = preflight.unprovable.iter().filter(stranger).collect();
    if !unknown.is_empty() {
        let mut failure = Failure::new(Exit::Refused, format!("cannot prove `{}` for every account", subject.secret));
        failure.causes = unknown.iter().map(|(node, account, why)| format!("{account} on {node}: {why}")).collect();
        let vouch: Vec<_> = unknown.iter().map(|(_, account, _)| format!("--vouch '{account}'")).collect();
        return Err(failure
            .state("nothing was changed")
            .hint(format!("remove accounts that nobody uses, or say that you have tried them: {}", vouch.join(" "))));
    }
    let failed = |error: StoreError| translate::store(format!("cannot rotate `{}`", subject.secret), &error);
    let journal = Journal {
        format: FORMAT,
        id: format!("{}.{now}.{:08x}", subject.secret, rand::random::<u32>()),
        secret: subject.secret.clone(),
        target: subject.target_name.clone(),
        users: subject.users.clone(),
        state: State::Planned,
        history: vec![(State::Planned, now)],
        broker: broker.to_owned(),
        old: preflight.old,
        new: None,
        accounts: preflight.survey.accounts,
        entries: preflight.survey.entries,
        vouched: preflight.unprovable.into_iter().map(|(_, account, _)| account).collect(),
        marks: BTreeMap::new(),
        epoch: None,
        restarted: Vec::new(),
        waiting: None,
        undone: None,
    };
    let held = Held::create(store, layout, journal).await.map_err(failed)?;
    checkpoint::reached("rotation.journal-created");
    match claim(store, layout, &held.journal).await {
        Ok(()) => Ok(held),
        Err(failure) if failure.code == Exit::Conflict => {
            // Nothing but this journal was written, and nobody else knows its name.
            store.remove(&layout.journal(&held.journal.id)).await.map_err(failed)?;
            Err(failure)
        }
        // The claim may have been written all the same: without this journal nobody could ever let the secret go.
        Err(failure) => {
            Err(failure.hint("`donjon rotate resume` goes on, `donjon rotate abort` lets go, once the store answers"))
        }
    }
}

/// Makes this rotation the one that holds the secret; does nothing where it is already.
pub async fn claim(store: &dyn Store, layout: &Layout, journal: &Journal) -> Result<(), Failure> {
    let failed = |error: StoreError| translate::store(format!("cannot rotate `{}`", journal.secret), &error);
    let held = labels::read(store, layout, &journal.secret).await.map_err(failed)?;
    match &held.labels.rotation {
        Some(id) if *id == journal.id => Ok(()),
        Some(id) => Err(taken(&journal.secret, id)),
        None => {
            let claimed = labels::Labels { rotation: Some(journal.id.clone()), ..held.labels.clone() };
            labels::write(store, layout, &journal.secret, &held, &claimed).await.map_err(|error| match error {
                StoreError::Conflict { .. } => {
                    Failure::new(Exit::Conflict, format!("another broker was faster to claim `{}`", journal.secret))
                        .state("nothing was changed")
                        .hint("`donjon rotate status` shows what is under way")
                }
                other @ (StoreError::Sealed
                | StoreError::Unreachable { .. }
                | StoreError::Denied { .. }
                | StoreError::Full { .. }
                | StoreError::Damaged { .. }
                | StoreError::Answer { .. }) => failed(other),
            })?;
            checkpoint::reached("rotation.claimed");
            Ok(())
        }
    }
}

fn taken(secret: &SecretName, id: &str) -> Failure {
    Failure::new(Exit::Conflict, format!("`{secret}` is being rotated already ({id})"))
        .state("nothing was changed")
        .hint("`donjon rotate status` shows it; `donjon rotate resume` goes on with one that was interrupted")
}

/// The values that the administrator of a target may have, the likeliest first.
#[derive(Debug)]
pub struct AdministratorValues(Vec<Material>);

impl AdministratorValues {
    /// To log in with.
    pub fn values(&self) -> Vec<&Material> {
        self.0.iter().collect()
    }
}

/// Reads what the administrator may log in with: the values of the rotation where it is itself what is rotated, else what
/// the store serves for it and served before.
pub async fn administrator(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
    old: &Material,
    new: Option<&Material>,
) -> Result<AdministratorValues, Failure> {
    let secret = &subject.administrator.secret;
    if *secret == subject.secret {
        return Ok(AdministratorValues([new, Some(old)].into_iter().flatten().map(Material::duplicate).collect()));
    }
    let failed = |error: StoreError| {
        translate::store(
            format!("cannot read `{secret}`, which the administrator of `{}` logs in with", subject.target_name),
            &error,
        )
    };
    let current = secrets::read(store, layout, secret, Which::Latest).await.map_err(failed)?;
    let current = current.ok_or_else(|| {
        Failure::new(
            Exit::NotThere,
            format!("there is no secret `{secret}`, which the administrator of `{}` logs in with", subject.target_name),
        )
        .state("nothing was changed")
    })?;
    let before = match current.version {
        Version(1) => None,
        Version(number) => {
            secrets::read(store, layout, secret, Which::Number(Version(number - 1))).await.map_err(failed)?
        }
    };
    let values = [Some(current), before].into_iter().flatten();
    Ok(AdministratorValues(values.map(|held| held.record.value.material().duplicate()).collect()))
}

/// The old and the new value of a rotation, read from where the journal says they are.
#[derive(Debug)]
pub struct Values {
    /// What was current before.
    pub old: Material,
    /// What is to be current.
    pub new: Material,
    /// What the administrator of the target may log in with.
    pub administrator: AdministratorValues,
}

/// Reads both values. The new one is pending, or already published.
pub async fn values(rotation: &Rotation<'_>) -> Result<Values, Failure> {
    let (store, layout, journal) = (rotation.store, rotation.layout, rotation.journal());
    let failed =
        |error: StoreError| translate::store(format!("cannot read the values of `{}`", journal.secret), &error);
    let lost = |which: &str| {
        Failure::new(Exit::Ambiguous, format!("the {which} value of `{}` is not in the store", journal.secret))
            .state(journal.state.meaning())
            .hint("`donjon doctor` tells which stored value logs in where")
    };
    let old = secrets::read(store, layout, &journal.secret, Which::Number(journal.old))
        .await
        .map_err(failed)?
        .ok_or_else(|| lost("old"))?;
    let new = match journal.new {
        Some(version) => secrets::read(store, layout, &journal.secret, Which::Number(version)).await,
        None => secrets::read_at(store, &layout.pending(&journal.secret), &journal.secret, Which::Latest).await,
    };
    let new = new.map_err(failed)?.ok_or_else(|| lost("new"))?;
    let (old, new) = (old.record.value.material().duplicate(), new.record.value.material().duplicate());
    let administrator = administrator(store, layout, rotation.subject, &old, Some(&new)).await?;
    Ok(Values { old, new, administrator })
}
