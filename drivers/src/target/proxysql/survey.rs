//! What is there before a change, on every proxy, and what would make a change unsafe.

use super::{
    server::ProxySql,
    users::{self, Known, Layer},
};
use crate::{
    material::Material,
    target::{Account, Admin, Hazard, Survey, TargetError, mariadb::hash::Hash},
};
use std::collections::{BTreeMap, BTreeSet};

/// Surveys every proxy.
pub(super) async fn survey(
    target: &ProxySql,
    admin: &Admin<'_>,
    user: &str,
    known: &[&Material],
) -> Result<Survey, TargetError> {
    let known: Vec<Hash> = known.iter().map(|value| users::hash(value)).collect();
    let (mut hazards, mut is_there) = (Vec::new(), false);
    for node in &target.nodes {
        let mut connection = target.administer(node, admin).await?;
        let columns = users::columns(&mut connection).await.map_err(|fault| fault.at(node))?;
        let memory = users::read(&mut connection, &columns, Layer::Memory).await.map_err(|fault| fault.at(node))?;
        let runtime = users::read(&mut connection, &columns, Layer::Runtime).await.map_err(|fault| fault.at(node))?;
        connection.close().await;
        is_there |= memory.contains_key(user);
        let mut told = of_user(user, memory.get(user), runtime.get(user), &known);
        told.extend(unloaded(&memory, &runtime, &known));
        hazards.extend(told.into_iter().map(|what| Hazard { node: node.name.clone(), what }));
    }
    let accounts: Vec<Account> =
        is_there.then(|| Account { user: user.to_owned(), host: String::new() }).into_iter().collect();
    Ok(Survey { entries: accounts.clone(), accounts, by_socket: Vec::new(), hazards })
}

fn of_user(user: &str, memory: Option<&Known>, runtime: Option<&Known>, known: &[Hash]) -> Vec<String> {
    let Some(memory) = memory else { return vec![format!("there is no user `{user}`")] };
    if !memory.active {
        return vec![format!("`{user}` is off (active = 0)")];
    }
    let mut told = Vec::new();
    for hash in runtime.into_iter().flat_map(|runtime| &runtime.hashes) {
        match hash {
            None => told.push(format!(
                "what `{user}` accepts is no `mysql_native_password` hash; set `admin-hash_passwords`, and \
                 `mysql_users.password` to MYSQL_NATIVE_PASSWORD of the value"
            )),
            Some(hash) if !known.contains(hash) => {
                told.push(format!("`{user}` accepts a value that is not stored here; someone else changed it"));
            }
            Some(_) => {}
        }
    }
    told
}

/// LOAD takes the whole table: rows that do not run yet, or run no longer in memory, would change with ours. A row that
/// differs by one of the known values is of this rotation, which was interrupted between the layers.
fn unloaded(memory: &BTreeMap<String, Known>, runtime: &BTreeMap<String, Known>, known: &[Hash]) -> Vec<String> {
    let active = |name: &&String| memory.get(*name).is_some_and(|row| row.active);
    let names: BTreeSet<&String> = memory.keys().filter(active).chain(runtime.keys()).collect();
    let differs = |name: &&&String| match (memory.get(**name).filter(|row| row.active), runtime.get(**name)) {
        (Some(there), Some(here)) => {
            let mut pairs = there.hashes.iter().zip(&here.hashes);
            // What is in memory in plaintext runs as a hash.
            there.hashes.len() != here.hashes.len() || pairs.any(|(there, here)| there.is_some() && there != here)
        }
        (there, here) => there.is_some() || here.is_some(),
    };
    let ours = |name: &&String| {
        let rows = [memory.get(*name), runtime.get(*name)];
        let mut hashes = rows.into_iter().flatten().flat_map(|row| &row.hashes);
        hashes.all(|hash| hash.as_ref().is_some_and(|hash| known.contains(hash)))
    };
    let foreign: Vec<String> =
        names.iter().filter(differs).filter(|name| !ours(name)).map(|n| format!("`{n}`")).collect();
    if foreign.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "users differ between memory and what runs, and would change with this rotation: {}; load or undo them first",
        foreign.join(", ")
    )]
}
