//! Who is connected since when. The server tells who is connected at once, but since when only with its next statistics;
//! so a mark is the time that it tells of a connection of our own, and no two clocks are ever compared.
//!
//! It may also go on telling of a connection that has ended: it notes its begin and its end in two processes of their own,
//! and where the end is noted first the note of the begin stays. Its statistics have no such ghosts. So one without a time is
//! believed to be open until a later connection of our own has a time and it still has none.

use super::{
    amqp::{self, Answer},
    api::Api,
    server::{MOST_DENIED, RabbitMq},
};
use crate::target::{Account, Admin, Began, Mark, Node, Session, TargetError};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
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

/// The user's connections to a node.
pub(super) async fn sessions(
    target: &RabbitMq,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    began: Began,
) -> Result<Vec<Session>, TargetError> {
    let api = Api::open(target, node, admin).await?;
    let open = open(target, &api, admin, node, user).await?.into_iter();
    let open = open.filter(|(_, time)| began.holds(Mark(*time)));
    let told = |(name, time): (String, u64)| Session {
        mark: Mark(time),
        from: peer(&name),
        since: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(time)),
    };
    Ok(open.map(told).collect())
}

/// Ends the user's connections to a node that began no later than a mark.
pub(super) async fn end(
    target: &RabbitMq,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
    until: Mark,
) -> Result<(), TargetError> {
    let api = Api::open(target, node, admin).await?;
    let account = Account { user: user.to_owned(), host: String::new() };
    for (name, time) in open(target, &api, admin, node, user).await? {
        if Mark(time) <= until {
            api.delete(&account, &["connections", &name]).await?;
        }
    }
    Ok(())
}

/// The names of the user's connections to a node, with their times.
async fn open(
    target: &RabbitMq,
    api: &Api<'_>,
    admin: &Admin<'_>,
    node: &Node,
    user: &str,
) -> Result<Vec<(String, u64)>, TargetError> {
    let own: Overview = api.read(&["overview"]).await?.ok_or_else(|| api.unable("it does not tell its name"))?;
    let mut names: Vec<String> =
        tracked(api, user).await?.into_iter().filter(|one| one.node == own.node).map(|one| one.name).collect();
    let mut open = timed(api, &names).await?;
    if open.len() < names.len() {
        // One that has gone meanwhile needs no time.
        let still = tracked(api, user).await?;
        names.retain(|name| still.iter().any(|one| one.name == *name));
        open = timed(api, &names).await?;
    }
    if open.len() < names.len() {
        // Statistics are of one moment: whoever was there before this mark and is open has a time now.
        mark(target, admin, node).await?;
        open = timed(api, &names).await?;
    }
    Ok(open)
}

/// Whom the server lists as connected.
async fn tracked(api: &Api<'_>, user: &str) -> Result<Vec<Tracked>, TargetError> {
    Ok(api.read(&["connections", "username", user]).await?.unwrap_or_default())
}

/// Those of some connections whose times are told.
async fn timed(api: &Api<'_>, names: &[String]) -> Result<Vec<(String, u64)>, TargetError> {
    let all = listed(api).await?.into_iter().filter_map(|one| Some((one.name, one.connected_at?)));
    let times: BTreeMap<String, u64> = all.collect();
    Ok(names.iter().filter_map(|name| Some((name.clone(), *times.get(name)?))).collect())
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
