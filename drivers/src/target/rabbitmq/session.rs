//! Who is connected since when. The server tells who is connected at once, but since when only with its next statistics;
//! so a mark is the time that it tells of a connection of our own, and no two clocks are ever compared.

use super::{
    amqp::{self, Answer},
    api::Api,
    server::{MOST_DENIED, RabbitMq},
};
use crate::target::{Account, Admin, Mark, Node, Session, TargetError};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Opens a connection as the administrator, waits until it is listed, and takes its time.
pub(super) async fn mark(target: &RabbitMq, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
    let api = Api::open(target, node, admin).await?;
    let name = format!("donjon-{}", hex::encode(rand::random::<[u8; 8]>()));
    let allowed: Vec<Permission> = api.read(&["users", admin.user, "permissions"]).await?.unwrap_or_default();
    let Some(Permission { vhost }) = allowed.first() else {
        return Err(api.unable(&format!(
            "`{}` may enter no virtual host, so that connections cannot be put in order",
            admin.user
        )));
    };
    let member = target.member(node)?;
    let silent = |source: std::io::Error| TargetError::Unreachable {
        node: node.name.clone(),
        address: node.address.clone(),
        source: Box::new(source),
    };
    for value in admin.values.iter().take(MOST_DENIED) {
        let answer = amqp::log_in(member, admin.user, value, &name, target.limits.answer).await.map_err(silent)?;
        let mut line = match answer {
            Answer::In(line) => line,
            Answer::Refused => continue,
            Answer::Other(why) => return Err(api.unable(&why)),
        };
        if !line.enter(vhost).await.map_err(silent)? {
            return Err(api.unable(&format!("`{}` may not enter the virtual host `{vhost}`", admin.user)));
        }
        let end = Instant::now() + target.limits.statistics;
        let listed = loop {
            let listed = listed(&api).await?.into_iter().find(|one| one.user_provided_name.as_deref() == Some(&name));
            match listed.and_then(|one| one.connected_at) {
                None if Instant::now() < end => tokio::time::sleep(BETWEEN).await,
                found => break found,
            }
        };
        line.close().await;
        return listed.map(Mark).ok_or_else(|| api.unable("it does not tell since when connections are open"));
    }
    Err(TargetError::AdminRefused {
        node: node.name.clone(),
        address: node.address.clone(),
        user: admin.user.to_owned(),
    })
}

/// The user's connections to a node that began no later than a mark. One whose time is not told is taken for old.
pub(super) async fn sessions(
    target: &RabbitMq,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    until: Mark,
) -> Result<Vec<Session>, TargetError> {
    let api = Api::open(target, node, admin).await?;
    let old = old(&api, target.limits.statistics, user, until).await?;
    Ok(old.into_iter().map(|(name, time)| Session { mark: Mark(time.unwrap_or(0)), from: peer(&name) }).collect())
}

/// Ends those connections.
pub(super) async fn end(
    target: &RabbitMq,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    until: Mark,
) -> Result<(), TargetError> {
    let api = Api::open(target, node, admin).await?;
    let account = Account { user: user.to_owned(), host: String::new() };
    for (name, _) in old(&api, target.limits.statistics, user, until).await? {
        api.delete(&account, &["connections", &name]).await?;
    }
    Ok(())
}

/// The names of those connections, with their times where these are told.
async fn old(
    api: &Api<'_>,
    within: Duration,
    user: &str,
    until: Mark,
) -> Result<Vec<(String, Option<u64>)>, TargetError> {
    let own: Overview = api.read(&["overview"]).await?.ok_or_else(|| api.unable("it does not tell its name"))?;
    let end = Instant::now() + within;
    let open = async || -> Result<Vec<Tracked>, TargetError> {
        Ok(api.read(&["connections", "username", user]).await?.unwrap_or_default())
    };
    let asked = open().await?;
    loop {
        let times: BTreeMap<String, u64> =
            listed(api).await?.into_iter().filter_map(|one| Some((one.name, one.connected_at?))).collect();
        // One that has gone meanwhile needs no time.
        let still = open().await?;
        let found: Vec<(String, Option<u64>)> = asked
            .iter()
            .filter(|one| one.node == own.node && still.iter().any(|other| other.name == one.name))
            .map(|one| (one.name.clone(), times.get(&one.name).copied()))
            .collect();
        if found.iter().all(|(_, time)| time.is_some()) || Instant::now() >= end {
            return Ok(found.into_iter().filter(|(_, time)| time.is_none_or(|time| time <= until.0)).collect());
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// How long between two looks at the list.
const BETWEEN: Duration = Duration::from_millis(100);

async fn listed(api: &Api<'_>) -> Result<Vec<Listed>, TargetError> {
    Ok(api.read(&["connections"]).await?.unwrap_or_default())
}

/// The near end of `10.0.0.5:41112 -> 10.0.0.12:5672`.
fn peer(name: &str) -> String {
    name.split(" -> ").next().unwrap_or(name).to_owned()
}

#[derive(Deserialize)]
struct Permission {
    vhost: String,
}

#[derive(Deserialize)]
struct Overview {
    node: String,
}

#[derive(Deserialize)]
struct Tracked {
    name: String,
    node: String,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    connected_at: Option<u64>,
    user_provided_name: Option<String>,
}
