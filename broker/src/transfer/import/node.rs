//! A node's folder: the bundle it reads, the one before, the pinned key, and the node's own key.
//!
//! ```text
//! node.json             what was accepted: scope, pinned key, current and previous bundle. Its replacement is the commit.
//! bundles/<epoch>-<digest>.bundle
//! receipt-key           the seed of the node's own key, in hexadecimal; it signs receipts and opens nothing
//! serving.json          which bundle the reader serves, and since when
//! receipt               the receipt for the current bundle, to be taken back to the authority
//! lock                  held while something changes
//! reader.lock           held by the reader that serves the folder
//! ```

use super::ImportError;
use crate::transfer::{
    bundle::{
        Accepted, Checks, Entry, Epoch, Foreign, Identities, Manifest, ManifestDigest, OpenError, Opened, Scope,
        Sealed, Verified,
    },
    drained::Drained,
    key::{PublicKey, SigningKey},
    receipt::{Act, Receipt},
};
use crate::{absence, edition};
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
    store::{RecordPath, Version},
};
use donjon_policies::name::DeploymentName;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// A node's folder, locked while this lives.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    state: Option<State>,
    /// Nothing where the folder is only looked at.
    _lock: Option<File>,
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
    /// Whose key has signed the one before, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_pin: Option<PublicKey>,
    /// Which of them is read.
    #[serde(default, skip_serializing_if = "Reads::is_current")]
    pub reads: Reads,
    /// When the current one was accepted, in seconds since 1970.
    pub imported: i64,
}

/// Which of its bundles a node reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// The current one.
    #[default]
    Current,
    /// The one before, until another is accepted. What is older than the current one is not accepted all the same.
    Previous,
}

impl State {
    /// The bundle that it reads, and whose key has signed that.
    fn read(&self) -> Option<(Held, PublicKey)> {
        match self.reads {
            Reads::Current => Some((self.current, self.pin)),
            Reads::Previous => Some((self.previous?, self.previous_pin.unwrap_or(self.pin))),
        }
    }
}

impl Reads {
    fn is_current(&self) -> bool {
        *self == Self::Current
    }
}

/// A bundle in a node's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its epoch.
    pub epoch: Epoch,
    /// Which one it is.
    pub digest: ManifestDigest,
}

/// What the reader serves.
#[derive(Debug, Serialize, Deserialize)]
struct Serving {
    #[serde(flatten)]
    held: Held,
    since: i64,
}

impl Node {
    /// Opens a node's folder, or makes one.
    pub fn open(folder: &Path) -> Result<Self, ImportError> {
        fs::private_folder(folder)?;
        let lock = lock(folder)?;
        let state = read_state(folder)?;
        Ok(Self { folder: folder.into(), state, _lock: Some(lock) })
    }

    /// As [`Node::open`], waiting for a moment where another process changes it.
    pub fn open_in_turn(folder: &Path) -> Result<Self, ImportError> {
        let end = Instant::now() + TURN;
        loop {
            match Self::open(folder) {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a condition with a bound; the kernel tells of no lock that is let go"
                )]
                Err(ImportError::Busy { .. }) if Instant::now() < end => std::thread::sleep(PAUSE),
                opened => return opened,
            }
        }
    }

    /// As [`Node::open_in_turn`], to look at alone: a folder that is not there is not made.
    pub fn open_to_plan(folder: &Path) -> Result<Self, ImportError> {
        match std::fs::symlink_metadata(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Self { folder: folder.into(), state: None, _lock: None })
            }
            Ok(_) | Err(_) => Self::open_in_turn(folder),
        }
    }

    /// As [`Node::open_in_turn`], where there is something in the folder that this is about.
    pub fn open_known(folder: &Path) -> Result<Self, ImportError> {
        match ["node.json", "roles.json"].iter().any(|name| folder.join(name).exists()) {
            true => Self::open_in_turn(folder),
            false => Err(ImportError::Empty { folder: folder.into() }),
        }
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
        let entries: BTreeMap<&RecordPath, Version> = entries.iter().map(|held| (&held.path, held.version)).collect();
        let change = |entry: &Entry| match entries.get(&entry.path) {
            None => "create",
            Some(version) if *version == entry.version => "keep",
            Some(_) => "replace",
        };
        manifest.entries.iter().map(|entry| (entry, change(entry))).collect()
    }

    /// Takes in a bundle that [`Node::verify`] has passed, and gives the receipt's file.
    ///
    /// The bundle is written before the state names it: a crash in between leaves the old state whole. What can fail
    /// besides does so before that; what is left for after it is [`ImportError::After`]. The same bundle once more changes
    /// nothing but the time.
    pub fn accept(&mut self, file: &[u8], opened: &Opened, now: i64) -> Result<Vec<u8>, ImportError> {
        let manifest = opened.manifest();
        let held = Held { epoch: manifest.epoch, digest: opened.digest() };
        let bundles = self.folder.join("bundles");
        fs::private_folder(&bundles)?;
        fs::replace(&bundles.join(file_name(&held)), file)?;
        let key = self.key()?;
        let receipt = Receipt::of(opened, Act::Imported, &key, now).to_file(&key);
        // What was stepped back from is not what anybody would go back to.
        let (previous, previous_pin) = match &self.state {
            Some(state) if state.current == held => (state.previous, state.previous_pin),
            Some(state) => state.read().unzip(),
            None => (None, None),
        };
        let state = State {
            format: FORMAT,
            deployment: manifest.deployment.clone(),
            scope: manifest.scope.clone(),
            pin: manifest.authority,
            current: held,
            previous,
            previous_pin: previous_pin.filter(|key| *key != manifest.authority),
            reads: Reads::Current,
            imported: now,
        };
        self.keep(state)?;
        let kept = fs::replace(&self.folder.join("receipt"), &receipt);
        kept.and_then(|()| self.remove_others()).map_err(|source| ImportError::After { source })?;
        Ok(receipt)
    }

    /// Notes that the reader serves the present bundle from the next second on.
    pub fn serve(&self, now: i64) -> Result<(), ImportError> {
        let serving = Serving { held: self.reading()?, since: now + 1 };
        if self.read_serving()?.is_some_and(|known| known.held == serving.held) {
            return Ok(());
        }
        let json = serde_json::to_vec(&serving).expect("strings and numbers always have a JSON text");
        Ok(fs::replace(&self.folder.join("serving.json"), &json)?)
    }

    /// Since when the reader serves the present bundle, in microseconds since 1970; `None` where it does not yet.
    pub fn serving(&self) -> Result<Option<i64>, ImportError> {
        let current = self.state.as_ref().map(|state| state.current);
        let serving = self.read_serving()?;
        Ok(serving.filter(|serving| Some(serving.held) == current).map(|serving| serving.since * 1_000_000))
    }

    /// Whether nothing newer was accepted than this.
    pub fn is_newest(&self, opened: &Opened) -> bool {
        let digest = self.state.as_ref().map(|state| state.current.digest);
        digest == Some(opened.digest())
    }

    fn read_serving(&self) -> Result<Option<Serving>, ImportError> {
        let file = self.folder.join("serving.json");
        let Some(text) = absence::read_private(&file)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|_| ImportError::NodeDamaged { file })
    }

    /// The receipt of this node, all of whose consumers run on the bundle, which is the newest that it has accepted.
    pub fn drained(&mut self, opened: &Opened, consumers: Vec<Drained>, now: i64) -> Result<Vec<u8>, ImportError> {
        if !self.is_newest(opened) {
            return Err(ImportError::Overtaken { folder: self.folder.clone() });
        }
        let key = self.key()?;
        Ok(Receipt::drained(opened, consumers, &key, now).to_file(&key))
    }

    /// Reads the bundle before from now on, or the current one again, where a reader could start with that: the file is whole,
    /// from its authority, in its time, and opened by the identity, where that is at hand.
    pub fn step(&mut self, reads: Reads, now: i64, identities: Option<&Identities>) -> Result<Held, ImportError> {
        let state = State { reads, ..self.known()?.clone() };
        let (held, _) = self.read_by(&state)?;
        let file = self.file(&held)?;
        let verified = self.verify_by(&state, &file, now)?;
        if let Some(identities) = identities {
            verified.open(identities)?;
        }
        self.keep(state)?;
        Ok(held)
    }

    /// The bundle that it reads.
    pub fn reading(&self) -> Result<Held, ImportError> {
        Ok(self.read_by(self.known()?)?.0)
    }

    /// The file of the bundle that it reads.
    pub fn read(&self) -> Result<Vec<u8>, ImportError> {
        self.file(&self.reading()?)
    }

    /// Checks that file once more: it is the one that was accepted, and not past its time.
    pub fn verify_read<'a>(&self, file: &'a [u8], now: i64) -> Result<Verified<'a>, ImportError> {
        self.verify_by(self.known()?, file, now)
    }

    fn verify_by<'a>(&self, state: &State, file: &'a [u8], now: i64) -> Result<Verified<'a>, ImportError> {
        let (held, pin) = self.read_by(state)?;
        let checks = Checks {
            pin: Some(&pin),
            deployment: Some(&state.deployment),
            scope: Some(&state.scope),
            accepted: Some(Accepted { epoch: held.epoch, digest: held.digest }),
            now,
            ..Checks::default()
        };
        Ok(Sealed::parse(file)?.verify(&checks)?)
    }

    fn known(&self) -> Result<&State, ImportError> {
        self.state.as_ref().ok_or_else(|| ImportError::Empty { folder: self.folder.clone() })
    }

    fn read_by(&self, state: &State) -> Result<(Held, PublicKey), ImportError> {
        state.read().ok_or_else(|| ImportError::NoPrevious { folder: self.folder.clone() })
    }

    fn file(&self, held: &Held) -> Result<Vec<u8>, ImportError> {
        Ok(fs::read_private(&self.folder.join("bundles").join(file_name(held)))?)
    }

    fn keep(&mut self, state: State) -> Result<(), ImportError> {
        let json = serde_json::to_vec_pretty(&state).expect("strings and numbers always have a JSON text");
        fs::replace(&self.folder.join("node.json"), &json)?;
        self.state = Some(state);
        Ok(())
    }

    /// The newest bundle that it has accepted.
    pub fn current(&self) -> Result<(Vec<u8>, &State), ImportError> {
        let state = self.known()?;
        Ok((self.file(&state.current)?, state))
    }

    /// The node's own key, made when it is first asked for.
    fn key(&self) -> Result<SigningKey, ImportError> {
        let file = self.folder.join("receipt-key");
        let text = match absence::read_private(&file)? {
            Some(text) => Zeroizing::new(text),
            None => {
                let seed = SigningKey::generate()?.seed()?;
                // EXPOSE: into the node's own file, which only its owner can read
                let text = Zeroizing::new(hex::encode(seed.expose()).into_bytes());
                fs::replace(&file, &text)?;
                text
            }
        };
        let seed = hex::decode(text.trim_ascii()).map_err(|_| ImportError::NodeDamaged { file })?;
        Ok(SigningKey::from_seed(&Material::new(seed))?)
    }

    fn remove_others(&self) -> Result<(), FileError> {
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
    // Made where it is, and never put in the place of another: whoever holds that would hold nothing.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(|error| FileError::Io {
        act: "open",
        path,
        source: error.into(),
    })?;
    let file = File::from(file);
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(ImportError::Busy { folder: folder.into() }),
    }
}

fn read_state(folder: &Path) -> Result<Option<State>, ImportError> {
    let file = folder.join("node.json");
    let Some(text) = absence::read_private(&file)? else { return Ok(None) };
    if edition::is_newer(&text, FORMAT) {
        return Err(ImportError::NodeNewer { file });
    }
    let state = serde_json::from_slice::<State>(&text).ok().filter(|s| s.format == FORMAT);
    state.map(Some).ok_or(ImportError::NodeDamaged { file })
}

const FORMAT: u32 = 1;
const TURN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(5);
