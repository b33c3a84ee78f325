//! The folder as a store.

use super::{
    index::{FORMAT, Index},
    keys::Keys,
    lock::{self, Held, Hold},
};
use crate::{
    fs::{self, FileError},
    identity::{self, IdentityError},
    material::Material,
    store::{
        Capabilities, Document, Expected, RecordPath, Rotation, Store, StoreError, Stored, Version, VersionInfo, Which,
    },
};
use async_trait::async_trait;
use aws_lc_rs::digest;
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// A store in a folder.
#[derive(Clone)]
pub struct File(Arc<Folder>);

struct Folder {
    path: PathBuf,
    keys: Keys,
    /// The most changes that were ever seen in the index.
    seen: AtomicU64,
}

/// The folder cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be read or written, or others may read it.
    #[error("the store's folder cannot be used")]
    File(#[from] FileError),
    /// The identity cannot be used.
    #[error("the store's identity cannot be used")]
    Identity(#[from] IdentityError),
    /// Records are there, and the key to them is not.
    #[error("{} holds records, but its identity is gone", path.display())]
    IdentityLost {
        /// The folder.
        path: PathBuf,
    },
    /// Records are there, and what says which is which is not.
    #[error("{} holds records, but its index is gone", path.display())]
    IndexLost {
        /// The folder.
        path: PathBuf,
    },
    /// The index was altered, or made with another identity.
    #[error("the index of {} is damaged, or of another identity", path.display())]
    Index {
        /// The folder.
        path: PathBuf,
    },
    /// A later Donjon wrote it.
    #[error("{} was written by a newer Donjon (format {format})", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// Another process holds it.
    #[error("another process holds {}", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl File {
    /// Opens the folder, and makes it a store where it is empty.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        fs::private_folder(path)?;
        fs::private_folder(&path.join("objects"))?;
        let held = lock::hold(&path.join("lock"), Hold::Alone).await;
        let _held = held.map_err(|source| OpenError::Held { path: path.to_path_buf(), source })?;
        let (identity, index) = (path.join("identity"), path.join("index.age"));
        let objects = names(&path.join("objects"))?;
        let keys = match identity::read(&identity) {
            Err(error) if error.is_missing() => match index.exists() || !objects.is_empty() {
                true => return Err(OpenError::IdentityLost { path: path.to_path_buf() }),
                false => identity::make(&identity)?,
            },
            other => other?,
        };
        let folder = Folder { path: path.to_path_buf(), keys: Keys::new(keys), seen: AtomicU64::new(0) };
        if !index.exists() {
            // A file without an index is one of a store that was: where there is no record, there is none.
            if objects.iter().any(|name| name.ends_with(".age")) {
                return Err(OpenError::IndexLost { path: path.to_path_buf() });
            }
            folder.write_index(&Index::empty())?;
        }
        let index = folder.read_index().map_err(|error| match error {
            IndexError::File(error) => OpenError::File(error),
            IndexError::Newer(format) => OpenError::Newer { path: path.to_path_buf(), format },
            IndexError::Damaged(_) => OpenError::Index { path: path.to_path_buf() },
        })?;
        folder.sweep(&index, &objects)?;
        Ok(Self(Arc::new(folder)))
    }

    /// Holds the folder, and works on it where blocking does no harm.
    async fn work<T: Send + 'static>(
        &self,
        hold: Hold,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = Arc::clone(&self.0);
        let held: Held = lock::hold(&folder.path.join("lock"), hold).await.map_err(|e| folder.unreachable(e))?;
        let (place, done) = (
            folder.place(),
            tokio::task::spawn_blocking(move || {
                let done = work(&folder);
                drop(held);
                done
            }),
        );
        done.await.map_err(|source| StoreError::Unreachable { place, source: Box::new(source) })?
    }
}

#[async_trait]
impl Store for File {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "file", rotation: Rotation::Refused }
    }

    async fn read(&self, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        let path = path.clone();
        self.work(Hold::Shared, move |folder| {
            let index = folder.index(&path)?;
            let version = match which {
                Which::Number(version) => version,
                Which::Latest => match index.newest(&path) {
                    Some(version) => version,
                    None => return Ok(None),
                },
            };
            let Some(object) = index.object(&path, version) else {
                return Ok(None);
            };
            let document = folder.read_object(object, &path, version)?;
            let created =
                index.versions(&path).iter().find(|info| info.version == version).map_or(0, |info| info.created);
            Ok(Some(Stored { document, version, created }))
        })
        .await
    }

    async fn write(&self, path: &RecordPath, document: &Document, expected: Expected) -> Result<Version, StoreError> {
        let (path, text) = (path.clone(), document.text().duplicate());
        self.work(Hold::Alone, move |folder| {
            let mut index = folder.index(&path)?;
            let newest = index.newest(&path);
            let fits = match expected {
                Expected::Absent => newest.is_none(),
                Expected::Newest(version) => newest == Some(version),
            };
            if !fits {
                return Err(StoreError::Conflict { path });
            }
            let version = Version(newest.map_or(0, |v| v.0) + 1);
            let object = folder.write_object(&path, version, &text)?;
            let version = index.add(&path, object, now());
            folder.write_index(&index).map_err(|e| folder.failure(e))?;
            Ok(version)
        })
        .await
    }

    async fn list(&self, below: &RecordPath) -> Result<Vec<String>, StoreError> {
        let below = below.clone();
        self.work(Hold::Shared, move |folder| Ok(folder.index(&below)?.list(&below))).await
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        let path = path.clone();
        self.work(Hold::Shared, move |folder| Ok(folder.index(&path)?.versions(&path))).await
    }

    async fn destroy(&self, path: &RecordPath, versions: &[Version]) -> Result<(), StoreError> {
        let (path, versions) = (path.clone(), versions.to_vec());
        self.work(Hold::Alone, move |folder| {
            let mut index = folder.index(&path)?;
            let objects = index.destroy(&path, &versions);
            folder.forget(&index, &objects)
        })
        .await
    }

    async fn remove(&self, path: &RecordPath) -> Result<(), StoreError> {
        let path = path.clone();
        self.work(Hold::Alone, move |folder| {
            let mut index = folder.index(&path)?;
            if index.newest(&path).is_none() {
                return Ok(());
            }
            let objects = index.remove(&path);
            folder.forget(&index, &objects)
        })
        .await
    }
}

enum IndexError {
    File(FileError),
    Damaged(&'static str),
    Newer(u32),
}

impl Folder {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn object_path(&self, object: &str) -> PathBuf {
        self.path.join("objects").join(format!("{object}.age"))
    }

    fn index(&self, path: &RecordPath) -> Result<Index, StoreError> {
        self.read_index().map_err(|error| match error {
            IndexError::File(error) => self.failure(error),
            IndexError::Damaged(what) => StoreError::Damaged { path: path.clone(), what },
            IndexError::Newer(_) => {
                StoreError::Damaged { path: path.clone(), what: "the index was written by a newer Donjon" }
            }
        })
    }

    fn read_index(&self) -> Result<Index, IndexError> {
        let sealed = fs::read_private(&self.path.join("index.age")).map_err(IndexError::File)?;
        let damaged = || IndexError::Damaged("the index was altered, or is of another identity");
        let text = self.keys.open_authentic(&sealed).map_err(|_| damaged())?;
        let index = Index::from_json(&text).ok_or_else(damaged)?;
        if index.format > FORMAT {
            return Err(IndexError::Newer(index.format));
        }
        let seen = self.seen.fetch_max(index.changes, Ordering::AcqRel);
        if index.changes < seen {
            return Err(IndexError::Damaged("the index is an old copy"));
        }
        Ok(index)
    }

    fn write_index(&self, index: &Index) -> Result<(), FileError> {
        let path = self.path.join("index.age");
        let failed = |e: io::Error| FileError::Io { act: "encrypt", path: path.clone(), source: e };
        let text = index.to_json().ok_or_else(|| failed(ErrorKind::InvalidData.into()))?;
        let sealed = self.keys.seal_authentic(&text).map_err(|e| failed(io::Error::other(e)))?;
        fs::replace(&path, &sealed)
    }

    fn read_object(&self, object: &str, path: &RecordPath, version: Version) -> Result<Document, StoreError> {
        let damaged = |what| StoreError::Damaged { path: path.clone(), what };
        let sealed = match fs::read_private(&self.object_path(object)) {
            Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(damaged("the file of this version is gone"));
            }
            other => other.map_err(|e| self.failure(e))?,
        };
        if digest_of(&sealed) != object {
            return Err(damaged("the file of this version was altered or exchanged"));
        }
        let opened = self.keys.open(&sealed).map_err(|_| damaged("the file of this version cannot be decrypted"))?;
        // EXPOSE: checked against the name that was asked for, and the rest copied into another Material
        let text = opened.expose().strip_prefix(heading(path, version).as_bytes());
        let text = text.ok_or_else(|| damaged("the file is of another record or version"))?;
        Document::from_json(Material::new(text.to_vec())).map_err(|_| damaged("no JSON object"))
    }

    fn write_object(&self, path: &RecordPath, version: Version, text: &Material) -> Result<String, StoreError> {
        let heading = heading(path, version);
        let mut plain = Vec::with_capacity(heading.len() + text.len());
        plain.extend_from_slice(heading.as_bytes());
        plain.extend_from_slice(text.expose()); // EXPOSE: encrypted below
        let sealed = self.keys.seal(&Material::new(plain)).map_err(|e| self.unreachable(io::Error::other(e)))?;
        let object = digest_of(&sealed);
        fs::replace(&self.object_path(&object), &sealed).map_err(|e| self.failure(e))?;
        Ok(object)
    }

    /// Replaces the index first: until then the files are part of the store, afterwards a leftover that `open` sweeps.
    fn forget(&self, index: &Index, objects: &[String]) -> Result<(), StoreError> {
        self.write_index(index).map_err(|e| self.failure(e))?;
        for object in objects {
            remove(&self.object_path(object)).map_err(|e| self.failure(e))?;
        }
        fs::sync_folder(&self.path.join("objects")).map_err(|e| self.failure(e))
    }

    /// Removes what writers that were killed left behind.
    fn sweep(&self, index: &Index, objects: &[String]) -> Result<(), FileError> {
        let known = index.objects();
        let unfinished = |name: &str| name.starts_with('.') && name.ends_with(".new");
        let unknown = |name: &str| name.strip_suffix(".age").is_some_and(|object| !known.contains(object));
        for name in objects.iter().filter(|name| unfinished(name) || unknown(name)) {
            remove(&self.path.join("objects").join(name))?;
        }
        for name in names(&self.path)?.iter().filter(|name| unfinished(name)) {
            remove(&self.path.join(name))?;
        }
        Ok(())
    }

    fn failure(&self, error: FileError) -> StoreError {
        match &error {
            FileError::Io { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                StoreError::Full { place: self.place() }
            }
            FileError::Io { .. }
            | FileError::TooOpen { .. }
            | FileError::Changeable { .. }
            | FileError::Foreign { .. }
            | FileError::Attribute { .. } => StoreError::Unreachable { place: self.place(), source: Box::new(error) },
        }
    }

    fn unreachable(&self, source: io::Error) -> StoreError {
        StoreError::Unreachable { place: self.place(), source: Box::new(source) }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// What stands before a version's text, so that a file says whose it is. No path holds a line break.
fn heading(path: &RecordPath, version: Version) -> String {
    format!("donjon 1 {path} {version}\n")
}

fn digest_of(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let failed = |source| FileError::Io { act: "list", path: folder.to_path_buf(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
}

fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(FileError::Io { act: "remove", path: path.to_path_buf(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
