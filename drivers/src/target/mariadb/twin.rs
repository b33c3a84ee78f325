//! A second account with the rights of the first: privileges of every kind, roles, limits and demands, by hash alone.

use super::{
    connection::Connection,
    declare,
    grant::Grant,
    hash::Plugin,
    hold,
    privilege::{Entry, Privilege},
    server::MariaDb,
    statement,
};
use crate::{
    material::Material,
    target::{Account, Admin, Node, TargetError},
};
use std::collections::BTreeSet;

/// Gives an account a twin at one node. In a cluster the first node's change reaches the others, which are then only read.
pub(super) async fn twin(
    target: &MariaDb,
    node: &Node,
    admin: &Admin<'_>,
    pair: Pair<'_>,
    value: &Material,
) -> Result<(), TargetError> {
    declare::speakable(node, pair.twin, &[value])?;
    let mut connection = target.administer(node, admin).await?;
    let mut place = Place { connection: &mut connection, node, admin };
    let done = place.twin(pair, value).await;
    connection.close().await;
    done
}

/// Removes an account at one node.
pub(super) async fn remove(
    target: &MariaDb,
    node: &Node,
    admin: &Admin<'_>,
    account: &Account,
) -> Result<(), TargetError> {
    let mut connection = target.administer(node, admin).await?;
    let mut place = Place { connection: &mut connection, node, admin };
    let done = place.remove(account).await;
    connection.close().await;
    done
}

/// An account and its twin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    /// Whose rights are copied.
    pub(super) account: &'a Account,
    /// Who gets them.
    pub(super) twin: &'a Account,
}

struct Place<'a> {
    connection: &'a mut Connection,
    node: &'a Node,
    admin: &'a Admin<'a>,
}

impl Place<'_> {
    async fn twin(&mut self, pair: Pair<'_>, value: &Material) -> Result<(), TargetError> {
        let Pair { account, twin } = pair;
        if account == twin {
            return Err(self.unable(format!("{account} cannot be its own twin")));
        }
        hold::enter(self.connection, self.node, self.admin).await?;
        declare::together(self.connection, self.node).await?;
        let original = declare::read(self.connection, self.node, account).await?;
        // Whatever is defined by it would end with it, so no rotation begins.
        self.no_definer(account).await?;
        let plugin = match original.plugins().as_slice() {
            [plugin] => *plugin,
            _ => return Err(self.unable(format!("{account} authenticates by no value, or by those of two plugins"))),
        };
        self.account(&original, twin, plugin, value).await?;
        self.rights(pair).await
    }

    /// The account itself: its value, what it demands, its limits.
    async fn account(
        &mut self,
        original: &Privilege,
        twin: &Account,
        plugin: Plugin,
        value: &Material,
    ) -> Result<(), TargetError> {
        let chain = [Entry::Value(plugin, plugin.hash(value))];
        let is_so = |found: &Privilege| {
            found.chain == chain && found.conditions == original.conditions && !found.locked && found.changed != Some(0)
        };
        let before = declare::find(self.connection, self.node, twin).await?;
        let sql = match &before {
            Some(found) if is_so(found) => return Ok(()),
            Some(_) => statement::alter_wholly(twin, &chain, &original.conditions),
            None => statement::create(twin, &chain, &original.conditions),
        };
        let sql = sql.map_err(|why| self.unable(format!("{twin}: {why}")))?;
        self.change(twin, &sql).await?;
        match declare::find(self.connection, self.node, twin).await? {
            Some(after) if is_so(&after) => Ok(()),
            Some(_) | None => {
                Err(self.unable(format!("{twin} is not what it was told to be; someone else changes it too")))
            }
        }
    }

    /// What it may do: first what is missing, then away with what is too much. The server writes several privileges in one
    /// line, so that a part of a line that goes may have to be given again.
    async fn rights(&mut self, pair: Pair<'_>) -> Result<(), TargetError> {
        let wanted = self.grants(pair.account).await?;
        for round in 0..3 {
            let found = self.grants(pair.twin).await?;
            if found == wanted {
                return Ok(());
            }
            let missing: Vec<_> = wanted.difference(&found).collect();
            let mut statements = Vec::new();
            if round > 0 || missing.is_empty() {
                for grant in found.difference(&wanted) {
                    statements.extend(grant.take(pair.twin).map_err(|why| self.unable(why.to_string()))?);
                }
            }
            for grant in missing {
                statements.push(grant.give(pair.twin).map_err(|why| self.unable(why.to_string()))?);
            }
            for sql in statements {
                self.change(pair.twin, &sql).await?;
            }
        }
        Err(self.unable(format!("{} has other rights than {}; someone else changes them too", pair.twin, pair.account)))
    }

    async fn remove(&mut self, account: &Account) -> Result<(), TargetError> {
        if self.admin.user == account.user {
            return Err(self.unable(format!("{account} would remove itself")));
        }
        hold::enter(self.connection, self.node, self.admin).await?;
        declare::together(self.connection, self.node).await?;
        if declare::find(self.connection, self.node, account).await?.is_none() {
            return Ok(());
        }
        self.no_definer(account).await?;
        let sql = statement::drop(account).map_err(|why| self.unable(format!("{account}: {why}")))?;
        self.change(account, &sql).await
    }

    /// Refuses where views, routines, triggers or events run with the rights of an account.
    async fn no_definer(&mut self, account: &Account) -> Result<(), TargetError> {
        let rows = self.connection.rows(DEFINERS).await.map_err(|fault| fault.at(self.node))?;
        let own = format!("{}@{}", account.user, account.host);
        let defined =
            rows.iter().filter(|row| row.first().is_some_and(|definer| definer.as_ref() == Some(&own))).count();
        match defined {
            0 => Ok(()),
            some => Err(self.unable(format!(
                "{some} views, routines, triggers or events run as {account} (DEFINER) and would end with it; give them \
                 another definer first"
            ))),
        }
    }

    async fn grants(&mut self, account: &Account) -> Result<BTreeSet<Grant>, TargetError> {
        let sql = statement::grants(account).map_err(|why| self.unable(format!("{account}: {why}")))?;
        let rows = self.connection.rows(&sql).await.map_err(|fault| fault.at(self.node))?;
        let grants: Option<BTreeSet<Grant>> =
            rows.iter().map(|row| row.first()?.as_deref().and_then(Grant::parse)).collect();
        grants.ok_or_else(|| self.unable(format!("what {account} may do is told in words that are not understood")))
    }

    async fn change(&mut self, account: &Account, sql: &str) -> Result<(), TargetError> {
        hold::certain(self.node, self.admin).await?;
        self.connection.run(sql).await.map_err(|fault| fault.changing(self.node, account))
    }

    fn unable(&self, what: String) -> TargetError {
        TargetError::Unable { node: self.node.name.clone(), what }
    }
}

const DEFINERS: &str = "SELECT DEFINER FROM information_schema.VIEWS \
                        UNION ALL SELECT DEFINER FROM information_schema.ROUTINES \
                        UNION ALL SELECT DEFINER FROM information_schema.TRIGGERS \
                        UNION ALL SELECT DEFINER FROM information_schema.EVENTS";
