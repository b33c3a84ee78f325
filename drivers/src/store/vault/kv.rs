//! Records in a KV v2 mount.

use super::{
    call::{Call, CallError, Reason},
    connection::Connection,
    packed,
};
use crate::{
    fs,
    material::Material,
    store::{
        Capabilities, Document, Expected, RecordPath, Rotation, Store, StoreError, Stored, Version, VersionInfo,
        VersionState, Which,
    },
};
use async_trait::async_trait;
use jiff::Timestamp;
use rustify::endpoint::Endpoint;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use vaultrs::api::kv2::requests::{
    DeleteSecretMetadataRequest, DestroySecretVersionsRequest, ListSecretsRequest, ReadSecretMetadataRequest,
    ReadSecretRequest,
};

/// The KV v2 mount of a server.
#[derive(Debug, Clone)]
pub struct Vault {
    connection: Arc<Connection>,
    mount: RecordPath,
    disk: Option<PathBuf>,
}

impl Vault {
    /// The records below a mount.
    pub fn new(connection: Arc<Connection>, mount: RecordPath) -> Self {
        Self { connection, mount, disk: None }
    }

    /// The server keeps its storage and its audit log on this disk. It answers a full disk with an internal error and
    /// no more, so that is looked up here.
    #[must_use]
    pub fn on_disk(self, folder: PathBuf) -> Self {
        Self { disk: Some(folder), ..self }
    }

    async fn call<E: Endpoint>(
        &self,
        path: &RecordPath,
        request: E,
    ) -> Result<Option<super::call::Answer>, StoreError> {
        match self.connection.call(request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(CallError::Refused { reason: Reason::NothingThere | Reason::Gone, .. }) => Ok(None),
            Err(error) => Err(self.failure(path, error)),
        }
    }

    fn failure(&self, path: &RecordPath, error: CallError) -> StoreError {
        let place = self.connection.place();
        let path = path.clone();
        match error {
            CallError::Unreachable { place, source } => StoreError::Unreachable { place, source },
            CallError::Unreadable { .. } => StoreError::Damaged { path, what: "the answer cannot be understood" },
            CallError::Refused { status, reason, .. } => match reason {
                Reason::Denied => StoreError::Denied { path },
                Reason::Conflict => StoreError::Conflict { path },
                Reason::Sealed | Reason::Uninitialised => StoreError::Sealed,
                Reason::Full => StoreError::Full { place },
                Reason::Other if status == 500 && self.disk.as_deref().is_some_and(is_full) => {
                    StoreError::Full { place }
                }
                Reason::NotReady => StoreError::Unreachable { place, source: Box::new(error) },
                Reason::NothingThere
                | Reason::Gone
                | Reason::NoAccessor
                | Reason::TooLarge
                | Reason::BadRequest
                | Reason::Other => StoreError::Answer { path, status },
            },
        }
    }
}

#[async_trait]
impl Store for Vault {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "vault", rotation: Rotation::Allowed }
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        let version = match which {
            // KV v2 takes 0 for "the newest".
            Which::Number(Version(0)) => return Ok(None),
            Which::Number(Version(number)) => Some(number),
            Which::Latest => None,
        };
        let request = ReadSecretRequest { mount: self.mount.to_string(), path: path.to_string(), version };
        let Some(answer) = self.call(path, request).await? else {
            return Ok(None);
        };
        let damaged = |what| StoreError::Damaged { path: path.clone(), what };
        // EXPOSE: parsed in place; the document is copied into a Material of its own
        let read: Envelope<ReadData<'_>> = serde_json::from_slice(answer.text().expose())
            .map_err(|_| damaged("the answer holds no version of a KV v2 record"))?;
        let stored = read.data.data.get().as_bytes();
        let text = Material::new(packed::unpack(stored).unwrap_or_else(|| stored.to_vec()));
        let document = Document::from_json(text).map_err(|_| damaged("no JSON object"))?;
        let ReadVersion { version, created_time } = read.data.metadata;
        Ok(Some(Stored { document, version: Version(version), created: created_time.as_second() }))
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        let newest = match expected {
            Expected::Absent => 0,
            // To KV v2 a `cas` of 0 means "absent", and there is no version 0 to follow.
            Expected::Newest(Version(0)) => return Err(StoreError::Conflict { path: path.clone() }),
            Expected::Newest(Version(number)) => number,
        };
        // EXPOSE: framed into the request's body, which is a Material again
        let text = document.text().expose();
        let packed = packed::pack(text).map(Material::new);
        let text = packed.as_ref().map_or(text, Material::expose);
        let mut body = Vec::with_capacity(text.len() + 64);
        body.extend_from_slice(format!("{{\"options\":{{\"cas\":{newest}}},\"data\":").as_bytes());
        body.extend_from_slice(text);
        body.push(b'}');
        let request = Call::post(format!("{}/data/{path}", self.mount), Material::new(body));
        let answer = self.connection.call(request).await.map_err(|e| self.failure(path, e))?;
        let written: Envelope<VersionNumber> = answer.parse().map_err(|e| self.failure(path, e))?;
        Ok(Version(written.data.version))
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        #[derive(Deserialize)]
        struct Names {
            keys: Vec<String>,
        }
        let request = ListSecretsRequest { mount: self.mount.to_string(), path: folder.to_string() };
        let Some(answer) = self.call(folder, request).await? else {
            return Ok(Vec::new());
        };
        let mut names = answer.parse::<Envelope<Names>>().map_err(|e| self.failure(folder, e))?.data.keys;
        names.sort();
        Ok(names)
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        #[derive(Deserialize)]
        struct Metadata {
            versions: BTreeMap<u64, OneVersion>,
        }
        #[derive(Deserialize)]
        struct OneVersion {
            created_time: Timestamp,
            deletion_time: String,
            destroyed: bool,
        }
        let request = ReadSecretMetadataRequest { mount: self.mount.to_string(), path: path.to_string() };
        let Some(answer) = self.call(path, request).await? else {
            return Ok(Vec::new());
        };
        let metadata = answer.parse::<Envelope<Metadata>>().map_err(|e| self.failure(path, e))?.data;
        let info = |(number, known): (u64, OneVersion)| VersionInfo {
            version: Version(number),
            created: known.created_time.as_second(),
            state: match known.destroyed || !known.deletion_time.is_empty() {
                true => VersionState::Destroyed,
                false => VersionState::Present,
            },
        };
        Ok(metadata.versions.into_iter().map(info).collect())
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        let versions: Vec<u64> = versions.iter().map(|v| v.0).filter(|n| *n != 0).collect();
        if versions.is_empty() {
            return Ok(());
        }
        let request = DestroySecretVersionsRequest { mount: self.mount.to_string(), path: path.to_string(), versions };
        self.call(path, request).await.map(drop)
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        let request = DeleteSecretMetadataRequest { mount: self.mount.to_string(), path: path.to_string() };
        self.call(path, request).await.map(drop)
    }
}

/// Whether a disk has less room than an audit line and a transaction take.
fn is_full(folder: &Path) -> bool {
    fs::room_in(folder).is_ok_and(|room| room < 1 << 20)
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct ReadData<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    metadata: ReadVersion,
}

#[derive(Deserialize)]
struct ReadVersion {
    version: u64,
    created_time: Timestamp,
}

#[derive(Deserialize)]
struct VersionNumber {
    version: u64,
}
