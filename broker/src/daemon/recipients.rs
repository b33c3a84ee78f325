//! Recipients, what they could ever open, and hosts and sites that leave, for a caller on the socket.

use super::{Daemon, lookup::Answered, push, rotate, transfer, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    rotation::plan,
    socket::message::{RecipientsAsked, RotateAsked},
    transfer::{
        bundle::{Recipients, as_written},
        exposure::{self, Exposed, Known, Newest},
        ledger,
        push::{Destination, PushError, Revoked},
        retire, told,
    },
};
use donjon_drivers::{
    material::Material,
    store::{RecordPath, Store},
};
use donjon_policies::{
    deployment::Deployment,
    name::{SecretName, SiteName},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Lists, adds or removes.
pub(super) async fn recipients(
    daemon: &Daemon,
    actor: Actor,
    asked: RecipientsAsked,
    materials: Vec<Material>,
) -> Answered {
    let (store, places) = (daemon.store()?, transfer::places(daemon)?);
    let failed = |error| translate::store("cannot read or write the recipients", &error);
    match asked {
        RecipientsAsked::List => {
            let (mut rows, mut newest) = (Vec::new(), Newest::default());
            let deployment = daemon.deployment()?;
            let declared = declared(&deployment);
            for known in exposure::all(&*store, &places).await.map_err(failed)? {
                let exposed = exposure::exposed(&*store, &places, &known, &mut newest).await.map_err(failed)?;
                let declared = declared.get(&known.recipient).into_iter().flatten().copied();
                let sites: BTreeSet<&SiteName> = declared.chain(&known.sites).chain(&known.had).collect();
                rows.push(json!({
                    "recipient": known.recipient,
                    "name": known.name,
                    "sites": sites,
                    "added": known.added,
                    "removed": known.removed,
                    "exposed": exposed.len(),
                    "in_use": exposed.iter().filter(|exposed| exposed.in_use).count(),
                    "since": exposed.first().map(|exposed| exposed.since),
                }));
            }
            Ok((json!({"recipients": rows}), Vec::new()))
        }
        RecipientsAsked::Add { recipient, name, site } => {
            let recipient = one(&recipient)?;
            let site = site.map(|site| transfer::name::<SiteName>(&site)).transpose()?;
            if let Some(site) =
                site.as_ref().filter(|site| !daemon.deployment().is_ok_and(|d| d.sites.contains_key(*site)))
            {
                return Err(Failure::new(Exit::NotThere, format!("the deployment file names no site `{site}`"))
                    .state("nothing was changed")
                    .hint("declare it under `sites` in donjon.yaml"));
            }
            if let Some(name) = &name {
                let all = exposure::all(&*store, &places).await.map_err(failed)?;
                if let Some(other) =
                    all.iter().find(|known| known.name.as_ref() == Some(name) && known.recipient != recipient)
                {
                    return Err(Failure::new(Exit::Conflict, format!("another recipient has the name `{name}`"))
                        .cause(format!(
                            "{} is called so; a command that names it would not know which",
                            other.recipient
                        ))
                        .state("nothing was changed")
                        .hint("give this one another name; a removed one keeps its name, for what it has seen"));
                }
            }
            daemon.record(actor, Act::Recipients, &[], Outcome::Intent)?;
            let added =
                exposure::add(&*store, &places, &recipient, name.as_deref(), site.as_ref(), transfer::now()).await;
            let known = added.map_err(failed)?;
            daemon.record(actor, Act::Recipients, &[], Outcome::Done)?;
            Ok((json!({"added": known.recipient, "name": known.name, "sites": known.sites}), Vec::new()))
        }
        RecipientsAsked::Remove { recipient } => {
            let known = found(&*store, daemon, &recipient).await?;
            daemon.record(actor, Act::Recipients, &[], Outcome::Intent)?;
            exposure::remove(&*store, &places, &known.recipient, transfer::now()).await.map_err(failed)?;
            daemon.record(actor, Act::Recipients, &[], Outcome::Done)?;
            let declared = declared(&*daemon.deployment()?).contains_key(&known.recipient);
            let seen = seen(daemon, &*store, std::slice::from_ref(&known)).await?;
            let heir = exposure::had_heir(&*store, &places, &known).await.map_err(failed)?;
            let mut reply = json!({"removed": known.recipient, "name": known.name, "declared": declared, "heir": heir});
            merge(&mut reply, seen);
            Ok((reply, Vec::new()))
        }
        RecipientsAsked::Retire { name, vault } => {
            // Looked for first: without the Vault, nothing is done at all.
            let refused = |error: &PushError| told::push("cannot revoke the credentials of the host", error);
            let vault = match vault {
                Some(asked) => {
                    let named = push::named(asked, materials)?;
                    Some(Destination::open(named).await.map_err(|error| refused(&error))?)
                }
                None => None,
            };
            daemon.record(actor, Act::Retire, &[], Outcome::Intent)?;
            let revoked = match &vault {
                Some(vault) => Some(vault.revoke(&name).await.map_err(|error| refused(&error))?),
                None => None,
            };
            let retired = retire::retire(&*store, &places, &name, transfer::now()).await.map_err(failed)?;
            daemon.record(actor, Act::Retire, &[], Outcome::Done)?;
            let nothing = retired.is_nothing() && revoked.is_none_or(|revoked| revoked == Revoked::default());
            let kept: Vec<_> = retired.kept.into_iter().map(|known| known.recipient).collect();
            let whose: Vec<Known> = retired.recipients.into_iter().chain(retired.before).collect();
            let mut reply = json!({
                "retired": name,
                "nothing": nothing,
                "revoked": revoked,
                "recipients": whose.iter().map(|known| known.recipient.clone()).collect::<Vec<_>>(),
                "kept": kept,
                "bundles": retired.scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "shared": retired.shared.iter().map(ToString::to_string).collect::<Vec<_>>(),
            });
            let seen = seen(daemon, &*store, &whose).await?;
            merge(&mut reply, seen);
            Ok((reply, Vec::new()))
        }
    }
}

/// Each recipient that the deployment file names, with its sites.
fn declared(deployment: &Deployment) -> BTreeMap<String, BTreeSet<&SiteName>> {
    let mut declared: BTreeMap<String, BTreeSet<&SiteName>> = BTreeMap::new();
    for (name, site) in &deployment.sites {
        for recipient in &site.recipients {
            declared.entry(as_written(recipient)).or_default().insert(name);
        }
    }
    declared
}

/// The secrets whose values a recipient could ever open and that nothing newer has replaced, the oldest exposure first.
/// It is named by its key, or by the name that it was added with; a site stands for all recipients that it ever had, and a
/// host for those of its last bundles.
pub(super) async fn exposed_to(daemon: &Daemon, who: &str) -> Result<Vec<(SecretName, i64)>, Failure> {
    let (store, who) = (daemon.store()?, &as_written(who));
    let mut whose = known(&*store, daemon).await?;
    let of_host = ledger::of_host(&*store, &transfer::places(daemon)?, who).await;
    let of_host = of_host.map_err(|error| translate::store("cannot read the ledger", &error))?;
    whose.retain(|known| is_called(known, who) || known.is_of(who) || of_host.contains(&known.recipient));
    if whose.is_empty() {
        return Err(unknown(who));
    }
    let exposed = all_exposed(daemon, &*store, &whose).await?;
    secrets(daemon, &exposed)
}

/// What of that can be planned, and why the rest is left.
pub(super) async fn rotation_of(
    daemon: &Daemon,
    exposed: &[(SecretName, i64)],
    asked: RotateAsked,
) -> Result<(RotateAsked, Vec<Value>), Failure> {
    let (deployment, catalogue) = rotate::described(daemon).await?;
    let all = plan::plan(&catalogue, &deployment, &RotateAsked { all: true, names: Vec::new(), ..asked.clone() })?;
    let may: Vec<&SecretName> =
        all.rotations.iter().flat_map(|rotation| rotation.secrets.iter().map(|planned| &planned.secret)).collect();
    let why = |name: &SecretName| match all.left.iter().find(|left| left.secret == *name) {
        Some(left) => left.why.clone(),
        None => "it is not in the catalogue: whoever made it gives it a new value by `donjon put`".to_owned(),
    };
    let left = exposed.iter().filter(|(name, _)| !may.contains(&name));
    let left = left.map(|(name, since)| json!({"secret": name, "why": why(name), "since": since})).collect();
    let names = exposed.iter().filter(|(name, _)| may.contains(&name)).map(|(name, _)| name.to_string()).collect();
    Ok((RotateAsked { names, all: false, exposed_to: None, chosen: true, ..asked }, left))
}

/// What recipients have seen, and the plan of the rotations that take the worth of it away.
async fn seen(daemon: &Daemon, store: &dyn Store, whose: &[Known]) -> Result<Value, Failure> {
    let exposed = all_exposed(daemon, store, whose).await?;
    let secrets = secrets(daemon, &exposed)?;
    let (asked, left) = rotation_of(daemon, &secrets, RotateAsked::default()).await?;
    let plan = match asked.names.is_empty() {
        true => json!({"rotations": [], "left": []}),
        false => rotate::plan(daemon, &asked).await?.0,
    };
    let row = |exposed: &Exposed| {
        json!({
            "name": exposed.path.as_str().rsplit('/').next(),
            "since": exposed.since,
            "version": exposed.version,
            "in_use": exposed.in_use,
        })
    };
    Ok(json!({
        "exposed": exposed.iter().map(row).collect::<Vec<_>>(),
        "secrets": secrets.iter().map(|(name, since)| json!({"secret": name, "since": since})).collect::<Vec<_>>(),
        "rotations": plan["rotations"],
        "left": left,
    }))
}

async fn all_exposed(daemon: &Daemon, store: &dyn Store, whose: &[Known]) -> Result<Vec<Exposed>, Failure> {
    let places = transfer::places(daemon)?;
    let (mut all, mut newest) = (BTreeMap::<RecordPath, Exposed>::new(), Newest::default());
    for known in whose {
        let exposed = exposure::exposed(store, &places, known, &mut newest).await;
        let exposed = exposed.map_err(|error| translate::store("cannot see what was exposed", &error))?;
        for one in exposed {
            match all.get_mut(&one.path) {
                Some(other) => {
                    other.since = other.since.min(one.since);
                    other.version = other.version.max(one.version);
                    other.in_use |= one.in_use;
                }
                None => drop(all.insert(one.path.clone(), one)),
            }
        }
    }
    let mut all: Vec<Exposed> = all.into_values().collect();
    all.sort_by(|a, b| (a.since, &a.path).cmp(&(b.since, &b.path)));
    Ok(all)
}

/// The secrets in use among exposed records; a view exposes what it is assembled from.
fn secrets(daemon: &Daemon, exposed: &[Exposed]) -> Result<Vec<(SecretName, i64)>, Failure> {
    let deployment = daemon.deployment()?;
    let mut since: BTreeMap<SecretName, i64> = BTreeMap::new();
    for exposed in exposed.iter().filter(|exposed| exposed.in_use) {
        let Some(name) = exposed.path.as_str().rsplit('/').next().and_then(|name| name.parse::<SecretName>().ok())
        else {
            continue;
        };
        let parts = deployment.parts_of(&name);
        for name in if parts.is_empty() { [name].into() } else { parts } {
            let oldest = since.entry(name).or_insert(exposed.since);
            *oldest = exposed.since.min(*oldest);
        }
    }
    let mut secrets: Vec<_> = since.into_iter().collect();
    secrets.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    Ok(secrets)
}

async fn found(store: &dyn Store, daemon: &Daemon, who: &str) -> Result<Known, Failure> {
    let who = &as_written(who);
    let mut found = known(store, daemon).await?.into_iter().filter(|known| is_called(known, who));
    match (found.next(), found.next()) {
        (Some(known), None) => Ok(known),
        (Some(_), Some(_)) => Err(Failure::new(Exit::Usage, format!("several recipients have the name `{who}`"))
            .state("nothing was changed")
            .hint("give the key itself; `donjon recipients list` shows them")),
        (None, _) => Err(unknown(who)),
    }
}

async fn known(store: &dyn Store, daemon: &Daemon) -> Result<Vec<Known>, Failure> {
    let all = exposure::all(store, &transfer::places(daemon)?).await;
    all.map_err(|error| translate::store("cannot read the recipients", &error))
}

fn is_called(known: &Known, who: &str) -> bool {
    known.recipient == who || known.name.as_deref() == Some(who)
}

fn unknown(who: &str) -> Failure {
    Failure::new(Exit::NotThere, format!("no recipient `{who}` is known"))
        .state("nothing was changed")
        .hint("`donjon recipients list` shows those that are; one without a name is given by its key")
}

fn one(text: &str) -> Result<String, Failure> {
    let recipients = Recipients::parse([text]).map_err(|error| told::recipient(&error).state("nothing was changed"))?;
    Ok(recipients.texts().next().unwrap_or_default())
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
