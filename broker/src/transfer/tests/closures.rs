//! A bundle holds exactly what the catalogue, the roles and the site say, compared with the shortest way to say it.

use super::{Site, put};
use crate::{
    records::{Layout, epoch},
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
    /// The secrets that have a view, which has a secret of its own after it: `v0` of `s0` and `s1`.
    views: BTreeSet<usize>,
    /// Whether anything was published yet.
    published: bool,
    /// What each role reads.
    roles: BTreeMap<usize, BTreeSet<(usize, Kind)>>,
    /// The roles of each site.
    sites: BTreeMap<usize, BTreeSet<usize>>,
}

/// How a role names what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// As a secret.
    Secret,
    /// By an older name, where there is one.
    Old,
    /// As a view, where there is one.
    View,
}

fn world() -> impl Strategy<Value = World> {
    let kind = prop_oneof![Just(Kind::Secret), Just(Kind::Old), Just(Kind::View)];
    let views = (proptest::collection::btree_set(0..6_usize, 0..5), any::<bool>());
    let aliases = proptest::collection::btree_map(0..4_usize, 0..6_usize, 0..4);
    let reads = proptest::collection::btree_set((0..6_usize, kind), 0..6);
    let roles = proptest::collection::btree_map(0..3_usize, reads, 1..4);
    let sites = proptest::collection::btree_map(0..3_usize, proptest::collection::btree_set(0..3_usize, 0..3), 1..3);
    (2..7_usize, aliases, views, roles, sites).prop_map(|(secrets, aliases, (views, published), roles, sites)| {
        let views = views.into_iter().filter(|view| *view < secrets).collect();
        let aliases = aliases.into_iter().map(|(old, of)| (old, of % secrets)).collect();
        // Only roles that are declared can be a site's.
        let sites =
            sites.into_iter().map(|(site, of)| (site, of.into_iter().filter(|r| roles.contains_key(r)).collect()));
        World { secrets, aliases, views, published, sites: sites.collect(), roles }
    })
}

impl World {
    /// The name that a rule holds: an older one or a view where there is such.
    fn written(&self, (number, kind): (usize, Kind)) -> String {
        match kind {
            Kind::Old if self.aliases.contains_key(&number) => format!("old{number}"),
            Kind::View if self.views.contains(&number) => format!("v{number}"),
            Kind::Secret | Kind::Old | Kind::View => format!("s{}", number % self.secrets),
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
        if !self.views.is_empty() {
            text += "views:\n";
        }
        for view in &self.views {
            text += &format!("  v{view}: '{{s{view}}}@{{s{}:url}}'\n", (view + 1) % self.secrets);
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
        for (number, kind) in self.sites.get(&site)?.get(&role).and_then(|role| self.roles.get(role))? {
            // A view is read, and what it is made of is not.
            let meant = match (kind, self.aliases.get(number), self.views.contains(number)) {
                (Kind::Old, Some(of), _) => format!("s{of}"),
                (Kind::View, _, true) => format!("v{number}"),
                _ => format!("s{}", number % self.secrets),
            };
            wanted.insert(format!("kolla/{meant}"));
        }
        if wanted.is_empty() {
            return None;
        }
        wanted.extend(self.published.then(|| EPOCH.to_owned()));
        Some(wanted)
    }
}

const EPOCH: &str = "donjon-public/kolla/epoch";

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
                put(&store.store, &format!("kolla/s{secret}"), &format!("value of s{secret}")).await;
            }
            for view in &world.views {
                put(&store.store, &format!("kolla/v{view}"), &format!("value of v{view}")).await;
            }
            if world.published {
                epoch::bump(&store.store, &layout).await.unwrap();
            }
            for (site, role) in (0..4).flat_map(|site| (0..4).map(move |role| (site, role))) {
                let (site_name, role_name) = (format!("e{site}").parse().unwrap(), format!("r{role}").parse().unwrap());
                let asked = closure(&store.store, &deployment, &catalogue, &layout, &site_name, &role_name).await;
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
                let opened = Opened::from_file(&bundle.file.bytes().unwrap(), &checks, &store.identities()).unwrap();
                let held: BTreeSet<_> = opened.records().iter().map(|record| record.path.to_string()).collect();
                assert_eq!(held, wanted, "e{site} r{role} of {world:?}");
                assert_eq!(opened.records().len(), held.len(), "nothing twice, and no earlier version");
                for record in opened.records().iter().filter(|record| record.path.as_str() != EPOCH) {
                    let name = record.path.to_string().replace("kolla/", "");
                    let value = format!(r#"{{"password":"value of {name}"}}"#);
                    assert_eq!(record.document.text().expose(), value.as_bytes()); // EXPOSE: a test value
                }
            }
        });
    }
}
