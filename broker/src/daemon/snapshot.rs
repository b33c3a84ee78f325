//! `export snapshot` for a caller on the socket: the snapshot's file, then the way into the cluster, then its end.

use super::{Daemon, lookup::Answered, rotate, transfer, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    config,
    failure::{Exit, Failure},
    lifecycle::{Backing, vault_trouble},
    records::secrets,
    socket::{
        frame::LONGEST_MATERIAL,
        message::{CarryAsked, Event, SnapshotAsked},
    },
    transfer::{
        Places,
        bundle::Recipients,
        push::WithCredentials,
        snapshot::{self, Carrying, Snapshot, SnapshotError, Stand, Taking},
        told,
    },
    vault::{Custody, Temporary, VaultError, binary::Flavour, controller::Controller},
};
use donjon_drivers::{material::Material, store::Store};
use donjon_policies::{access::Access, deployment::Deployment};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::mpsc::UnboundedSender;

/// Does one part of it.
pub(super) async fn export(
    daemon: &Daemon,
    actor: Actor,
    asked: SnapshotAsked,
    materials: Vec<Material>,
    tell: &UnboundedSender<Event>,
) -> Answered {
    let vault = temporary(daemon)?;
    let (store, places) = (daemon.store()?, transfer::places(daemon)?);
    if let SnapshotAsked::Carry(asked @ CarryAsked { plan: true, .. }) = &asked {
        let deployment = daemon.deployment()?;
        let access = access(&deployment)?;
        let cluster = Cluster { vault, store: &*store, places: &places, access: &access, deployment: &deployment };
        let carrying = cluster.carrying(asked, Vec::new(), daemon.home.overcloud(), Holders::Unknown)?;
        let looked = |error: SnapshotError| told::snapshot(REFUSED, &error).state("nothing was changed");
        let stand = snapshot::stand(&carrying).await.map_err(looked)?;
        return Ok((described(&stand), Vec::new()));
    }
    // Neither a rotation nor a deployer run is cut off in its middle, and nothing is put while the authority moves.
    let _alone = rotate::alone(daemon).await?;
    // What has arrived is ended all the same.
    if !matches!(asked, SnapshotAsked::Finish(_)) {
        rotate::others_rest(daemon, None).await?;
    }
    let _still = daemon.moving.write().await;
    let names = secrets::names(&*store, &daemon.layout).await;
    let names = names.map_err(|error| translate::store("cannot read which secrets there are", &error))?;
    daemon.record(actor, Act::Export, &names, Outcome::Intent)?;
    let done = part(daemon, vault, &*store, &places, asked, materials, tell).await;
    let outcome = if done.is_ok() { Outcome::Done } else { Outcome::Failed };
    daemon.record(actor, Act::Export, &names, outcome)?;
    done
}

async fn part(
    daemon: &Daemon,
    vault: &Arc<Temporary>,
    store: &dyn Store,
    places: &Places,
    asked: SnapshotAsked,
    materials: Vec<Material>,
    tell: &UnboundedSender<Event>,
) -> Answered {
    let failed = |error: SnapshotError| told::snapshot(REFUSED, &error);
    let (asked, part) = match asked {
        SnapshotAsked::Take { recipients } => return take(daemon, vault, store, places, recipients).await,
        SnapshotAsked::Carry(asked) => (asked, Part::Carry),
        SnapshotAsked::Finish(asked) => (asked, Part::Finish),
    };
    let deployment = daemon.deployment()?;
    let access = access(&deployment)?;
    let cluster = Cluster { vault, store, places, access: &access, deployment: &deployment };
    match part {
        Part::Finish => {
            let carrying = cluster.carrying(&asked, Vec::new(), daemon.home.overcloud(), Holders::Unknown)?;
            snapshot::finish(&carrying).await.map_err(failed)?;
            Ok((json!({"moved": true}), Vec::new()))
        }
        Part::Carry => {
            let carrying = cluster.carrying(&asked, materials, daemon.home.overcloud(), Holders::Named)?;
            let told = |text: String| drop(tell.send(Event::text(text)));
            let arrived = snapshot::carry(&carrying, &told).await.map_err(failed)?;
            let (count, threshold) = carrying.custody.shares();
            let each = |one: &crate::transfer::push::Credential| json!({"role": one.role, "host": one.host});
            let reply = json!({
                "authority": arrived.key.id(),
                "key": arrived.key.to_pem(),
                "revoked": arrived.revoked,
                "servers": asked.addresses,
                "shares": count,
                "threshold": threshold,
                "credentials": arrived.credentials.iter().map(each).collect::<Vec<_>>(),
            });
            let pairs = arrived.credentials.into_iter().flat_map(|one| [one.role_id, one.secret_id]);
            Ok((reply, [arrived.token].into_iter().chain(pairs).collect()))
        }
    }
}

enum Part {
    Carry,
    Finish,
}

async fn take(
    daemon: &Daemon,
    vault: &Arc<Temporary>,
    store: &dyn Store,
    places: &Places,
    recipients: Vec<String>,
) -> Answered {
    let own = || vault.recipients().map_err(|error| vault_trouble(REFUSED, &error));
    let recipients = if recipients.is_empty() { own()? } else { recipients };
    let recipients =
        Recipients::parse(recipients.iter().map(String::as_str)).map_err(|error| told::recipient(&error))?;
    let taking = Taking {
        vault,
        here: store,
        layout: &daemon.layout,
        places,
        recipients: &recipients,
        broker: &daemon.id,
        now: transfer::now(),
    };
    let taken = snapshot::take(&taking).await.map_err(|error| told::snapshot(REFUSED, &error))?;
    let reply = json!({
        "digest": taken.digest,
        "recipients": recipients.count(),
        "authority": taken.key.id(),
        "key": taken.key.to_pem(),
        "deployment": places.deployment(),
        "host_identity": daemon.backing.host_mode(),
    });
    Ok((reply, taken.file.chunks(LONGEST_MATERIAL).map(|piece| Material::new(piece.to_vec())).collect()))
}

fn temporary(daemon: &Daemon) -> Result<&Arc<Temporary>, Failure> {
    let none = |cause: &str| {
        Failure::new(Exit::Refused, "only the temporary Vault's own database is Donjon's to carry")
            .cause(cause)
            .state("nothing was changed")
            .hint("`donjon export vault` pushes every record into a cluster that is there")
    };
    let Backing::Temporary { vault, .. } = &daemon.backing else {
        return Err(none("this store was there before Donjon, or is no Vault"));
    };
    match vault.flavour().map_err(|error| vault_trouble(REFUSED, &error))? {
        Flavour::OpenBao => Ok(vault),
        Flavour::HashiCorp => Err(none("it is HashiCorp Vault, on which this was never tried")),
    }
}

fn access(deployment: &Deployment) -> Result<Access, Failure> {
    let given = deployment.roles.iter().map(|(role, given)| (role.clone(), given.reads.clone()));
    let catalogue = config::catalogue(&deployment.catalogue)?;
    Ok(Access::new(given, &catalogue))
}

/// Both ends, as far as they are known without what was given.
struct Cluster<'a> {
    vault: &'a Arc<Temporary>,
    store: &'a dyn Store,
    places: &'a Places,
    access: &'a Access,
    deployment: &'a Deployment,
}

/// Whether the holders of the new shares are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holders {
    Named,
    Unknown,
}

impl<'a> Cluster<'a> {
    fn carrying(
        &self,
        asked: &CarryAsked,
        mut materials: Vec<Material>,
        keep_in: PathBuf,
        holders: Holders,
    ) -> Result<Carrying<'a>, Failure> {
        let trouble = |error: &VaultError| vault_trouble(REFUSED, error);
        let server = |url: &String| Controller::new(url, asked.trust.as_deref());
        let servers =
            asked.addresses.iter().map(server).collect::<Result<Vec<_>, _>>().map_err(|error| trouble(&error))?;
        if servers.is_empty() {
            return Err(Failure::new(Exit::Usage, "no address of a server of the cluster was given"));
        }
        let (custody, shares) = match holders {
            Holders::Unknown => (Custody::Host, Vec::new()),
            Holders::Named => {
                let keys = asked.custodians.iter().map(String::as_str);
                let custody = Custody::custodians(keys, asked.threshold);
                let custody = custody.map_err(|error| trouble(&VaultError::from(error)))?;
                let given = materials.drain(..asked.shares.min(materials.len())).collect();
                let shares = self.vault.shares_to_open(given);
                (custody, shares.map_err(|error| told::snapshot(REFUSED, &SnapshotError::Vault(error)))?)
            }
        };
        let snapshot = match materials.is_empty() {
            true => None,
            // EXPOSE: the pieces of what the Vault has encrypted, in one
            false => Some(materials.iter().flat_map(|piece| piece.expose().to_vec()).collect::<Vec<u8>>()),
        };
        let snapshot = snapshot.map(|bytes| Snapshot::checked(Material::new(bytes))).transpose();
        Ok(Carrying {
            vault: self.vault,
            here: self.store,
            places: self.places,
            servers,
            shares,
            snapshot: snapshot.map_err(|error| told::snapshot(REFUSED, &error.into()))?,
            custody,
            keep_in,
            access: self.access,
            roles: self.deployment.roles.keys().cloned().collect(),
            with: match asked.credentials {
                true => WithCredentials::Yes(asked.hosts.clone()),
                false => WithCredentials::No,
            },
            now: transfer::now(),
        })
    }
}

fn described(stand: &Stand) -> Value {
    let server = |(place, look): &(String, crate::vault::controller::Look)| {
        let state = match (look.initialized, look.sealed) {
            (false, _) => "empty",
            (true, true) => "sealed",
            (true, false) => "open",
        };
        json!({"place": place, "state": state, "version": look.version, "storage": look.storage_type})
    };
    json!({"step": stand.step, "servers": stand.servers.iter().map(server).collect::<Vec<_>>()})
}

const REFUSED: &str = "cannot carry the Vault's database into the cluster";
