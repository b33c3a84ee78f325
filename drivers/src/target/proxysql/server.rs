//! The target itself: its proxies, an administrator's connection to each, and logins through them.

use super::users::{self, Layer};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError, Twins,
        mariadb::{
            Limits,
            connection::{Connection, Fault, Tls},
            hash::Hash,
            server::DENIED,
            way::Way,
        },
    },
};
use async_trait::async_trait;
use std::{io, net::SocketAddr, path::PathBuf};

/// One proxy or several, which consumers use alike.
#[derive(Debug)]
pub struct ProxySql {
    pub(super) nodes: Vec<Node>,
    members: Vec<Member>,
    values_at_once: usize,
    limits: Limits,
}

/// One proxy, as the deployment file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The name or address at which it listens.
    pub address: String,
    /// Its port for clients.
    pub port: u16,
    /// The port of its admin interface.
    pub admin_port: u16,
    /// The authority that signed its certificate; without one, connections are in clear.
    pub tls_ca: Option<PathBuf>,
}

impl ProxySql {
    /// A target of these proxies, which hold so many passwords of a user. Nothing is connected yet.
    pub fn new(members: Vec<Member>, values_at_once: usize, limits: Limits) -> Self {
        let node = |member: &Member| Node {
            name: member.name.clone(),
            address: format!("{}:{}", member.address, member.port),
        };
        Self { nodes: members.iter().map(node).collect(), members, values_at_once, limits }
    }

    fn member(&self, node: &Node) -> Result<&Member, TargetError> {
        let member = self.members.iter().find(|member| member.name == node.name);
        member.ok_or_else(|| unable(node, "this target has no such node"))
    }

    /// Logs in to the admin interface: each value once, three at most.
    pub(super) async fn administer(&self, node: &Node, admin: &Admin<'_>) -> Result<Connection, TargetError> {
        let member = self.member(node)?;
        let way = member.way(member.admin_port).await.map_err(|source| Fault::Silent(source).at(node))?;
        for value in admin.values.iter().take(MOST_DENIED) {
            match Connection::open(&way, admin.user, value, member.tls().as_ref(), self.limits).await {
                Ok(connection) => return Ok(connection),
                Err(Fault::Answered(DENIED)) => {}
                Err(fault) => return Err(fault.at(node)),
            }
        }
        Err(TargetError::AdminRefused {
            node: node.name.clone(),
            address: format!("{}:{}", member.address, member.admin_port),
            user: admin.user.to_owned(),
        })
    }

    /// Makes a user accept exactly these hashes on one proxy, in every layer, and reads that back from what runs.
    async fn settle(
        &self,
        admin: &Admin<'_>,
        node: &Node,
        account: &Account,
        change: Change<'_>,
    ) -> Result<(), TargetError> {
        let failed = |fault: Fault| fault.changing(node, account);
        let mut connection = self.administer(node, admin).await?;
        let columns = users::columns(&mut connection).await.map_err(failed)?;
        let memory = users::read(&mut connection, &columns, Layer::Memory).await.map_err(failed)?;
        let (user, wanted) = match change {
            Change::Accept(hashes) => {
                if !memory.contains_key(&account.user) {
                    return Err(unable(node, &format!("there is no user `{}`", account.user)));
                }
                users::accept(&mut connection, &columns, &account.user, &hashes).await.map_err(failed)?;
                (account, hashes)
            }
            Change::Twin(twin, hash) => {
                if !memory.contains_key(&account.user) {
                    return Err(unable(node, &format!("there is no user `{}`", account.user)));
                }
                let copied = users::copy(&mut connection, &columns, &account.user, &twin.user, &hash).await;
                copied.map_err(failed)?;
                (twin, vec![hash])
            }
            Change::Forget => {
                users::forget(&mut connection, &account.user).await.map_err(failed)?;
                (account, Vec::new())
            }
        };
        users::load_and_save(&mut connection).await.map_err(failed)?;
        let runtime = users::read(&mut connection, &columns, Layer::Runtime).await.map_err(failed)?;
        connection.close().await;
        let runs: Vec<Option<Hash>> = runtime.get(&user.user).map(|known| known.hashes.clone()).unwrap_or_default();
        match runs.iter().flatten().eq(&wanted) && runs.len() == wanted.len() {
            true => Ok(()),
            false => Err(unable(node, &format!("what was loaded of `{}` does not run", user.user))),
        }
    }
}

/// What is to become of a user.
enum Change<'a> {
    /// It accepts these.
    Accept(Vec<Hash>),
    /// This one becomes its twin, which accepts this.
    Twin(&'a Account, Hash),
    /// It goes.
    Forget,
}

impl Member {
    async fn way(&self, port: u16) -> io::Result<Way> {
        let mut found = tokio::net::lookup_host((self.address.as_str(), port)).await?;
        let to: SocketAddr = found.next().ok_or(io::ErrorKind::NotFound)?;
        Ok(Way::Tcp { to, from: None })
    }

    fn tls(&self) -> Option<Tls> {
        self.tls_ca.as_ref().map(|ca| Tls { ca: ca.clone(), name: self.address.clone() })
    }
}

fn unable(node: &Node, what: &str) -> TargetError {
    TargetError::Unable { node: node.name.clone(), what: what.to_owned() }
}

/// No call shows more values of an administrator than this.
const MOST_DENIED: usize = 3;

#[async_trait]
impl Target for ProxySql {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            driver: "proxysql",
            values_at_once: self.values_at_once,
            twins: Twins::Yes,
            sessions: Sessions::Told,
        }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        super::survey::survey(self, admin, user, known).await
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        let most = self.values_at_once;
        for node in &self.nodes {
            if values.is_empty() || values.len() > most {
                return Err(unable(node, &format!("{account} is left as it is: it accepts from 1 to {most} values")));
            }
            let hashes = values.iter().map(|value| users::hash(value)).collect();
            self.settle(admin, node, account, Change::Accept(hashes)).await?;
        }
        Ok(())
    }

    /// Through the proxy to a server behind it, by a question that the proxy itself does not answer.
    async fn login(
        &self,
        node: &Node,
        account: &Account,
        _among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        let member = self.member(node)?;
        let way = member.way(member.port).await.map_err(|source| Fault::Silent(source).at(node))?;
        let answer = match Connection::open(&way, &account.user, value, member.tls().as_ref(), self.limits).await {
            Ok(mut connection) => {
                let answer = connection.field("SELECT CURRENT_USER()").await;
                connection.close().await;
                answer
            }
            Err(fault) => Err(fault),
        };
        match answer {
            Ok(Some(matched)) if matched.rsplit_once('@').is_some_and(|(user, _)| user == account.user) => {
                Ok(Login::Accepted)
            }
            Ok(matched) => Ok(Login::Unprovable(format!("{} answers instead", matched.unwrap_or_default()))),
            Err(Fault::Answered(DENIED)) => Ok(Login::Refused),
            Err(fault @ (Fault::Plugin(_) | Fault::NotText)) => Ok(Login::Unprovable(fault.to_string())),
            Err(fault @ (Fault::Answered(_) | Fault::Silent(_))) => Err(fault.at(node)),
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
        if account == twin {
            return Err(self.twinless(account));
        }
        for node in &self.nodes {
            self.settle(admin, node, account, Change::Twin(twin, users::hash(value))).await?;
        }
        Ok(())
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        for node in &self.nodes {
            self.settle(admin, node, account, Change::Forget).await?;
        }
        Ok(())
    }
}
