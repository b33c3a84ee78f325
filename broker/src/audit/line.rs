//! One line of the audit log. Its fields are named here one by one; none can hold a value.

use crate::reader::Key;
use donjon_policies::{
    name::{RoleName, SecretName, SiteName},
    restart::Instance,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The daemon started.
    Up,
    /// The daemon ended.
    Down,
    /// Values were read.
    Read,
    /// A value was given.
    Put,
    /// Names were listed.
    List,
    /// Versions were listed.
    History,
    /// Secrets were made.
    Generate,
    /// Views were assembled.
    Assemble,
    /// Values were taken over from a deployer's file.
    Adopt,
    /// An unseal share was given.
    Unseal,
    /// A deployer run began, or ended.
    Deploy,
    /// A rotation was asked for, went on or was undone.
    Rotate,
    /// What opens the temporary Vault was renewed.
    RenewBroker,
    /// The key that signs bundles was renewed.
    RenewSigningKey,
    /// Stored values were tried by fresh logins.
    Doctor,
    /// Files were searched for values.
    Scan,
    /// A bundle was written.
    Export,
    /// A bundle was read.
    Import,
    /// A receipt was taken.
    Receipt,
    /// A recipient was added or removed.
    Recipients,
    /// A host or a site left.
    Retire,
    /// A role logged in to a reader.
    Login,
    /// A token was looked up, renewed or given up at a reader.
    Token,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be done.
    Intent,
    /// It was done.
    Done,
    /// It was not allowed.
    Denied,
    /// It failed.
    Failed,
}

/// What an operator takes upon himself for a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// He has tried an account that nobody can try from here.
    Vouched {
        /// The user, a name that the policies allow.
        user: String,
        /// From where it logs in.
        host: Option<String>,
    },
    /// A consumer is neither restarted nor proven.
    Left(Instance),
    /// A site that has not answered is cut off.
    LeftSite {
        /// The site.
        site: SiteName,
    },
    /// The outage that the plan shows is accepted.
    Outage,
    /// The old value goes first.
    OldFirst,
    /// The store that the authority was on its way to is gone.
    ClusterLost,
}

/// A line. What is hashed is its JSON without `hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The version of this format.
    pub format: u32,
    /// Counts from 1.
    pub sequence: u64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The user on the other end of the socket.
    pub uid: u32,
    /// The process on the other end of the socket.
    pub pid: i32,
    /// Where on the network it was asked from, where it was another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The key that was proven to a reader in the TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The role that a reader answered, where one was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleName>,
    /// What.
    pub act: Act,
    /// Of which secrets and views.
    pub names: Vec<SecretName>,
    /// How many were asked for at once, where the line names the first alone that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u32>,
    /// What the operator took upon himself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// How it went.
    pub outcome: Outcome,
    /// What a crash had cut short before this line, the first after a start: its SHA-256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// The hash of the line before; zeros before the first.
    pub previous: String,
}

/// A line and its hash, as they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The line.
    pub line: Line,
    /// SHA-256 over the line's JSON, in hex.
    pub hash: String,
}

/// A line as it is written.
#[derive(Debug)]
pub(super) struct Written {
    /// The JSON of [`Sealed`], and the end of the line.
    pub(super) text: Vec<u8>,
    /// The hash in it.
    pub(super) hash: String,
}

impl Line {
    /// What is hashed.
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// The line with its hash, made of its JSON once: every answer waits for it.
    pub(super) fn write(&self) -> Result<Written, serde_json::Error> {
        let mut text = Vec::with_capacity(ROOM);
        text.extend_from_slice(BEFORE);
        serde_json::to_writer(&mut text, self)?;
        let hash = hex::encode(Sha256::digest(&text[BEFORE.len()..]));
        text.extend_from_slice(br#","hash":""#);
        text.extend_from_slice(hash.as_bytes());
        text.extend_from_slice(b"\"}\n");
        Ok(Written { text, hash })
    }
}

const BEFORE: &[u8] = br#"{"line":"#;
/// Most lines are shorter.
const ROOM: usize = 512;

/// The hash before the first line.
pub const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The version of the line format. Those of version 1 say nothing of what was cut short before them.
pub const FORMAT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{About, Actor, Log};
    use donjon_drivers::material::Material;
    use std::fmt::Debug;

    /// Compiles only where a type does not implement a trait: where it does, there are two functions to choose from.
    macro_rules! never {
        ($type:ty: $($trait:path),+) => {$({
            trait Either<Which> {
                fn one() {}
            }
            impl<T: ?Sized> Either<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $trait> Either<Implemented> for T {}
            <$type as Either<_>>::one();
        })+};
    }

    /// A line derives what `Material` never has, so none can have one for a field.
    #[test]
    fn a_value_cannot_be_a_field() {
        fn derived<T: Clone + PartialEq + Serialize>() {}
        derived::<Line>();
        never!(Material: Clone, PartialEq, Serialize);
        never!(Material: std::fmt::Display, std::hash::Hash, AsRef<[u8]>, AsRef<str>, Into<Vec<u8>>, Into<String>);
    }

    /// What a field may be: numbers, choices, and names that the policies allow. Bytes, texts and `Material` are not.
    trait HoldsNoValue: Debug {}
    impl HoldsNoValue for u32 {}
    impl HoldsNoValue for u64 {}
    impl HoldsNoValue for i32 {}
    impl HoldsNoValue for i64 {}
    impl HoldsNoValue for IpAddr {}
    impl HoldsNoValue for Key {}
    impl HoldsNoValue for RoleName {}
    impl HoldsNoValue for SecretName {}
    impl HoldsNoValue for Act {}
    impl HoldsNoValue for Outcome {}
    impl HoldsNoValue for Override {}
    impl<T: HoldsNoValue> HoldsNoValue for Option<T> {}
    impl<T: HoldsNoValue> HoldsNoValue for Vec<T> {}

    /// This does not compile with a field that could hold a value, nor with a new one that is not judged here.
    fn judged(line: &Line, about: &About) -> Vec<String> {
        let Line {
            format,
            sequence,
            at,
            uid,
            pid,
            from,
            key,
            role,
            act,
            names,
            asked,
            overrides,
            outcome,
            cut,
            previous,
        } = line;
        let About {
            from: about_from,
            key: about_key,
            role: about_role,
            names: about_names,
            asked: about_asked,
            overrides: about_overrides,
        } = about;
        let held: [&dyn HoldsNoValue; 19] = [
            format,
            sequence,
            at,
            uid,
            pid,
            from,
            key,
            role,
            act,
            names,
            asked,
            overrides,
            outcome,
            about_from,
            about_key,
            about_role,
            about_names,
            about_asked,
            about_overrides,
        ];
        for taken in overrides {
            match taken {
                // Whom the deployment's own servers know: see `overrides` of the daemon's rotations.
                Override::Vouched { user: _, host: _ }
                | Override::Left(Instance { service: _, host: _ })
                | Override::LeftSite { site: _ }
                | Override::Outage
                | Override::OldFirst
                | Override::ClusterLost => {}
            }
        }
        // The two texts are made by the log itself, of digests.
        for digest in cut.iter().chain([previous]) {
            assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
        }
        held.iter().map(|field| format!("{field:?}")).collect()
    }

    #[test]
    fn no_field_of_a_line_can_hold_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let about = About { names: vec!["database_password".parse().unwrap()], ..About::default() };
        let log = Log::open(&file).unwrap();
        log.record_about(Actor { uid: 7, pid: 8 }, Act::Read, about.clone(), Outcome::Done).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let sealed: Sealed = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(judged(&sealed.line, &about).len(), 19);
        // What an operator takes upon himself are names; those of accounts are checked before a line is written of them.
        for (name, own) in
            [("database_password", true), ("two words", false), ("", false), ("a/b", false), ("ä", false)]
        {
            assert_eq!(name.parse::<SecretName>().is_ok(), own, "{name}");
            assert_eq!(serde_json::from_value::<SecretName>(name.into()).is_ok(), own, "{name}");
        }
    }

    #[test]
    fn what_is_written_is_the_json_of_a_sealed_line() {
        let line = Line {
            format: FORMAT,
            sequence: 7,
            at: 1,
            uid: 0,
            pid: 2,
            from: Some(IpAddr::from([127, 0, 0, 1])),
            key: None,
            role: Some("keystone".parse().unwrap()),
            act: Act::Read,
            names: vec!["a".parse().unwrap(), "b".parse().unwrap()],
            asked: Some(3),
            overrides: vec![Override::Outage],
            outcome: Outcome::Done,
            cut: None,
            previous: NOTHING_BEFORE.to_owned(),
        };
        let written = line.write().unwrap();
        let sealed = Sealed { hash: line.hash().unwrap(), line };
        assert_eq!(written.text, [serde_json::to_vec(&sealed).unwrap(), b"\n".to_vec()].concat());
        assert_eq!(written.hash, sealed.hash);
    }
}
