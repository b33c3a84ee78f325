//! Into the Vault or OpenBao of a site: the records as castellan and kolla read them, and a policy and an AppRole by which
//! the bundle's role reads exactly these.

use super::{
    ImportError,
    own_key::own_key,
    store::{self, Plan},
};
use crate::transfer::{
    bundle::{Checks, Foreign, OpenError, Opened, Scope, Sealed, Verified},
    drained::Drained,
    private::Places,
    push::{Credential, Destination, Grant, WithCredentials},
    receipt::{Act, Receipt},
};
use donjon_policies::{
    access::Access,
    name::{DeploymentName, RoleName, SecretName},
};
use std::collections::BTreeSet;

/// What an import would do there.
#[derive(Debug)]
pub struct Planned {
    /// Whether the mount is there.
    pub mounted: bool,
    /// What happens to each record.
    pub records: Plan,
    /// What happens to the role's policy and AppRole.
    pub grants: Vec<Grant>,
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// How many records were written now.
    pub written: usize,
    /// The file that goes back to the authority.
    pub receipt: Vec<u8>,
    /// What consumers log in with, where that was asked for.
    pub credentials: Vec<Credential>,
}

/// Checks a file against what the Vault remembers, and what is asked for besides.
pub async fn verify<'a>(there: &Destination, file: &'a [u8], asked: &Checks<'_>) -> Result<Verified<'a>, ImportError> {
    match there.mounted().await? {
        true => store::verify(&there.store(), file, asked).await,
        false => Ok(Sealed::parse(file)?.verify(asked)?),
    }
}

/// Compares with what is there, and changes nothing.
pub async fn plan(there: &Destination, opened: &Opened) -> Result<Planned, ImportError> {
    let mounted = there.mounted().await?;
    let records = match mounted {
        true => store::plan(&there.store(), opened).await?,
        false => Plan::into_nothing(opened),
    };
    let (access, role) = access(opened)?;
    let grants = there.granted(&access, std::iter::once(role), &opened.manifest().deployment).await?;
    Ok(Planned { mounted, records, grants })
}

/// Does what was planned; a second run does what is left. Who may read comes after what there is to read.
pub async fn apply(
    there: &Destination,
    opened: &Opened,
    planned: &Planned,
    with: &WithCredentials,
    now: i64,
) -> Result<Done, ImportError> {
    if !planned.mounted {
        there.make_mount().await?;
    }
    let held = there.store();
    let written = store::apply(&held, opened, &planned.records, now).await?;
    let deployment = &opened.manifest().deployment;
    let credentials = there.give(&planned.grants, with).await?;
    let own = own_key(&held, &places(deployment)?, now).await?;
    let receipt = Receipt::of(opened, Act::Imported, &own, now).to_file(&own);
    Ok(Done { written, receipt, credentials })
}

/// From when on this bundle is what consumers read there, in microseconds since 1970; `None` where it is another one.
pub async fn serving(there: &Destination, opened: &Opened) -> Result<Option<i64>, ImportError> {
    if !there.mounted().await? {
        return Ok(None);
    }
    // The Vault says it in seconds: what started within that one may have read the values of before.
    Ok(store::since(&there.store(), opened).await?.map(|since| (since + 1) * 1_000_000))
}

/// The receipt of a site, all of whose consumers run on the bundle.
pub async fn drained(
    there: &Destination,
    opened: &Opened,
    consumers: Vec<Drained>,
    now: i64,
) -> Result<Vec<u8>, ImportError> {
    let own = own_key(&there.store(), &places(&opened.manifest().deployment)?, now).await?;
    Ok(Receipt::drained(opened, consumers, &own, now).to_file(&own))
}

/// The bundle's role, which reads what the bundle holds and nothing else.
fn access(opened: &Opened) -> Result<(Access, RoleName), ImportError> {
    let manifest = opened.manifest();
    let Scope::Site { role, .. } = &manifest.scope else {
        return Err(OpenError::Foreign(Foreign::Scope { found: manifest.scope.clone() }).into());
    };
    let folder = format!("{}/", manifest.deployment);
    let names = manifest.entries.iter().filter_map(|entry| entry.path.as_str().strip_prefix(&folder));
    let names: BTreeSet<SecretName> = names.filter_map(|name| name.parse().ok()).collect();
    Ok((Access::exactly([(role.clone(), names)]), role.clone()))
}

fn places(deployment: &DeploymentName) -> Result<Places, ImportError> {
    Places::new(deployment.clone()).map_err(|_| reserved())
}

fn reserved() -> ImportError {
    OpenError::Damaged { what: "it names a deployment that cannot be" }.into()
}
