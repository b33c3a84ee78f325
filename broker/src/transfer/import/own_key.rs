//! The key by which a store that takes bundles in signs its receipts. It is not the authority's: nobody takes a bundle that
//! it has signed.

use super::ImportError;
use crate::transfer::{
    key::SigningKey,
    private::{self, Places, Recorded},
};
use donjon_drivers::{
    material::Material,
    store::{Expected, Store, StoreError},
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    format: u32,
    #[serde(with = "private::secret_hex")]
    key: Material,
    /// When it was made, in seconds since 1970.
    created: i64,
}

impl Recorded for KeyRecord {
    const FORMAT: u32 = 1;
}

/// Reads the key, or makes one where there is none yet. Two at once end with one key.
pub async fn own_key(store: &dyn Store, places: &Places, now: i64) -> Result<SigningKey, ImportError> {
    let path = places.receipt_key();
    let unwritten = ImportError::unwritten(0);
    loop {
        let (held, expected) = private::read::<KeyRecord>(store, &path).await.map_err(&unwritten)?;
        if let Some(held) = held {
            return Ok(SigningKey::from_seed(&held.key)?);
        }
        if expected != Expected::Absent {
            return Err(unwritten(StoreError::Damaged { path, what: "was destroyed" }));
        }
        let record = KeyRecord { format: KeyRecord::FORMAT, key: SigningKey::generate()?.seed()?, created: now };
        match private::write(store, &path, &record, expected).await {
            // What is in the store counts, whoever wrote it.
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            Err(other) => return Err(unwritten(other)),
        }
    }
}
