//! The target itself: its hosts, and what is asked of them.

use super::{
    client::{self, Answer},
    file,
    key::Public,
    place::{Found, Place},
};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Hazard, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError,
        Twins,
    },
};
use async_trait::async_trait;
use std::{path::PathBuf, time::Duration};

/// `authorized_keys` of users on some hosts.
#[derive(Debug)]
pub struct SshKeys {
    nodes: Vec<Node>,
    members: Vec<Member>,
    pub(super) settings: Settings,
}

/// One host, as the deployment file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its name or address, or its alias in OpenSSH's configuration.
    pub address: String,
    /// Its port.
    pub port: u16,
}

/// What is the same for every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The comment of the lines that are this target's.
    pub mark: String,
    /// Where a user's keys are; `%u` is the user's name, and what is relative lies in the home.
    pub file: String,
    /// The file of hosts' keys.
    pub known_hosts: Option<PathBuf>,
    /// OpenSSH's configuration file.
    pub config: Option<PathBuf>,
    /// What stands before each of the administrator's commands.
    pub before: Vec<String>,
    /// How long connecting may take, and the command again.
    pub answer: Duration,
}

impl SshKeys {
    /// A target of these hosts. Nothing is connected yet.
    pub fn new(members: Vec<Member>, settings: Settings) -> Self {
        let nodes = members
            .iter()
            .map(|member| Node { name: member.name.clone(), address: format!("{}:{}", member.address, member.port) })
            .collect();
        Self { nodes, members, settings }
    }

    pub(super) fn member(&self, node: &Node) -> Result<&Member, TargetError> {
        self.members.iter().find(|member| member.name == node.name).ok_or_else(|| TargetError::Unable {
            node: node.name.clone(),
            what: "this target has no such node".to_owned(),
        })
    }

    fn untold(&self, node: &Node) -> TargetError {
        TargetError::Unable { node: node.name.clone(), what: "who is connected by SSH is not told".to_owned() }
    }
}

#[async_trait]
impl Target for SshKeys {
    fn capabilities(&self) -> Capabilities {
        Capabilities { driver: "sshkeys", values_at_once: 2, twins: Twins::No, sessions: Sessions::Untold }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        let account = Account { user: user.to_owned(), host: String::new() };
        let known: Vec<Public> = known.iter().filter_map(|value| Public::of(value)).collect();
        let mut hazards = Vec::new();
        let mut is_there = false;
        for node in &self.nodes {
            let mut say = |what: String| hazards.push(Hazard { node: node.name.clone(), what });
            match (Place { target: self, node, admin, account: &account }).read().await? {
                Found::Nobody => say(format!("there is no user `{user}`")),
                Found::Nothing => {
                    is_there = true;
                    say(format!("`{user}` has no file of keys"));
                }
                Found::File(content) => {
                    is_there = true;
                    match file::found(&content, &self.settings.mark, &known) {
                        (_, 1..) => say(format!(
                            "`{user}` accepts a key marked `{}` that is not stored here; someone else changed it",
                            self.settings.mark
                        )),
                        (false, 0) => say(format!("`{user}` accepts none of the keys that are stored here")),
                        (true, 0) => {}
                    }
                }
            }
        }
        let accounts: Vec<_> = is_there.then_some(account).into_iter().collect();
        Ok(Survey { entries: accounts.clone(), accounts, by_socket: Vec::new(), hazards })
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        for node in &self.nodes {
            let place = Place { target: self, node, admin, account };
            if values.is_empty() || values.len() > 2 {
                return Err(place.unable("it is left as it is: one key or two, not none and not more"));
            }
            let keys: Option<Vec<Public>> = values.iter().map(|value| Public::of(value)).collect();
            let Some(keys) = keys else {
                return Err(place.unable("it is left as it is: a value is no private key as OpenSSH writes it"));
            };
            let before = match place.read().await? {
                Found::Nobody => return Err(place.unable("there is no such user")),
                Found::Nothing => None,
                Found::File(content) => Some(content),
            };
            let content = file::declared(before.as_deref().unwrap_or_default(), &self.settings.mark, &keys);
            if before.as_ref() != Some(&content) {
                place.replace(before.as_deref(), &content).await?;
            }
        }
        Ok(())
    }

    async fn login(
        &self,
        node: &Node,
        account: &Account,
        _among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        // Whatever the command ends with, or another that is forced on the key: it was let in.
        match client::call(self.member(node)?, &self.settings, &account.user, value, &["exit"], b"").await {
            Ok(Answer::In(..)) => Ok(Login::Accepted),
            Ok(Answer::Refused) => Ok(Login::Refused),
            Ok(Answer::NoKey) => Ok(Login::Unprovable("the value is no key that OpenSSH reads".to_owned())),
            Err(source) => Err(TargetError::Unreachable {
                node: node.name.clone(),
                address: node.address.clone(),
                source: Box::new(source),
            }),
        }
    }

    async fn sessions(&self, _: &Admin<'_>, node: &Node, _: &str, _: Began) -> Result<Vec<Session>, TargetError> {
        Err(self.untold(node))
    }

    async fn mark(&self, _: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
        Err(self.untold(node))
    }
}
