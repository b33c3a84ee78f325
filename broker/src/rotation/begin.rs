//! Beginning a rotation: look before anything changes, then the journal, then the claims.

use super::{
    Journal, Subject, checkpoint, claim, earlier,
    journal::{Credential, Held, Item},
    probe::{self, Found},
    state_transfer,
    step::roll::fed::{self, Distrusted},
    subject::{self, Way},
    values::{Login, administrator},
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{
        Layout, labels,
        secrets::{self, Held as Stored},
    },
};
use donjon_drivers::{
    store::{Store, StoreError, Which},
    target::{Account, Twins},
};
use donjon_policies::{
    name::{SecretName, TargetName},
    transition::{self, Event},
};
use futures_util::future::{join, try_join, try_join_all};
use std::collections::{BTreeMap, BTreeSet};

/// What a look at the targets found before anything was changed.
#[derive(Debug)]
pub struct Preflight {
    /// The secrets with their accounts.
    pub secrets: Vec<Item>,
    /// Accounts that nobody can try from here, and why. The operator may vouch for them by name.
    pub unprovable: Vec<(String, Account, String)>,
    /// What the labels of each said before.
    labels: Vec<labels::Held>,
}

impl Preflight {
    /// Refused where accounts are left that neither this broker can try nor the operator has vouched for.
    pub fn provable(&self, subject: &Subject, vouched: &[String]) -> Result<(), Failure> {
        let stranger = |(_, account, _): &&(String, Account, String)| !vouched.contains(&account.to_string());
        let unknown: Vec<_> = self.unprovable.iter().filter(stranger).collect();
        if !unknown.is_empty() {
            let mut failure =
                Failure::new(Exit::Refused, format!("cannot prove {} for every account", subject.names()));
            failure.causes = unknown.iter().map(|(node, account, why)| format!("{account} on {node}: {why}")).collect();
            let vouch: Vec<_> = unknown.iter().map(|(_, account, _)| format!("--vouch '{account}'")).collect();
            return Err(failure.state("nothing was changed").hint(format!(
                "remove accounts that nobody uses, or say that you have tried them: {}",
                vouch.join(" ")
            )));
        }
        Ok(())
    }
}

/// Looks at the store and the targets: are the stored values the ones that work, everywhere? Of consumers that the operator
/// leaves, no check is tried.
pub async fn preflight(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
    leave: &BTreeSet<String>,
) -> Result<Preflight, Failure> {
    let logins = subject.targets.keys().map(async |target| {
        let login = administrator(store, layout, subject, target).await?;
        Ok::<_, Failure>((target.clone(), login))
    });
    let held = subject.secrets.iter().map(|item| stored(store, layout, item));
    let (held, logins) = try_join(try_join_all(held), try_join_all(logins)).await?;
    let logins: BTreeMap<TargetName, Login> = logins.into_iter().collect();
    let (mut secrets, mut unprovable, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for (item, (labels, held)) in subject.secrets.iter().zip(held) {
        let mut credentials = Vec::new();
        for credential in &item.credentials {
            let login = &logins[&credential.target];
            let (found, credential) = match look(subject, item, credential, &held, login).await {
                Ok(looked) => looked,
                Err(failure) => {
                    let place = (&*subject.targets[&credential.target].target, credential);
                    let failure = earlier::explained((store, layout), &item.secret, place, &held, login, failure).await;
                    return Err(failure.state("nothing was changed"));
                }
            };
            unprovable.extend(found.unprovable.into_iter().map(|(node, account, why)| (node.name, account, why)));
            credentials.push(credential);
        }
        secrets.push(Item { secret: item.secret.clone(), old: held.version, new: None, credentials });
        before.push(labels);
    }
    for instance in subject.instances.iter().filter(|instance| !leave.contains(&instance.place())) {
        let failed = |code, why: String| {
            Failure::new(code, format!("cannot rotate {}", subject.names())).cause(why).state("nothing was changed")
        };
        match fed::distrusted(store, layout, instance).await? {
            None => {}
            // As with any host that is away.
            Some(Distrusted::Host(why)) => return Err(failed(Exit::Unavailable, why)),
            Some(Distrusted::Check(why)) => {
                return Err(failed(Exit::Refused, why).hint("mend the check: a rotation believes it only if it fails on a wrong value and passes on the one in force"));
            }
        }
    }
    Ok(Preflight { secrets, unprovable, labels: before })
}

/// Those of the secrets that a target has no account of, and what it says.
pub async fn absent(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
) -> Result<BTreeMap<SecretName, String>, Failure> {
    let mut absent = BTreeMap::new();
    for item in &subject.secrets {
        let (_, held) = stored(store, layout, item).await?;
        for credential in &item.credentials {
            let login = administrator(store, layout, subject, &credential.target).await?;
            match look(subject, item, credential, &held, &login).await {
                Err(failure) if failure.code == Exit::NotThere => {
                    absent.insert(item.secret.clone(), failure.message);
                }
                // What else is wrong is told when it is rotated.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(absent)
}

/// Why a secret has nothing to rotate, where each of its targets lets its accounts in by a node's own socket alone.
pub async fn by_socket(store: &dyn Store, layout: &Layout, subject: &Subject, item: &subject::Item) -> Option<String> {
    let mut told = Vec::new();
    for credential in &item.credentials {
        let login = administrator(store, layout, subject, &credential.target).await.ok()?;
        let values = login.values();
        let target = &subject.targets[&credential.target].target;
        let mut accounts = Vec::new();
        for user in &credential.users {
            let found = target.survey(&login.admin(&values, None), user, &[]).await.ok()?;
            if !found.accounts.is_empty() {
                return None;
            }
            accounts.extend(found.by_socket);
        }
        if accounts.is_empty() {
            return None;
        }
        told.push(state_transfer::nothing_to_rotate(&credential.target, &accounts));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

async fn stored(store: &dyn Store, layout: &Layout, item: &subject::Item) -> Result<(labels::Held, Stored), Failure> {
    let secret = &item.secret;
    let failed = |error: StoreError| translate::store(format!("cannot rotate `{secret}`"), &error);
    let (labels, held) = (labels::read(store, layout, secret), secrets::read(store, layout, secret, Which::Latest));
    let (labels, held) = try_join(labels, held).await.map_err(failed)?;
    if let Some(id) = &labels.labels.rotation {
        return Err(claim::taken(secret, id));
    }
    let held = held.ok_or_else(|| {
        Failure::new(Exit::NotThere, format!("there is no secret `{secret}`"))
            .state("nothing was changed")
            .hint("`donjon adopt` or `donjon put` stores the value that works now")
    })?;
    Ok((labels, held))
}

/// Looks at one credential: which accounts there are, and whether each accepts the stored value.
async fn look(
    subject: &Subject,
    item: &subject::Item,
    credential: &subject::Credential,
    held: &Stored,
    login: &Login,
) -> Result<(Found, Credential), Failure> {
    let (secret, target) = (&item.secret, &credential.target);
    let reached = &*subject.targets[target].target;
    let old = held.record.value.material();
    let (users, twin) = match (credential.way, credential.users.as_slice()) {
        (Way::Twin, [base]) => {
            let other = format!("{base}{TWIN}");
            let current = held.record.user.clone().unwrap_or_else(|| base.clone());
            let twin = if current == *base { other } else { base.clone() };
            (vec![current], Some(twin))
        }
        (Way::Twin | Way::Both | Way::Switch, users) => (users.to_vec(), None),
    };
    if twin.is_some() && reached.capabilities().twins == Twins::No {
        return Err(Failure::new(Exit::Refused, format!("cannot rotate `{secret}` on `{target}`"))
            .cause(format!("the driver `{}` cannot give a user a twin", reached.capabilities().driver)));
    }
    if credential.way == Way::Both && reached.capabilities().values_at_once < 2 {
        return Err(Failure::new(Exit::Refused, format!("cannot rotate `{secret}` on `{target}`"))
            .cause(format!("the driver `{}` holds one value for each account", reached.capabilities().driver)));
    }
    let survey = probe::survey(subject, secret, target, &users, login, &[old]).await?;
    if let Some(twin) = &twin {
        let values = login.values();
        let strangers = reached.survey(&login.admin(&values, None), twin, &[old]).await;
        let strangers = strangers.map_err(|error| probe::failed(subject, target, &error))?;
        if !strangers.entries.is_empty() {
            return Err(Failure::new(Exit::Conflict, format!("cannot rotate `{secret}` on `{target}`"))
                .cause(format!("there is a user `{twin}` already, which this rotation would make"))
                .hint("remove it if nobody uses it"));
        }
    }
    let mut found = Found::default();
    let tried = probe::logins(reached, &survey.accounts, &survey.entries, old, &mut found).await;
    tried.map_err(|error| probe::failed(subject, target, &error))?;
    if !found.refused.is_empty() {
        return Err(Failure::new(Exit::Ambiguous, format!("cannot rotate `{secret}`"))
            .cause(format!("the stored value is refused for {}", probe::places(&found.refused)))
            .hint("someone changed it there: give every account the stored value, or store the one that works with `donjon put`"));
    }
    let vouched = found.unprovable.iter().map(|(_, account, _)| account.clone()).collect();
    let credential = Credential {
        target: target.clone(),
        way: credential.way,
        users,
        twin,
        accounts: survey.accounts,
        entries: survey.entries,
        vouched,
    };
    Ok((found, credential))
}

/// Writes the journal and claims the secrets. A second rotation of any of them is told to wait. `here` looks, once the journal
/// is there, whether this store is still the authority and no other broker is in the way.
pub async fn begin<Here: Future<Output = Result<(), Failure>>>(
    store: &dyn Store,
    layout: &Layout,
    subject: &Subject,
    broker: &str,
    preflight: Preflight,
    now: i64,
    here: impl FnOnce(Journal) -> Here,
) -> Result<Held, Failure> {
    let failed = |error: StoreError| translate::store(format!("cannot rotate {}", subject.names()), &error);
    let named = match subject.secrets.as_slice() {
        [one] => one.secret.to_string(),
        several => format!("{}-secrets", several.len()),
    };
    let id = Journal::id(&named, now);
    let journal =
        Journal { compromised: subject.compromised, ..Journal::new(id, subject.path, preflight.secrets, broker, now) };
    let held = Held::create(store, layout, journal).await.map_err(failed)?;
    checkpoint::reached("rotation.journal-created");
    let here = here(held.journal.clone());
    let (claimed, here) = join(claim::first(store, layout, &held, &preflight.labels), here).await;
    match claimed.map(|()| here) {
        Ok(Ok(())) => Ok(held),
        Ok(Err(failure)) => call_off(store, layout, held, failure, now).await,
        Err(failure) if failure.code == Exit::Conflict => call_off(store, layout, held, failure, now).await,
        // A claim may have been written all the same: without this journal nobody could ever let the secret go.
        Err(failure) => {
            Err(failure.hint("`donjon rotate resume` goes on, `donjon rotate abort` lets go, once the store answers"))
        }
    }
}

/// Ends what was not to begin, and gives back why.
async fn call_off(
    store: &dyn Store,
    layout: &Layout,
    mut held: Held,
    failure: Failure,
    now: i64,
) -> Result<Held, Failure> {
    claim::let_go(store, layout, &held).await?;
    held.journal.undone = Some(failure.message.clone());
    for event in [Event::AbortAsked, Event::OldAlone] {
        let next = transition::next(held.journal.path, held.journal.state, event);
        let next = next.map_err(|error| Failure::new(Exit::Bug, "nothing can be aborted").because(&error))?;
        held.journal.state = next;
        held.journal.history.push((next, now));
    }
    match held.save(store, layout).await {
        // Whoever has taken it over meanwhile finds its secrets taken, and ends it as well.
        Ok(()) | Err(StoreError::Conflict { .. }) => Err(failure),
        Err(error) => Err(translate::store(format!("cannot end the rotation of {}", held.journal.named()), &error)),
    }
}

/// What tells a user's twin from it.
const TWIN: &str = "_b";
