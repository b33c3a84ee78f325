//! A node's folder: the bundle it reads, the one before, the pinned key, and the node's own key.
//!
//! ```text
//! node.json             what was accepted: scope, pinned key, current and previous bundle. Its replacement is the commit.
//! bundles/<epoch>-<digest>.bundle
//! receipt-key           the seed of the node's own key, in hexadecimal; it signs receipts and opens nothing
//! receipt               the receipt for the current bundle, to be taken back to the authority
//! lock                  held while something changes
//! ```

use super::ImportError;
use crate::transfer::{
    bundle::{
        Accepted, Checks, Entry, Epoch, Foreign, Manifest, ManifestDigest, OpenError, Opened, Scope, Sealed, Verified,
    },
    key::{PublicKey, SigningKey},
    receipt::{Act, Receipt},
};
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
};
use donjon_policies::name::DeploymentName;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A node's folder, locked while this lives.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    state: Option<State>,
    _lock: File,
}

/// What a node has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    format: u32,
    /// Whose secrets it reads.
    pub deployment: DeploymentName,
    /// As what it reads them.
    pub scope: Scope,
    /// The authority's key.
    pub pin: PublicKey,
    /// The bundle it reads.
    pub current: Held,
    /// The bundle before, kept for one step back.
    pub previous: Option<Held>,
    /// When the current one was accepted, in seconds since 1970.
    pub imported: i64,
}

/// A bundle in a node's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its epoch.
    pub epoch: Epoch,
    /// Which one it is.
    pub digest: ManifestDigest,
}

impl Node {
    /// Opens a node's folder, or makes one.
    pub fn open(folder: &Path) -> Result<Self, ImportError> {
        fs::private_folder(folder)?;
        let lock = lock(folder)?;
        let state = read_state(folder)?;
        Ok(Self { folder: folder.into(), state, _lock: lock })
    }

    /// What it has accepted, if anything.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Checks a file against what the node knows, and what is asked for besides. `asked.pin` pins a key anew.
    pub fn verify<'a>(&self, file: &'a [u8], asked: &Checks<'_>) -> Result<Verified<'a>, ImportError> {
        let sealed = Sealed::parse(file)?;
        if let Scope::Custodians {} = sealed.claimed_scope() {
            let found = sealed.claimed_scope().clone();
            return Err(OpenError::Foreign(Foreign::Scope { found }).into());
        }
        let Some(state) = &self.state else { return Ok(sealed.verify(asked)?) };
        let known = Checks {
            pin: asked.pin.or(Some(&state.pin)),
            deployment: asked.deployment.or(Some(&state.deployment)),
            scope: Some(&state.scope),
            accepted: Some(Accepted { epoch: state.current.epoch, digest: state.current.digest }),
            ..asked.clone()
        };
        Ok(sealed.verify(&known)?)
    }

    /// What each record of a bundle would be here: `create`, `replace` or `keep`, by its version.
    pub fn changes<'a>(&self, manifest: &'a Manifest) -> Vec<(&'a Entry, &'static str)> {
        let held = self.current().ok().map(|(file, _)| file);
        let held = held.as_deref().and_then(|file| Sealed::parse(file).ok());
        let entries = held.as_ref().map(Sealed::claimed_entries).unwrap_or_default();
        let change = |entry: &Entry| match entries.iter().find(|held| held.path == entry.path) {
            None => "create",
            Some(held) if held.version == entry.version => "keep",
            Some(_) => "replace",
        };
        manifest.entries.iter().map(|entry| (entry, change(entry))).collect()
    }

    /// Takes in a bundle that [`Node::verify`] has passed, and gives the receipt's file.
    ///
    /// The bundle is written before the state names it: a crash in between leaves the old state whole. The same bundle
    /// once more changes nothing but the time.
    pub fn accept(&mut self, file: &[u8], opened: &Opened, now: i64) -> Result<Vec<u8>, ImportError> {
        let manifest = opened.manifest();
        let held = Held { epoch: manifest.epoch, digest: opened.digest() };
        let bundles = self.folder.join("bundles");
        fs::private_folder(&bundles)?;
        fs::replace(&bundles.join(file_name(&held)), file)?;
        let previous = match &self.state {
            Some(state) if state.current == held => state.previous,
            Some(state) => Some(state.current),
            None => None,
        };
        let state = State {
            format: FORMAT,
            deployment: manifest.deployment.clone(),
            scope: manifest.scope.clone(),
            pin: manifest.authority,
            current: held,
            previous,
            imported: now,
        };
        let json = serde_json::to_vec_pretty(&state).expect("strings and numbers always have a JSON text");
        fs::replace(&self.folder.join("node.json"), &json)?;
        self.state = Some(state);
        self.remove_others()?;
        let key = self.key()?;
        let receipt = Receipt::of(opened, Act::Imported, &key, now).to_file(&key);
        fs::replace(&self.folder.join("receipt"), &receipt)?;
        Ok(receipt)
    }

    /// The bundle it reads, and the checks that it must pass.
    pub fn current(&self) -> Result<(Vec<u8>, &State), ImportError> {
        let state = self.state.as_ref().ok_or_else(|| ImportError::Empty { folder: self.folder.clone() })?;
        let file = fs::read_private(&self.folder.join("bundles").join(file_name(&state.current)))?;
        Ok((file, state))
    }

    /// The node's own key, made when it is first asked for.
    fn key(&self) -> Result<SigningKey, ImportError> {
        let file = self.folder.join("receipt-key");
        if !file.exists() {
            let seed = SigningKey::generate()?.seed()?;
            // EXPOSE: into the node's own file, which only its owner can read
            fs::replace(&file, Zeroizing::new(hex::encode(seed.expose())).as_bytes())?;
        }
        let text = Zeroizing::new(fs::read_private(&file)?);
        let seed = hex::decode(text.trim_ascii()).map_err(|_| ImportError::NodeDamaged { file })?;
        Ok(SigningKey::from_seed(&Material::new(seed))?)
    }

    fn remove_others(&self) -> Result<(), ImportError> {
        let Some(state) = &self.state else { return Ok(()) };
        let kept: Vec<_> = [Some(state.current), state.previous].iter().flatten().map(file_name).collect();
        let folder = self.folder.join("bundles");
        let error = |act, path: &Path| {
            let path = path.to_path_buf();
            move |source| FileError::Io { act, path, source }
        };
        for file in std::fs::read_dir(&folder).map_err(error("list", &folder))? {
            let file = file.map_err(error("list", &folder))?;
            if !kept.iter().any(|name| file.file_name() == name.as_str()) {
                std::fs::remove_file(file.path()).map_err(error("remove", &file.path()))?;
            }
        }
        Ok(())
    }
}

fn file_name(held: &Held) -> String {
    let digest = held.digest.to_string();
    format!("{}-{}.bundle", held.epoch, &digest[..16])
}

fn lock(folder: &Path) -> Result<File, ImportError> {
    let path = folder.join("lock");
    if !path.exists() {
        fs::replace(&path, b"")?;
    }
    let file = File::open(&path).map_err(|source| FileError::Io { act: "open", path, source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(ImportError::Busy { folder: folder.into() }),
    }
}

fn read_state(folder: &Path) -> Result<Option<State>, ImportError> {
    let file = folder.join("node.json");
    if !file.exists() {
        return Ok(None);
    }
    let state = serde_json::from_slice::<State>(&fs::read_private(&file)?).ok().filter(|s| s.format == FORMAT);
    state.map(Some).ok_or(ImportError::NodeDamaged { file })
}

const FORMAT: u32 = 1;
