//! The target itself: its nodes, and what each question of a target becomes.

use super::{api::Api, login, survey, tries::Tries, twin, user};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError, Twins,
    },
};
use async_trait::async_trait;
use std::{path::PathBuf, time::Duration};

/// A Keystone, of one instance or more on one database.
#[derive(Debug)]
pub struct Keystone {
    nodes: Vec<Node>,
    pub(super) apis: Vec<Api>,
    pub(super) domain: String,
    pub(super) administration: Administration,
    pub(super) tries: Tries,
}

/// One instance, as the deployment file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its address: `https://keystone.example:5000`, with or without `/v3`.
    pub auth_url: String,
    /// The authority that signed its certificate; without one, those the system trusts.
    pub tls_ca: Option<PathBuf>,
}

/// As what the administrator logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administration {
    /// The name of its domain.
    pub domain: String,
    /// Where it has its rights.
    pub scope: Scope,
}

/// For what a token is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Nothing but to show who one is.
    None,
    /// A project.
    Project {
        /// Its name.
        name: String,
        /// The name of its domain.
        domain: String,
    },
    /// The whole deployment.
    System,
}

/// How long things may take, and how often a wrong value may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connecting.
    pub connect: Duration,
    /// One request.
    pub request: Duration,
    /// The server's rule for wrong values, where it has one.
    pub lockout: Option<Lockout>,
}

/// When a server locks a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// After how many wrong values in a row.
    pub attempts: usize,
    /// For how long.
    pub lasting: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(30), lockout: None }
    }
}

impl Keystone {
    /// A target of these instances, for the users of one domain. Nothing is connected yet.
    pub fn new(
        members: Vec<Member>,
        domain: impl Into<String>,
        administration: Administration,
        limits: Limits,
    ) -> Result<Self, String> {
        let apis = members.into_iter().map(|member| Api::new(member, limits)).collect::<Result<Vec<_>, _>>()?;
        let nodes = apis.iter().map(|api| api.node().clone()).collect();
        Ok(Self { nodes, apis, domain: domain.into(), administration, tries: Tries::new(limits.lockout) })
    }

    pub(super) fn api(&self, node: &Node) -> Result<&Api, TargetError> {
        self.apis.iter().find(|api| api.node().name == node.name).ok_or_else(|| TargetError::Unable {
            node: node.name.clone(),
            what: "this target has no such node".to_owned(),
        })
    }

    fn untold(&self, node: &Node) -> TargetError {
        TargetError::Unable { node: node.name.clone(), what: "Keystone keeps no sessions of its users".to_owned() }
    }
}

#[async_trait]
impl Target for Keystone {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "keystone", values_at_once: 1, twins: Twins::Yes, sessions: Sessions::Untold }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        survey::survey(self, admin, user, known).await
    }

    /// One value, which is set only where it is not accepted yet: setting it again would end the user's tokens again.
    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        user::declare(self, admin, account, values).await
    }

    /// A token without a scope, asked for and forgotten.
    async fn login(
        &self,
        node: &Node,
        account: &Account,
        _: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        login::login(self, self.api(node)?, account, value).await
    }

    async fn sessions(&self, _: &Admin<'_>, node: &Node, _: &str, _: Began) -> Result<Vec<Session>, TargetError> {
        Err(self.untold(node))
    }

    async fn mark(&self, _: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
        Err(self.untold(node))
    }

    async fn twin(
        &self,
        admin: &Admin<'_>,
        account: &Account,
        twin: &Account,
        value: &Material,
    ) -> Result<(), TargetError> {
        twin::twin(self, admin, account, twin, value).await
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        user::remove(self, admin, account).await
    }
}
