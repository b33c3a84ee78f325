//! `export vault` for a caller on the socket: the difference first, then everything, then the authority.

use super::{Daemon, lookup::Answered, rotate, transfer};
use crate::{
    audit::{Act, Actor, Outcome},
    config,
    failure::{Exit, Failure},
    socket::message::{Event, VaultAsked},
    transfer::{
        push::{Change, Destination, Named, Pushing, Stand, WithCredentials, push as carry, stand},
        told,
    },
};
use donjon_drivers::{
    material::Material,
    store::{RecordPath, path::PathError},
};
use donjon_policies::access::Access;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

/// Pushes, or says what a push would do.
pub(super) async fn push(
    daemon: &Daemon,
    actor: Actor,
    asked: VaultAsked,
    materials: Vec<Material>,
    tell: &UnboundedSender<Event>,
) -> Answered {
    const REFUSED: &str = "cannot push into the Vault";
    let store = daemon.store()?;
    let places = transfer::places(daemon)?;
    let deployment = daemon.deployment()?;
    let catalogue = config::catalogue(&deployment.catalogue)?;
    let given = deployment.roles.iter().map(|(role, given)| (role.clone(), given.reads.clone()));
    let access = Access::new(given, &catalogue);
    let (plan, with) = (asked.plan, asked.credentials.then(|| asked.hosts.clone()));
    let destination =
        Destination::open(named(asked, materials)?).await.map_err(|error| told::looked(REFUSED, &error))?;
    // Neither a rotation nor a deployer run is cut off in its middle, here or under another broker.
    let _alone = if plan { None } else { Some(rotate::alone(daemon).await?) };
    if !plan {
        rotate::others_rest(daemon, None).await?;
    }
    // Nor is a value put while the authority changes sides, to stay behind unseen.
    let _still = if plan { None } else { Some(daemon.moving.write().await) };
    let pushing = Pushing {
        here: &*store,
        layout: &daemon.layout,
        places: &places,
        destination: &destination,
        access: &access,
        roles: deployment.roles.keys().cloned().collect(),
        broker: &daemon.id,
        now: transfer::now(),
    };
    let found = stand(&pushing).await.map_err(|error| told::looked(REFUSED, &error))?;
    let mut reply = described(&destination, &found);
    if plan {
        return Ok((reply, Vec::new()));
    }
    let names = transfer::public_names(daemon, found.records.iter().map(|record| &record.path));
    daemon.record(actor, Act::Export, &names, Outcome::Intent)?;
    let with = with.map_or(WithCredentials::No, WithCredentials::Yes);
    let told = |text: &str, done: usize, total: usize| {
        let count = |n: usize| Some(u64::try_from(n).unwrap_or(u64::MAX));
        // Whoever asked may have left; the push goes on.
        drop(tell.send(Event { text: format!("records {text}"), done: count(done), total: count(total) }));
    };
    let pushed = carry(&pushing, &found, with, &told).await;
    let outcome = if pushed.is_ok() { Outcome::Done } else { Outcome::Failed };
    daemon.record(actor, Act::Export, &names, outcome)?;
    let pushed = pushed.map_err(|error| told::push(REFUSED, &error))?;
    reply["verified"] = json!(pushed.records);
    reply["written"] = json!(pushed.written);
    reply["authority"] = json!(pushed.key.id());
    reply["key"] = json!(pushed.key.to_pem());
    reply["credentials"] = pushed.credentials.iter().map(|one| json!({"role": one.role, "host": one.host})).collect();
    let materials = pushed.credentials.into_iter().flat_map(|credential| [credential.role_id, credential.secret_id]);
    Ok((reply, materials.collect()))
}

pub(crate) fn named(asked: VaultAsked, materials: Vec<Material>) -> Result<Named, Failure> {
    let token = materials.into_iter().next().ok_or_else(|| {
        Failure::new(Exit::Usage, "no token for the Vault was given")
            .state("nothing was changed")
            .hint("--token-file FILE, or BAO_TOKEN or VAULT_TOKEN in the environment of this command")
    })?;
    let mount: RecordPath = asked
        .mount
        .parse()
        .map_err(|error: PathError| Failure::new(Exit::Usage, "this is no mount").because(&error))?;
    let authority = asked.trust.map(String::into_bytes);
    Ok(Named { urls: asked.addresses, authority, namespace: asked.namespace, mount, token })
}

fn described(destination: &Destination, stand: &Stand) -> Value {
    let record = |path: &RecordPath, change: &Change| {
        let (word, versions) = match change {
            Change::Create { versions } => ("create", *versions),
            Change::Extend { versions, .. } => ("extend", *versions),
            Change::Keep => ("keep", 0),
            Change::Differs => ("differs", 0),
        };
        json!({"name": path.to_string(), "change": word, "versions": versions})
    };
    json!({
        "place": destination.place(),
        "mount": destination.mount().to_string(),
        "mounted": stand.mounted,
        "moved": stand.done,
        "records": stand.records.iter().map(|r| record(&r.path, &r.change)).collect::<Vec<_>>(),
        "grants": stand.grants.iter().map(|g| json!({"name": g.name, "change": g.change.word()})).collect::<Vec<_>>(),
    })
}
