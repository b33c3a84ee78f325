//! What `mysql.global_priv` says of one account.

use super::hash::{Hash, Plugin};
use crate::{
    material::Material,
    target::{Account, TargetError},
};
use serde::Deserialize;

/// One row of `mysql.global_priv`.
#[derive(Debug)]
pub(super) struct Privilege {
    /// Whose it is.
    pub(super) account: Account,
    /// The entries of its chain, in the server's order.
    pub(super) chain: Vec<Entry>,
    /// Whether it is locked.
    pub(super) locked: bool,
    /// Whether it demands TLS.
    pub(super) tls: bool,
    /// When its value was last changed, in seconds since 1970; 0 where it was made to expire.
    pub(super) changed: Option<i64>,
    /// After how many days its value expires; -1 for the server's own rule, 0 for never.
    pub(super) lifetime: i64,
    /// What it demands and how much it may use.
    pub(super) conditions: Conditions,
    /// The server's digest of the row: another once anything of it has changed.
    pub(super) mark: String,
}

/// What an account demands of a connection, and how much it may use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Conditions {
    /// 0 for nothing, 1 for TLS, 2 for any certificate, 3 for one that is described.
    #[serde(default)]
    pub(super) ssl_type: i64,
    #[serde(default)]
    pub(super) ssl_cipher: String,
    #[serde(default)]
    pub(super) x509_issuer: String,
    #[serde(default)]
    pub(super) x509_subject: String,
    /// Queries in an hour; 0 for any number, as below.
    #[serde(default)]
    pub(super) max_questions: u64,
    #[serde(default)]
    pub(super) max_updates: u64,
    #[serde(default)]
    pub(super) max_connections: u64,
    #[serde(default)]
    pub(super) max_user_connections: i64,
    /// Seconds, with a fraction.
    #[serde(default)]
    pub(super) max_statement_time: f64,
    /// As [`Privilege::lifetime`].
    #[serde(default = "by_server")]
    pub(super) password_lifetime: i64,
}

fn by_server() -> i64 {
    -1
}

/// One entry of an account's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A value whose hash this is.
    Value(Plugin, Hash),
    /// The empty value.
    Empty(Plugin),
    /// A text that no value meets.
    Never,
    /// The name of the process at the other end of the socket; another user's where one is given.
    Socket(Option<String>),
    /// A plugin that this driver does not know.
    Other(String),
}

impl Privilege {
    /// Understands a row; `None` for a role, which nobody logs in as.
    pub(super) fn parse(user: &str, host: &str, json: &str) -> Result<Option<Self>, serde_json::Error> {
        let stored: Stored = serde_json::from_str(json)?;
        if stored.is_role {
            return Ok(None);
        }
        // In `auth_or` the empty object stands for the plugin at the top level.
        let first = Link { plugin: stored.plugin, authentication_string: stored.authentication_string };
        let chain = match stored.auth_or {
            None => vec![first.entry()],
            Some(links) => links
                .into_iter()
                .map(|link| if link.plugin.is_none() { first.clone().entry() } else { link.entry() })
                .collect(),
        };
        Ok(Some(Self {
            account: Account { user: user.to_owned(), host: host.to_owned() },
            chain,
            locked: stored.account_locked,
            tls: stored.conditions.ssl_type > 0,
            changed: stored.password_last_changed,
            lifetime: stored.conditions.password_lifetime,
            conditions: stored.conditions,
            mark: String::new(),
        }))
    }

    /// Whether any value lets someone in.
    pub(super) fn by_value(&self) -> bool {
        self.chain.iter().any(|entry| matches!(entry, Entry::Value(..) | Entry::Empty(_)))
    }

    /// Whether the node's own socket lets someone in.
    pub(super) fn by_socket(&self) -> bool {
        self.chain.iter().any(|entry| matches!(entry, Entry::Socket(_)))
    }

    /// The plugins of its values, each once.
    pub(super) fn plugins(&self) -> Vec<Plugin> {
        let mut plugins = Vec::new();
        for entry in &self.chain {
            if let Entry::Value(plugin, _) | Entry::Empty(plugin) = entry
                && !plugins.contains(plugin)
            {
                plugins.push(*plugin);
            }
        }
        plugins
    }

    /// Whether the account could accept two values at once.
    pub(super) fn changeable(&self) -> Result<(), Unchangeable> {
        let any = Material::new(Vec::new());
        self.accepting(&[&any, &any]).map(|_| ())
    }

    /// The chain that accepts these values, in the plugin in use, and the socket where it was accepted before.
    pub(super) fn accepting(&self, values: &[&Material]) -> Result<Vec<Entry>, Unchangeable> {
        if let Some(plugin) = self.chain.iter().find_map(|entry| match entry {
            Entry::Other(plugin) => Some(plugin),
            Entry::Value(..) | Entry::Empty(_) | Entry::Never | Entry::Socket(_) => None,
        }) {
            return Err(Unchangeable::Unknown(plugin.clone()));
        }
        let plugin = match self.plugins().as_slice() {
            [] => return Err(Unchangeable::NoValue),
            [Plugin::Ed25519] if values.len() > 1 => return Err(Unchangeable::OneAtATime),
            [plugin] => *plugin,
            [..] => return Err(Unchangeable::Mixed),
        };
        let values = values.iter().map(|value| Entry::Value(plugin, plugin.hash(value)));
        let socket = self.chain.iter().filter(|entry| matches!(entry, Entry::Socket(_))).cloned();
        Ok(values.chain(socket).collect())
    }
}

/// Why an account's chain cannot be declared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unchangeable {
    /// No value lets anyone in.
    #[error("it authenticates by no value, and shall not begin to")]
    NoValue,
    /// Values by two plugins.
    #[error("its values are of two plugins, which some clients cannot follow")]
    Mixed,
    /// Two values where the second could not be proven: to reach it, the server changes the plugin twice, which the SQL
    /// client used here does not follow.
    #[error("it is of the plugin ed25519, where a second value cannot be proven; one value at a time is possible")]
    OneAtATime,
    /// A plugin that this driver does not know.
    #[error("it uses the plugin {0}, which this driver does not know")]
    Unknown(String),
}

impl Unchangeable {
    /// The same for the caller.
    pub(super) fn at(&self, node: &str, account: &Account) -> TargetError {
        TargetError::Unable { node: node.to_owned(), what: format!("{account} cannot be changed: {self}") }
    }
}

#[derive(Deserialize)]
struct Stored {
    plugin: Option<String>,
    authentication_string: Option<String>,
    auth_or: Option<Vec<Link>>,
    #[serde(default)]
    account_locked: bool,
    #[serde(default)]
    is_role: bool,
    password_last_changed: Option<i64>,
    #[serde(flatten)]
    conditions: Conditions,
}

#[derive(Deserialize, Clone)]
struct Link {
    plugin: Option<String>,
    authentication_string: Option<String>,
}

impl Link {
    fn entry(self) -> Entry {
        // Rows from before the plugins have none, which means the native one.
        let name = self.plugin.filter(|name| !name.is_empty()).unwrap_or_else(|| Plugin::Native.name().to_owned());
        let text = self.authentication_string.unwrap_or_default();
        match Plugin::named(&name) {
            Some(plugin) if text.is_empty() => Entry::Empty(plugin),
            Some(plugin) if plugin.is_hash(&text) => Entry::Value(plugin, Hash(text)),
            Some(_) => Entry::Never,
            None if name == "unix_socket" => Entry::Socket(Some(text).filter(|text| !text.is_empty())),
            None => Entry::Other(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "*B69027D44F6E5EDC07F1AEAD1477967B16F28227";

    fn parse(json: &str) -> Privilege {
        Privilege::parse("u", "%", json).unwrap().unwrap()
    }

    #[test]
    fn the_chain_is_in_the_order_of_the_server() {
        let row = parse(&format!(
            r#"{{"plugin":"mysql_native_password","authentication_string":"{X}","auth_or":[{{"plugin":"unix_socket","authentication_string":"d"}},{{}}]}}"#
        ));
        assert_eq!(row.chain, [Entry::Socket(Some("d".into())), Entry::Value(Plugin::Native, Hash(X.into()))]);
    }

    #[test]
    fn an_account_of_the_socket_alone_has_no_value_and_gets_none() {
        let row = parse(
            r#"{"plugin":"mysql_native_password","authentication_string":"invalid","auth_or":[{},{"plugin":"unix_socket"}]}"#,
        );
        assert!(!row.by_value() && row.by_socket());
        assert_eq!(row.accepting(&[&Material::from("x".to_owned())]), Err(Unchangeable::NoValue));
    }

    #[test]
    fn the_socket_and_the_plugin_in_use_are_kept() {
        let row = parse(
            r#"{"plugin":"ed25519","authentication_string":"ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY","auth_or":[{"plugin":"unix_socket"},{}]}"#,
        );
        let value = Material::from("secret".to_owned());
        let expected = [Entry::Value(Plugin::Ed25519, Plugin::Ed25519.hash(&value)), Entry::Socket(None)];
        assert_eq!(row.accepting(&[&value]).unwrap(), expected);
    }

    #[test]
    fn what_is_not_known_is_not_changed() {
        let value = Material::from("x".to_owned());
        let mixed = parse(&format!(
            r#"{{"plugin":"mysql_native_password","authentication_string":"{X}","auth_or":[{{}},{{"plugin":"ed25519","authentication_string":"ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"}}]}}"#
        ));
        assert_eq!(mixed.accepting(&[&value]), Err(Unchangeable::Mixed));
        let pam = parse(r#"{"plugin":"pam","authentication_string":"mariadb"}"#);
        assert_eq!(pam.accepting(&[&value]), Err(Unchangeable::Unknown("pam".into())));
        assert!(Privilege::parse("r", "", r#"{"access":0,"is_role":true}"#).unwrap().is_none());
    }
}
