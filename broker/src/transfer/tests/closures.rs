//! A bundle holds exactly what the catalogue, the roles and the site say, compared with the shortest way to say it.

use super::{Site, put};
use crate::{
    records::Layout,
    transfer::{
        bundle::{Checks, Opened, Scope},
        closure::{ClosureError, closure},
    },
};
use donjon_policies::{catalogue::Catalogue, deployment::Deployment};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A catalogue, roles and sites, as numbers and letters from which both sides are made.
#[derive(Debug, Clone)]
struct World {
    /// How many secrets there are: `s0`, `s1`, ….
    secrets: usize,
    /// Older names, and what each means.
    aliases: BTreeMap<usize, usize>,
    /// What each role reads: a secret or, where the flag is set, an older name.
    roles: BTreeMap<usize, BTreeSet<(usize, bool)>>,
    /// The roles of each site.
    sites: BTreeMap<usize, BTreeSet<usize>>,
}

fn world() -> impl Strategy<Value = World> {
    let aliases = proptest::collection::btree_map(0..4_usize, 0..6_usize, 0..4);
    let reads = proptest::collection::btree_set((0..6_usize, any::<bool>()), 0..6);
    let roles = proptest::collection::btree_map(0..3_usize, reads, 1..4);
    let sites = proptest::collection::btree_map(0..3_usize, proptest::collection::btree_set(0..3_usize, 0..3), 1..3);
    (2..7_usize, aliases, roles, sites).prop_map(|(secrets, aliases, roles, sites)| {
        let aliases = aliases.into_iter().map(|(old, of)| (old, of % secrets)).collect();
        // Only roles that are declared can be a site's.
        let sites =
            sites.into_iter().map(|(site, of)| (site, of.into_iter().filter(|r| roles.contains_key(r)).collect()));
        World { secrets, aliases, sites: sites.collect(), roles }
    })
}

impl World {
    /// The name that a rule holds: an older one where there is such.
    fn written(&self, (number, old): (usize, bool)) -> String {
        match old && self.aliases.contains_key(&number) {
            true => format!("old{number}"),
            false => format!("s{}", number % self.secrets),
        }
    }

    fn catalogue(&self) -> Catalogue {
        let mut text =
            "deployer: test\nrecipe: alphanumeric 40\nclasses: { shared-secret: { credentials: [{ target: consumers, \
                        strategy: together, phase: 6 }] } }\nsecrets:\n"
                .to_owned();
        for secret in 0..self.secrets {
            let old = self.aliases.iter().filter(|(_, of)| **of == secret).map(|(old, _)| format!("old{old}"));
            text += &format!(
                "  s{secret}: {{ class: shared-secret, aliases: [{}] }}\n",
                old.collect::<Vec<_>>().join(", ")
            );
        }
        Catalogue::parse("test.yaml", &text).unwrap()
    }

    fn deployment(&self) -> Deployment {
        let list = |items: Vec<String>| items.join(", ");
        let mut text = "deployment: kolla\ncatalogue: test.yaml\nroles:\n".to_owned();
        for (role, reads) in &self.roles {
            let reads: BTreeSet<_> = reads.iter().map(|one| self.written(*one)).collect();
            text += &format!("  r{role}: {{reads: [{}]}}\n", list(reads.into_iter().collect()));
        }
        text += "sites:\n";
        for (site, roles) in &self.sites {
            let roles = roles.iter().map(|role| format!("r{role}")).collect();
            text += &format!("  e{site}: {{roles: [{}], recipients: []}}\n", list(roles));
        }
        Deployment::parse("donjon.yaml", &text).unwrap()
    }

    /// The same question, answered as simply as can be; `None` where there is nothing to export.
    fn reference(&self, site: usize, role: usize) -> Option<BTreeSet<String>> {
        let mut wanted = BTreeSet::new();
        for (number, old) in self.sites.get(&site)?.get(&role).and_then(|role| self.roles.get(role))? {
            let meant = match (old, self.aliases.get(number)) {
                (true, Some(of)) => *of,
                _ => number % self.secrets,
            };
            wanted.insert(format!("kolla/s{meant}"));
        }
        if wanted.is_empty() { None } else { Some(wanted) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_bundle_holds_exactly_what_the_rules_say(world in world()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (catalogue, deployment) = (world.catalogue(), world.deployment());
            let layout = Layout::new(deployment.deployment.clone()).unwrap();
            let store = Site::new().await;
            for secret in 0..world.secrets {
                put(&store.store, &format!("kolla/s{secret}"), &format!("first of {secret}")).await;
                put(&store.store, &format!("kolla/s{secret}"), &format!("value of {secret}")).await;
            }
            for (site, role) in (0..4).flat_map(|site| (0..4).map(move |role| (site, role))) {
                let (site_name, role_name) = (format!("e{site}").parse().unwrap(), format!("r{role}").parse().unwrap());
                let asked = closure(&deployment, &catalogue, &layout, &site_name, &role_name);
                let Some(wanted) = world.reference(site, role) else {
                    let refused = asked.unwrap_err();
                    let declared = world.sites.get(&site);
                    match declared.map(|roles| roles.contains(&role)) {
                        None => assert!(matches!(refused, ClosureError::Site { .. }), "{refused}"),
                        Some(false) => assert!(matches!(refused, ClosureError::NotThere { .. }), "{refused}"),
                        Some(true) => assert!(matches!(refused, ClosureError::Nothing { .. }), "{refused}"),
                    }
                    continue;
                };
                let scope = Scope::Site { site: site_name, role: role_name, host: None };
                let bundle = store.export(scope, &asked.unwrap()).await.unwrap();
                let checks = Checks { now: 300, ..Checks::default() };
                let opened = Opened::from_file(&bundle.bytes, &checks, &store.identities()).unwrap();
                let held: BTreeSet<_> = opened.records().iter().map(|record| record.path.to_string()).collect();
                assert_eq!(held, wanted, "e{site} r{role} of {world:?}");
                assert_eq!(opened.records().len(), held.len(), "nothing twice, and no earlier version");
                for record in opened.records() {
                    let number = record.path.to_string().replace("kolla/s", "");
                    let value = format!(r#"{{"password":"value of {number}"}}"#);
                    assert_eq!(record.document.text().expose(), value.as_bytes()); // EXPOSE: a test value
                }
            }
        });
    }
}
