//! `donjon import --address`: a bundle into the Vault of its site.

use super::{Import, authority_key, identities, now};
use crate::{
    cli::{
        Context,
        command::{config::reading::runtime, export::kept},
    },
    daemon::{push::named, translate},
    failure::Failure,
    socket::message::VaultAsked,
    transfer::{
        bundle::Opened,
        import::{ImportError, store::Step, vault},
        push::{Destination, WithCredentials},
        told,
    },
};
use donjon_drivers::{fs, material::Material};
use serde_json::{Value, json};

impl Import {
    /// Checks, plans and, where that is wanted, writes.
    pub(super) fn vault(
        &self,
        context: &Context,
        asked: VaultAsked,
        file: &[u8],
        identity: &Material,
    ) -> Result<(Value, Option<Vec<u8>>), Failure> {
        let refused = format!("cannot import {}", self.bundle.display());
        let identities = identities(&self.identity, identity)?;
        let key = self.authority_key.as_deref().map(authority_key).transpose()?;
        let asked = named(VaultAsked { mount: self.mount.clone(), ..asked }, vec![self.at.token()?])?;
        let checks = self.checks(key.as_ref());
        runtime()?.block_on(async {
            let there = Destination::open(asked).await.map_err(|error| told::looked(&refused, &error))?;
            let verified = vault::verify(&there, file, &checks).await;
            let looked = |error: ImportError| told::import(&refused, &error).state("nothing was changed");
            let verified = verified.map_err(looked)?;
            let opened = verified.open(&identities).map_err(|error| told::bundle(&refused, &error))?;
            let planned = vault::plan(&there, &opened).await.map_err(looked)?;
            let mut value = described(&opened, &there, &planned);
            Self::announce(context, &value)?;
            if self.plan {
                return Ok((value, None));
            }
            if let Some(folder) = &self.credentials {
                // Before anything is written there: credentials that are made and cannot be kept are lost.
                fs::private_folder(folder).map_err(|error| translate::file(refused.as_str(), &error))?;
            }
            let with = match &self.credentials {
                Some(_) => WithCredentials::Yes(self.hosts.clone()),
                None => WithCredentials::No,
            };
            let done = vault::apply(&there, &opened, &planned, &with, now()).await;
            let done = done.map_err(|error| told::import(&refused, &error))?;
            value["written"] = json!(done.written);
            value["credentials"] =
                done.credentials.iter().map(|one| json!({"role": one.role, "host": one.host})).collect();
            if let Some(folder) = &self.credentials {
                let pairs = done.credentials.into_iter().flat_map(|one| [one.role_id, one.secret_id]);
                kept::credentials(folder, &value, &pairs.collect::<Vec<_>>())?;
            }
            Ok((value, Some(done.receipt)))
        })
    }
}

/// What would be done, and where; names and versions, and no value.
fn described(opened: &Opened, there: &Destination, planned: &vault::Planned) -> Value {
    let manifest = opened.manifest();
    let steps = planned.records.steps.iter().map(Step::told);
    let grants = planned.grants.iter().map(|grant| json!({"name": grant.name, "change": grant.change.word()}));
    json!({
        "scope": manifest.scope.to_string(),
        "epoch": manifest.epoch,
        "authority": manifest.authority.id(),
        "trust": opened.trust().word(),
        "place": there.place(),
        "mount": there.mount().to_string(),
        "mounted": planned.mounted,
        "steps": steps.collect::<Vec<_>>(),
        "grants": grants.collect::<Vec<_>>(),
    })
}
