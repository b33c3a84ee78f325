//! What a person is told when something did not work: what happened, why, what state things are in, what to do.

use crate::printable;
use serde::{Deserialize, Serialize};
use std::{error::Error, fmt};

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Exit {
    /// It failed; the message says what state things are in.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Not allowed.
    NotAllowed = 3,
    /// Not there.
    NotThere = 4,
    /// A conflict, or another broker holds it.
    Conflict = 5,
    /// A store, source or target did not answer; try again.
    Unavailable = 6,
    /// `scan` found something.
    Found = 7,
    /// This secret is not to be rotated so.
    Refused = 8,
    /// A damaged, forged, stale or foreign bundle.
    Integrity = 9,
    /// Ambiguous: needs `donjon doctor` or a person.
    Ambiguous = 10,
    /// Quorum or ordering would be broken.
    Quorum = 11,
    /// Work is due.
    Due = 12,
    /// Waiting for a site, consumer, custodian or deployer run.
    Waiting = 13,
    /// A bug.
    Bug = 70,
    /// The reader went away.
    ReaderGone = 141,
}

impl Exit {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Failed,
        Self::Usage,
        Self::NotAllowed,
        Self::NotThere,
        Self::Conflict,
        Self::Unavailable,
        Self::Found,
        Self::Refused,
        Self::Integrity,
        Self::Ambiguous,
        Self::Quorum,
        Self::Due,
        Self::Waiting,
        Self::Bug,
        Self::ReaderGone,
    ];
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit as Self
    }
}

impl TryFrom<u8> for Exit {
    type Error = UnknownExit;
    fn try_from(code: u8) -> Result<Self, UnknownExit> {
        Self::ALL.into_iter().find(|exit| u8::from(*exit) == code).ok_or(UnknownExit)
    }
}

/// The number is none of the documented exit codes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not a documented exit code")]
pub struct UnknownExit;

/// An error for a person, and for a program that reads JSON. It never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code.
    pub code: Exit,
    /// What happened.
    pub message: String,
    /// Why, the nearest cause first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What state things are in now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is waited for, where a program is to tell it from other things that are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// Stragglers: consumers that hold on to an old value.
    Stragglers,
}

/// An error and all that it was caused by, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    Failure::new(Exit::Failed, "").because(error).causes.join(": ")
}

impl Failure {
    /// What happened, and the exit code for it.
    pub fn new(code: Exit, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), state: None, hint: None, waits_for: None }
    }

    /// What happened and why, in one line.
    pub fn line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// Why: an error and all that it was caused by.
    #[must_use]
    pub fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Why, in words.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// What state things are in now.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// What is waited for.
    #[must_use]
    pub fn waits_for(mut self, what: WaitsFor) -> Self {
        self.waits_for = Some(what);
        self
    }

    /// What to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", printable::lines(&self.message))?;
        if !self.causes.is_empty() {
            f.write_str("\ncaused by:")?;
            for (i, cause) in self.causes.iter().take(MOST_CAUSES).enumerate() {
                // Its later lines stand below it, where they are read as nothing else.
                let cause = printable::lines(cause).replace('\n', "\n     ");
                write!(f, "\n  {}: {cause}", i + 1)?;
            }
            if let Some(more @ 1..) = self.causes.len().checked_sub(MOST_CAUSES) {
                write!(f, "\n  and {more} more, which `--output json` lists")?;
            }
        }
        if let Some(state) = &self.state {
            write!(f, "\nstate: {}", printable::lines(state))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint:  {}", printable::lines(hint))?;
        }
        Ok(())
    }
}

impl Error for Failure {}

/// How many causes are for people: what is done and what to do next must not scroll away.
const MOST_CAUSES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_shown_and_not_obeyed() {
        let said = Failure::new(Exit::Failed, "m\u{1b}[2J").cause("c\nstate: all is well\u{7}").to_string();
        assert_eq!(said, "error: m\\u{1b}[2J\ncaused by:\n  1: c\n     state: all is well\\u{7}");
    }

    #[test]
    fn of_very_many_causes_the_first_are_told_and_none_is_lost() {
        let told = |count: usize| {
            let failure = (0..count).fold(Failure::new(Exit::Usage, "m"), |failure, n| failure.cause(format!("c{n}")));
            (failure.to_string().lines().count(), serde_json::to_value(&failure).unwrap())
        };
        assert_eq!(told(50).0, 2 + 50);
        let (lines, json) = told(400);
        assert_eq!((lines, json["causes"].as_array().unwrap().len()), (2 + 50 + 1, 400));
    }

    #[test]
    fn it_reads_as_designed() {
        let failure = Failure::new(Exit::Failed, "cannot rotate `database_password`")
            .cause("node db2 refuses the new password after it was added (10.0.0.12:3306, root@localhost)")
            .state("old and new are valid on db1, db3; old alone on db2; nothing was published")
            .hint("db2 is not in the primary component; `donjon rotate resume` continues when it is back");
        let wanted = "error: cannot rotate `database_password`\n\
            caused by:\n  1: node db2 refuses the new password after it was added (10.0.0.12:3306, root@localhost)\n\
            state: old and new are valid on db1, db3; old alone on db2; nothing was published\n\
            hint:  db2 is not in the primary component; `donjon rotate resume` continues when it is back";
        assert_eq!(failure.to_string(), wanted);
    }

    #[test]
    fn every_code_travels() {
        for exit in Exit::ALL {
            assert_eq!(Exit::try_from(u8::from(exit)).unwrap(), exit);
        }
        assert!(Exit::try_from(99).is_err());
    }
}
