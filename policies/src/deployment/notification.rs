//! Who is told how rotations go, as the deployment file says.
//!
//! ```yaml
//! notifications:
//!   - {name: operations, webhook: 'https://hooks.example/donjon', on: [failed, overdue, waiting, straggler]}
//!   - {name: database squad, command: [/usr/local/bin/page, database], secrets: [database_password, '*_database_password']}
//! ```

use crate::{name::SecretName, pattern::Pattern};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Notification {
    /// Who: a squad, say. It is part of what is told.
    pub name: String,
    /// How.
    pub means: Means,
    /// Of which happenings; of all where none is given.
    pub on: Vec<Happening>,
    /// Of which secrets, by name or pattern; of all where none is given.
    pub secrets: Vec<Pattern>,
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// By an HTTP POST of JSON to this address.
    Webhook(String),
    /// By this program on the deployment host, which reads JSON on standard input.
    Command(Vec<String>),
}

/// What somebody is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A rotation ended.
    Done,
    /// A rotation failed, or went back.
    Failed,
    /// A rotation waits for a person, a site or a deployer run.
    Waiting,
    /// Somebody still uses an old value.
    Straggler,
    /// A secret is due and is not being rotated.
    Overdue,
}

impl Notification {
    /// Whether they are told of this.
    pub fn wants(&self, happening: Happening, secrets: &[SecretName]) -> bool {
        let on = self.on.is_empty() || self.on.contains(&happening);
        let named = |secret: &SecretName| self.secrets.iter().any(|pattern| pattern.names(secret));
        on && (self.secrets.is_empty() || secrets.iter().any(named))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    webhook: Option<String>,
    #[serde(default)]
    command: Option<Vec<String>>,
    #[serde(default)]
    on: Vec<Happening>,
    #[serde(default)]
    secrets: Vec<Pattern>,
}

impl TryFrom<Written> for Notification {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, webhook, command, on, secrets } = written;
        let http = |address: &String| address.starts_with("https://") || address.starts_with("http://");
        let program = |words: &Vec<String>| words.first().is_some_and(|word| word.starts_with('/'));
        let means = match (webhook.filter(http), command.filter(program)) {
            (Some(address), None) => Means::Webhook(address),
            (None, Some(words)) => Means::Command(words),
            (Some(_), Some(_)) | (None, None) => {
                return Err(format!(
                    "the notification `{name}` needs either a `webhook` (http:// or https://) or a `command` (the absolute \
                     path of a program, and its arguments)"
                ));
            }
        };
        Ok(Self { name, means, on, secrets })
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Straggler => "straggler",
            Self::Overdue => "overdue",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::Deployment;

    fn read(one: &str) -> Result<Notification, String> {
        let parsed = Deployment::parse("f", &format!("deployment: d\nnotifications: [{one}]\n"));
        let mut parsed = parsed.map_err(|mistakes| mistakes[0].to_string())?;
        parsed.notifications.pop().ok_or_else(|| "none".to_owned())
    }

    #[test]
    fn squads_are_told_of_their_own_secrets() {
        let squad =
            read("{name: db, command: [/bin/page, db], secrets: ['*_database_password'], on: [failed]}").unwrap();
        assert_eq!(squad.means, Means::Command(vec!["/bin/page".into(), "db".into()]));
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<SecretName>>();
        assert!(squad.wants(Happening::Failed, &names(&["other", "nova_database_password"])));
        assert!(!squad.wants(Happening::Done, &names(&["nova_database_password"])));
        assert!(!squad.wants(Happening::Failed, &names(&["other"])));
        let all = read("{name: ops, webhook: 'https://hooks.example/x'}").unwrap();
        assert!(all.wants(Happening::Overdue, &names(&["other"])));
    }

    #[test]
    fn it_has_one_way_and_no_word_that_nobody_knows() {
        for bad in [
            "{name: a}",
            "{name: a, webhook: 'ftp://x'}",
            "{name: a, command: [page]}",
            "{name: a, command: []}",
            "{name: a, webhook: 'https://x', command: [/x]}",
            "{name: a, webhook: 'https://x', on: [sometimes]}",
            "{name: a, webhook: 'https://x', secret: [x]}",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
