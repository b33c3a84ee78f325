//! Writing what is missing there, version by version, each with compare-and-set.

use super::{Change, PushError, Side};
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, StoreError, Version, VersionState, Which},
};

/// Does to one record what was found to be done.
pub(super) async fn fill(
    here: &dyn Store,
    there: &dyn Store,
    path: &RecordPath,
    change: &Change,
) -> Result<(), PushError> {
    let (after, destroy) = match change {
        Change::Create { .. } => (0, [].as_slice()),
        Change::Extend { after, destroy, .. } => (*after, destroy.as_slice()),
        Change::Keep | Change::Differs => return Ok(()),
    };
    let known = here.versions(path).await.map_err(Side::Here.failed())?;
    let newest = known.iter().map(|info| info.version.0).max().unwrap_or(0);
    let mut destroy = destroy.to_vec();
    for number in after + 1..=newest {
        let version = Version(number);
        let present = known.iter().any(|info| info.version == version && info.state == VersionState::Present);
        let stored = match present {
            true => here.read(path, Which::Number(version)).await.map_err(Side::Here.failed())?,
            false => None,
        };
        let document = match stored {
            Some(stored) => stored.document,
            None => {
                destroy.push(version);
                empty(path)?
            }
        };
        let expected = if number == 1 { Expected::Absent } else { Expected::Newest(Version(number - 1)) };
        there.write(path, &document, expected).await.map_err(Side::There.failed())?;
    }
    if destroy.is_empty() { Ok(()) } else { there.destroy(path, &destroy).await.map_err(Side::There.failed()) }
}

fn empty(path: &RecordPath) -> Result<Document, PushError> {
    let unreadable = |_| StoreError::Damaged { path: path.clone(), what: "cannot be written as JSON" };
    Document::from_json(Material::from(EMPTY.to_owned())).map_err(unreadable).map_err(Side::There.failed())
}

/// What stands in for a version that is no longer there, until it is destroyed.
pub(super) const EMPTY: &str = "{}";
