//! A site of 1,000 hosts and 10,000 secrets: the rules hold there too, and how long a plan takes.

use super::{
    random::{Size, deployment, instances, secret},
    rules::{Way, broken},
};
use crate::restart::{back, plan};
use std::{collections::BTreeSet, time::Instant};

const SITE: Size = Size { services: 200, hosts: 1_000, secrets: 10_000 };

#[test]
fn the_rules_hold_at_a_thousand_hosts_and_ten_thousand_secrets() {
    let deployment = deployment(1_000, SITE);
    let readers = deployment.readers_of(&(0..SITE.secrets).map(secret).collect());
    let expected = instances(&deployment, &readers);
    assert!(readers.len() == SITE.services && expected.len() > 50_000, "{}", expected.len());
    let steps = plan(&deployment, &readers).unwrap();
    assert_eq!(broken(&deployment, &expected, &steps, Way::Forward), BTreeSet::new());
    let touched: Vec<_> = expected.iter().cloned().collect();
    assert_eq!(broken(&deployment, &expected, &back(&deployment, &touched), Way::Back), BTreeSet::new());
}

/// `cargo test --release -p donjon-policies -- --ignored --nocapture plans_are_timed`
#[test]
#[ignore = "a measurement"]
fn plans_are_timed() {
    let (mut found, mut planned, mut returned) = (Vec::new(), Vec::new(), Vec::new());
    let (mut most, mut longest) = (0, 0);
    for seed in 0..20 {
        let deployment = deployment(seed, SITE);
        let secrets = (0..SITE.secrets).map(secret).collect();
        let begun = Instant::now();
        let readers = deployment.readers_of(&secrets);
        found.push(begun.elapsed());
        let begun = Instant::now();
        let steps = plan(&deployment, &readers).unwrap();
        planned.push(begun.elapsed());
        let touched: Vec<_> = steps.iter().flat_map(|step| step.instances.clone()).collect();
        let begun = Instant::now();
        let way_back = back(&deployment, &touched);
        returned.push(begun.elapsed());
        most = most.max(touched.len());
        longest = longest.max(steps.len()).max(way_back.len());
    }
    for (what, mut times) in
        [("readers of 10,000 secrets and 1,000 views", found), ("plan", planned), ("back", returned)]
    {
        times.sort_unstable();
        println!("{what}: median {:?}, worst {:?}", times[times.len() / 2], times[times.len() - 1]);
    }
    println!("at most {most} instances in {longest} steps, {} hosts, 20 seeds", SITE.hosts);
}
