//! What is kept of a file that was wired, and what becomes of it: put back, or confirmed.

use super::{
    Oslo,
    place::{digest, hold, remove},
};
use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::{Asked, Request},
    undone::{self, Beside},
    wire::oslo::{Piece, Wired, put_together},
};
use donjon_drivers::{fs, store::secret::Part};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What can put a file back; it holds no value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) format: u32,
    pub(super) mapping: PathBuf,
    pub(super) original: Vec<Piece>,
    /// Whose the original was, and who could read it; what was kept by an earlier version does not say.
    #[serde(default)]
    pub(super) standing: Option<(u32, u32, u32)>,
    /// Its access list and labels; what was kept by an earlier version does not say, and had lost them.
    #[serde(default)]
    pub(super) attributes: fs::Attributes,
    /// What the wired file was, as a SHA-256; not known of what an earlier version kept.
    #[serde(default)]
    pub(super) wired: Option<String>,
}

impl Kept {
    /// Whether the configuration with this text reads its secrets by the mapping that this was kept with.
    fn is_read(&self, config: &Path, text: &[u8]) -> bool {
        Wired::of(config, text, &self.mapping).is_some()
    }
}

/// What is left where a run was ended between two files, or where somebody has written the configuration anew since it was wired.
#[derive(Debug)]
pub(super) struct Left {
    kept: PathBuf,
    /// Where it was written, and no other file reads it.
    mapping: Option<PathBuf>,
}

impl Left {
    /// Whether this mapping is a part of it.
    pub(super) fn has(&self, mapping: &Path) -> bool {
        self.mapping.as_deref() == Some(mapping)
    }

    /// Removes it: what can put a file back goes last, as it says what else there is.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        self.mapping.iter().chain([&self.kept]).try_for_each(|path| remove(path))
    }
}

impl Oslo {
    /// What is left of an earlier wiring that the configuration, whose text this is, knows nothing of. Refuses where it is wired.
    pub(super) fn left(&self, text: &[u8]) -> Result<Option<Left>, Failure> {
        let path = self.kept();
        if !path.exists() {
            return Ok(None);
        }
        let kept = remembered(&path).filter(|kept| !kept.is_read(&self.config, text)).ok_or_else(|| {
            Failure::new(Exit::Conflict, format!("{} is wired already", self.config.display()))
                .state("nothing was done")
                .hint("`--confirm` keeps it so, `--undo` puts it back")
        })?;
        let read = self.reads(&kept.mapping, |_| true)?.is_some();
        Ok(Some(Left { kept: path, mapping: Some(kept.mapping).filter(|_| !read) }))
    }

    pub(super) fn put_back(&self, context: &Context) -> Result<(), Failure> {
        let _held = hold(&self.config)?;
        let kept = self.read_kept()?;
        self.unnamed(&kept)?;
        let names: Vec<Asked> = kept
            .original
            .iter()
            .filter_map(|piece| match piece {
                Piece::Secret(name) => Some(Asked { name: name.clone(), part: Part::Whole }),
                Piece::Text(_) => None,
            })
            .collect();
        let reply = context.client()?.ask_quietly(&Request::Read { names, version: None, epoch: None }, Vec::new())?;
        let text = put_together(&kept.original, &reply.materials).map_err(|error| {
            Failure::new(Exit::Ambiguous, format!("{} is not put back", self.config.display()))
                .cause("a service would read a value there otherwise than from the store")
                .because(&error)
                .state("nothing was done: it is as it was wired, and what it takes to put it back is kept")
                .hint("`donjon put` a value that such a file can hold, then the same command again; or write the file by hand")
        })?;
        let failed = |error: fs::FileError| {
            Failure::new(Exit::Failed, "cannot put the file back")
                .because(&error)
                .state("it is as it was wired, and what it takes to put it back is kept")
                .hint("see that its folder can be written; then the same command again")
        };
        // Somebody may have opened the file to others since: it held no value.
        let standing = match kept.standing {
            Some((mode, uid, gid)) => fs::Standing { mode, uid, gid, attributes: kept.attributes.clone() },
            None => {
                let (_, now) = fs::read_standing(&self.config).map_err(failed)?;
                fs::Standing { mode: now.mode & 0o770, ..now }
            }
        };
        let beside = self.keep_changed(&kept, text.as_bytes()).map_err(failed)?;
        fs::replace_as(&self.config, text.as_bytes(), &standing).map_err(failed)?;
        remove(&kept.mapping)?;
        remove(&self.kept())?;
        let path = self.config.display().to_string();
        show::answer(context.output, &json!({ "undone": path, "beside": beside }), || {
            let changed = beside.as_ref().map_or_else(String::new, |beside| {
                format!("it had been changed since; what stood there until now is {}\n", beside.display())
            });
            format!("{path} is as it was; its secrets stay in the store too\n{changed}")
        })
    }

    /// What has been changed since it was wired is not lost: it stays beside it.
    /// Nor is it kept where it is what is put back: a run that was ended after that would leave the values a second time.
    fn keep_changed(&self, kept: &Kept, original: &[u8]) -> Result<Option<PathBuf>, fs::FileError> {
        if !self.config.exists() {
            return Ok(None);
        }
        let (now, whose) = fs::read_standing(&self.config)?;
        let now = Zeroizing::new(now);
        if *now == *original || kept.wired.as_ref() == Some(&digest(&now)) {
            return Ok(None);
        }
        match undone::beside(&self.config, &now) {
            Beside::There(path) => Ok(Some(path)),
            Beside::Free(path) => fs::replace_as(&path, &now, &whose).map(|()| Some(path)),
        }
    }

    pub(super) fn settle(&self, context: &Context) -> Result<(), Failure> {
        let _held = hold(&self.config)?;
        let kept = self.read_kept()?;
        let now = self.now().map_err(|error| unconfirmed(&self.config).because(&error))?;
        if !kept.is_read(&self.config, &now) {
            return Err(unconfirmed(&self.config)
                .cause(format!("it does not name {}, and its values may stand in it", kept.mapping.display()))
                .hint(
                    "`donjon wire oslo` without `--confirm` wires it; `--undo` puts back what stood there before that",
                ));
        }
        remove(&self.kept())?;
        let path = self.config.display().to_string();
        show::answer(context.output, &json!({ "confirmed": path }), || format!("{path} stays as it is\n"))
    }

    fn read_kept(&self) -> Result<Kept, Failure> {
        let none = || {
            Failure::new(Exit::NotThere, format!("there is nothing to undo or confirm of {}", self.config.display()))
                .state("nothing was done")
                .hint("it was never wired, or that was confirmed; `--service` and `--config` are to be those of then")
        };
        let bytes = fs::read_private(&self.kept()).map_err(|error| none().because(&error))?;
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| none().because(&error))?;
        if kept.format == FORMAT { Ok(kept) } else { Err(none().cause("it was kept by another version")) }
    }
}

fn unconfirmed(config: &Path) -> Failure {
    let what = format!("{} does not read its secrets from the store", config.display());
    Failure::new(Exit::Conflict, what).state("nothing was done; what can put it back is kept")
}

/// What is kept of a file that was wired, where it can be read.
pub(super) fn remembered(kept: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read_private(kept).ok()?).ok()
}

pub(super) const FORMAT: u32 = 1;
