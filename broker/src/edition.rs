//! Which version of its format a file or record says to be, looked at before the rest of it is understood: what a newer
//! donjon wrote may have any shape, and is told apart from what is damaged.

use serde::Deserialize;

/// The one field that every version has.
#[derive(Debug, Deserialize)]
pub(crate) struct Edition {
    format: u32,
}

impl Edition {
    /// Whether it is above the newest version that is read.
    pub(crate) fn is_above(&self, newest: u32) -> bool {
        self.format > newest
    }
}

/// Whether a JSON text says to be of a version above the newest that is read.
pub(crate) fn is_newer(json: &[u8], newest: u32) -> bool {
    serde_json::from_slice::<Edition>(json).is_ok_and(|edition| edition.is_above(newest))
}
