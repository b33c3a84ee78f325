//! How nodes come to fetch full copies by an account that needs no value, in commands to type.

use super::rescue::{socket, word};
use crate::rotation::state_transfer::{ACCOUNT, LINE, USE};
use donjon_policies::{
    deployment::{Deployment, Setting},
    name::TargetName,
};

/// The commands: the account once, its use on each node, and what is to be written there for later.
pub(super) fn commands(deployment: &Deployment, target: &TargetName) -> Vec<String> {
    let nodes = deployment.targets.get(target).and_then(|described| described.options.get("nodes"));
    let names = names(nodes);
    let client = |node: &str| {
        let socket = socket(nodes, node).map_or_else(String::new, |socket| format!(" --socket={}", word(&socket)));
        format!("mariadb --user=root{socket} --execute=")
    };
    let mut lines: Vec<String> = names
        .first()
        .map(|first| format!("{}\"{}\"   # as the system's root on {first}", client(first), ACCOUNT.join("; ")))
        .into_iter()
        .collect();
    lines.extend(names.iter().map(|node| format!("{}\"{USE}\"   # as the system's root on {node}", client(node))));
    lines.push(format!("# and in the configuration of each node, in place of the line with the value: {LINE}"));
    lines
}

fn names(nodes: Option<&Setting>) -> Vec<&str> {
    let Some(Setting::List(nodes)) = nodes else { return Vec::new() };
    nodes.iter().filter_map(name).collect()
}

fn name(node: &Setting) -> Option<&str> {
    match node {
        Setting::Map(map) => match map.get("name") {
            Some(Setting::Text(name)) => Some(name),
            Some(Setting::Switch(_) | Setting::Number(_) | Setting::List(_) | Setting::Map(_)) | None => None,
        },
        Setting::Switch(_) | Setting::Number(_) | Setting::Text(_) | Setting::List(_) => None,
    }
}
