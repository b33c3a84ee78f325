//! What the daemon of this host has, for the roles of its deployment file that have users, and for those of `consumers.yaml`.

use super::{Loaded, Wanted, consumers, roles};
use crate::{
    callers::Accounts,
    config,
    failure::{Exit, Failure},
    home::Home,
    reader::{Callers, OfDaemon, Source, consumers::OVERFLOW},
    records::Layout,
    transfer::{import::node::Node, told},
};
use donjon_policies::{
    access::Access,
    deployment::{Deployment, Reads},
    name::RoleName,
};
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// The daemon, whether it is there yet or not, and the roles that read from it.
pub(super) fn load(folder: &Path, home: &Home) -> Result<Loaded, Failure> {
    let deployment = config::deployment(home)?;
    let layout = Layout::new(deployment.deployment.clone())
        .map_err(|error| Failure::new(Exit::Usage, "cannot use this deployment").because(&error))?;
    let wanted = wanted(folder, &deployment, &layout)?;
    // Held, so that no revocation is written over.
    let _node =
        Node::open_in_turn(folder).map_err(|error| told::import(format!("cannot use {}", folder.display()), &error))?;
    let roles = roles(folder, wanted)?;
    let scope = format!("deployment {}", deployment.deployment);
    let lookup = Arc::new(OfDaemon::new(home.socket(), layout));
    Ok(Loaded { source: Source { lookup, roles }, records: None, scope, ends: None })
}

fn wanted(folder: &Path, deployment: &Deployment, layout: &Layout) -> Result<Wanted, Failure> {
    let catalogue = config::catalogue(&deployment.catalogue)?;
    let given = deployment.roles.iter().map(|(role, reads)| (role.clone(), reads.reads.clone()));
    let access = Access::new(given, &catalogue);
    // What groups there are does not matter: no peer over TCP has one.
    let accounts = Accounts::of_this_host();
    let mut wanted = Wanted::new();
    for (role, reads) in deployment.roles.iter().filter(|(_, reads)| !reads.users.is_empty()) {
        let Some(uids) = users(role, reads, &accounts) else { continue };
        let paths = access.granted(role).map(|name| layout.secret(name)).collect();
        wanted.insert(role.clone(), (paths, Callers { uids, ..Callers::default() }));
    }
    for (role, consumer) in consumers(folder)?.iter() {
        let refused = |cause: &str| {
            let failure = Failure::new(Exit::Usage, format!("cannot tell what `{role}` of consumers.yaml reads"));
            Err(failure.cause(cause).state("who was served before is served on"))
        };
        let Some(names) = &consumer.reads else {
            return refused("it has no `reads`, and a daemon's secrets have no end as a bundle's have");
        };
        if wanted.contains_key(role) {
            return refused("the deployment file has a role of the same name");
        }
        let paths = names.iter().map(|name| layout.secret(name)).collect();
        wanted.insert(role.clone(), (paths, consumer.callers.clone()));
    }
    Ok(wanted)
}

/// The users of a role; `None` where it is not served here.
fn users(role: &RoleName, reads: &Reads, accounts: &Accounts) -> Option<BTreeSet<u32>> {
    if !reads.units.is_empty() {
        anstream::eprintln!(
            "warning: role `{role}` is for its units alone, which HTTP cannot tell: it reads at the lookup socket"
        );
        return None;
    }
    let known = reads.users.iter().filter_map(|user| accounts.user(user));
    let uids: BTreeSet<u32> = known.filter(|uid| *uid != OVERFLOW).collect();
    // One without users would be anybody's on this machine who has its credential.
    (!uids.is_empty()).then_some(uids)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A role, its paths and its users.
    type Told = (String, Vec<String>, Vec<u32>);

    fn wanted_of(roles: &str, consumers: &str) -> Result<Vec<Told>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        donjon_drivers::fs::replace(&folder.path().join("consumers.yaml"), consumers.as_bytes()).unwrap();
        let deployment = Deployment::parse("f", &format!("deployment: d\nroles: {{{roles}}}\n")).unwrap();
        let wanted = wanted(folder.path(), &deployment, &Layout::new("d".parse().unwrap()).unwrap())?;
        let told = |(role, (paths, callers)): (RoleName, (BTreeSet<donjon_drivers::store::RecordPath>, Callers))| {
            let paths = paths.iter().map(ToString::to_string).collect();
            (role.to_string(), paths, callers.uids.into_iter().collect())
        };
        Ok(wanted.into_iter().map(told).collect())
    }

    #[test]
    fn only_a_role_with_users_is_served_and_to_these_alone() {
        let all = wanted_of(
            "a: {reads: [x, redis_master_password], users: [7, root]}, nobody: {reads: [x]}, \
             unknown: {reads: [x], users: [no-such-user, 65534]}, group: {reads: [x], groups: [7]}, \
             unit: {reads: [x], users: [8], units: [x.service]}",
            "b: {uids: [9], reads: [y]}",
        );
        let own = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let expected = [
            // By the name that it has now.
            ("a".to_owned(), own(&["d/valkey_master_password", "d/x"]), vec![0, 7]),
            ("b".to_owned(), own(&["d/y"]), vec![9]),
        ];
        assert_eq!(all.unwrap(), expected);
    }

    #[test]
    fn what_is_said_twice_or_not_at_all_is_refused() {
        for consumers in ["a: {uids: [9], reads: [y]}", "b: {uids: [9]}"] {
            let failure = wanted_of("a: {reads: [x], users: [7]}", consumers).unwrap_err();
            assert_eq!(failure.code, Exit::Usage, "{consumers}");
        }
    }
}
