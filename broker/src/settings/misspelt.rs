//! Names in the deployment file that nothing has and that read nearly like one that something has.

use donjon_policies::{catalogue::Catalogue, deployment::Deployment, name::SecretName};
use std::collections::BTreeSet;

/// A sentence for each. Names that read like no other are the operator's own, and are not told.
pub fn misspelt(deployment: &Deployment, catalogue: &Catalogue, stored: &[SecretName]) -> Vec<String> {
    let is_known = |name: &SecretName| {
        catalogue.entry(name).is_some() || deployment.views.contains_key(name) || stored.contains(name)
    };
    let known: BTreeSet<&SecretName> =
        catalogue.current().map(|entry| &entry.name).chain(deployment.views.keys()).chain(stored).collect();
    let nearest = |name: &SecretName| {
        let distance = |other: &&SecretName| strsim::damerau_levenshtein(name.as_str(), other.as_str());
        known.iter().copied().min_by_key(distance).filter(|other| distance(other) <= MOST_SLIPS)
    };
    let tell = |(place, name): (String, SecretName)| {
        let nearest = (!is_known(&name)).then(|| nearest(&name)).flatten()?;
        Some(format!("{place} in donjon.yaml names `{name}`, which nothing has; is `{nearest}` meant?"))
    };
    names(deployment).into_iter().filter_map(tell).collect()
}

/// Every secret that the file names where it means one that is there, and where it does.
fn names(deployment: &Deployment) -> Vec<(String, SecretName)> {
    let mut names = Vec::new();
    for (service, described) in &deployment.services {
        names.extend(described.uses.iter().map(|name| (format!("services.{service}.uses"), name.clone())));
    }
    for (role, reads) in &deployment.roles {
        names.extend(reads.reads.iter().map(|name| (format!("roles.{role}.reads"), name.clone())));
    }
    for view in deployment.views.keys() {
        names.extend(deployment.parts_of(view).into_iter().map(|name| (format!("views.{view}"), name)));
    }
    names.extend(deployment.strategies.keys().map(|name| ("strategies".to_owned(), name.clone())));
    // Patterns with a star are no names.
    let rules = deployment.schedules.rules.iter().flat_map(|rule| &rule.secrets);
    names.extend(
        rules.filter_map(|pattern| Some(("schedules.rules".to_owned(), String::from(pattern.clone()).parse().ok()?))),
    );
    names
}

/// How many letters of a misspelt name are wrong, missing or swapped at most.
const MOST_SLIPS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
deployment: site1
catalogue: kolla-ansible
services:
  api: {driver: command, uses: [databse_password, our_own_thing, v]}
  web: {driver: command, uses: [database_password]}
roles:
  r: {reads: [keystone.databse.connection]}
views:
  keystone.database.connection: '{keystone_database_pasword}'
  v: '{stored_here}'
strategies:
  nova_keystone_pasword: dual-user
schedules:
  rules:
    - {secrets: [database_pasword, '*_password'], max_age: 30d}
";

    #[test]
    fn what_reads_nearly_like_a_name_is_told_and_what_is_the_operators_own_is_not() {
        let deployment = Deployment::parse("donjon.yaml", FILE).unwrap();
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let told = misspelt(&deployment, &catalogue, &["stored_here".parse().unwrap()]);
        let of = |place: &str, name: &str, meant: &str| {
            format!("{place} in donjon.yaml names `{name}`, which nothing has; is `{meant}` meant?")
        };
        assert_eq!(
            told,
            [
                of("services.api.uses", "databse_password", "database_password"),
                of("roles.r.reads", "keystone.databse.connection", "keystone.database.connection"),
                of("views.keystone.database.connection", "keystone_database_pasword", "keystone_database_password"),
                of("strategies", "nova_keystone_pasword", "nova_keystone_password"),
                of("schedules.rules", "database_pasword", "database_password"),
            ]
        );
    }
}
