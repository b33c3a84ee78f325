//! One secret of a catalogue: its class, its credentials and those who read it.

use super::sink::Sink;
use crate::{
    name::{SecretName, ServiceName},
    recipe::Recipe,
    strategy::{Outage, Strategy},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a catalogue says of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its canonical name.
    pub name: SecretName,
    /// What sort of thing it is.
    pub class: Class,
    /// How a value is made.
    pub recipe: Recipe,
    /// Whether the deployer still knows it.
    pub standing: Standing,
    /// Where it is accepted and how it changes there. At least one, unless it is [`Standing::Older`].
    pub credentials: Vec<Credential>,
    /// The services that use it.
    pub consumers: Vec<ServiceName>,
    /// What restarts when it changes, in the order of the file.
    pub restart: Vec<ServiceName>,
    /// The files that hold it in clear, beside the stores that services read themselves.
    pub sinks: Vec<Sink>,
    /// Older names, accepted on import.
    pub aliases: Vec<SecretName>,
    /// What an operator should know.
    pub notes: Option<String>,
}

/// One account or key that a secret feeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// The kind of server that accepts it.
    pub target: TargetKind,
    /// How it changes there.
    pub strategy: Strategy,
    /// Its accounts there; one without a host or domain means all entries of that name.
    pub accounts: Vec<Account>,
    /// Proxies that may stand in between and authenticate clients themselves.
    pub through: Vec<TargetKind>,
    /// When it changes in a rotation of everything.
    pub phase: Phase,
}

/// A kind of server that accepts credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// MariaDB or MySQL, Galera included.
    Mariadb,
    /// ProxySQL: holds its own copy of each user's password.
    Proxysql,
    /// RabbitMQ.
    Rabbitmq,
    /// Redis or Valkey, sentinels included.
    Redis,
    /// Keystone: users in a domain.
    Keystone,
    /// A repository of keys on each node (Fernet, credential keys, KEK lists).
    Keyring,
    /// `authorized_keys` on each node.
    Sshkeys,
    /// Something changed by a command of its own (Ceph, Grafana, an operating system's user).
    Command,
    /// No server: the consumers hold the value among themselves.
    Consumers,
}

/// An account on a target: `user`, `user@host` (MariaDB) or `user@domain` (Keystone).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Account {
    /// The user, or the client's name.
    pub user: String,
    /// The host entry or domain, where only one is meant.
    pub at: Option<String>,
}

/// When a credential changes in a rotation of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// In this wave, from 1; lower ones are finished first.
    Wave(u8),
    /// Never together with others: only when named.
    Alone,
}

/// Whether the deployer still knows a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is generated and used.
    Current,
    /// It is accepted on import, never generated or rotated.
    Older,
}

/// Declares an enum of words with `ALL`, `word` and `Display`.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $type { $($(#[$variant_doc])* $variant,)+ }

        impl $type {
            /// Every one of them.
            pub const ALL: &'static [$type] = &[$($type::$variant,)+];

            /// The word for it in a catalogue.
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What sort of thing a secret is.
    Class {
        /// A database's own root account.
        DatabaseRoot = "database-root",
        /// A database account for state transfer or backup.
        DatabaseBackup = "database-backup",
        /// A database account for health checks and metrics.
        DatabaseMonitor = "database-monitor",
        /// A service's database account.
        DatabaseUser = "database-user",
        /// One value for a service's database account and its Keystone user.
        ServiceUser = "service-user",
        /// A service's Keystone user.
        KeystoneUser = "keystone-user",
        /// Keystone's administrator.
        KeystoneAdmin = "keystone-admin",
        /// A user that administers a domain.
        KeystoneDomainUser = "keystone-domain-user",
        /// A message broker's account.
        MessageUser = "message-user",
        /// The password of a key-value server.
        KeyValuePassword = "key-value-password",
        /// A log-in or statistics page for people and exporters.
        Interface = "interface",
        /// A value several services sign, encrypt or recognise each other with.
        SharedSecret = "shared-secret",
        /// A key that locks stored data.
        DataKey = "data-key",
        /// A passphrase on a key file.
        KeyPassphrase = "key-passphrase",
        /// Keys that sign tokens.
        TokenKeys = "token-keys",
        /// An SSH key pair.
        SshKeyPair = "ssh-key-pair",
        /// A Ceph client's key.
        CephKey = "ceph-key",
        /// What lets a node into a cluster.
        ClusterKey = "cluster-key",
        /// A password of the operating system or of an agent on it.
        HostPassword = "host-password",
        /// A salt: known to whoever sees the hash.
        Salt = "salt",
        /// The name of something, drawn at random; not secret.
        Identifier = "identifier",
        /// Belongs to something outside the deployment.
        External = "external",
        /// Made by the deployer though nothing reads it.
        Unused = "unused",
    }
}

impl Entry {
    /// What a change costs, the worst of its credentials; `None` where one of them refuses it or there is none.
    pub fn outage(&self) -> Option<Outage> {
        let costs: Option<Vec<Outage>> =
            self.credentials.iter().map(|credential| credential.strategy.outage()).collect();
        costs?.into_iter().max()
    }

    /// Whether a rotation of everything takes it along: no credential refuses it or wants to be alone.
    pub fn in_bulk(&self) -> bool {
        self.outage().is_some() && self.credentials.iter().all(|credential| credential.phase != Phase::Alone)
    }

    /// Whether nodes of a Galera cluster fetch a full copy from each other with it: it stands in each node's configuration.
    pub fn is_of_state_transfer(&self) -> bool {
        self.sinks.iter().any(|sink| sink.option.as_deref() == Some("wsrep_sst_auth"))
    }
}

impl Class {
    /// Whether the value must not be seen: all but identifiers.
    pub fn is_secret(self) -> bool {
        self != Class::Identifier
    }
}

impl TargetKind {
    /// Every kind.
    pub const ALL: [TargetKind; 9] = [
        TargetKind::Mariadb,
        TargetKind::Proxysql,
        TargetKind::Rabbitmq,
        TargetKind::Redis,
        TargetKind::Keystone,
        TargetKind::Keyring,
        TargetKind::Sshkeys,
        TargetKind::Command,
        TargetKind::Consumers,
    ];

    /// The word for it in a catalogue.
    pub fn word(self) -> &'static str {
        match self {
            TargetKind::Mariadb => "mariadb",
            TargetKind::Proxysql => "proxysql",
            TargetKind::Rabbitmq => "rabbitmq",
            TargetKind::Redis => "redis",
            TargetKind::Keystone => "keystone",
            TargetKind::Keyring => "keyring",
            TargetKind::Sshkeys => "sshkeys",
            TargetKind::Command => "command",
            TargetKind::Consumers => "consumers",
        }
    }

    /// Whether a credential there is worth nothing without an account.
    pub fn has_accounts(self) -> bool {
        match self {
            TargetKind::Mariadb
            | TargetKind::Proxysql
            | TargetKind::Rabbitmq
            | TargetKind::Redis
            | TargetKind::Keystone => true,
            TargetKind::Keyring | TargetKind::Sshkeys | TargetKind::Command | TargetKind::Consumers => false,
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Account {
    /// Reads `user` or `user@place`; `None` when a part is empty or holds a quote, a backslash, a blank or a control.
    pub fn read(word: &str) -> Option<Account> {
        let fits = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '\'' | '"' | '`' | '\\');
        let (user, at) = match word.rsplit_once('@') {
            Some((user, at)) => (user, Some(at)),
            None => (word, None),
        };
        let whole = !user.is_empty() && at.is_none_or(|at| !at.is_empty()) && word.chars().all(fits);
        whole.then(|| Account { user: user.to_owned(), at: at.map(str::to_owned) })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{}@{at}", self.user),
            None => f.write_str(&self.user),
        }
    }
}

impl From<Account> for String {
    fn from(account: Account) -> String {
        account.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_user_with_or_without_a_place() {
        let read = |word: &str| Account::read(word).map(|account| (account.user, account.at));
        assert_eq!(read("root"), Some(("root".to_owned(), None)));
        assert_eq!(read("root@%"), Some(("root".to_owned(), Some("%".to_owned()))));
        assert_eq!(read("a@b@::1"), Some(("a@b".to_owned(), Some("::1".to_owned()))));
        for bad in ["", "@", "root@", "@%", "a b", "a'b", "a`", "a\\", "a\0"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
