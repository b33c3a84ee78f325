//! The target, as one broker reaches it: accounts in memory, told by statements that can be lost.

use super::{Inner, Seen, mute};
use async_trait::async_trait;
use donjon_drivers::{
    material::Material,
    target::{
        self, Account, Admin, Began, Hazard, Login, Mark, Node, Session, Survey, Target, TargetError,
        fence::{Fenced, Fencing},
    },
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

    /// Takes the lock, as a server that has one: from a connection that stalled, which ends thereby.
    async fn hold(&self, admin: &Admin<'_>) -> Result<u64, TargetError> {
        self.seen.stall().await;
        self.enter(admin)?;
        if self.seen.world.inner.lock().unwrap().holder.is_some() {
            certain(admin).await?;
        }
        let mut inner = self.seen.world.inner.lock().unwrap();
        inner.counter += 1;
        let connection = inner.counter;
        inner.holder = Some(connection);
        Ok(connection)
    }

    /// Makes a change, if the connection is still the one that holds the lock.
    async fn change(
        &self,
        admin: &Admin<'_>,
        connection: u64,
        change: impl FnOnce(&mut Inner),
    ) -> Result<(), TargetError> {
        let asked = certain(admin).await;
        let (done, told) = if asked.is_ok() { self.seen.effect().await } else { (false, false) };
        let mut inner = self.seen.world.inner.lock().unwrap();
        let ended = inner.holder != Some(connection);
        if !ended {
            inner.holder = None;
        }
        asked?;
        if done && !ended {
            change(&mut inner);
        }
        if told && !ended { Ok(()) } else { Err(mute()) }
    }

    fn let_go(&self) {
        self.seen.world.inner.lock().unwrap().holder = None;
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

    fn fencing(&self) -> Fencing {
        Fencing::Target
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        self.enter(admin)?;
        let inner = self.seen.world.inner.lock().unwrap();
        let strange = |values: &Vec<Material>| values.iter().any(|v| !known.iter().any(|k| k.matches(v)));
        let whose = |account: &&Account| account.user == user;
        let hazards = inner.accounts.iter().filter(|(account, values)| whose(account) && strange(values));
        let hazards = hazards.map(|(account, _)| Hazard { node: "db1".into(), what: format!("{account} is strange") });
        let accounts: Vec<Account> = inner.accounts.keys().filter(whose).cloned().collect();
        Ok(Survey { accounts: accounts.clone(), entries: accounts, by_socket: Vec::new(), hazards: hazards.collect() })
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        let connection = self.hold(admin).await?;
        let so = match self.seen.world.inner.lock().unwrap().accounts.get(account) {
            None => Err(TargetError::Unable { node: "db1".into(), what: "there is no such account".into() }),
            Some(has) => Ok(has.len() == values.len() && values.iter().all(|v| has.iter().any(|a| a.matches(v)))),
        };
        if !matches!(so, Ok(false)) {
            self.let_go();
            return so.map(drop);
        }
        let values: Vec<Material> = values.iter().map(|value| value.duplicate()).collect();
        let secrets = self.seen.world.scenario.secrets;
        let first = secrets.iter().find(|(_, user, _)| *user == account.user).map(|(name, ..)| format!("first-{name}"));
        let first = first.map(Material::from);
        self.change(admin, connection, |inner| {
            let has = |values: &[Material]| first.as_ref().is_some_and(|first| values.iter().any(|v| v.matches(first)));
            let (before, now) = (inner.accounts.get(account).is_some_and(|values| has(values)), has(&values));
            if now && !before {
                *inner.back.entry(account.clone()).or_default() += 1;
            }
            inner.accounts.insert(account.clone(), values);
        })
        .await
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
        began: Began,
    ) -> Result<Vec<Session>, TargetError> {
        self.enter(admin)?;
        let inner = self.seen.world.inner.lock().unwrap();
        // As real servers do: a mark that no session has reached yet is one of before the server started.
        if matches!(began, Began::NoLaterThan(until) if inner.counter < until.0) {
            return Ok(Vec::new());
        }
        let there = inner.sessions.iter().chain(&inner.pooled);
        let there = there.filter(|(whose, id)| whose == user && began.holds(Mark(*id)));
        Ok(there.map(|(_, id)| Session { mark: Mark(*id), from: "192.0.2.7:1".to_owned(), since: None }).collect())
    }

    async fn end_sessions(&self, admin: &Admin<'_>, _: &Node, user: &str, until: Mark) -> Result<(), TargetError> {
        self.enter(admin)?;
        let (done, told) = self.seen.effect().await;
        if done {
            let mut inner = self.seen.world.inner.lock().unwrap();
            let Inner { sessions, pooled, .. } = &mut *inner;
            for sessions in [sessions, pooled] {
                sessions.retain(|(whose, id)| whose != user || *id > until.0);
            }
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
        let connection = self.hold(admin).await?;
        let so = {
            let inner = self.seen.world.inner.lock().unwrap();
            match inner.accounts.contains_key(account) {
                false => Err(TargetError::Unable { node: "db1".into(), what: "there is no such account".into() }),
                true => Ok(inner.accounts.get(twin).is_some_and(|has| has.len() == 1 && has[0].matches(value))),
            }
        };
        if !matches!(so, Ok(false)) {
            self.let_go();
            return so.map(drop);
        }
        let value = vec![value.duplicate()];
        self.change(admin, connection, |inner| drop(inner.accounts.insert(twin.clone(), value))).await
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        if account.user == admin.user {
            return Err(TargetError::Unable { node: "db1".into(), what: "it would remove itself".into() });
        }
        let connection = self.hold(admin).await?;
        if !self.seen.world.inner.lock().unwrap().accounts.contains_key(account) {
            self.let_go();
            return Ok(());
        }
        self.change(admin, connection, |inner| drop(inner.accounts.remove(account))).await
    }

    async fn mark(&self, admin: &Admin<'_>, _: &Node) -> Result<Mark, TargetError> {
        self.enter(admin)?;
        let mut inner = self.seen.world.inner.lock().unwrap();
        inner.counter += 1;
        Ok(Mark(inner.counter))
    }
}

/// Asks the fence, as every change does.
async fn certain(admin: &Admin<'_>) -> Result<(), TargetError> {
    let fence = admin.fence.expect("every change of a rotation has a fence");
    let asked = fence.holds().await;
    asked.map_err(|source: Fenced| TargetError::Fenced { node: "db1".into(), source })
}
