//! How far a database was carried: one record in the source's store, moved by compare-and-set.

use crate::transfer::private::{self, Places, Recorded, secret_hex};
use donjon_drivers::{
    material::Material,
    store::{Expected, Store, StoreError},
};
use serde::{Deserialize, Serialize};

/// What is certainly done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A snapshot was taken; nothing was sent anywhere.
    Taken,
    /// The first server was initialised, and is empty or takes the database in.
    Initialised,
    /// The first server has the database and opens.
    Restored,
    /// Every server votes.
    Joined,
    /// The new shares hold.
    Rekeyed,
    /// The new authority is written there, or is about to be.
    Arriving,
    /// It is done.
    Done,
}

/// The record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    format: u32,
    /// What is certainly done.
    pub(super) step: Step,
    /// By which the snapshot is known again.
    pub(super) digest: String,
    /// What is logged in with where the database has arrived.
    #[serde(with = "secret_hex")]
    pub(super) login: Material,
    /// By which that login can be destroyed.
    pub(super) accessor: String,
    /// What opens the first server while it is empty.
    #[serde(default)]
    pub(super) empty: Option<Opens>,
    /// The custodians of the new shares, and how many of them open the cluster.
    #[serde(default)]
    pub(super) custodians: Option<(Vec<String>, u8)>,
}

/// What a server gave when it was initialised.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opens {
    #[serde(with = "secret_hex")]
    pub(super) root: Material,
    pub(super) shares: Vec<Share>,
}

/// One share.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Share(#[serde(with = "secret_hex")] pub(super) Material);

/// The record as read, and what to expect when it is written next.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) journal: Journal,
    expected: Expected,
}

impl Recorded for Journal {
    const FORMAT: u32 = 1;
}

impl Journal {
    /// Of a snapshot that was just taken.
    pub(super) fn taken(digest: String, login: Material, accessor: String) -> Self {
        Self { format: Self::FORMAT, step: Step::Taken, digest, login, accessor, empty: None, custodians: None }
    }
}

impl Held {
    /// Reads it.
    pub(super) async fn read(store: &dyn Store, places: &Places) -> Result<Option<Self>, StoreError> {
        let (journal, expected) = private::read::<Journal>(store, &places.handover()).await?;
        Ok(journal.map(|journal| Self { journal, expected }))
    }

    /// Writes one, whatever was there.
    pub(super) async fn begin(store: &dyn Store, places: &Places, journal: Journal) -> Result<(), StoreError> {
        let path = places.handover();
        let expected = private::next(store, &path).await?;
        private::write(store, &path, &journal, expected).await
    }

    /// Writes it as it is now. A conflict means that another run goes on with it.
    pub(super) async fn save(&mut self, store: &dyn Store, places: &Places) -> Result<(), StoreError> {
        private::write(store, &places.handover(), &self.journal, self.expected).await?;
        self.expected = private::next(store, &places.handover()).await?;
        Ok(())
    }

    /// One step further.
    pub(super) async fn reach(&mut self, step: Step, store: &dyn Store, places: &Places) -> Result<(), StoreError> {
        if self.journal.step < step {
            self.journal.step = step;
            self.save(store, places).await?;
        }
        Ok(())
    }
}
