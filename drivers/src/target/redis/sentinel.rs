//! Sentinels: each keeps for itself what it logs in with at the nodes that it watches (`auth-pass`), and is told it as it is.
//!
//! None tells what that is, so what counts is its link to the nodes. Told another value it makes a new one: a login of its own.
//!
//! One may itself ask for a password (`requirepass`), which is no business of the nodes: the deployment file names the secret
//! that holds it.

use super::{
    connection::{Connection, Fault},
    keep::DEFAULT,
    resp::Reply,
    server::{Member, Redis},
    session::Client,
};
use crate::{
    material::Material,
    target::{Account, Admin, Hazard, Node, TargetError},
};
use donjon_policies::name::SecretName;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// A sentinel, as the deployment file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinel {
    /// Where it listens.
    pub member: Member,
    /// By which name it watches the nodes; all that it watches where none is given.
    pub master: Option<String>,
    /// The secret that holds its own password, where it asks for one.
    pub secret: Option<SecretName>,
}

/// What a sentinel says of itself.
struct Watching {
    node: Node,
    /// How its links to nodes are called.
    called: String,
    /// The masters that it watches.
    masters: Vec<String>,
}

/// A link of a sentinel to a node.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    node: String,
    number: u64,
    user: String,
}

/// What is amiss with the sentinels that are described, and how the links of each are called.
pub(super) async fn survey(target: &Redis, admin: &Admin<'_>) -> Result<(Vec<Hazard>, Vec<String>), TargetError> {
    let (mut hazards, mut called) = (Vec::new(), Vec::new());
    for sentinel in &target.sentinels {
        let (_, watching) = ask(target, sentinel, admin).await?;
        let mut say = |what: String| hazards.push(Hazard { node: sentinel.member.name.clone(), what });
        if watching.masters.is_empty() {
            say("this sentinel watches no such master".to_owned());
        }
        let links = links(target, admin, &watching.called).await?;
        for node in target.nodes.iter().filter(|node| !links.iter().any(|link| link.node == node.name)) {
            say(format!("this sentinel is not logged in at {}: its auth-pass may be another value", node.name));
        }
        called.push(watching.called);
    }
    Ok((hazards, called))
}

/// Makes each sentinel that logs in as a user do so with a value, one after the other: never are all of them away at once.
pub(super) async fn follow(
    target: &Redis,
    admin: &Admin<'_>,
    account: &Account,
    value: &Material,
) -> Result<(), TargetError> {
    for sentinel in &target.sentinels {
        let (mut connection, watching) = ask(target, sentinel, admin).await?;
        let before = links(target, admin, &watching.called).await?;
        let seen_as = |user: &str| before.iter().any(|link| link.user == user);
        // One that is refused everywhere is seen as nobody; most log in as the user of those who name none.
        if seen_as(&account.user) || (before.is_empty() && account.user == DEFAULT) {
            tell(&mut connection, &watching, value).await?;
            linked(target, admin, &watching, &before, account).await?;
        }
    }
    Ok(())
}

async fn ask(target: &Redis, sentinel: &Sentinel, admin: &Admin<'_>) -> Result<(Connection, Watching), TargetError> {
    let Member { name, address, port, .. } = &sentinel.member;
    let node = Node { name: name.clone(), address: format!("{address}:{port}") };
    let silent = |fault: Fault| fault.at(&node);
    let mut connection = Connection::greet(&sentinel.member, target.limits).await.map_err(silent)?;
    let own = match connection.ask(MYID).await {
        Err(Fault::Answered(kind)) if kind == ASKS => {
            enter(&mut connection, sentinel, &node, admin).await?;
            connection.ask(MYID).await
        }
        answered => answered,
    };
    let own = own.map_err(silent)?.text().unwrap_or_default();
    let watched = connection.ask(&[b"SENTINEL", b"MASTERS"]).await.map_err(silent)?.list();
    let names = watched.into_iter().filter_map(|master| master.list().into_iter().nth(1)?.text());
    let masters = names.filter(|name| sentinel.master.as_ref().is_none_or(|only| only == name)).collect();
    let called = format!("sentinel-{}-", own.get(..8).unwrap_or(&own));
    Ok((connection, Watching { node, called, masters }))
}

/// Shows a sentinel the password that it asks for. One that asks for none is shown none.
async fn enter(
    connection: &mut Connection,
    sentinel: &Sentinel,
    node: &Node,
    admin: &Admin<'_>,
) -> Result<(), TargetError> {
    let unable = |what: String| Err(TargetError::Unable { node: node.name.clone(), what });
    let Some(secret) = &sentinel.secret else {
        return unable(
            "this sentinel asks for a password of its own (requirepass); say which secret holds it: `secret: NAME` \
             beside its address"
                .to_owned(),
        );
    };
    for pass in admin.passes.iter().filter(|pass| pass.secret == *secret) {
        // EXPOSE: sent as every client of this sentinel sends it
        match connection.ask(&[b"AUTH", pass.value.expose()]).await {
            Ok(_) => return Ok(()),
            Err(Fault::Answered(_)) => {}
            Err(silent @ Fault::Silent(_)) => return Err(silent.at(node)),
        }
    }
    unable(format!("this sentinel refuses every value of `{secret}` that is stored; its requirepass is another one"))
}

/// Refuses a value that a sentinel could not read again: it writes it into its own settings as it is
/// (`rewriteConfigSentinelOption` in Redis 7.0), and does not start on what it takes for two words or half a quoted text.
pub(super) fn unfit(target: &Redis, values: &[&Material]) -> Option<&'static str> {
    let splits = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'\x0b' | 0 | b'"' | b'\'');
    // EXPOSE: looked at
    let odd = values.iter().any(|value| value.expose().iter().any(splits));
    (odd && !target.sentinels.is_empty())
        .then_some("a sentinel that keeps a value with blanks or quotes in it does not start again")
}

/// It keeps what it is told in its own file.
async fn tell(connection: &mut Connection, watching: &Watching, value: &Material) -> Result<(), TargetError> {
    for master in &watching.masters {
        // EXPOSE: a sentinel has to say it elsewhere, so it takes no hash of it
        let words: [&[u8]; 5] = [b"SENTINEL", b"SET", master.as_bytes(), b"auth-pass", value.expose()];
        match connection.ask(&words).await {
            Ok(Reply::Word(_)) => {}
            Ok(_) => return Err(Fault::Answered("something odd".to_owned()).at(&watching.node)),
            Err(fault) => return Err(fault.at(&watching.node)),
        }
    }
    Ok(())
}

/// The links to the nodes that are called so.
async fn links(target: &Redis, admin: &Admin<'_>, called: &str) -> Result<BTreeSet<Link>, TargetError> {
    let mut links = BTreeSet::new();
    for node in &target.nodes {
        let mut connection = target.administer(node, admin).await?;
        let clients = Client::all(&mut connection).await.map_err(|fault| fault.at(node))?;
        let own = clients.into_iter().filter(|client| client.is_called(called));
        links.extend(own.map(|client| Link { node: node.name.clone(), number: client.id, user: client.user }));
    }
    Ok(links)
}

/// Waits until a sentinel has logged in anew.
async fn linked(
    target: &Redis,
    admin: &Admin<'_>,
    sentinel: &Watching,
    before: &BTreeSet<Link>,
    account: &Account,
) -> Result<(), TargetError> {
    let until = Instant::now() + target.limits.answer.max(PATIENCE);
    while Instant::now() < until {
        let links = links(target, admin, &sentinel.called).await?;
        if links.iter().any(|link| link.user == account.user && !before.contains(link)) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(TargetError::Unable {
        node: sentinel.node.name.clone(),
        what: format!("this sentinel was told what {account} accepts and does not log in with it anywhere"),
    })
}

const MYID: &[&[u8]] = &[b"SENTINEL", b"MYID"];
/// The answer of one that asks for a password first.
const ASKS: &str = "NOAUTH";
/// It looks after its links once a second.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);
