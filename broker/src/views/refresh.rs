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
use futures_util::future::try_join_all;
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

/// A view's record before it is assembled anew.
///
/// It is looked at before the view's parts are read or written: only so does a conflict tell that they may have changed.
#[derive(Debug)]
pub struct Before {
    expected: Expected,
    held: Option<secrets::Held>,
}

/// A view that is described, and where it is kept.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Where things are in it.
    pub layout: &'a Layout,
    /// Its name.
    pub name: &'a SecretName,
    /// What it is assembled from.
    pub template: &'a str,
}

impl View<'_> {
    /// Looks at its record.
    pub async fn look(&self) -> Result<Before, StoreError> {
        if let Some(held) = secrets::read(self.store, self.layout, self.name, Which::Latest).await? {
            return Ok(Before { expected: Expected::Newest(held.version), held: Some(held) });
        }
        // Its newest version may have been destroyed.
        let newest = newest(&self.store.versions(&self.layout.secret(self.name)).await?);
        Ok(Before { expected: newest.map_or(Expected::Absent, Expected::Newest), held: None })
    }

    /// Assembles it from the newest versions of its secrets and writes it where it differs. `now` is in seconds since 1970.
    ///
    /// Whoever writes it meanwhile may have read newer secrets than this one did, so it is then assembled again.
    pub async fn refresh(&self, now: i64) -> Result<Refreshed, RefreshError> {
        for _ in 1..MOST_RACES {
            match self.once(now).await {
                Err(RefreshError::Store(StoreError::Conflict { .. })) => {}
                done => return done,
            }
        }
        self.once(now).await
    }

    /// As [`View::refresh`], for one that was looked at a moment ago, with those of its secrets at hand whose newest version
    /// the caller has written since.
    pub async fn refresh_from<'a>(
        &self,
        before: Before,
        at_hand: impl Fn(&SecretName) -> Option<&'a SecretRecord>,
        now: i64,
    ) -> Result<Refreshed, RefreshError> {
        match self.over(before, at_hand, now).await {
            Err(RefreshError::Store(StoreError::Conflict { .. })) => self.refresh(now).await,
            done => done,
        }
    }

    async fn once(&self, now: i64) -> Result<Refreshed, RefreshError> {
        self.over(self.look().await?, |_| None, now).await
    }

    async fn over<'a>(
        &self,
        before: Before,
        at_hand: impl Fn(&SecretName) -> Option<&'a SecretRecord>,
        now: i64,
    ) -> Result<Refreshed, RefreshError> {
        let Self { store, layout, name: view, template } = *self;
        let wanted: BTreeSet<SecretName> =
            placeholders(template).filter_map(Result::ok).map(|placeholder| placeholder.secret).collect();
        let unread: Vec<&SecretName> = wanted.iter().filter(|name| at_hand(name).is_none()).collect();
        let found = try_join_all(unread.iter().map(|name| secrets::read(store, layout, name, Which::Latest))).await?;
        let read = unread.iter().zip(&found).filter_map(|(name, held)| Some((*name, &held.as_ref()?.record)));
        let records = wanted.iter().filter_map(|name| Some((name, at_hand(name)?))).chain(read);
        let mut parts = BTreeMap::new();
        for (name, record) in records {
            let user = record.user.as_deref();
            parts.insert(name.clone(), Ingredient { value: record.value.material(), user });
        }
        let assembled = assemble(template, &parts)?;
        if before.held.is_some_and(|held| held.record.value.material().matches(&assembled)) {
            return Ok(Refreshed::Unchanged);
        }
        let value = SecretValue::Whole(assembled);
        let record = SecretRecord { name: view.clone(), value, created: now, origin: Origin::Assembled, user: None };
        secrets::write_at(store, &layout.secret(view), &record, before.expected).await?;
        Ok(Refreshed::Written)
    }
}

const MOST_RACES: usize = 100;

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
                let view = View { store, layout: &layout, name: &view, template: "{a}-{b}" };
                match view.refresh(0).await {
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

    #[tokio::test]
    async fn what_is_at_hand_stands_in_the_view_and_what_changed_since_the_look_too() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let [a, b, name]: [SecretName; 3] = ["a", "b", "v"].map(|name| name.parse().unwrap());
        let view = View { store: &store, layout: &layout, name: &name, template: "{a}-{b}" };
        let record = |name: &SecretName, value: &str| {
            let value = SecretValue::Whole(Material::from(value.to_owned()));
            SecretRecord { name: name.clone(), value, created: 0, origin: Origin::Put, user: None }
        };
        let put = async |name, value| secrets::write(&store, &layout, &record(name, value)).await.unwrap();
        let text = async || {
            let held = secrets::read(&store, &layout, &name, Which::Latest).await.unwrap().unwrap();
            held.record.value.material().expose_text().unwrap().to_owned() // EXPOSE: a test value
        };
        put(&a, "a1").await;
        put(&b, "b1").await;
        view.refresh(0).await.unwrap();

        let hand = record(&a, "a2");
        let at_hand = |name: &SecretName| (*name == a).then_some(&hand);
        let before = view.look().await.unwrap();
        put(&a, "a2").await;
        put(&b, "b2").await;
        let done = view.refresh_from(before, at_hand, 0).await.unwrap();
        assert_eq!((done, text().await), (Refreshed::Written, "a2-b2".to_owned()));

        // Someone wrote the view since the look, from newer values than this one has.
        let before = view.look().await.unwrap();
        put(&a, "a3").await;
        view.refresh(0).await.unwrap();
        let done = view.refresh_from(before, at_hand, 0).await.unwrap();
        assert_eq!((done, text().await), (Refreshed::Unchanged, "a3-b2".to_owned()));

        // Its versions were destroyed: it is written behind them.
        let versions = store.versions(&layout.secret(&name)).await.unwrap();
        let all: Vec<_> = versions.iter().map(|info| info.version).collect();
        store.destroy(&layout.secret(&name), &all).await.unwrap();
        let before = view.look().await.unwrap();
        view.refresh_from(before, |_| None, 0).await.unwrap();
        assert_eq!(text().await, "a3-b2");
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
