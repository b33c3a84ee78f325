//! What was written of a bundle that a store did not take as a whole is taken back: readers find what was there before.

use super::store::Step;
use crate::transfer::bundle::Record;
use donjon_drivers::store::{Expected, Store, StoreError, Version, Which};

/// Takes steps back, the last one first; of one that failed the store may not have said whether it was done.
pub(super) async fn take_back(store: &dyn Store, done: &[(&Step, &Record)]) -> Result<(), StoreError> {
    for (step, record) in done.iter().rev() {
        let Some(held) = store.read(&step.path, Which::Latest).await? else { continue };
        // Whatever else stands there now is another's.
        if held.version != after(step.expected) || !held.document.matches(&record.document) {
            continue;
        }
        let before = match step.expected {
            Expected::Absent => None,
            Expected::Newest(version) => store.read(&step.path, Which::Number(version)).await?,
        };
        match before {
            Some(before) => {
                store.write(&step.path, &before.document, Expected::Newest(held.version)).await?;
            }
            // Nothing, or something that was destroyed.
            None => store.destroy(&step.path, &[held.version]).await?,
        }
    }
    Ok(())
}

fn after(expected: Expected) -> Version {
    match expected {
        Expected::Absent => Version(1),
        Expected::Newest(Version(number)) => Version(number + 1),
    }
}
