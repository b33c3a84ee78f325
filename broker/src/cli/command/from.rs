//! `donjon up --from`: a custodians' bundle makes this store the new authority.

use super::{
    export::{joined, write},
    import::{beside, identities, now, pieces, private, read, text},
    up,
};
use crate::{
    cli::{Context, show},
    config,
    daemon::transfer::pinned,
    failure::Failure,
    socket::message::{Request, RestoreAsked},
    transfer::{
        bundle::{Checks, Expired, Foreign, OpenError, Opened, Scope},
        succession::Trust,
        told,
    },
};
use donjon_drivers::material::Material;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Who vouches for the authority that signed the bundle, and for its age.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vouched<'a> {
    /// Its public key, in a file.
    pub key: Option<&'a Path>,
    /// The operator, for whichever it is.
    pub first: bool,
    /// The operator, for one whose time is over.
    pub expired: Expired,
}

/// A custodians' bundle that can be opened.
pub(super) struct From {
    bundle: PathBuf,
    file: Vec<u8>,
    identity: Material,
    asked: RestoreAsked,
}

impl From {
    /// Reads the files, and checks and opens the bundle once, so that nothing is started for one that is no good.
    pub(super) fn read(
        context: &Context,
        bundle: &Path,
        identity: &Path,
        vouched: Vouched<'_>,
    ) -> Result<Self, Failure> {
        let (file, own) = (read(bundle)?, private(identity)?);
        let deployment = config::deployment(&context.home)?.deployment;
        let scope = Scope::Custodians {};
        let authority = vouched.key.map(text).transpose()?;
        let pin = authority.as_deref().map(pinned).transpose()?;
        let checks = Checks {
            pin: pin.as_ref(),
            deployment: Some(&deployment),
            scope: Some(&scope),
            now: now(),
            expired: vouched.expired,
            ..Checks::default()
        };
        let refused = format!("cannot come up from {}", bundle.display());
        let opened = Opened::from_file(&file, &checks, &identities(identity, &own)?);
        let opened = opened.map_err(|error| {
            let failure = told::bundle(&refused, &error);
            let file = context.home.deployment_file();
            match &error {
                OpenError::Foreign(Foreign::Deployment { found, .. }) if !file.exists() => failure
                    .hint(format!("there is no {} yet: write it first, with `deployment: {found}`", file.display())),
                OpenError::Stale(_) => failure.hint(
                    "take a later custodians' bundle; where the old authority still is, it makes one: `donjon export bundle --custodians`; where this one is the last that there is, --expired takes it as it is",
                ),
                OpenError::Foreign(_)
                | OpenError::Damaged { .. }
                | OpenError::Forged { .. }
                | OpenError::WrongIdentity
                | OpenError::Newer => failure,
            }
        })?;
        if opened.trust() == Trust::First && !vouched.first {
            return Err(told::unknown_authority(refused, &opened.manifest().authority));
        }
        let expired = vouched.expired == Expired::Taken;
        let asked = RestoreAsked { authority, trust_first: vouched.first, expired };
        Ok(Self { bundle: bundle.into(), file, identity: own, asked })
    }

    /// Asks the daemon. A second run goes on where the first one ended.
    pub(super) fn restore(self, context: &Context) -> Result<(), Failure> {
        let materials = std::iter::once(self.identity).chain(pieces(&self.file)).collect();
        let reply = context.client()?.ask_quietly(&Request::Restore(self.asked), materials)?;
        let receipt = beside(&self.bundle);
        write(&receipt, &joined(&reply.materials))?;
        let opened = opened_by(context, &context.client()?.ask_quietly(&Request::Status, Vec::new())?.value);
        let (value, receipt) = (reply.value, receipt.display().to_string());
        show::answer(context.output, &json!({"restored": value, "receipt": receipt}), || {
            let authority = value["authority"].as_str().unwrap_or_default();
            let signer = value["signed_by"].as_str().unwrap_or_default();
            let trusted =
                if value["trust"] == "first" { "trusted as you said, unseen before" } else { "the key that was given" };
            let sites = match value["continues"] == true {
                true => {
                    "sites take its bundles by themselves: an heir of the old key was in the bundle and has named it"
                }
                false => "sites that pinned the old key need it: `donjon export key`",
            };
            let age = aged(&value, now());
            format!(
                "donjon is up, and the authority now: {} records are back, and it signs with a new key {authority}\n\
                 the bundle was signed by {signer}: {trusted}\n\
                 {age}\
                 {sites}\n\
                 {opened}\
                 if the old authority still runs, tell it: `donjon receipt {receipt}` there, then `donjon down`\n",
                value["records"]
            )
        })
    }
}

/// Who opens the store now. The bundle was the custodians', which says nothing of that.
fn opened_by(context: &Context, status: &Value) -> String {
    match (status["custodians"].as_array().map_or(0, Vec::len), &status["threshold"]) {
        (0, _) => up::told::host_identity(&context.home, status),
        (count, threshold) => format!("the store is opened by {threshold} of {count} custodians\n"),
    }
}

/// How old a bundle is that was taken although its time is over.
fn aged(restored: &Value, now: i64) -> String {
    let days = |since: i64| now.saturating_sub(since) / 86_400;
    let (made, ended) = (restored["made"].as_i64().unwrap_or(now), restored["not_after"].as_i64().unwrap_or(now));
    match ended < now {
        true => format!(
            "the bundle was made {} days ago and had ended {} days ago: what was changed at the old authority since it was made is not in it\n",
            days(made),
            days(ended)
        ),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_bundle_whose_time_is_over_it_is_said_how_old_it_is() {
        let now = 500 * 86_400;
        let told = aged(&json!({"made": 100 * 86_400, "not_after": 490 * 86_400}), now);
        assert!(told.starts_with("the bundle was made 400 days ago and had ended 10 days ago"), "{told}");
        assert_eq!(aged(&json!({"made": 0, "not_after": now}), now), "", "it is good still");
        assert_eq!(aged(&json!({}), now), "", "a daemon of before says nothing of it");
    }
}
