//! The target, as one broker reaches it: accounts in memory, told by statements that can be lost.

use super::{Seen, mute};
use async_trait::async_trait;
use donjon_drivers::{
    material::Material,
    target::{self, Account, Admin, Hazard, Login, Mark, Node, Session, Survey, Target, TargetError},
};

/// The target, as one broker reaches it.
pub(super) struct Server {
    pub(super) seen: Seen,
    pub(super) nodes: Vec<Node>,
}

impl Server {
    fn enter(&self, admin: &Admin<'_>) -> Result<(), TargetError> {
        if self.seen.dead() {
            return Err(mute());
        }
        let inner = self.seen.world.inner.lock().unwrap();
        let local = inner.accounts.get(&Account { user: admin.user.to_owned(), host: "localhost".to_owned() });
        if local.is_some_and(|local| admin.values.iter().any(|value| local.iter().any(|v| v.matches(value)))) {
            return Ok(());
        }
        Err(TargetError::AdminRefused { node: "db1".into(), address: "db1".into(), user: admin.user.into() })
    }
}

#[async_trait]
impl Target for Server {
    fn capabilities(&self) -> target::Capabilities {
        target::Capabilities {
            driver: "memory",
            values_at_once: 2,
            twins: target::Twins::Yes,
            sessions: target::Sessions::Told,
        }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        self.enter(admin)?;
        let inner = self.seen.world.inner.lock().unwrap();
        let strange = |values: &Vec<Material>| values.iter().any(|v| !known.iter().any(|k| k.matches(v)));
        let whose = |account: &&Account| account.user == user;
        let hazards = inner.accounts.iter().filter(|(account, values)| whose(account) && strange(values));
        let hazards = hazards.map(|(account, _)| Hazard { node: "db1".into(), what: format!("{account} is strange") });
        let accounts: Vec<Account> = inner.accounts.keys().filter(whose).cloned().collect();
        Ok(Survey { accounts: accounts.clone(), entries: accounts, hazards: hazards.collect() })
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        self.enter(admin)?;
        {
            let mut inner = self.seen.world.inner.lock().unwrap();
            let missing = TargetError::Unable { node: "db1".into(), what: "there is no such account".into() };
            let accepted = inner.accounts.get_mut(account).ok_or(missing)?;
            if accepted.len() == values.len() && values.iter().all(|v| accepted.iter().any(|a| a.matches(v))) {
                return Ok(());
            }
        }
        let (done, told) = self.seen.statement().await;
        if done {
            self.enter(admin)?;
            let values = values.iter().map(|value| value.duplicate()).collect();
            self.seen.world.inner.lock().unwrap().accounts.insert(account.clone(), values);
        }
        if told { Ok(()) } else { Err(mute()) }
    }

    async fn login(&self, _: &Node, account: &Account, _: &[Account], value: &Material) -> Result<Login, TargetError> {
        if self.seen.dead() {
            return Err(mute());
        }
        let inner = self.seen.world.inner.lock().unwrap();
        let accepted = inner.accounts.get(account).is_some_and(|values| values.iter().any(|v| v.matches(value)));
        Ok(if accepted { Login::Accepted } else { Login::Refused })
    }

    async fn sessions(
        &self,
        admin: &Admin<'_>,
        _: &Node,
        user: &str,
        until: Mark,
    ) -> Result<Vec<Session>, TargetError> {
        self.enter(admin)?;
        let inner = self.seen.world.inner.lock().unwrap();
        let there = inner.sessions.iter().filter(|(whose, id)| whose == user && *id <= until.0);
        Ok(there.map(|(_, id)| Session { mark: Mark(*id), from: "h".to_owned() }).collect())
    }

    async fn end_sessions(&self, admin: &Admin<'_>, _: &Node, user: &str, until: Mark) -> Result<(), TargetError> {
        self.enter(admin)?;
        let (done, told) = self.seen.statement().await;
        if done {
            let mut inner = self.seen.world.inner.lock().unwrap();
            inner.sessions.retain(|(whose, id)| whose != user || *id > until.0);
        }
        if told { Ok(()) } else { Err(mute()) }
    }

    async fn twin(
        &self,
        admin: &Admin<'_>,
        account: &Account,
        twin: &Account,
        value: &Material,
    ) -> Result<(), TargetError> {
        self.enter(admin)?;
        {
            let inner = self.seen.world.inner.lock().unwrap();
            if !inner.accounts.contains_key(account) {
                return Err(TargetError::Unable { node: "db1".into(), what: "there is no such account".into() });
            }
            if inner.accounts.get(twin).is_some_and(|values| values.len() == 1 && values[0].matches(value)) {
                return Ok(());
            }
        }
        let (done, told) = self.seen.statement().await;
        if done {
            self.seen.world.inner.lock().unwrap().accounts.insert(twin.clone(), vec![value.duplicate()]);
        }
        if told { Ok(()) } else { Err(mute()) }
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        self.enter(admin)?;
        if account.user == admin.user {
            return Err(TargetError::Unable { node: "db1".into(), what: "it would remove itself".into() });
        }
        if !self.seen.world.inner.lock().unwrap().accounts.contains_key(account) {
            return Ok(());
        }
        let (done, told) = self.seen.statement().await;
        if done {
            self.seen.world.inner.lock().unwrap().accounts.remove(account);
        }
        if told { Ok(()) } else { Err(mute()) }
    }

    async fn mark(&self, admin: &Admin<'_>, _: &Node) -> Result<Mark, TargetError> {
        self.enter(admin)?;
        let mut inner = self.seen.world.inner.lock().unwrap();
        inner.counter += 1;
        Ok(Mark(inner.counter))
    }
}
