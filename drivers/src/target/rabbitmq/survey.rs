//! What is there before a change, on every node, and what would make a change unsafe.

use super::{api::Api, hash::Behind, server::RabbitMq, user::User};
use crate::{
    material::Material,
    target::{Account, Admin, Hazard, Survey, TargetError},
};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Surveys every node.
pub(super) async fn survey(
    target: &RabbitMq,
    admin: &Admin<'_>,
    user: &str,
    known: &[&Material],
) -> Result<Survey, TargetError> {
    let mut hazards = Vec::new();
    let mut said = BTreeSet::new();
    let mut first: Option<(&str, User)> = None;
    let mut is_there = false;
    for node in &target.nodes {
        let mut say = |what: String| hazards.push(Hazard { node: node.name.clone(), what });
        let api = Api::open(target, node, admin).await?;
        let peers: Vec<Peer> = api.read(&["nodes"]).await?.unwrap_or_default();
        for what in peers.iter().flat_map(Peer::hazards) {
            // Every node tells of all of them.
            if said.insert(what.clone()) {
                say(what);
            }
        }
        let Some(found) = User::read(&api, user).await? else {
            say(format!("there is no user `{user}`"));
            continue;
        };
        is_there = true;
        unsafe_to_change(user, &found, known).into_iter().for_each(&mut say);
        match &first {
            Some((other, there)) if *there != found => {
                say(format!("`{user}` is not what it is on {other}; are they one cluster?"));
            }
            Some(_) => {}
            None => first = Some((&node.name, found)),
        }
    }
    let accounts: Vec<_> =
        is_there.then(|| Account { user: user.to_owned(), host: String::new() }).into_iter().collect();
    Ok(Survey { entries: accounts.clone(), accounts, by_socket: Vec::new(), hazards })
}

fn unsafe_to_change(user: &str, found: &User, known: &[&Material]) -> Option<String> {
    let behind: Vec<Behind> = known.iter().map(|value| found.behind(value)).collect();
    // Whether anything could be behind it does not depend on the value.
    match found.behind(&Material::new(Vec::new())) {
        Behind::Nobody => Some(format!("`{user}` accepts no value at all")),
        Behind::Unknown => Some(format!(
            "the value of `{user}` is stored by {}, which cannot be compared here",
            found.hashing_algorithm
        )),
        Behind::This => Some(format!("`{user}` accepts the empty value")),
        Behind::Another if !behind.contains(&Behind::This) => {
            Some(format!("`{user}` accepts a value that is not stored here; someone else changed it"))
        }
        Behind::Another => None,
    }
}

/// What a node tells of one of its cluster.
#[derive(Deserialize)]
struct Peer {
    name: String,
    #[serde(default)]
    running: bool,
    #[serde(default)]
    partitions: Vec<String>,
}

impl Peer {
    fn hazards(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.running {
            found.push(format!("{} of its cluster does not run", self.name));
        }
        if !self.partitions.is_empty() {
            found.push(format!("{} is parted from {}", self.name, self.partitions.join(", ")));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_down_or_parted_is_named() {
        let peers: Vec<Peer> = serde_json::from_str(
            r#"[{"name":"rabbit@a","running":true},{"name":"rabbit@b","running":false},
                {"name":"rabbit@c","running":true,"partitions":["rabbit@a"]}]"#,
        )
        .unwrap();
        let told: Vec<String> = peers.iter().flat_map(Peer::hazards).collect();
        assert_eq!(told, ["rabbit@b of its cluster does not run", "rabbit@c is parted from rabbit@a"]);
    }
}
