//! The target itself: its nodes, and what is asked of them.

use super::amqp::{self, Answer};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError, Twins,
    },
};
use async_trait::async_trait;
use std::{io, path::PathBuf, time::Duration};

/// A RabbitMQ server or cluster.
#[derive(Debug)]
pub struct RabbitMq {
    pub(super) nodes: Vec<Node>,
    members: Vec<Member>,
    pub(super) limits: Limits,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A login, or one answer of the API.
    pub answer: Duration,
    /// Until a new connection is listed with its time.
    pub statistics: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { answer: Duration::from_secs(10), statistics: Duration::from_secs(30) }
    }
}

/// One node, as the deployment file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The name or address at which it listens.
    pub address: String,
    /// Its port for AMQP.
    pub port: u16,
    /// Its port for the management API.
    pub management_port: u16,
    /// The authority that signed its certificate; without one, both are in clear.
    pub tls_ca: Option<PathBuf>,
}

impl Member {
    /// Where its API begins.
    pub(super) fn base(&self) -> String {
        let scheme = if self.tls_ca.is_some() { "https" } else { "http" };
        let host = if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() };
        format!("{scheme}://{host}:{}", self.management_port)
    }
}

impl RabbitMq {
    /// A target of these nodes. Nothing is connected yet.
    pub fn new(members: Vec<Member>, limits: Limits) -> Self {
        let nodes = members
            .iter()
            .map(|member| Node { name: member.name.clone(), address: format!("{}:{}", member.address, member.port) })
            .collect();
        Self { nodes, members, limits }
    }

    pub(super) fn member(&self, node: &Node) -> Result<&Member, TargetError> {
        self.members.iter().find(|member| member.name == node.name).ok_or_else(|| TargetError::Unable {
            node: node.name.clone(),
            what: "this target has no such node".to_owned(),
        })
    }

    /// A client for one burst of requests: its connections, and what their buffers hold, end with it.
    pub(super) fn http(&self, member: &Member) -> io::Result<reqwest::Client> {
        let mut trusted = Vec::new();
        if let Some(path) = &member.tls_ca {
            trusted = reqwest::Certificate::from_pem_bundle(&std::fs::read(path)?).map_err(io::Error::other)?;
        }
        reqwest::Client::builder()
            .tls_backend_rustls()
            .tls_certs_only(trusted)
            .no_proxy()
            // A redirect would carry the administrator's value to a server that was not named.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(self.limits.answer)
            .build()
            .map_err(io::Error::other)
    }
}

/// No call shows more values of an administrator than this.
pub(super) const MOST_DENIED: usize = 3;

#[async_trait]
impl Target for RabbitMq {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "rabbitmq", values_at_once: 1, twins: Twins::Yes, sessions: Sessions::Told }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        super::survey::survey(self, admin, user, known).await
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        super::user::declare(self, admin, account, values).await
    }

    async fn login(
        &self,
        node: &Node,
        account: &Account,
        _among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        let member = self.member(node)?;
        match amqp::log_in(member, &account.user, value, "donjon", self.limits.answer).await {
            // Nothing was opened, so there is nothing to close in words.
            Ok(Answer::In(_)) => Ok(Login::Accepted),
            Ok(Answer::Refused) => Ok(Login::Refused),
            Ok(Answer::Other(why)) => Ok(Login::Unprovable(why)),
            Err(source) => Err(TargetError::Unreachable {
                node: node.name.clone(),
                address: node.address.clone(),
                source: Box::new(source),
            }),
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

    async fn twin(
        &self,
        admin: &Admin<'_>,
        account: &Account,
        twin: &Account,
        value: &Material,
    ) -> Result<(), TargetError> {
        super::twin::twin(self, admin, account, twin, value).await
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        super::twin::remove(self, admin, account).await
    }
}
