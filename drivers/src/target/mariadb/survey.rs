//! What is there before a change, on every node, and what would make a change unsafe.

use super::{
    connection::{Connection, Fault},
    privilege::{Entry, Privilege},
    server::MariaDb,
};
use crate::{
    material::Material,
    target::{Account, Admin, Hazard, Node, Survey, Target, TargetError},
};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

/// Surveys every node.
pub(super) async fn survey(
    target: &MariaDb,
    admin: &Admin<'_>,
    user: &str,
    known: &[&Material],
) -> Result<Survey, TargetError> {
    let mut hazards = Vec::new();
    let (mut entries, mut by_socket) = (BTreeSet::new(), BTreeSet::new());
    let mut accounts: BTreeMap<Account, Vec<&str>> = BTreeMap::new();
    let looks = join_all(target.nodes().iter().map(|node| look(target, node, admin))).await;
    for (node, looked) in target.nodes().iter().zip(looks) {
        let mut say = |what: String| hazards.push(Hazard { node: node.name.clone(), what });
        let (state, rows) = looked?;
        state.hazards().into_iter().for_each(&mut say);
        let ready = state.is_ready();
        let encrypted = target.member(node)?.tls_ca.is_some();
        let own: Vec<_> = rows.iter().filter(|row| row.account.user == user).collect();
        for row in rows.iter().filter(|row| row.account.user.is_empty() && ready) {
            if !own.iter().any(|own| own.account.host == row.account.host) {
                say(format!(
                    "the anonymous account ''@'{}' answers for `{user}` from there; remove it first",
                    row.account.host
                ));
            }
        }
        for row in own {
            entries.insert(row.account.clone());
            if row.by_value() {
                unsafe_to_change(row, known, &state, encrypted).into_iter().for_each(&mut say);
                accounts.entry(row.account.clone()).or_default().push(&node.name);
            } else if row.by_socket() {
                by_socket.insert(row.account.clone());
            }
        }
    }
    for (account, nodes) in &accounts {
        for node in target.nodes().iter().filter(|node| !nodes.contains(&node.name.as_str())) {
            hazards.push(Hazard {
                node: node.name.clone(),
                what: format!("{account} is not there, or has no value there, but is on {}", nodes.join(", ")),
            });
        }
    }
    by_socket.retain(|account| !accounts.contains_key(account));
    if accounts.is_empty() && by_socket.is_empty() {
        let node = target.nodes().first().map_or_else(String::new, |node| node.name.clone());
        hazards.push(Hazard { node, what: format!("no account of `{user}` authenticates by a value") });
    }
    Ok(Survey {
        accounts: accounts.into_keys().collect(),
        entries: entries.into_iter().collect(),
        by_socket: by_socket.into_iter().collect(),
        hazards,
    })
}

/// A node's state, and every account of one that is ready.
async fn look(target: &MariaDb, node: &Node, admin: &Admin<'_>) -> Result<(State, Vec<Privilege>), TargetError> {
    let mut connection = target.administer(node, admin).await?;
    let state = State::of(&mut connection).await.map_err(|fault| fault.at(node))?;
    let rows = if state.is_ready() { privileges(&mut connection, node).await? } else { Vec::new() };
    connection.close().await;
    Ok((state, rows))
}

/// Every account of a node.
pub(super) async fn privileges(connection: &mut Connection, node: &Node) -> Result<Vec<Privilege>, TargetError> {
    let rows = connection
        .rows("SELECT User, Host, Priv, SHA2(Priv, 256) FROM mysql.global_priv")
        .await
        .map_err(|fault| fault.at(node))?;
    let mut privileges = Vec::new();
    for row in rows {
        let [Some(user), Some(host), Some(json), Some(mark)] = row.as_slice() else { continue };
        let parsed = Privilege::parse(user, host, json).map_err(|_| TargetError::Unable {
            node: node.name.clone(),
            what: format!("mysql.global_priv holds something unknown for {user}@{host}"),
        })?;
        privileges.extend(parsed.map(|parsed| Privilege { mark: mark.clone(), ..parsed }));
    }
    Ok(privileges)
}

/// Whether the node is one of a Galera cluster.
pub(super) async fn is_clustered(connection: &mut Connection) -> Result<bool, Fault> {
    let mut state = State(BTreeMap::new());
    state.hear(connection, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_provider')").await?;
    Ok(state.clustered())
}

/// Why it is not safe to change one account.
fn unsafe_to_change(row: &Privilege, known: &[&Material], state: &State, encrypted: bool) -> Vec<String> {
    let account = &row.account;
    let mut found = Vec::new();
    if let Err(why) = row.changeable() {
        found.push(format!("{account}: {why}"));
    }
    let mut values = 0;
    for entry in &row.chain {
        match entry {
            Entry::Value(plugin, hash) => {
                values += 1;
                if !known.iter().any(|value| plugin.hash(value) == *hash) {
                    found.push(format!("{account} accepts a value that is not stored here; someone else changed it"));
                }
            }
            Entry::Empty(_) => found.push(format!("{account} accepts the empty value")),
            Entry::Never | Entry::Socket(_) | Entry::Other(_) => {}
        }
    }
    if values > 2 {
        found.push(format!("{account} accepts {values} values, but clients follow only two"));
    }
    if row.locked {
        found.push(format!("{account} is locked"));
    }
    if row.changed == Some(0) || state.expired(row) {
        found.push(format!("the value of {account} has expired"));
    }
    if row.tls && !encrypted && account.host != "localhost" {
        found.push(format!("{account} demands TLS; give the node's `tls_ca`"));
    }
    found
}

/// What a node says of itself.
struct State(BTreeMap<String, String>);

impl State {
    async fn of(connection: &mut Connection) -> Result<Self, Fault> {
        let mut state = Self(BTreeMap::new());
        // SHOW is answered by a node outside the primary component too; SELECT is not.
        for sql in [
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'strict_password_validation', \
             'skip_grant_tables', 'wsrep_on', 'wsrep_provider', 'default_password_lifetime')",
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state', \
             'wsrep_local_state_comment')",
        ] {
            state.hear(connection, sql).await?;
        }
        if state.is_ready() {
            let plugins = "SELECT COUNT(*), UNIX_TIMESTAMP() FROM information_schema.PLUGINS \
                           WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'";
            if let Some([Some(count), Some(now)]) = connection.rows(plugins).await?.first().map(Vec::as_slice) {
                state.0.insert("validating plugins".into(), count.clone());
                state.0.insert("now".into(), now.clone());
            }
        }
        Ok(state)
    }

    async fn hear(&mut self, connection: &mut Connection, sql: &str) -> Result<(), Fault> {
        for row in connection.rows(sql).await? {
            if let [Some(name), Some(value)] = row.as_slice() {
                self.0.insert(name.to_ascii_lowercase(), value.clone());
            }
        }
        Ok(())
    }

    fn said(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn clustered(&self) -> bool {
        self.said("wsrep_on") == "ON" && !matches!(self.said("wsrep_provider"), "" | "none")
    }

    /// Whether it takes part: alone, or synced in the primary component.
    fn is_ready(&self) -> bool {
        !self.clustered()
            || (self.said("wsrep_ready") == "ON"
                && self.said("wsrep_cluster_status") == "Primary"
                && self.said("wsrep_local_state") == "4")
    }

    fn expired(&self, row: &Privilege) -> bool {
        let days = if row.lifetime < 0 { self.number("default_password_lifetime") } else { row.lifetime };
        row.changed.is_some_and(|changed| days > 0 && changed + days * 86_400 <= self.number("now"))
    }

    fn number(&self, name: &str) -> i64 {
        self.said(name).parse().unwrap_or(0)
    }

    fn hazards(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.is_ready() {
            found.push(format!(
                "not a synced node of the primary component (wsrep_ready {}, wsrep_cluster_status {}, {})",
                self.said("wsrep_ready"),
                self.said("wsrep_cluster_status"),
                self.said("wsrep_local_state_comment"),
            ));
        }
        if ["read_only", "super_read_only"].into_iter().any(|name| !matches!(self.said(name), "" | "OFF" | "0")) {
            found.push("it is read-only; name the node that takes writes".to_owned());
        }
        if self.said("strict_password_validation") == "ON" && self.number("validating plugins") > 0 {
            found.push("a password validation plugin with strict_password_validation refuses hashes".to_owned());
        }
        if self.said("skip_grant_tables") == "ON" {
            found.push("it runs with --skip-grant-tables and lets everyone in".to_owned());
        }
        found
    }
}
