//! The restore drill: a custodians' bundle is opened for proof, and no value is shown or stored.

use super::{
    authority::Authority,
    bundle::{Checks, Foreign, Identities, OpenError, Opened, Scope},
    private::Places,
    receipt::{self, Act, Receipt, ReceiptError},
};
use donjon_drivers::store::Store;

/// What the drill has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drilled {
    /// How many records could be read.
    pub records: usize,
    /// How old the bundle is, in seconds.
    pub age: i64,
}

/// Opens the bundle with the custodians' identities, as a new authority would, and records that it could be done.
pub async fn drill(
    store: &dyn Store,
    places: &Places,
    authority: &Authority,
    file: &[u8],
    identities: &Identities,
    now: i64,
) -> Result<Drilled, DrillError> {
    let checks = Checks {
        pin: Some(authority.public()),
        deployment: Some(places.deployment()),
        scope: Some(&Scope::Custodians {}),
        now,
        ..Checks::default()
    };
    let opened = Opened::from_file(file, &checks, identities)?;
    let drilled = Drilled { records: opened.records().len(), age: now - opened.manifest().created };
    let receipt = Receipt::of(&opened, Act::Reopened, &authority.key, now).to_file(&authority.key);
    drop(opened);
    match receipt::accept(store, places, &receipt, now).await {
        // A second drill within one second says nothing new.
        Ok(_) | Err(ReceiptError::Replayed { .. }) => Ok(drilled),
        Err(other) => Err(other.into()),
    }
}

/// Why the drill failed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The bundle was refused, or nobody present can open it.
    #[error(transparent)]
    Bundle(#[from] OpenError),
    /// It was opened, and that could not be recorded; a bundle older than the last one proves nothing.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl DrillError {
    /// Whether the file was a site's bundle, which nobody becomes the authority with.
    pub fn is_for_a_site(&self) -> bool {
        matches!(self, Self::Bundle(OpenError::Foreign(Foreign::Scope { found: Scope::Site { .. } })))
    }
}
