//! Targets: servers that must accept a credential.
//!
//! A driver is told which values an account shall accept, not how to get there: declaring the same twice changes
//! nothing, so every step of a rotation may be repeated. What a server says of itself is not believed; a fresh login is.

pub mod command;
pub mod conformance;
mod described;
pub mod fence;
pub mod keystone;
pub mod mariadb;
pub mod proxysql;
pub mod rabbitmq;
pub mod redis;
pub mod registry;
pub mod sshkeys;
mod stream;

use crate::material::Material;
use async_trait::async_trait;
use donjon_policies::name::SecretName;
use fence::{Fence, Fenced, Fencing};
use std::{fmt, time::SystemTime};

/// A server, of one or more nodes, that accepts credentials.
#[async_trait]
pub trait Target: Send + Sync {
    /// What this target can do; checked against the catalogue when the deployment loads.
    fn capabilities(&self) -> Capabilities;

    /// The nodes, in the order of the deployment file.
    fn nodes(&self) -> &[Node];

    /// The secrets that its options name: what they hold is needed beside the administrator's value ([`Admin::passes`]).
    fn named(&self) -> Vec<SecretName> {
        Vec::new()
    }

    /// Who asks [`Admin::fence`] before a change.
    fn fencing(&self) -> Fencing {
        Fencing::Caller
    }

    /// Every account of a user on every node, and anything that would make a change of it unsafe: an account that accepts
    /// something that is none of the `known` values was changed by someone else.
    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError>;

    /// Makes an account accept exactly these values, the likeliest first, whatever it accepted before.
    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError>;

    /// As [`Self::declare`] for several accounts in one turn; `done` hears of each that a node has been told of.
    async fn declare_all(
        &self,
        admin: &Admin<'_>,
        accounts: &[&Account],
        values: &[&Material],
        done: &(dyn Fn() + Send + Sync),
    ) -> Result<(), TargetError> {
        for account in accounts {
            self.declare(admin, account, values).await?;
            done();
        }
        Ok(())
    }

    /// A fresh login at one node from where the account's host entry matches. `among` names every account of the user
    /// ([`Survey::entries`]): a server says no without saying which account it asked, so the place to try from is chosen
    /// such that it can only be this one.
    async fn login(
        &self,
        node: &Node,
        account: &Account,
        among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError>;

    /// Sessions of a user on a node.
    async fn sessions(
        &self,
        admin: &Admin<'_>,
        node: &Node,
        user: &str,
        began: Began,
    ) -> Result<Vec<Session>, TargetError>;

    /// A mark: every session that begins from now on is later than it.
    async fn mark(&self, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError>;

    /// Ends the sessions of a user on a node that began no later than a mark, whoever holds them.
    async fn end_sessions(&self, admin: &Admin<'_>, node: &Node, user: &str, until: Mark) -> Result<(), TargetError> {
        let _ = (admin, until);
        Err(TargetError::Unable {
            node: node.name.clone(),
            what: format!("the driver `{}` cannot end the sessions of {user}", self.capabilities().driver),
        })
    }

    /// The logins that a node has refused since a point in its record of them, or where that record ends now; `None` where
    /// it keeps none that can be read.
    async fn knocks(&self, node: &Node, since: Option<u64>) -> Result<Option<Knocks>, TargetError> {
        let _ = (node, since);
        Ok(None)
    }

    /// Makes `twin` an account with exactly the rights that `account` has and that accepts exactly this value, whether or
    /// not it was there before. For `dual-user`; a target whose [`Capabilities::twins`] is [`Twins::No`] has none.
    async fn twin(
        &self,
        admin: &Admin<'_>,
        account: &Account,
        twin: &Account,
        value: &Material,
    ) -> Result<(), TargetError> {
        let _ = (admin, twin, value);
        Err(self.twinless(account))
    }

    /// Removes an account for good, with its rights; one that is not there is removed already. The server may end its
    /// sessions or leave them.
    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        let _ = admin;
        Err(self.twinless(account))
    }

    /// What a target without twins answers.
    #[doc(hidden)]
    fn twinless(&self, account: &Account) -> TargetError {
        TargetError::Unable {
            node: self.nodes().first().map(|node| node.name.clone()).unwrap_or_default(),
            what: format!("the driver `{}` cannot give {account} a twin", self.capabilities().driver),
        }
    }
}

/// Who changes accounts: a user and the values it may have, the likeliest first. Each is tried once per node.
#[derive(Clone, Copy)]
pub struct Admin<'a> {
    /// The administrator's account name.
    pub user: &'a str,
    /// What it may log in with.
    pub values: &'a [&'a Material],
    /// Whether it may still change what it is about to; without one, nobody else does.
    pub fence: Option<&'a dyn Fence>,
    /// The values of the secrets that the target's options name ([`Target::named`]), the likeliest of each first.
    pub passes: &'a [Pass],
}

/// A value of a secret that a target's options name.
#[derive(Debug)]
pub struct Pass {
    /// The secret.
    pub secret: SecretName,
    /// Its value.
    pub value: Material,
}

impl fmt::Debug for Admin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("user", &self.user).field("values", &self.values).finish_non_exhaustive()
    }
}

/// One node of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in the deployment file.
    pub name: String,
    /// Its address, for messages: `10.0.0.12:3306`.
    pub address: String,
}

/// One account: in MariaDB, a user and a host entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// The user name.
    pub user: String,
    /// From where it may log in; empty where the target knows no such thing.
    pub host: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str() {
            "" => f.write_str(&self.user),
            host => write!(f, "{}@{host}", self.user),
        }
    }
}

/// What is there before a change.
#[derive(Debug)]
pub struct Survey {
    /// Every account of the user that authenticates by a value: what a rotation changes.
    pub accounts: Vec<Account>,
    /// Every account that a login of the user could match, those without a value included.
    pub entries: Vec<Account>,
    /// Those that a node lets in by its own socket, for what the system says of them, and by no value.
    pub by_socket: Vec<Account>,
    /// Why a change would not be safe now. Empty where it is.
    pub hazards: Vec<Hazard>,
}

/// Something that would make a change unsafe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {what}")]
pub struct Hazard {
    /// The node.
    pub node: String,
    /// What was found, and what to do about it.
    pub what: String,
}

/// What a fresh login found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// The server let it in, as this very account.
    Accepted,
    /// The server refused it.
    Refused,
    /// Nobody can log in as this account: at the one place that it covers, this other account of the user answers.
    Shadowed(String),
    /// It cannot be tried from here as this account; why.
    Unprovable(String),
}

/// A point in the sequence of a node's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Mark(pub u64);

/// Which sessions are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Began {
    /// Every one that is open.
    AnyTime,
    /// Those that began no later than a mark: none where the server lost them all since.
    NoLaterThan(Mark),
}

impl Began {
    /// Whether a session of this mark is one of them.
    pub fn holds(self, mark: Mark) -> bool {
        match self {
            Self::AnyTime => true,
            Self::NoLaterThan(until) => mark <= until,
        }
    }
}

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its place in the node's sequence.
    pub mark: Mark,
    /// Where it comes from.
    pub from: String,
    /// Since when it is open, where the server tells.
    pub since: Option<SystemTime>,
}

/// Logins that a node has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knocks {
    /// The point up to which they were read.
    pub point: u64,
    /// They.
    pub refused: Vec<Knock>,
}

/// A login that a node has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// As whom.
    pub user: String,
    /// Where it came from.
    pub from: String,
}

/// What a target can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// The name of the driver.
    pub driver: &'static str,
    /// How many values one account can accept at once.
    pub values_at_once: usize,
    /// Whether it can give a user a twin with the same rights.
    pub twins: Twins,
    /// Whether it tells the sessions that are open.
    pub sessions: Sessions,
}

/// Whether a target can give a user a twin with the same rights, and take it away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twins {
    /// It can.
    Yes,
    /// It cannot.
    No,
}

/// Whether a target tells the sessions that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// It does, so that a consumer can be proven by its own login.
    Told,
    /// It keeps none or hides them: consumers are proven by their own checks alone.
    Untold,
}

/// Why a target did not do what was asked. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It did not answer in time. Whether a change took effect is unknown: probe.
    #[error("node {node} did not answer ({address})")]
    Unreachable {
        /// The node.
        node: String,
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// None of the administrator's values is accepted.
    #[error("node {node} refuses every value that is stored for {user} ({address})")]
    AdminRefused {
        /// The node.
        node: String,
        /// Its address.
        address: String,
        /// The administrator.
        user: String,
    },
    /// The server refused the change. Whether all of it was refused is unknown: probe.
    #[error("node {node} refuses to change {account}: error {code}")]
    Refused {
        /// The node.
        node: String,
        /// The account.
        account: Account,
        /// The server's error code.
        code: u16,
    },
    /// Nothing was changed: it is not certain that the caller may.
    #[error("node {node} was left as it is")]
    Fenced {
        /// The node.
        node: String,
        /// Why.
        #[source]
        source: Fenced,
    },
    /// The change is not possible here.
    #[error("node {node}: {what}")]
    Unable {
        /// The node.
        node: String,
        /// Why.
        what: String,
    },
}
