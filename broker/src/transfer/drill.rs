//! The restore drill: a custodians' bundle is opened for proof by each custodian who is there, and no value is shown or stored.

use super::{
    authority::Authority,
    bundle::{Checks, Foreign, Identities, OpenError, Opened, Scope, Sealed},
    private::{self, Places, Recorded},
    receipt::{self, Act, Receipt, ReceiptError},
};
use donjon_drivers::store::{Store, StoreError};
use serde::{Deserialize, Serialize};

/// What the drill has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drilled {
    /// How many records could be read.
    pub records: usize,
    /// How old the bundle is, in seconds.
    pub age: i64,
    /// How many of the identities given have opened it, each on its own.
    pub opened_by: usize,
}

/// The last drill that has shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrill {
    format: u32,
    /// When, in seconds since 1970.
    pub at: i64,
    /// How many custodians have opened the bundle.
    pub opened_by: usize,
}

/// The last drill; `None` where there never was one.
pub async fn last(store: &dyn Store, places: &Places) -> Result<Option<LastDrill>, StoreError> {
    Ok(private::read(store, &places.drill()).await?.0)
}

/// Has each custodian open the bundle alone, as a new authority would, and records that enough of them could.
pub async fn drill(
    store: &dyn Store,
    places: &Places,
    authority: &Authority,
    file: &[u8],
    custodians: &[Identities],
    needed: usize,
    now: i64,
) -> Result<Drilled, DrillError> {
    // One that an earlier key of this authority has signed is as good: the ledger says whether it is the last.
    let signer = Sealed::parse(file)?.claimed_authority();
    let checks = Checks {
        pin: Some(if authority.has_signed_with(&signer.id()) { &signer } else { authority.public() }),
        deployment: Some(places.deployment()),
        scope: Some(&Scope::Custodians {}),
        now,
        ..Checks::default()
    };
    let (mut last_opened, mut opened_by) = (None, 0);
    for custodian in custodians {
        match Opened::from_file(file, &checks, custodian) {
            Ok(opened) => {
                // Only what one of them read is held; all of them have read the same, by the digest that is signed.
                last_opened = Some(opened);
                opened_by += 1;
            }
            Err(OpenError::WrongIdentity) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    let Some(opened) = last_opened.filter(|_| opened_by >= needed) else {
        return Err(match opened_by {
            0 => OpenError::WrongIdentity.into(),
            opened => DrillError::TooFew { opened, needed },
        });
    };
    let drilled = Drilled { records: opened.records().len(), age: now - opened.manifest().created, opened_by };
    let receipt = Receipt::of(&opened, Act::Reopened, &authority.key, now).to_file(&authority.key);
    drop(opened);
    match receipt::accept(store, places, &receipt, now).await {
        // A second drill within one second says nothing new.
        Ok(_) | Err(ReceiptError::Replayed { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    let path = places.drill();
    let expected = private::next(store, &path).await?;
    private::write(store, &path, &LastDrill { format: LastDrill::FORMAT, at: now, opened_by }, expected).await?;
    Ok(drilled)
}

impl Recorded for LastDrill {
    const FORMAT: u32 = 1;
}

/// Why the drill failed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The bundle was refused, or nobody present can open it.
    #[error(transparent)]
    Bundle(#[from] OpenError),
    /// Not enough custodians could.
    #[error("{opened} of the identities given opens the bundle, and it takes {needed}")]
    TooFew {
        /// How many could.
        opened: usize,
        /// How many it takes.
        needed: usize,
    },
    /// It could not be written down that there was a drill.
    #[error("cannot write down that there was a drill")]
    Store(#[from] StoreError),
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
