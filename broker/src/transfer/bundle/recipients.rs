//! Who can open a bundle: age X25519 recipients, and the identities that match them. No plugins, SSH keys or passphrases.

use age::x25519;
use donjon_drivers::material::Material;
use std::{collections::BTreeSet, str::FromStr};

/// At least one recipient, none twice.
#[derive(Debug, Clone)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads recipients, each an `age1…` of the classic kind.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, RecipientError> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        for text in texts {
            let recipient = parse_one(text)?;
            if seen.insert(recipient.to_string()) {
                all.push(recipient);
            }
        }
        if all.is_empty() { Err(RecipientError::Nobody) } else { Ok(Self(all)) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each of them, as text.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }

    pub(in crate::transfer) fn each(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|r| r as &dyn age::Recipient)
    }
}

/// A recipient as age writes it: the same one may be written in capitals. What is none stays as it is.
pub fn as_written(text: &str) -> String {
    parse_one(text).map_or_else(|_| text.to_owned(), |recipient| recipient.to_string())
}

fn parse_one(text: &str) -> Result<x25519::Recipient, RecipientError> {
    let refused = |kind| RecipientError::Refused { recipient: text.chars().take(80).collect(), kind };
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
        return Err(refused("an SSH key"));
    }
    if text.starts_with("AGE-SECRET-KEY") || text.starts_with("AGE-PLUGIN") {
        // Not echoed: it is no recipient but the secret itself.
        return Err(RecipientError::Identity);
    }
    if let Ok(recipient) = x25519::Recipient::from_str(text) {
        return Ok(recipient);
    }
    // A plugin's recipient is `age1<name>1…`; a classic one holds a single `1`, since bech32 data has none.
    let plugin = text.strip_prefix("age1").is_some_and(|rest| rest.contains('1'));
    Err(refused(if plugin { "for an age plugin, and plugins are programs" } else { "not an age X25519 recipient" }))
}

/// Why a recipient was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// Nobody could open the bundle.
    #[error("no recipient was given, so nobody could open the bundle")]
    Nobody,
    /// It is of another kind.
    #[error("the recipient `{recipient}` is {kind}")]
    Refused {
        /// What was given, cut short.
        recipient: String,
        /// What it is.
        kind: &'static str,
    },
    /// It is a private key.
    #[error("an identity (private key) was given where a recipient (public key) is wanted")]
    Identity,
}

/// The private keys that someone opens bundles with.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads an identity file, as `age-keygen` writes it: one `AGE-SECRET-KEY-1…` to a line, comments after `#`.
    pub fn parse(file: &Material) -> Result<Self, IdentityError> {
        // EXPOSE: parsed into keys that wipe themselves
        let text = file.expose_text().map_err(|_| IdentityError::None)?;
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(x25519::Identity::from_str(line).map_err(|_| IdentityError::Line { number: number + 1 })?);
        }
        if keys.is_empty() { Err(IdentityError::None) } else { Ok(Self(keys)) }
    }

    /// One key that is already at hand.
    pub fn one(key: x25519::Identity) -> Self {
        Self(vec![key])
    }

    pub(in crate::transfer) fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|i| i as &dyn age::Identity)
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

/// Why an identity file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It holds no key.
    #[error("there is no age identity in it")]
    None,
    /// A line is neither key nor comment.
    #[error("line {number} is no age X25519 identity")]
    Line {
        /// Which line, from 1.
        number: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_classic_recipients_are_taken() {
        let good = x25519::Identity::generate().to_public().to_string();
        assert_eq!(Recipients::parse([good.as_str(), good.as_str()]).unwrap().count(), 1);
        let kind = |text: &str| match Recipients::parse([text]) {
            Err(RecipientError::Refused { kind, .. }) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            kind("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN a@b"),
            "an SSH key"
        );
        let plugin = "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt";
        assert_eq!(kind(plugin), "for an age plugin, and plugins are programs");
        assert_eq!(kind("age1"), "not an age X25519 recipient");
        assert_eq!(kind("../../bin/sh"), "not an age X25519 recipient");
        assert_eq!(Recipients::parse([]).unwrap_err(), RecipientError::Nobody);
        let secret = "AGE-SECRET-KEY-1CANARY";
        assert!(!Recipients::parse([secret]).unwrap_err().to_string().contains("CANARY"));
    }

    #[test]
    fn a_bad_identity_file_names_the_line_and_no_more() {
        let bad = Identities::parse(&Material::from("# comment\nAGE-SECRET-KEY-1CANARY\n".to_owned())).unwrap_err();
        assert_eq!(bad, IdentityError::Line { number: 2 });
        assert!(!bad.to_string().contains("CANARY"));
        assert_eq!(Identities::parse(&Material::from("# nothing\n".to_owned())).unwrap_err(), IdentityError::None);
    }
}
