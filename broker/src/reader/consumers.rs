//! `consumers.yaml` of a node: who acts as which role, and what of the bundle it reads.
//!
//! ```yaml
//! keystone: {uids: [42425], reads: [keystone.database.connection]}
//! monitoring: {certificates: [monitoring.pem], reads: [prometheus_password]}
//! backup: {from: anywhere}          # its AppRole, also from other machines; all that the bundle holds
//! ```
//!
//! The bundle's own role, once it was for users or keys alone, stays theirs until this file says otherwise of it: that the
//! file is gone, or names it no longer, opens nothing to anybody.

use super::{
    callers::{Callers, From},
    peer::Key,
    server::{ListenError, certificates},
};
use crate::absence;
use donjon_drivers::fs::FileError;
use donjon_policies::name::{RoleName, SecretName};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The consumers of a node, by their roles.
#[derive(Debug, Default)]
pub struct Consumers(BTreeMap<RoleName, Consumer>);

/// One of them.
#[derive(Debug)]
pub struct Consumer {
    /// What it reads; all there is where nothing is said.
    pub reads: Option<BTreeSet<SecretName>>,
    /// Who acts as it.
    pub callers: Callers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    reads: Option<BTreeSet<SecretName>>,
    #[serde(default)]
    uids: BTreeSet<u32>,
    /// PEM files, beside this one.
    #[serde(default)]
    certificates: Vec<PathBuf>,
    #[serde(default)]
    from: From,
}

/// Why they cannot be read. Then nobody is served anew.
#[derive(Debug, thiserror::Error)]
pub enum ConsumersError {
    /// The file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be understood.
    #[error("{} cannot be understood: {reason}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A certificate cannot be read.
    #[error("a certificate of `{role}` cannot be read")]
    Certificate {
        /// Whose.
        role: RoleName,
        /// Why.
        source: ListenError,
    },
    /// A certificate is none that this reader understands.
    #[error("a certificate of `{role}` has no key that can be read")]
    Key {
        /// Whose.
        role: RoleName,
        /// Why.
        source: rustls::Error,
    },
    /// Then nobody could tell as what a request is meant.
    #[error("`{one}` and `{other}` have a user or a key in common")]
    Shared {
        /// A role.
        one: RoleName,
        /// Another.
        other: RoleName,
    },
    /// The kernel gives this number to every user that it has no number for.
    #[error("`{role}` names uid {OVERFLOW}, which stands for whoever is unknown")]
    Overflow {
        /// Whose.
        role: RoleName,
    },
}

impl Consumers {
    /// Reads the file; nobody where there is none.
    pub fn read(file: &Path) -> Result<Self, ConsumersError> {
        let Some(text) = absence::read_trusted(file)? else { return Ok(Self::default()) };
        let format = |reason: String| ConsumersError::Format { file: file.into(), reason };
        let text = String::from_utf8(text).map_err(|_| format("it is not UTF-8 text".into()))?;
        let written: BTreeMap<RoleName, Written> =
            serde_saphyr::from_str(&text).map_err(|error| format(error.without_snippet().to_string()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut all = BTreeMap::new();
        for (role, written) in written {
            let consumer = written.resolve(&role, folder)?;
            all.insert(role, consumer);
        }
        let all = Self(all);
        all.check()?;
        Ok(all)
    }

    /// The certificates that the file names: who may read hangs on what is in them, too. None where it cannot be understood.
    pub fn certificates(file: &Path) -> Vec<PathBuf> {
        let text = absence::read_trusted(file).ok().flatten().and_then(|text| String::from_utf8(text).ok());
        let written = text.and_then(|text| serde_saphyr::from_str::<BTreeMap<RoleName, Written>>(&text).ok());
        let folder = file.parent().unwrap_or(Path::new("."));
        let files = written.into_iter().flatten().flat_map(|(_, written)| written.certificates);
        files.map(|named| folder.join(named)).collect()
    }

    /// Each, with its role.
    pub fn iter(&self) -> impl Iterator<Item = (&RoleName, &Consumer)> {
        self.0.iter()
    }

    fn check(&self) -> Result<(), ConsumersError> {
        for (role, consumer) in &self.0 {
            if consumer.callers.uids.contains(&OVERFLOW) {
                return Err(ConsumersError::Overflow { role: role.clone() });
            }
            for (other, second) in self.0.iter().take_while(|(other, _)| *other != role) {
                let (one, two) = (&consumer.callers, &second.callers);
                if !one.uids.is_disjoint(&two.uids) || !one.keys.is_disjoint(&two.keys) {
                    return Err(ConsumersError::Shared { one: other.clone(), other: role.clone() });
                }
            }
        }
        Ok(())
    }
}

impl Written {
    fn resolve(self, role: &RoleName, folder: &Path) -> Result<Consumer, ConsumersError> {
        let mut keys = BTreeSet::new();
        for file in &self.certificates {
            let unread = |source| ConsumersError::Certificate { role: role.clone(), source };
            // The first is the client's own; the rest is its chain.
            for certificate in certificates(&folder.join(file)).map_err(unread)?.iter().take(1) {
                let unusable = |source| ConsumersError::Key { role: role.clone(), source };
                keys.insert(Key::of(certificate).map_err(unusable)?);
            }
        }
        Ok(Consumer { reads: self.reads, callers: Callers { uids: self.uids, keys, from: self.from } })
    }
}

/// The kernel's `overflowuid`.
pub const OVERFLOW: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::fs;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    fn read(text: &str) -> Result<Consumers, ConsumersError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("consumers.yaml");
        fs::replace(&file, text.as_bytes()).unwrap();
        Consumers::read(&file)
    }

    #[test]
    fn anybody_may_read_it_and_its_owner_alone_may_write_it() {
        let folder = tempfile::tempdir().unwrap();
        // Where others cannot enter, its own mode does not matter.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let file = folder.path().join("consumers.yaml");
        for (mode, obeyed) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
            fs::replace_with_mode(&file, b"a: {uids: [1]}", mode).unwrap();
            assert_eq!(Consumers::read(&file).is_ok(), obeyed, "{mode:o}");
        }
    }

    #[test]
    fn nobody_is_two_and_nobody_is_everybody() {
        let good = read("a: {uids: [1], reads: [x]}\nb: {uids: [2], from: anywhere}\nc: {}").unwrap();
        assert_eq!(good.0.len(), 3);
        for (text, wanted) in [
            ("a: {uids: [1]}\nb: {uids: [2, 1]}", "`a` and `b` have a user or a key in common"),
            ("a: {uids: [65534]}", "`a` names uid 65534, which stands for whoever is unknown"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), wanted);
        }
        for text in ["a: {users: [1]}", "a: {from: mars}", "a: 1", "- a", "a: {uids: [-1]}", "a: {reads: [../x]}"] {
            assert!(matches!(read(text), Err(ConsumersError::Format { .. })), "{text}");
        }
        assert!(matches!(read("a: {certificates: [none.pem]}"), Err(ConsumersError::Certificate { .. })));
        assert!(Consumers::read(Path::new("/nowhere/consumers.yaml")).unwrap().0.is_empty());
    }
}
