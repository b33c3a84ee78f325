//! Bringing a view's record up to date with the secrets that it is made of.

use super::{Ingredient, ViewError, assemble};
use crate::records::{
    Layout,
    secrets::{self, newest},
};
use donjon_drivers::store::{
    Expected, Store, StoreError, Which,
    secret::{Origin, SecretRecord, SecretValue},
};
use donjon_policies::{deployment::placeholders, name::SecretName};
use futures_util::future::{try_join, try_join_all};
use std::collections::{BTreeMap, BTreeSet};

/// Why a view could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// It cannot be assembled.
    #[error("it cannot be assembled")]
    View(#[from] ViewError),
    /// The store did not do its part.
    #[error("its record cannot be read or written")]
    Store(#[from] StoreError),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// A new version was written.
    Written,
    /// Its newest version was right already.
    Unchanged,
}

/// Assembles a view from the newest versions of its secrets and writes it where it differs. `now` is in seconds since 1970.
///
/// Whoever writes it meanwhile may have read newer secrets than this one did, so it is then assembled again.
pub async fn refresh(
    store: &dyn Store,
    layout: &Layout,
    view: &SecretName,
    template: &str,
    now: i64,
) -> Result<Refreshed, RefreshError> {
    for _ in 1..MOST_RACES {
        match once(store, layout, view, template, now).await {
            Err(RefreshError::Store(StoreError::Conflict { .. })) => {}
            done => return done,
        }
    }
    once(store, layout, view, template, now).await
}

const MOST_RACES: usize = 100;

async fn once(
    store: &dyn Store,
    layout: &Layout,
    view: &SecretName,
    template: &str,
    now: i64,
) -> Result<Refreshed, RefreshError> {
    // Looked at before its parts are: only so does a conflict tell that they may have changed.
    let expected = match newest(&store.versions(&layout.secret(view)).await?) {
        None => Expected::Absent,
        Some(version) => Expected::Newest(version),
    };
    let wanted: BTreeSet<SecretName> =
        placeholders(template).filter_map(Result::ok).map(|placeholder| placeholder.secret).collect();
    let read = |name| secrets::read(store, layout, name, Which::Latest);
    let (held, found) = try_join(read(view), try_join_all(wanted.iter().map(read))).await?;
    let values = wanted.into_iter().zip(found).filter_map(|(name, held)| Some((name, held?.record)));
    let values: BTreeMap<_, _> = values.collect();
    let mut parts = BTreeMap::new();
    for (name, record) in &values {
        let user = record.user.as_deref();
        parts.insert(name.clone(), Ingredient { value: record.value.material(), user });
    }
    let assembled = assemble(template, &parts)?;
    if held.is_some_and(|held| held.record.value.material().matches(&assembled)) {
        return Ok(Refreshed::Unchanged);
    }
    let value = SecretValue::Whole(assembled);
    let record = SecretRecord { name: view.clone(), value, created: now, origin: Origin::Assembled, user: None };
    secrets::write_at(store, &layout.secret(view), &record, expected).await?;
    Ok(Refreshed::Written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::material::Material;
    use donjon_drivers::store::memory::Memory;

    #[tokio::test]
    async fn of_two_parts_put_at_once_the_view_has_both() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let names: [SecretName; 2] = ["a".parse().unwrap(), "b".parse().unwrap()];
        let view: SecretName = "v".parse().unwrap();
        let store = &slow::Slow(store);
        for round in 0..20 {
            let put = async |name: &SecretName| {
                let value = SecretValue::Whole(Material::from(format!("{name}{round}")));
                let record = SecretRecord { name: name.clone(), value, created: 0, origin: Origin::Put, user: None };
                secrets::write(store, &layout, &record).await.unwrap();
                match refresh(store, &layout, &view, "{a}-{b}", 0).await {
                    Ok(_) | Err(RefreshError::View(ViewError::Missing(_))) => {}
                    Err(other) => panic!("{other}"),
                }
            };
            futures_util::join!(put(&names[0]), put(&names[1]));
            let held = secrets::read(store, &layout, &view, Which::Latest).await.unwrap().unwrap();
            let text = held.record.value.material().expose_text().unwrap(); // EXPOSE: a test value
            assert_eq!(text, format!("a{round}-b{round}"));
        }
    }

    mod slow {
        //! A store that lets others run before each answer.

        use async_trait::async_trait;
        use donjon_drivers::store::{
            Capabilities, Document, Expected, RecordPath, Store, StoreError, Stored, Version, VersionInfo, Which,
            memory::Memory,
        };

        pub(super) struct Slow(pub(super) Memory);

        async fn pause() {
            for _ in 0..rand::random_range(0..4) {
                tokio::task::yield_now().await;
            }
        }

        #[async_trait]
        impl Store for Slow {
            fn capabilities(&self) -> Capabilities {
                self.0.capabilities()
            }
            async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
                pause().await;
                self.0.read(path, which).await
            }
            async fn write(&self, path: &RecordPath, d: &Document, e: Expected) -> Result<Version, StoreError> {
                pause().await;
                self.0.write(path, d, e).await
            }
            async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
                self.0.list(folder).await
            }
            async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
                pause().await;
                self.0.versions(path).await
            }
            async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
                self.0.destroy(path, versions).await
            }
            async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
                self.0.remove(path).await
            }
        }
    }
}
