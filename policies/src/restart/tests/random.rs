//! Random deployments, and the rules on each of their plans.

use super::rules::{Way, broken};
use crate::{
    deployment::{Deployment, Host, Service},
    name::{HostName, SecretName, ServiceName},
    restart::{Instance, back, plan, plan_in_waves, step},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// How large a random deployment is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) services: usize,
    pub(super) hosts: usize,
    pub(super) secrets: usize,
}

/// The deployment of this seed: services in a few orders, after each other without circles, some in quorum groups.
pub(super) fn deployment(seed: u64, size: Size) -> Deployment {
    let mut chance = Chance(seed);
    let mut deployment = Deployment::empty("random".parse().unwrap());
    let hosts: Vec<HostName> = (0..size.hosts).map(|host| format!("h{host}").parse().unwrap()).collect();
    let local = Host { driver: "local".into(), addresses: vec![], options: BTreeMap::new() };
    deployment.hosts = hosts.iter().map(|host| (host.clone(), local.clone())).collect();
    // Names in an order of their own, so that no plan is right because names sort well.
    let mut names: Vec<ServiceName> =
        (0..size.services).map(|service| format!("s{service}").parse().unwrap()).collect();
    (1..names.len()).rev().for_each(|at| names.swap(at, chance.below(at + 1)));
    let orders: Vec<i32> = {
        let kinds = 1 + chance.below(4);
        let mut orders: Vec<_> = names.iter().map(|_| i32::try_from(chance.below(kinds)).unwrap()).collect();
        orders.sort_unstable();
        orders
    };
    for view in 0..size.secrets / 10 {
        let template = format!("mysql+pymysql://u:{{{}:url}}@db/x", secret(chance.below(size.secrets)));
        deployment.views.insert(format!("view_{view}").parse().unwrap(), template);
    }
    let views: Vec<_> = deployment.views.keys().cloned().collect();
    for (at, name) in names.iter().enumerate() {
        let most = 1 + chance.below(hosts.len());
        let first = chance.below(hosts.len());
        let after = (0..chance.below(4)).filter(|_| at > 0).map(|_| names[chance.below(at)].clone()).collect();
        let service = Service {
            driver: "systemd".into(),
            hosts: hosts.iter().cycle().skip(first).take(most).cloned().collect(),
            order: orders[at],
            after,
            batch: 1 + u32::try_from(chance.below(8)).unwrap(),
            canary: chance.below(4) > 0,
            quorum_group: (chance.below(4) == 0).then(|| format!("g{}", chance.below(3))),
            uses: (0..1 + chance.below(40))
                .map(|n| {
                    if n % 4 == 0 {
                        views[chance.below(views.len())].clone()
                    } else {
                        secret(chance.below(size.secrets))
                    }
                })
                .collect(),
            settle: 60,
            proof: Default::default(),
            fed: None,
            drain: None,
            options: BTreeMap::new(),
        };
        deployment.services.insert(name.clone(), service);
    }
    deployment
}

pub(super) fn secret(number: usize) -> SecretName {
    format!("secret_{number}").parse().unwrap()
}

/// The instances of services.
pub(super) fn instances(deployment: &Deployment, services: &BTreeSet<ServiceName>) -> BTreeSet<Instance> {
    let of = |name: &ServiceName| {
        let hosts = step::hosts(&deployment.services[name]);
        hosts.into_iter().map(|host| Instance { service: name.clone(), host }).collect::<Vec<_>>()
    };
    services.iter().flat_map(of).collect()
}

/// A generator of numbers (splitmix64): a deployment is what its seed says, on every machine.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_plan_and_its_way_back_keep_the_rules(
        seed in any::<u64>(), services in 1_usize..24, hosts in 1_usize..40, asked in 1_usize..200,
    ) {
        let deployment = deployment(seed, Size { services, hosts, secrets: 200 });
        prop_assert_eq!(crate::restart::mistakes(&deployment), vec![]);
        let readers = deployment.readers_of(&(0..asked).map(secret).collect());
        let expected = instances(&deployment, &readers);
        let steps = plan(&deployment, &readers).unwrap();
        prop_assert_eq!(broken(&deployment, &expected, &steps, Way::Forward), BTreeSet::new());
        prop_assert_eq!(&plan(&deployment, &readers).unwrap(), &steps);

        let mut chance = Chance(seed ^ 1);
        let waves = readers.iter().map(|name| (name.clone(), u8::try_from(chance.below(9)).unwrap())).collect();
        let in_waves = plan_in_waves(&deployment, &waves).unwrap();
        prop_assert_eq!(broken(&deployment, &expected, &in_waves, Way::Forward), BTreeSet::new());

        // The engine stops somewhere within a step.
        let all: Vec<_> = steps.iter().flat_map(|step| step.instances.clone()).collect();
        let touched = &all[..chance.below(all.len() + 1)];
        let way_back = back(&deployment, touched);
        let expected = touched.iter().cloned().collect();
        prop_assert_eq!(broken(&deployment, &expected, &way_back, Way::Back), BTreeSet::new());
    }

    #[test]
    fn a_way_back_is_found_also_where_no_plan_is(seed in any::<u64>(), services in 1_usize..12) {
        let mut deployment = deployment(seed, Size { services, hosts: 5, secrets: 10 });
        let names: BTreeSet<_> = deployment.services.keys().cloned().collect();
        let touched: Vec<_> = instances(&deployment, &names).into_iter().collect();
        // Everything waits for everything, one service is gone, and one instance is told twice.
        deployment.services.values_mut().for_each(|service| service.after = names.clone());
        deployment.services.pop_first();
        let mut twice = touched.clone();
        twice.push(touched[0].clone());
        let mut returned: Vec<_> = back(&deployment, &twice).into_iter().flat_map(|step| step.instances).collect();
        returned.sort();
        prop_assert_eq!(returned, touched);
        prop_assert_eq!(plan(&deployment, &names).is_err(), true);
    }
}
