//! What is rotated and with what: the secrets, the targets that must accept them, and the consumers to restart.

use super::open::{Back, Hosts};
use donjon_drivers::{
    drain::Drain,
    keyring::Keyring,
    service::{Service, fed::Fed},
    target::Target,
};
use donjon_policies::{
    name::{HostName, SecretName, ServiceName, SiteName, TargetName},
    transition::Path,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Secrets that rotate as one, with everything that their rotation touches: each consumer restarts once for all of them.
#[derive(Clone)]
pub struct Subject {
    /// The way all of them go.
    pub path: Path,
    /// Whether others know the old values.
    pub compromised: bool,
    /// The sites that have any of them.
    pub sites: BTreeSet<SiteName>,
    /// The secrets, in the order of their names.
    pub secrets: Vec<Item>,
    /// The targets by their names in the deployment file.
    pub targets: BTreeMap<TargetName, Reached>,
    /// The repositories of keys that the secrets hold.
    pub keyrings: BTreeMap<SecretName, Arc<dyn Keyring>>,
    /// The views that the secrets are part of, with their templates.
    pub views: Vec<(SecretName, String)>,
    /// The consumers.
    pub instances: Vec<Instance>,
    /// Which of the consumers restart together, one group after the other; each is named by its place in `instances`.
    pub groups: Vec<Vec<usize>>,
    /// The order in which consumers that were touched return to the old value.
    pub back: Back,
    /// The hosts of the deployment, and where their sessions come from.
    pub hosts: Hosts,
    /// For how long knocks with an old value are watched for once it is refused.
    pub trial: Duration,
    /// For how long the previous value is kept.
    pub keep_previous: Duration,
    /// For how long sessions from before the restarts may stay before the rotation says that it waits.
    pub drain: Duration,
}

/// One secret that is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The secret.
    pub secret: SecretName,
    /// Where its value is accepted; empty where its consumers share it among themselves.
    pub credentials: Vec<Credential>,
}

/// The accounts of one target that have the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The target's name in the deployment file.
    pub target: TargetName,
    /// How a new value gets there.
    pub way: Way,
    /// The users whose accounts have the value. One that the target does not know is passed over.
    pub users: Vec<String>,
}

/// How an account comes to a new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It accepts both for a while.
    Both,
    /// A twin accepts the new one, and the account goes.
    Twin,
    /// It accepts the old one, then the new one.
    Switch,
}

/// A target and who changes accounts there.
#[derive(Clone)]
pub struct Reached {
    /// The target.
    pub target: Arc<dyn Target>,
    /// Who changes the accounts there.
    pub administrator: Administrator,
    /// Where it stands.
    pub stands: Stands,
}

/// Where a target stands on the way of its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// At its end.
    AtTheEnd,
    /// Before another target, to which it logs in itself: consumers are seen here, and never there.
    Between,
}

/// Who changes accounts on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// Its account name, or that of which it is a twin.
    pub user: String,
    /// The secret that holds its value; it may be one that is rotated.
    pub secret: SecretName,
}

/// One consumer on one host.
#[derive(Clone)]
pub struct Instance {
    /// The service.
    pub service: ServiceName,
    /// Its host.
    pub host: HostName,
    /// Which of the rotated secrets it uses, itself or through views.
    pub uses: BTreeSet<SecretName>,
    /// Where its sessions come from, as targets tell it.
    pub addresses: Addresses,
    /// What restarts it.
    pub driver: Arc<dyn Service>,
    /// What leads clients away before.
    pub drain: Option<Arc<dyn Drain>>,
    /// A check that tries a login with the value of a secret or view.
    pub fed: Option<FedBy>,
    /// How long it may take to be proven after a restart.
    pub settle: Duration,
    /// What proves it.
    pub proof: Proof,
}

/// A check that is fed a value, and the secret or view whose value that is.
#[derive(Debug, Clone)]
pub struct FedBy {
    /// The secret or view.
    pub name: SecretName,
    /// The check.
    pub check: Fed,
}

/// Where the sessions of a host come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// From these: addresses, or names where the target resolves them.
    Known(BTreeSet<String>),
    /// Nobody knows: any new session of the account counts.
    Unknown,
}

/// What proves that a consumer runs on the new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A session at each target that began after its restart, and its health check.
    Session,
    /// Its health check alone, which logs in by itself.
    Check,
}

impl Instance {
    /// `service@host`, as people write it.
    pub fn place(&self) -> String {
        format!("{}@{}", self.service, self.host)
    }
}

impl Subject {
    /// `a`, `b and c`, for messages.
    pub fn names(&self) -> String {
        self.secrets.iter().map(|item| format!("`{}`", item.secret)).collect::<Vec<_>>().join(", ")
    }
}

impl Addresses {
    /// Whether a session is known to come from here.
    pub fn tells(&self, from: &str) -> bool {
        matches!(self, Self::Known(_)) && self.hold(from)
    }

    /// Whether a session that a target tells of comes from here. Targets write `address:port`, `[address]:port`, or a
    /// name; MariaDB writes `localhost` for its own socket.
    pub fn hold(&self, from: &str) -> bool {
        match self {
            Self::Unknown => true,
            Self::Known(known) => {
                let without_port = from.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
                let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
                known.contains(&bare(from)) || without_port.is_some_and(|(host, _)| known.contains(&bare(host)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_by_its_address_whatever_its_port() {
        let known = Addresses::Known(["10.0.0.7", "::1", "web1", "localhost"].map(str::to_owned).into());
        for from in ["10.0.0.7", "10.0.0.7:4711", "[::1]:5", "::1", "web1:33", "WEB1", "localhost"] {
            assert!(known.hold(from), "{from}");
        }
        for from in ["10.0.0.77", "10.0.0.77:7", "10.0.0:7", "", "web11", "::11"] {
            assert!(!known.hold(from), "{from}");
        }
    }
}
