//! The target itself: its nodes, and an administrator's connection to each.

use super::{
    connection::{Connection, Fault},
    sentinel::Sentinel,
};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError, Twins,
    },
};
use async_trait::async_trait;
use donjon_policies::name::SecretName;
use std::{path::PathBuf, time::Duration};

/// A Redis or Valkey server, or several that hold the same.
#[derive(Debug)]
pub struct Redis {
    pub(super) nodes: Vec<Node>,
    members: Vec<Member>,
    pub(super) sentinels: Vec<Sentinel>,
    pub(super) limits: Limits,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connecting, or one answer.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { answer: Duration::from_secs(5) }
    }
}

/// One node, as the deployment file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The name or address at which it listens.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// The authority that signed its certificate; without one, connections are in clear.
    pub tls_ca: Option<PathBuf>,
}

impl Redis {
    /// A target of these nodes. Nothing is connected yet.
    pub fn new(members: Vec<Member>, limits: Limits) -> Self {
        let nodes = members
            .iter()
            .map(|member| Node { name: member.name.clone(), address: format!("{}:{}", member.address, member.port) })
            .collect();
        Self { nodes, members, sentinels: Vec::new(), limits }
    }

    /// With these sentinels, which log in at the nodes themselves.
    #[must_use]
    pub fn watched_by(self, sentinels: Vec<Sentinel>) -> Self {
        Self { sentinels, ..self }
    }

    fn member(&self, node: &Node) -> Result<&Member, TargetError> {
        self.members.iter().find(|member| member.name == node.name).ok_or_else(|| TargetError::Unable {
            node: node.name.clone(),
            what: "this target has no such node".to_owned(),
        })
    }

    /// Logs in as the administrator, with each value once.
    pub(super) async fn administer(&self, node: &Node, admin: &Admin<'_>) -> Result<Connection, TargetError> {
        let member = self.member(node)?;
        for value in admin.values.iter().take(MOST_DENIED) {
            match Connection::open(member, admin.user, value, self.limits).await {
                Err(Fault::Answered(kind)) if kind == DENIED => {}
                opened => return opened.map_err(|fault| fault.at(node)),
            }
        }
        Err(TargetError::AdminRefused {
            node: node.name.clone(),
            address: node.address.clone(),
            user: admin.user.to_owned(),
        })
    }
}

/// No call shows more values of an administrator than this.
const MOST_DENIED: usize = 3;
/// The server's answer to a wrong value, to a user that is not there, and to one that is off.
const DENIED: &str = "WRONGPASS";

#[async_trait]
impl Target for Redis {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "redis", values_at_once: 2, twins: Twins::No, sessions: Sessions::Told }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn named(&self) -> Vec<SecretName> {
        let mut named: Vec<SecretName> = self.sentinels.iter().filter_map(|one| one.secret.clone()).collect();
        named.sort();
        named.dedup();
        named
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        super::survey::survey(self, admin, user, known).await
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        super::declare::declare(self, admin, account, values).await
    }

    async fn login(
        &self,
        node: &Node,
        account: &Account,
        _among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        match Connection::open(self.member(node)?, &account.user, value, self.limits).await {
            Ok(_) => Ok(Login::Accepted),
            Err(Fault::Answered(kind)) if kind == DENIED => Ok(Login::Refused),
            Err(Fault::Answered(kind)) => Ok(Login::Unprovable(format!("the server answers {kind}"))),
            Err(silent @ Fault::Silent(_)) => Err(silent.at(node)),
        }
    }

    async fn sessions(
        &self,
        admin: &Admin<'_>,
        node: &Node,
        user: &str,
        began: Began,
    ) -> Result<Vec<Session>, TargetError> {
        super::session::sessions(self, admin, node, user, began).await
    }

    async fn end_sessions(&self, admin: &Admin<'_>, node: &Node, user: &str, until: Mark) -> Result<(), TargetError> {
        super::session::end(self, admin, node, user, until).await
    }

    async fn mark(&self, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
        super::session::mark(self, admin, node).await
    }
}
