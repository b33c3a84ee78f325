//! Errors of stores and files, as a person is told them.

use crate::{
    audit::AuditError,
    failure::{Exit, Failure},
};
use donjon_drivers::{fs::FileError, store::StoreError};

/// A store's error with its exit code, and what to do.
pub fn store(message: impl Into<String>, error: &StoreError) -> Failure {
    let (code, state, hint) = match error {
        StoreError::Sealed => (
            Exit::Unavailable,
            "nothing is lost; the store is sealed",
            "custodians: `donjon unseal -i IDENTITY`; a Vault that was there before: its operators, `bao operator unseal`",
        ),
        StoreError::Unreachable { .. } => (
            Exit::Unavailable,
            "whether a write took effect is not known; what was acknowledged is safe",
            "`donjon status`, then the same command again",
        ),
        StoreError::Denied { .. } => {
            (Exit::NotAllowed, "nothing was changed", "the store's policy for this credential does not grant it")
        }
        StoreError::Conflict { .. } => {
            (Exit::Conflict, "nothing was written", "look at what is there now, then decide again")
        }
        StoreError::Full { .. } => (
            Exit::Unavailable,
            "nothing was written; what is stored is safe",
            "make room on the store's disk, then the same command again",
        ),
        StoreError::Damaged { .. } => {
            (Exit::Integrity, "nothing was changed", "`donjon history` shows the versions; an older one may be whole")
        }
        StoreError::Answer { .. } => {
            (Exit::Failed, "whether a write took effect is not known", "the store's own log says more")
        }
    };
    Failure::new(code, message).because(error).state(state).hint(hint)
}

/// A file's error.
pub fn file(message: impl Into<String>, error: &FileError) -> Failure {
    let failure = Failure::new(code(error), message).because(error);
    match error {
        FileError::TooOpen { path, .. } => failure.hint(format!("`chmod go= {}`", path.display())),
        FileError::Changeable { path, .. } => failure.hint(format!("`chmod go-w {}`", path.display())),
        FileError::Io { .. } | FileError::Foreign { .. } | FileError::Attribute { .. } => failure,
    }
}

fn code(error: &FileError) -> Exit {
    match error {
        FileError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Exit::NotAllowed,
        FileError::Io { .. }
        | FileError::TooOpen { .. }
        | FileError::Changeable { .. }
        | FileError::Foreign { .. }
        | FileError::Attribute { .. } => Exit::Failed,
    }
}

/// An audit line could not be written, so nothing was done.
pub fn audit(error: &AuditError) -> Failure {
    let code = match error {
        // No later try helps.
        AuditError::Broken { .. } => Exit::Integrity,
        AuditError::Io { .. } | AuditError::File(_) => Exit::Unavailable,
    };
    let failure = Failure::new(code, "no audit line can be written, so nothing was done")
        .because(error)
        .state("nothing was answered or changed");
    match error {
        AuditError::Io { .. } => failure.hint("make room on the disk of that file"),
        AuditError::File(_) => failure.hint("mend the rights of that file"),
        AuditError::Broken { path, .. } => {
            let path = path.display();
            failure.hint(format!(
                "keep the file as evidence, and compare it with its copies (`donjon audit verify`; of a node `--node FOLDER`); where you have moved it away yourself, move {path}.head to it, or remove both: a new log begins then"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Act, Actor, Log, Outcome};

    #[test]
    fn a_log_that_does_not_hold_together_is_tried_again_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let line = |log: &Log| log.record(Actor { uid: 0, pid: 1 }, Act::Read, Vec::new(), Outcome::Done);
        let log = Log::open(&path).unwrap();
        line(&log).unwrap();
        log.sync().unwrap();
        drop(log);
        std::fs::remove_file(&path).unwrap();
        let failure = audit(&Log::open(&path).unwrap_err());
        assert_eq!(failure.code, Exit::Integrity, "{failure}");
        assert_eq!(
            audit(&Log::open(&folder.path().join("none/log")).unwrap_err()).code,
            Exit::Unavailable,
            "the control"
        );
    }
}
