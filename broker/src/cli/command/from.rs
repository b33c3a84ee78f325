//! `donjon up --from`: a custodians' bundle makes this store the new authority.

use super::{
    export::{joined, write},
    import::{beside, identities, now, pieces, private, read},
};
use crate::{
    cli::{Context, show},
    config,
    failure::Failure,
    socket::message::Request,
    transfer::{
        bundle::{Checks, Opened, Scope},
        told,
    },
};
use donjon_drivers::material::Material;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A custodians' bundle that can be opened.
pub(super) struct From {
    bundle: PathBuf,
    file: Vec<u8>,
    identity: Material,
}

impl From {
    /// Reads the files, and checks and opens the bundle once, so that nothing is started for one that is no good.
    pub(super) fn read(context: &Context, bundle: &Path, identity: &Path) -> Result<Self, Failure> {
        let (file, own) = (read(bundle)?, private(identity)?);
        let deployment = config::deployment(&context.home)?.deployment;
        let scope = Scope::Custodians {};
        let checks = Checks { deployment: Some(&deployment), scope: Some(&scope), now: now(), ..Checks::default() };
        let opened = Opened::from_file(&file, &checks, &identities(identity, &own)?);
        opened.map_err(|error| told::bundle(format!("cannot come up from {}", bundle.display()), &error))?;
        Ok(Self { bundle: bundle.into(), file, identity: own })
    }

    /// Asks the daemon. A second run goes on where the first one ended.
    pub(super) fn restore(self, context: &Context) -> Result<(), Failure> {
        let materials = std::iter::once(self.identity).chain(pieces(&self.file)).collect();
        let reply = context.client()?.ask_quietly(&Request::Restore, materials)?;
        let receipt = beside(&self.bundle);
        write(&receipt, &joined(&reply.materials))?;
        let (value, receipt) = (reply.value, receipt.display().to_string());
        show::answer(context.output, &json!({"restored": value, "receipt": receipt}), || {
            let authority = value["authority"].as_str().unwrap_or_default();
            format!(
                "donjon is up, and the authority now: {} records are back, and it signs with a new key {authority}\n\
                 sites that pinned the old key need it: `donjon export key`, or a link by the old authority\n\
                 if the old authority still runs, tell it: `donjon receipt {receipt}` there, then `donjon down`\n",
                value["records"]
            )
        })
    }
}
