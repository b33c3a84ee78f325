//! Putting a wired file in the place of the one with values, and taking that back where it does not prove itself.

use super::{
    Oslo, left_alone,
    place::{Made, digest},
    undo::{FORMAT, Kept},
};
use crate::{
    failure::{Exit, Failure},
    wire::oslo::{Rewrite, Wired},
};
use donjon_drivers::fs::{self, FileError, Standing};
use std::path::Path;
use zeroize::Zeroizing;

/// What is changed: the file as it was read, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) text: &'a str,
    pub(super) standing: &'a Standing,
    pub(super) mapping: &'a Path,
    pub(super) done: &'a Rewrite,
}

impl Oslo {
    /// Changes the file, and takes that back where it is not proven, or anything else fails.
    pub(super) fn change(
        &self,
        change: Change<'_>,
        proven: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut made = Vec::new();
        let placed = self.place(change, &mut made).and_then(|()| proven());
        placed.map_err(|failure| match self.take_back(change, &made) {
            Ok(state) => failure.state(state),
            Err(worse) => worse,
        })
    }

    /// Writes first what can put the file back, then its mapping, then the file itself.
    fn place(&self, change: Change<'_>, made: &mut Vec<Made>) -> Result<(), Failure> {
        let failed = |error: FileError| Failure::new(Exit::Failed, "cannot write").because(&error);
        let Change { text, standing, mapping, done } = change;
        made.push(Made::new(&self.kept(), &kept(change)?, 0o600).map_err(failed)?);
        made.push(Made::new(mapping, done.mapping.as_bytes(), 0o644).map_err(failed)?);
        if *self.now().map_err(failed)? != *text.as_bytes() {
            let changed = format!("{} was changed while it was wired", self.config.display());
            return Err(Failure::new(Exit::Conflict, changed).hint("the same command again"));
        }
        fs::replace_as(&self.config, done.text.as_bytes(), standing).map_err(failed)
    }

    /// Puts the file back, and removes what was made; the state that things are in then.
    fn take_back(&self, change: Change<'_>, made: &[Made]) -> Result<&'static str, Failure> {
        let wired = |error: FileError| {
            Failure::new(Exit::Failed, "cannot put the service's file back")
                .because(&error)
                .state("it reads its secrets from the store, which was not proven to work")
                .hint("`--undo` puts it back once the cause is mended")
        };
        let now = self.now().map_err(wired)?;
        // Also where writing it failed: that may have been the folder, once it had its name.
        if *now == *change.done.text.as_bytes() {
            fs::replace_as(&self.config, change.text.as_bytes(), change.standing).map_err(wired)?;
        } else if Wired::of(&self.config, &now, change.mapping).is_some() {
            return Ok(
                "somebody has changed the service's file meanwhile; it reads its secrets from the store, and `--undo` puts it back",
            );
        }
        made.iter().try_for_each(Made::take_back)?;
        Ok("the service's file is as it was; its secrets are in the store")
    }

    /// What stands in the configuration now.
    pub(super) fn now(&self) -> Result<Zeroizing<Vec<u8>>, FileError> {
        fs::read_standing(&self.config).map(|(now, _)| Zeroizing::new(now))
    }
}

fn kept(change: Change<'_>) -> Result<Vec<u8>, Failure> {
    let Change { standing, mapping, done, .. } = change;
    let kept = Kept {
        format: FORMAT,
        mapping: mapping.to_path_buf(),
        original: done.original.clone(),
        standing: Some((standing.mode, standing.uid, standing.gid)),
        attributes: standing.attributes.clone(),
        wired: Some(digest(done.text.as_bytes())),
    };
    serde_json::to_vec_pretty(&kept).map_err(|error| left_alone().because(&error))
}
