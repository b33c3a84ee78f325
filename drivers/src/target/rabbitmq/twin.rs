//! A second user with the rights of the first: tags, permissions, topic permissions and limits, in every virtual host.

use super::{
    api::Api,
    server::RabbitMq,
    user::{self, User},
};
use crate::{
    material::Material,
    target::{Account, Admin, Node, TargetError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Gives `account` a twin at every node.
pub(super) async fn twin(
    target: &RabbitMq,
    admin: &Admin<'_>,
    account: &Account,
    twin: &Account,
    value: &Material,
) -> Result<(), TargetError> {
    for node in &target.nodes {
        at_node(target, node, admin, account, twin, value).await?;
    }
    Ok(())
}

/// Removes a user, which ends its connections.
pub(super) async fn remove(target: &RabbitMq, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
    for node in &target.nodes {
        let api = Api::open(target, node, admin).await?;
        if admin.user == account.user {
            return Err(api.unable(&format!("{account} would remove itself")));
        }
        api.delete(account, &["users", &account.user]).await?;
    }
    Ok(())
}

async fn at_node(
    target: &RabbitMq,
    node: &Node,
    admin: &Admin<'_>,
    account: &Account,
    twin: &Account,
    value: &Material,
) -> Result<(), TargetError> {
    let api = Api::open(target, node, admin).await?;
    if account.user == twin.user || !twin.host.is_empty() {
        return Err(api.unable(&format!("{twin} cannot be a twin of {account}")));
    }
    let Some(original) = User::read(&api, &account.user).await? else {
        return Err(api.unable(&format!("there is no user {account}")));
    };
    let wanted = Rights::read(&api, &account.user).await?;
    let before = User::read(&api, &twin.user).await?;
    user::accept(&api, twin, value, before.as_ref(), &original.tags).await?;
    let found = Rights::read(&api, &twin.user).await?;
    if found == wanted {
        return Ok(());
    }
    wanted.give(&api, twin, &found).await?;
    match Rights::read(&api, &twin.user).await? == wanted {
        true => Ok(()),
        false => Err(api.unable(&format!("{twin} has other rights than {account}; someone else changes them too"))),
    }
}

/// What a user may do.
#[derive(Debug, PartialEq)]
struct Rights {
    permissions: BTreeSet<Permission>,
    topics: BTreeSet<Topic>,
    limits: Map<String, Value>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Permission {
    vhost: String,
    configure: String,
    write: String,
    read: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Topic {
    vhost: String,
    exchange: String,
    write: String,
    read: String,
}

#[derive(Deserialize)]
struct Limits {
    value: Map<String, Value>,
}

impl Rights {
    async fn read(api: &Api<'_>, user: &str) -> Result<Self, TargetError> {
        let limits: Vec<Limits> = api.read(&["user-limits", user]).await?.unwrap_or_default();
        Ok(Self {
            permissions: api.read(&["users", user, "permissions"]).await?.unwrap_or_default(),
            topics: api.read(&["users", user, "topic-permissions"]).await?.unwrap_or_default(),
            limits: limits.into_iter().flat_map(|limits| limits.value).collect(),
        })
    }

    /// Gives these rights to a user who has those `found`: first what is missing, then away with what is too much. Topic
    /// permissions can be taken away per virtual host only, and are given again at once.
    async fn give(&self, api: &Api<'_>, to: &Account, found: &Self) -> Result<(), TargetError> {
        let user = to.user.as_str();
        for right in self.permissions.difference(&found.permissions) {
            api.write(to, &["permissions", &right.vhost, user], &json!(right)).await?;
        }
        for right in &found.permissions {
            if !self.permissions.iter().any(|wanted| wanted.vhost == right.vhost) {
                api.delete(to, &["permissions", &right.vhost, user]).await?;
            }
        }
        let too_much: BTreeSet<&str> = found
            .topics
            .iter()
            .filter(|topic| !self.topics.iter().any(|w| (&w.vhost, &w.exchange) == (&topic.vhost, &topic.exchange)))
            .map(|topic| topic.vhost.as_str())
            .collect();
        for vhost in &too_much {
            api.delete(to, &["topic-permissions", vhost, user]).await?;
        }
        for topic in &self.topics {
            if too_much.contains(topic.vhost.as_str()) || !found.topics.contains(topic) {
                api.write(to, &["topic-permissions", &topic.vhost, user], &json!(topic)).await?;
            }
        }
        for (name, value) in &self.limits {
            api.write(to, &["user-limits", user, name], &json!({ "value": value })).await?;
        }
        for name in found.limits.keys().filter(|name| !self.limits.contains_key(*name)) {
            api.delete(to, &["user-limits", user, name]).await?;
        }
        Ok(())
    }
}
