//! `rotate signing-key`: a new key signs, the old one names it, and no secret changes.

use super::{Daemon, lookup::Answered, transfer, translate};
use crate::{
    audit::{Act, Actor, Outcome},
    failure::{Exit, Failure},
    transfer::{
        authority::Authority,
        standing::{SiteStanding, Standing},
        told,
    },
};
use serde_json::{Value, json};

/// Renews it, or says what that would mean.
pub(super) async fn renew(daemon: &Daemon, actor: Actor, plan: bool) -> Answered {
    // No bundle is made meanwhile, and the authority does not move.
    let _still = if plan { None } else { Some(daemon.moving.write().await) };
    transfer::authority_is_here(daemon).await?;
    let (store, places) = (daemon.store()?, transfer::places(daemon)?);
    let authority = Authority::read(&*store, &places).await.map_err(|error| told::authority(REFUSED, &error))?;
    let authority = authority.ok_or_else(|| {
        Failure::new(Exit::NotThere, REFUSED)
            .cause("there is none yet: nothing was ever exported from here")
            .state("nothing was changed")
            .hint("the first `donjon export` makes it")
    })?;
    let mut reply = described(&authority, &transfer::standing(daemon, &*store).await?);
    if plan {
        return Ok((reply, Vec::new()));
    }
    daemon.record(actor, Act::RenewSigningKey, &[], Outcome::Intent)?;
    let renewed = authority.renew(&*store, &places, transfer::now()).await;
    daemon.record(actor, Act::RenewSigningKey, &[], if renewed.is_ok() { Outcome::Done } else { Outcome::Failed })?;
    let renewed = renewed.map_err(|error| {
        told::authority(REFUSED, &error)
            .state("one key signs as before or one that it has named does: sites take bundles by either")
            .hint("`donjon rotate signing-key --plan` says which; then this again")
    })?;
    let forgotten = renewed.forget_earlier(&*store, &places).await;
    forgotten.map_err(|error| {
        translate::store("the signing key was renewed, but the store still has the old one", &error)
            .state(format!(
                "{} signs; the key before it is among the earlier versions of the record",
                renewed.public().id()
            ))
            .hint("the same command again, when the store answers: it makes one more key and destroys all before it")
    })?;
    reply["renewed"] = json!({"id": renewed.public().id(), "key": renewed.public().to_pem()});
    Ok((reply, Vec::new()))
}

fn described(authority: &Authority, standing: &Standing) -> Value {
    let site = |site: &SiteStanding| json!({"scope": site.scope.to_string(), "epoch": site.epoch});
    json!({
        "signs": authority.public().id(),
        "since": authority.created,
        "earlier": authority.earlier(),
        "sites": standing.sites.iter().map(site).collect::<Vec<_>>(),
        "custodians": standing.custodians.as_ref().map(|custodians| custodians.epoch),
    })
}

const REFUSED: &str = "cannot renew the signing key";
