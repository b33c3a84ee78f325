//! Export, import and receipts for a caller on the socket. A plan and an answer hold names, never a value.

use super::{Daemon, lookup::Answered, views};
use crate::{
    audit::{Act, Actor, Outcome},
    config,
    failure::{Exit, Failure},
    lifecycle::Backing,
    rotation::journal::Held,
    socket::message::{BundleAsked, Event, ImportAsked, RestoreAsked},
    transfer::{
        Places,
        authority::Authority,
        bundle::{BundleFile, Checks, Expired, Identities, Recipients, Scope},
        closure::{ClosureError, closure},
        drill,
        export::{self, Heir, Request, Wanted},
        exposure, heir,
        import::{own_key::own_key, restore, store as into_store},
        key::PublicKey,
        mark::{self, Elsewhere},
        receipt::{self, Act as Deed, Checked, Receipt, ReceiptError},
        standing::{self, Standing},
        succession::Trust,
        told,
    },
};
use donjon_drivers::{
    material::Material,
    store::{RecordPath, Store},
};
use donjon_policies::name::{NameError, SecretName};
use serde_json::{Value, json};
use std::str::FromStr;
use tokio::sync::mpsc::UnboundedSender;

/// Makes a bundle, and says what it holds. Whoever asked writes the file.
pub async fn export(
    daemon: &Daemon,
    actor: Actor,
    asked: &BundleAsked,
    tell: &UnboundedSender<Event>,
) -> Result<(Value, BundleFile), Failure> {
    let (store, places) = (daemon.store()?, places(daemon)?);
    let refused = "cannot export the bundle";
    // What the file says of views a moment ago is what the bundle is to have.
    views::follow_now(daemon, actor).await?;
    let (scope, of_site, recipients) = match &asked.site {
        Some((site, role)) => {
            let (scope, closure, recipients) = for_site(daemon, &*store, asked, site, role).await?;
            (scope, Some(closure), recipients)
        }
        None => (Scope::Custodians {}, None, asked.recipients.clone()),
    };
    // None that was removed, and those of the site that were added.
    let (asked_for, unread) = (recipients.len(), "cannot read the recipients of the bundle");
    let recipients = exposure::effective(&*store, &places, &scope, recipients).await;
    let recipients = recipients.map_err(|error| super::translate::store(unread, &error))?;
    if recipients.is_empty() && asked_for > 0 {
        return Err(Failure::new(Exit::Usage, refused)
            .cause("every recipient that was given or declared has been removed: no bundle is encrypted to it any more")
            .state("no bundle was made")
            .hint("`donjon recipients list` shows them; `donjon recipients add` takes one back"));
    }
    let recipients =
        Recipients::parse(recipients.iter().map(String::as_str)).map_err(|error| told::recipient(&error))?;
    let heir = if asked.heir { Heir::Goes } else { Heir::Stays };
    let closure = match of_site {
        Some(closure) => closure,
        None => export::for_custodians(&*store, &places, (&recipients, heir), now())
            .await
            .map_err(|error| super::translate::store(refused, &error))?,
    };
    let names = public_names(daemon, closure.iter().map(|wanted| &wanted.path));
    daemon.record(actor, Act::Export, &names, Outcome::Intent)?;
    let authority =
        Authority::ensure(&*store, &places, now()).await.map_err(|error| told::authority(refused, &error))?;
    if asked.heir {
        heir::ensure(&*store, &places, &authority, now()).await.map_err(|error| told::authority(refused, &error))?;
    }
    let lifetime = i64::from(asked.days) * 86400;
    let folder = daemon.home.folder();
    let request = Request { scope, closure: &closure, recipients: &recipients, lifetime, folder };
    let told = |done: usize, total: usize| {
        let count = |n: usize| u64::try_from(n).ok();
        // Whoever asked may have left; the ledger is written all the same.
        drop(tell.send(Event { text: "records read".to_owned(), done: count(done), total: count(total) }));
    };
    let bundle = export::export_telling(&*store, &places, &authority, &request, now(), &told).await;
    let bundle = bundle.map_err(|error| told::export(refused, &error))?;
    daemon.record(actor, Act::Export, &names, Outcome::Done)?;
    let manifest = &bundle.manifest;
    let records = manifest.entries.len();
    let mut reply = json!({
        "scope": manifest.scope.to_string(),
        "epoch": manifest.epoch,
        "records": records,
        "digest": bundle.digest,
        "not_after": manifest.not_after,
        "recipients": manifest.recipients,
        "authority": manifest.authority.id(),
    });
    // More do not fit into one answer.
    if records <= MOST_NAMED {
        reply["names"] = manifest.entries.iter().map(|entry| entry.path.to_string()).collect();
    }
    Ok((reply, bundle.file))
}

async fn for_site(
    daemon: &Daemon,
    store: &dyn Store,
    asked: &BundleAsked,
    site: &str,
    role: &str,
) -> Result<(Scope, Vec<Wanted>, Vec<String>), Failure> {
    let (site, role) = (name(site)?, name(role)?);
    let host = asked.host.as_deref().map(name).transpose()?;
    let deployment = daemon.deployment()?;
    let catalogue = config::catalogue(&deployment.catalogue)?;
    let wanted = closure(store, &deployment, &catalogue, &daemon.layout, &site, &role).await;
    let wanted = wanted.map_err(|error| match error {
        ClosureError::Store(error) => super::translate::store("cannot read the epoch", &error),
        ClosureError::Site { .. } | ClosureError::NotThere { .. } | ClosureError::Nothing { .. } => {
            Failure::new(Exit::Usage, "cannot tell what the bundle is to hold")
                .because(&error)
                .state("no bundle was made")
                .hint(
                    "declare it under `roles` and `sites` of the deployment file; what no rule grants is not exported",
                )
        }
    })?;
    let recipients = match asked.recipients.as_slice() {
        [] => deployment.sites.get(&site).map(|site| site.recipients.clone()).unwrap_or_default(),
        given => given.to_vec(),
    };
    Ok((Scope::Site { site, role, host }, wanted, recipients))
}

/// The authority's public key.
pub async fn export_key(daemon: &Daemon) -> Answered {
    let (store, places) = (daemon.store()?, places(daemon)?);
    let authority = Authority::ensure(&*store, &places, now()).await;
    let authority = authority.map_err(|error| told::authority("cannot read the authority's key", &error))?;
    Ok((json!({"key": authority.public().to_pem(), "id": authority.public().id()}), Vec::new()))
}

/// Takes a bundle into the store, or says what that would change.
pub async fn import(daemon: &Daemon, actor: Actor, asked: &ImportAsked, materials: Vec<Material>) -> Answered {
    let (store, places) = (daemon.store()?, places(daemon)?);
    let refused = "cannot import the bundle";
    let (identities, file) = given(materials)?;
    let pin = asked.authority.as_deref().map(pinned).transpose()?;
    let checks = Checks {
        pin: pin.as_ref(),
        deployment: Some(daemon.layout.deployment()),
        site: asked.site.as_ref(),
        role: asked.role.as_ref(),
        now: now(),
        ..Checks::default()
    };
    let verified = into_store::verify(&*store, &file, &checks).await;
    let verified = verified.map_err(|error| told::import(refused, &error))?;
    if verified.manifest().scope == (Scope::Custodians {}) {
        return Err(Failure::new(Exit::Usage, "this is a custodians' bundle: it makes a new authority")
            .state("nothing was changed")
            .hint("`donjon up --from BUNDLE` in a DONJON_HOME of its own"));
    }
    let opened = verified.open(&identities).map_err(|error| told::bundle(refused, &error))?;
    let plan = into_store::plan(&*store, &opened).await.map_err(|error| told::import(refused, &error))?;
    let steps: Vec<Value> = plan.steps.iter().map(into_store::Step::told).collect();
    let mut reply = json!({
        "scope": opened.manifest().scope.to_string(),
        "epoch": opened.manifest().epoch,
        "authority": opened.manifest().authority.id(),
        "trust": opened.trust().word(),
        "steps": steps,
    });
    if asked.plan {
        return Ok((reply, Vec::new()));
    }
    // No rotation has a record in hand that changes under it, and none begins meanwhile.
    let _alone = super::rotate::alone(daemon).await?;
    let names = public_names(daemon, plan.steps.iter().filter(|s| s.change.writes()).map(|s| &s.path));
    let unfinished = Held::unfinished(&*store, &daemon.layout).await;
    let unfinished = unfinished.map_err(|error| super::translate::store("cannot read the journals", &error))?;
    if let Some(held) = unfinished.iter().find(|held| held.journal.names().iter().any(|name| names.contains(name))) {
        return Err(Failure::new(Exit::Conflict, refused)
            .cause(format!("{} is being rotated ({})", held.journal.named(), held.journal.id))
            .state("nothing was changed")
            .hint("`donjon rotate resume` or `donjon rotate abort`, then the same command again"));
    }
    daemon.record(actor, Act::Import, &names, Outcome::Intent)?;
    let written = into_store::apply(&*store, &opened, &plan, now()).await;
    let written = written.map_err(|error| told::import(refused, &error))?;
    let own = own_key(&*store, &places, now()).await;
    let own = own.map_err(|error| told::import("cannot sign the receipt", &error))?;
    daemon.record(actor, Act::Import, &names, Outcome::Done)?;
    reply["written"] = json!(written);
    let receipt = Receipt::of(&opened, Deed::Imported, &own, now()).to_file(&own);
    Ok((reply, vec![Material::new(receipt)]))
}

/// Takes receipts, and says how the bundle of the last one stands; or, without one, which of all bundles miss some.
pub async fn receipt(daemon: &Daemon, actor: Actor, materials: Vec<Material>) -> Answered {
    let (store, places) = (daemon.store()?, places(daemon)?);
    let mut taken = Value::Null;
    // What is recorded while the authority leaves would stay behind.
    let _still = if materials.is_empty() { None } else { Some(daemon.moving.read().await) };
    for file in &materials {
        let refused = |error: &ReceiptError| told::receipt("cannot accept the receipt", error);
        // EXPOSE: a receipt holds no secret
        let checked = receipt::check(&*store, &places, file.expose()).await;
        // What anybody may send is looked at before anything is said to be done.
        if checked.as_ref().is_err_and(|error| !matches!(error, ReceiptError::Store(_))) {
            daemon.record(actor, Act::Receipt, &[], Outcome::Denied)?;
        }
        let of_custodians = checked.as_ref().is_ok_and(Checked::is_of_custodians);
        if !of_custodians {
            let left = leaves(daemon, Stays::OrFollows).await?;
            left.map_or(Ok(()), |elsewhere| Err(told::receipt_elsewhere(&elsewhere)))?;
        }
        let checked = checked.map_err(|error| refused(&error))?;
        daemon.record(actor, Act::Receipt, &[], Outcome::Intent)?;
        let before = checked.was_before();
        let recorded = checked.record(&*store, &places, now()).await.map_err(|error| refused(&error))?;
        let accepted = &recorded.receipt;
        daemon.record(actor, Act::Receipt, &[], Outcome::Done)?;
        // Under another broker the authority may have left since, and without this.
        if !of_custodians && let Some(left) = leaves(daemon, Stays::OrFollows).await? {
            return Err(told::overtaken(&left));
        }
        taken = json!({
            "scope": accepted.scope.to_string(),
            "epoch": accepted.epoch,
            "act": accepted.act,
            "node": accepted.node.id(),
            "consumers": accepted.consumers,
            "at": accepted.at,
            "recipients": recorded.recipients,
            "imported": recorded.imported,
            "drained": recorded.drained,
            "before": before,
        });
    }
    // A thousand sites that each send one are not looked at a thousand times.
    if !materials.is_empty() {
        return Ok((json!({"taken": taken}), Vec::new()));
    }
    let standing = standing(daemon, &*store).await?;
    Ok((json!({"taken": taken, "standing": describe(&standing)}), Vec::new()))
}

/// Has custodians open their last bundle for proof, and says what that has shown.
pub async fn drilled(
    daemon: &Daemon,
    actor: Actor,
    identities: usize,
    needed: Option<usize>,
    mut materials: Vec<Material>,
) -> Answered {
    let (store, places) = (daemon.store()?, places(daemon)?);
    let refused = "the custodians cannot open their bundle";
    let unread = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Usage, "cannot read the identity").because(error).state("nothing was changed")
    };
    let rest = materials.split_off(identities.min(materials.len()));
    let custodians = materials.iter().map(Identities::parse).collect::<Result<Vec<_>, _>>();
    let custodians = custodians.map_err(|error| unread(&error))?;
    // EXPOSE: a bundle is encrypted
    let file: Vec<u8> = rest.iter().flat_map(|piece| piece.expose().to_vec()).collect();
    let needed = needed.unwrap_or_else(|| match &daemon.backing {
        Backing::Temporary { vault, .. } => vault.opening().threshold,
        Backing::Existing { .. } | Backing::Folder { .. } => 1,
    });
    daemon.record(actor, Act::Doctor, &[], Outcome::Intent)?;
    let authority =
        Authority::ensure(&*store, &places, now()).await.map_err(|error| told::authority(refused, &error))?;
    let drilled = drill::drill(&*store, &places, &authority, &file, &custodians, needed, now()).await;
    daemon.record(actor, Act::Doctor, &[], if drilled.is_ok() { Outcome::Done } else { Outcome::Failed })?;
    let drilled = drilled.map_err(|error| told::drill(refused, &error))?;
    let standing = standing(daemon, &*store).await?;
    let custodians = standing.custodians.map(|custodians| (custodians.changed_since, custodians.stood_otherwise));
    let (changed, otherwise) = custodians.unwrap_or_default();
    Ok((
        json!({
            "records": drilled.records,
            "age": drilled.age,
            "opened_by": drilled.opened_by,
            "needed": needed,
            "changed_since": changed,
            "stood_otherwise": otherwise,
        }),
        Vec::new(),
    ))
}

/// Whether the secrets are safe elsewhere; `down` asks before it destroys.
pub async fn standing(daemon: &Daemon, store: &dyn Store) -> Result<Standing, Failure> {
    let standing = standing::standing(store, &places(daemon)?, now()).await;
    standing.map_err(|error| super::translate::store("cannot read the ledger of exports", &error))
}

/// What whoever has ended the temporary Vault should know of the bundle that is left.
pub(super) async fn ends_soon(daemon: &Daemon) -> Option<String> {
    let standing = standing(daemon, &*daemon.store().ok()?).await.ok()?;
    standing.ends_soon().filter(|_| standing.moved.is_none() && standing.comes_back())
}

/// Makes an empty store the new authority, from a custodians' bundle. What goes back is the receipt that tells the old
/// authority, if it still lives.
pub async fn restore(daemon: &Daemon, actor: Actor, asked: &RestoreAsked, materials: Vec<Material>) -> Answered {
    let (store, places) = (daemon.store()?, places(daemon)?);
    let (identities, file) = given(materials)?;
    let refused = "cannot become the authority from the bundle";
    let scope = Scope::Custodians {};
    let deployment = Some(daemon.layout.deployment());
    let pin = asked.authority.as_deref().map(pinned).transpose()?;
    let expired = if asked.expired { Expired::Taken } else { Expired::Refused };
    let checks =
        Checks { pin: pin.as_ref(), deployment, scope: Some(&scope), now: now(), expired, ..Checks::default() };
    let verified = into_store::verify(&*store, &file, &checks).await;
    let verified = verified.map_err(|error| told::import(refused, &error))?;
    if verified.trust() == Trust::First && !asked.trust_first {
        return Err(told::unknown_authority(refused, &verified.manifest().authority));
    }
    let opened = verified.open(&identities).map_err(|error| told::bundle(refused, &error))?;
    let names = public_names(daemon, opened.records().iter().map(|record| &record.path));
    // Nothing is put or made while only a part of it is there.
    let _still = daemon.moving.write().await;
    daemon.record(actor, Act::Import, &names, Outcome::Intent)?;
    let restored = restore::restore(&*store, &places, &opened, now()).await;
    let restored = restored.map_err(|error| told::import(refused, &error))?;
    daemon.record(actor, Act::Import, &names, Outcome::Done)?;
    let reply = json!({
        "records": restored.records,
        "authority": restored.authority.public().id(),
        "signed_by": opened.manifest().authority.id(),
        "made": opened.manifest().created,
        "not_after": opened.manifest().not_after,
        "trust": opened.trust().word(),
        "continues": restored.authority.earlier() > 0,
    });
    Ok((reply, vec![Material::new(restored.receipt)]))
}

fn describe(standing: &Standing) -> Value {
    let site = |site: &standing::SiteStanding| json!({"scope": site.scope.to_string(), "epoch": site.epoch, "receipts": site.receipts, "drained": site.drained, "recipients": site.recipients});
    json!({
        "sites": standing.sites.iter().map(site).collect::<Vec<_>>(),
        "custodians": standing.custodians.as_ref().map(|custodians| json!({
            "epoch": custodians.epoch,
            "reopened": custodians.reopened,
            "not_after": custodians.not_after,
            "changed_since": custodians.changed_since,
            "stood_otherwise": custodians.stood_otherwise,
        })),
        "may_end": standing.may_end(),
    })
}

fn given(materials: Vec<Material>) -> Result<(Identities, Vec<u8>), Failure> {
    let mut materials = materials.into_iter();
    let identity = materials.next().ok_or_else(|| Failure::new(Exit::Usage, "no identity was given"))?;
    let identities = Identities::parse(&identity).map_err(|error| {
        Failure::new(Exit::Usage, "cannot read the identity").because(&error).state("nothing was changed")
    })?;
    // EXPOSE: a bundle is encrypted
    Ok((identities, materials.flat_map(|piece| piece.expose().to_vec()).collect()))
}

/// Reads the key that is pinned by file.
pub fn pinned(pem: &str) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(pem.as_bytes()).map_err(|error| {
        Failure::new(Exit::Usage, "cannot read the authority's key")
            .because(&error)
            .hint("`donjon export key` writes the file at the authority")
    })
}

pub(super) fn places(daemon: &Daemon) -> Result<Places, Failure> {
    Places::new(daemon.layout.deployment().clone())
        .map_err(|error| Failure::new(Exit::Usage, "cannot use this deployment").because(&error))
}

/// As what a store is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    /// As the one that rotates and signs.
    AsAuthority,
    /// As that, or as one that follows another: not one whose authority has left or has not arrived.
    OrFollows,
}

/// Why this store is not what it is to stay, if it is not.
pub(super) async fn leaves(daemon: &Daemon, stays: Stays) -> Result<Option<Elsewhere>, Failure> {
    let follows = |elsewhere: &Elsewhere| stays == Stays::OrFollows && *elsewhere == Elsewhere::Following;
    Ok(elsewhere(daemon).await?.filter(|elsewhere| !follows(elsewhere)))
}

/// Refused unless this store is the one that rotates and signs.
pub(super) async fn authority_is_here(daemon: &Daemon) -> Result<(), Failure> {
    leaves(daemon, Stays::AsAuthority).await?.map_or(Ok(()), |elsewhere| Err(told::elsewhere(&elsewhere)))
}

/// Refused where the authority has left this store or has not arrived; one that follows another is as good as that.
pub(super) async fn authority_stays(daemon: &Daemon) -> Result<(), Failure> {
    leaves(daemon, Stays::OrFollows).await?.map_or(Ok(()), |elsewhere| Err(told::elsewhere(&elsewhere)))
}

async fn elsewhere(daemon: &Daemon) -> Result<Option<Elsewhere>, Failure> {
    let elsewhere = mark::elsewhere(&*daemon.store()?, &places(daemon)?).await;
    elsewhere.map_err(|error| super::translate::store("cannot see which store is the authority", &error))
}

/// The secrets and views among some paths, for the audit log.
pub(super) fn public_names<'a>(daemon: &Daemon, paths: impl Iterator<Item = &'a RecordPath>) -> Vec<SecretName> {
    let folder = format!("{}/", daemon.layout.folder());
    let mut names: Vec<SecretName> =
        paths.filter_map(|path| path.as_str().strip_prefix(&folder)?.parse().ok()).collect();
    names.dedup();
    names
}

pub(super) fn name<T: FromStr<Err = NameError>>(given: &str) -> Result<T, Failure> {
    given.parse().map_err(|error: NameError| Failure::new(Exit::Usage, "this is no name").because(&error))
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Names of records in an answer: with the longest ones it is as long as it may be.
const MOST_NAMED: usize = 3000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::tests::Scene,
        transfer::{
            bundle::Opened,
            key::SigningKey,
            mark::{Mark, Move, MoveId},
        },
    };
    use age::x25519;

    /// What a node and a custodian send that have opened the last bundle of their scope.
    async fn receipts(scene: &Scene) -> [Vec<u8>; 2] {
        let (store, places) = (scene.daemon.store().unwrap(), places(&scene.daemon).unwrap());
        let (reader, node) = (x25519::Identity::generate(), SigningKey::generate().unwrap());
        let recipients = Recipients::parse([reader.to_public().to_string().as_str()]).unwrap();
        let authority = Authority::ensure(&*store, &places, now()).await.unwrap();
        let site = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let mut sent = Vec::new();
        for (scope, act) in [(site, Deed::Imported), (Scope::Custodians {}, Deed::Reopened)] {
            let folder = scene.daemon.home.folder();
            let request = Request { scope, closure: &[], recipients: &recipients, lifetime: 1000, folder };
            let bundle = export::export(&*store, &places, &authority, &request, now()).await.unwrap();
            let checks = Checks { now: now(), ..Checks::default() };
            let file = bundle.file.bytes().unwrap();
            let opened = Opened::from_file(&file, &checks, &Identities::one(reader.clone())).unwrap();
            sent.push(Receipt::of(&opened, act, &node, now()).to_file(&node));
        }
        <[_; 2]>::try_from(sent).unwrap()
    }

    #[tokio::test]
    async fn a_store_whose_authority_leaves_takes_no_receipt_but_that_of_custodians() {
        let key = SigningKey::generate().unwrap().public().id();
        for (mark, taken) in [
            (Mark::Here { from: None, id: None }, true),
            (Mark::Moving(Move::begin("there")), false),
            (Mark::Moved { to: "there".to_owned(), key: key.clone() }, false),
            (Mark::Arriving { from: key, id: Some(MoveId::random()), follows: false }, false),
        ] {
            let scene = Scene::new();
            let [of_site, of_custodians] = receipts(&scene).await;
            let (store, places) = (scene.daemon.store().unwrap(), places(&scene.daemon).unwrap());
            let marked = mark::read(&*store, &places).await.unwrap();
            mark::write(&*store, &places, &marked, mark.clone(), 1).await.unwrap();
            let sends = async |file: &Vec<u8>| {
                receipt(&scene.daemon, Actor::own(), vec![Material::new(file.clone())])
                    .await
                    .map_err(|error| error.code)
            };
            match sends(&of_site).await {
                Ok(_) => assert!(taken, "{mark:?}"),
                Err(code) => assert!(!taken && code == Exit::Conflict, "{mark:?}: {code:?}"),
            }
            let recorded = standing(&scene.daemon, &*store).await.unwrap().sites[0].receipts;
            assert_eq!(recorded, usize::from(taken), "{mark:?}");
            assert!(sends(&of_custodians).await.is_ok(), "{mark:?}");
        }
    }
}
