//! What an examination found, without a value: who accepts what, and what the journal says.

use crate::transfer::standing::Behind;
use donjon_drivers::{store::Version, target::Account};
use donjon_policies::{
    name::{SecretName, TargetName},
    transition::{Path, State},
};
use serde::{Serialize, Serializer};
use std::fmt;

/// Everything that is known of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chart {
    /// The secret.
    pub secret: SecretName,
    /// The rotation that has not ended, where there is one.
    pub rotation: Option<Standing>,
    /// The stored values, the one that is served first.
    pub values: Vec<Stored>,
    /// Fresh logins.
    pub logins: Vec<Try>,
    /// What the targets or the deployment file have that is not in order.
    pub troubles: Vec<String>,
    /// Where every value of the administrator is refused.
    pub administrator_refused: Vec<TargetName>,
    /// Its accounts that a target lets in by a node's own socket, and by no value.
    #[serde(serialize_with = "named")]
    pub by_socket: Vec<(TargetName, Vec<Account>)>,
    /// Users of it that a target has no account of, while no rotation needs one.
    pub without_account: Vec<(TargetName, String)>,
    /// A service of the deployment uses it, so that its accounts should be there.
    #[serde(skip)]
    pub in_use: bool,
    /// Where nodes fetch a full copy from each other with its value, and no account is there that needs none.
    #[serde(skip)]
    pub transfers: Option<TargetName>,
}

/// A rotation that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Its name.
    pub id: String,
    /// The way it goes.
    pub path: Path,
    /// Where it stands.
    pub state: State,
    /// What that means.
    pub meaning: &'static str,
    /// When it came there, in microseconds since 1970.
    pub since: Option<i64>,
    /// What it waits for.
    pub waiting: Option<String>,
    /// Why it goes back.
    pub undone: Option<String>,
    /// This daemon drives it at this moment.
    pub driven: bool,
    /// The secret's labels name it.
    pub holds: bool,
    /// Which of the stored values is the new one, where it is there.
    pub new: Option<Label>,
    /// The sites that it waits for, as of now.
    #[serde(serialize_with = "sites")]
    pub behind: Vec<Behind>,
    /// Consumers that were restarted and are not proven, as `service@host`.
    pub unproven: Vec<String>,
}

/// A stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Which one.
    pub label: Label,
    /// Its version among those that consumers read; a pending one has none.
    pub version: Option<Version>,
}

/// Which stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// New, and served to nobody yet.
    Pending,
    /// What is served.
    Current,
    /// What was served before.
    Previous,
}

/// One fresh login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Try {
    /// The target.
    pub target: TargetName,
    /// The node.
    pub node: String,
    /// Its address.
    pub address: String,
    /// The account.
    #[serde(serialize_with = "shown")]
    pub account: Account,
    /// The account that it is a twin of, or itself.
    #[serde(skip)]
    pub place: Account,
    /// With which value.
    pub value: Label,
    /// What came of it.
    pub answer: Answer,
    /// Why, where that is not the server's own no.
    pub why: Option<String>,
}

/// What came of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The server let it in.
    Accepted,
    /// The server refused it.
    Refused,
    /// Nobody can log in as this account.
    Shadowed,
    /// It cannot be tried from here.
    Unprovable,
    /// The node did not answer.
    Unreachable,
}

impl Chart {
    /// The version of a stored value.
    pub fn version(&self, label: Label) -> Option<Version> {
        self.values.iter().find(|stored| stored.label == label).and_then(|stored| stored.version)
    }
}

impl Standing {
    /// The value that is served is the new one already.
    pub fn published(&self) -> bool {
        self.new == Some(Label::Current)
    }

    /// Which of the stored values is the old one.
    pub fn old(&self) -> Label {
        if self.published() { Label::Previous } else { Label::Current }
    }
}

impl Try {
    /// `root@localhost on db1 (10.0.0.12:3306)`.
    pub fn named(&self) -> String {
        format!("{} on {} ({})", self.account, self.node, self.address)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
        })
    }
}

fn named<S: Serializer>(accounts: &[(TargetName, Vec<Account>)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(accounts.iter().flat_map(|(_, accounts)| accounts).map(ToString::to_string))
}

fn sites<S: Serializer>(behind: &[Behind], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(behind.iter().map(ToString::to_string))
}

fn shown<S: Serializer>(account: &Account, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(account)
}
