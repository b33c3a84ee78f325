//! Stores: where records live, version by version, changed only by compare-and-set.
//!
//! A record is a JSON object at a path. Every driver passes the same conformance kit. Whole numbers beyond 2^53 are
//! written as text: OpenBao reads numbers as 64-bit floats.

pub mod bundle;
pub mod conformance;
pub mod document;
pub mod file;
pub mod memory;
pub mod path;
pub mod secret;
pub mod vault;

pub use document::Document;
pub use path::RecordPath;

use async_trait::async_trait;

/// Where secrets live.
#[async_trait]
pub trait Store: Send + Sync {
    /// What this store can do; checked before work begins.
    fn capabilities(&self) -> Capabilities;

    /// One version of a record, or `None` where there is no such record or version.
    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError>;

    /// Writes the next version if the newest is still the expected one, and says which number it got.
    ///
    /// [`StoreError::Conflict`] means nothing was written. Any other error leaves open whether it was: read before trying again.
    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError>;

    /// The names directly below a folder; folders end in `/`. Empty where there are none.
    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError>;

    /// Every version known of a record, oldest first. Empty where there is no such record.
    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError>;

    /// Destroys the bytes of versions for ever; their numbers stay known.
    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError>;

    /// Removes a record with all its versions.
    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError>;
}

/// The number of a version; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Which version to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Latest,
    /// This one.
    Number(Version),
}

/// What a writer believes of the record it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// There is no such record yet.
    Absent,
    /// Its newest version is this one.
    Newest(Version),
}

/// One version of a record, as read.
#[derive(Debug)]
pub struct Stored {
    /// The JSON object.
    pub document: Document,
    /// Its version.
    pub version: Version,
    /// When it was written, in seconds since 1970.
    pub created: i64,
}

/// What is known of a version without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub version: Version,
    /// When it was written, in seconds since 1970.
    pub created: i64,
    /// Whether its bytes are still there.
    pub state: VersionState,
}

/// Whether a version's bytes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// They are.
    Present,
    /// They were deleted or destroyed.
    Destroyed,
}

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The name of the driver.
    pub driver: &'static str,
    /// Whether rotations may keep their journal here.
    pub rotation: Rotation,
}

/// Whether rotations may keep their journal in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Yes: it has been through the fault harness.
    Allowed,
    /// No.
    Refused,
}

/// Why a store did not do what was asked. Never holds bytes of a record.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is sealed.
    #[error("the store is sealed")]
    Sealed,
    /// It did not answer, or not in time. Whether a write took effect is unknown.
    #[error("the store at {place} did not answer")]
    Unreachable {
        /// Its address.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The credential may not do this.
    #[error("the store refuses access to `{path}`")]
    Denied {
        /// The record.
        path: RecordPath,
    },
    /// The record has changed since it was read; nothing was written.
    #[error("`{path}` was changed by someone else")]
    Conflict {
        /// The record.
        path: RecordPath,
    },
    /// There is no room for more; nothing was written.
    #[error("the store at {place} is full")]
    Full {
        /// Its address.
        place: String,
    },
    /// What is there cannot be understood.
    #[error("`{path}` is damaged: {what}")]
    Damaged {
        /// The record.
        path: RecordPath,
        /// What was found, without its bytes.
        what: &'static str,
    },
    /// It answered something unexpected.
    #[error("the store answered {status} for `{path}`")]
    Answer {
        /// The record.
        path: RecordPath,
        /// The HTTP status or its like.
        status: u16,
    },
}
