//! Which recipients were added to each site: an index, so that an export reads those of its own site and no others.
//!
//! An entry says where to look and no more: the record of the recipient says whether it is of the site still. Each is
//! there before the record says so, and none is taken away. So whatever ends in between leaves an entry too many, and
//! never one too few. A store from before there was an index gets it with its first export; brokers of before that write
//! none, so all that share a store are renewed before the next recipient is added.

use super::private::{self, Places, Recorded};
use donjon_drivers::store::{Expected, RecordPath, Store, StoreError};
use donjon_policies::name::SiteName;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Mark {
    format: u32,
}

impl Recorded for Mark {
    const FORMAT: u32 = 1;
}

/// Says that a recipient, by the digest that its record is named by, may be one of these sites.
pub(super) async fn note(
    store: &dyn Store,
    places: &Places,
    digest: &str,
    sites: impl IntoIterator<Item = &SiteName>,
) -> Result<(), StoreError> {
    for site in sites {
        once(store, &places.of_site(site, digest)).await?;
    }
    Ok(())
}

/// The digests of those that may be recipients of a site.
pub(super) async fn of(store: &dyn Store, places: &Places, site: &SiteName) -> Result<Vec<String>, StoreError> {
    store.list(&places.site(site)).await
}

/// Whether every recipient that the store knows is in the index.
pub(super) async fn is_whole(store: &dyn Store, places: &Places) -> Result<bool, StoreError> {
    Ok(private::read::<Mark>(store, &places.sites_whole()).await?.0.is_some())
}

/// Says so, once they all are.
pub(super) async fn is_whole_now(store: &dyn Store, places: &Places) -> Result<(), StoreError> {
    once(store, &places.sites_whole()).await
}

/// Writes a record that says that it is there. Where another broker was faster, it is there.
async fn once(store: &dyn Store, path: &RecordPath) -> Result<(), StoreError> {
    match private::write(store, path, &Mark { format: Mark::FORMAT }, Expected::Absent).await {
        Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}
