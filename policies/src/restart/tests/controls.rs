//! The rules bite: each plan that is broken on purpose is caught, by the rule that it breaks.

use super::{
    random::{Chance, Size, deployment, instances},
    rules::{Rule, Way, broken},
};
use crate::{
    deployment::Deployment,
    restart::{Step, back, plan},
};
use std::collections::{BTreeMap, BTreeSet};

/// Moves the first instance that `from` picks into the step of the first that `to` picks; whether both were there.
fn moved(steps: &mut Vec<Step>, from: impl Fn(&str) -> bool, to: impl Fn(&str) -> bool) {
    let place = |steps: &[Step], wanted: &dyn Fn(&str) -> bool| {
        steps.iter().position(|step| step.instances.iter().any(|i| wanted(&format!("{}@{}", i.service, i.host))))
    };
    let source = place(steps, &from).unwrap();
    let at = steps[source].instances.iter().position(|i| from(&format!("{}@{}", i.service, i.host))).unwrap();
    let instance = steps[source].instances.remove(at);
    let target = place(steps, &to).unwrap();
    steps[target].instances.push(instance);
    steps.retain(|step| !step.instances.is_empty());
}

fn site() -> Deployment {
    let text = "
deployment: site
hosts: {h1: {driver: local}, h2: {driver: local}, h3: {driver: local}, h4: {driver: local}}
services:
  galera: {driver: systemd, hosts: [h1, h2, h3], quorum_group: galera, batch: 3}
  arbiter: {driver: systemd, hosts: [h4], quorum_group: galera}
  api: {driver: systemd, hosts: [h1, h2, h3, h4], after: [galera], batch: 2}
  web: {driver: systemd, hosts: [h1, h2], order: 5, canary: false, batch: 2}
";
    Deployment::parse("f", text).unwrap()
}

#[test]
fn each_rule_catches_the_plan_that_breaks_it() {
    let deployment = site();
    let all = deployment.services.keys().cloned().collect();
    let expected = instances(&deployment, &all);
    let good = plan(&deployment, &all).unwrap();
    let judged = |change: &dyn Fn(&mut Vec<Step>)| {
        let mut steps = good.clone();
        change(&mut steps);
        broken(&deployment, &expected, &steps, Way::Forward).into_iter().collect::<Vec<_>>()
    };
    let is = |name: &'static str| move |instance: &str| instance == name;
    assert_eq!(judged(&|_| {}), []);
    // After, and order.
    assert_eq!(judged(&|steps| moved(steps, is("api@h4"), is("arbiter@h4"))), [Rule::Order]);
    assert_eq!(judged(&|steps| moved(steps, is("web@h2"), is("api@h4"))), [Rule::Order]);
    assert_eq!(judged(&|steps| steps.reverse()), [Rule::Order]);
    // Two members at once: of one service, and of two.
    assert_eq!(judged(&|steps| moved(steps, is("galera@h3"), is("galera@h2"))), [Rule::Quorum]);
    assert_eq!(judged(&|steps| moved(steps, is("arbiter@h4"), is("galera@h3"))), [Rule::Quorum]);
    // Three where two are a batch; two where one is the canary.
    assert_eq!(judged(&|steps| moved(steps, is("api@h4"), is("api@h2"))), [Rule::Batch]);
    assert_eq!(judged(&|steps| moved(steps, is("api@h2"), is("api@h1"))), [Rule::Canary]);
    // One left out, one twice, a step of nothing.
    assert_eq!(judged(&|steps| drop(steps.pop())), [Rule::Once]);
    assert_eq!(judged(&|steps| steps.push(Step { instances: vec![] })), [Rule::Once]);
    let twice = judged(&|steps| steps.push(Step { instances: vec![steps[0].instances[0].clone()] }));
    assert!(twice.contains(&Rule::Once), "{twice:?}");
}

#[test]
fn the_way_back_is_judged_as_strictly() {
    let deployment = site();
    let all = deployment.services.keys().cloned().collect();
    let expected = instances(&deployment, &all);
    let touched: Vec<_> = expected.iter().cloned().collect();
    let good = back(&deployment, &touched);
    let judged = |steps: &[Step]| broken(&deployment, &expected, steps, Way::Back).into_iter().collect::<Vec<_>>();
    assert_eq!(judged(&good), []);
    assert_eq!(judged(&good[1..]), [Rule::Once]);
    let forward = plan(&deployment, &all).unwrap();
    assert_eq!(judged(&forward), [Rule::Order]);
    let mut merged = good.clone();
    let first = merged.remove(0);
    merged[0].instances.extend(first.instances);
    assert!(!judged(&merged).is_empty());
}

/// On random deployments too: whatever is moved out of its place by chance is caught unless the plan is still right,
/// and each rule catches something.
#[test]
fn random_damage_is_caught_by_every_rule() {
    let mut caught: BTreeMap<Rule, usize> = BTreeMap::new();
    for seed in 0..300 {
        let deployment = deployment(seed, Size { services: 12, hosts: 12, secrets: 50 });
        let all = deployment.services.keys().cloned().collect();
        let expected = instances(&deployment, &all);
        let mut steps = plan(&deployment, &all).unwrap();
        let mut chance = Chance(seed);
        let (from, to) = (chance.below(steps.len()), chance.below(steps.len()));
        let taken = steps[from].instances.pop().unwrap();
        match chance.below(8) {
            0 => {}
            _ => steps[to].instances.push(taken),
        }
        for rule in broken(&deployment, &expected, &steps, Way::Forward) {
            *caught.entry(rule).or_default() += 1;
        }
    }
    let rules = BTreeSet::from([Rule::Order, Rule::Quorum, Rule::Batch, Rule::Canary, Rule::Once]);
    assert_eq!(caught.keys().copied().collect::<BTreeSet<_>>(), rules, "{caught:?}");
}
