//! What is there before a change, on every node, and what would make a change unsafe.

use super::{
    connection::{Connection, Fault},
    keep::{Memory, Upstream},
    sentinel,
    server::Redis,
    session::Client,
    user::{self, User},
};
use crate::{
    material::Material,
    target::{Account, Admin, Hazard, Survey, TargetError},
};

/// Surveys every node.
pub(super) async fn survey(
    target: &Redis,
    admin: &Admin<'_>,
    user: &str,
    known: &[&Material],
) -> Result<Survey, TargetError> {
    let (mut hazards, watchers) = sentinel::survey(target, admin).await?;
    let mut is_there = false;
    for node in &target.nodes {
        let mut connection = target.administer(node, admin).await?;
        let found = User::read(&mut connection, user).await.map_err(|fault| fault.at(node))?;
        let told = match found {
            None => vec![format!("there is no user `{user}`")],
            Some(found) => {
                is_there = true;
                let mut told = unsafe_to_change(user, &found, known);
                told.extend(around(&mut connection, user, known, &watchers).await.map_err(|fault| fault.at(node))?);
                told
            }
        };
        hazards.extend(told.into_iter().map(|what| Hazard { node: node.name.clone(), what }));
    }
    let accounts: Vec<_> =
        is_there.then(|| Account { user: user.to_owned(), host: String::new() }).into_iter().collect();
    Ok(Survey { entries: accounts.clone(), accounts, by_socket: Vec::new(), hazards })
}

fn unsafe_to_change(user: &str, found: &User, known: &[&Material]) -> Vec<String> {
    let mut told = Vec::new();
    let known: Vec<String> = known.iter().map(|value| user::hash(value)).collect();
    if found.is_open() {
        told.push(format!("`{user}` accepts any value (nopass)"));
    } else if found.hashes.is_empty() {
        told.push(format!("`{user}` accepts no value at all"));
    }
    if found.hashes.iter().any(|hash| !known.contains(hash)) {
        told.push(format!("`{user}` accepts a value that is not stored here; someone else changed it"));
    }
    if !found.is_on() {
        told.push(format!("`{user}` is off"));
    }
    told
}

/// What stands around the user: what a restart brings back, what replicas and sentinels log in with.
async fn around(
    connection: &mut Connection,
    user: &str,
    known: &[&Material],
    watchers: &[String],
) -> Result<Vec<String>, Fault> {
    let mut told = Vec::new();
    let upstream = Upstream::of(connection, user).await?;
    told.extend(Memory::of(connection).await?.hazard(upstream.as_ref()).map(str::to_owned));
    if upstream.is_some_and(|upstream| !known.iter().any(|value| value.matches(&upstream.0))) {
        told.push(format!("it replicates as `{user}` with a value that is not stored here (masterauth)"));
    }
    let clients = Client::all(connection).await?;
    let stranger = |client: &&Client| client.is_sentinel() && !watchers.iter().any(|called| client.is_called(called));
    if let Some(client) = clients.iter().filter(|client| client.user == user).find(stranger) {
        told.push(format!(
            "a sentinel at {} watches it as `{user}`; name it under `sentinels`, so that it is told the new value",
            client.address
        ));
    }
    Ok(told)
}
