//! Plans small enough to be read.

use super::shown;
use crate::{
    catalogue::Catalogue,
    deployment::Deployment,
    name::ServiceName,
    restart::{Instance, Mistake, Step, back, plan, plan_in_waves, waves},
};
use std::collections::BTreeSet;

const SITE: &str = "
deployment: site
hosts: {h1: {driver: local}, h2: {driver: local}, h3: {driver: local}, h4: {driver: local}, h5: {driver: local}}
services:
  galera: {driver: systemd, hosts: [h1, h2, h3], quorum_group: galera, batch: 3, order: -1}
  keystone: {driver: systemd, hosts: [h1, h2, h3, h4, h5], batch: 2, uses: [keystone_database_password]}
  glance: {driver: systemd, hosts: [h4, h5], after: [keystone], batch: 2, uses: [glance_keystone_password]}
  nova: {driver: systemd, hosts: [h1, h2], after: [glance], canary: false, batch: 2, uses: [nova_database_password]}
  horizon: {driver: systemd, uses: [keystone_database_password, glance_keystone_password]}
";

fn names(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn site() -> Deployment {
    Deployment::parse("f", SITE).unwrap()
}

#[test]
fn canaries_batches_quorum_and_dependencies() {
    let steps = plan(&site(), &names(&["galera", "keystone", "glance", "nova", "horizon"])).unwrap();
    assert_eq!(
        shown(&steps),
        "galera@h1 | galera@h2 | galera@h3 | horizon@local keystone@h1 | keystone@h2 keystone@h3 | \
         keystone@h4 keystone@h5 | glance@h4 | glance@h5 | nova@h1 nova@h2"
    );
}

#[test]
fn a_service_that_does_not_restart_still_orders_the_others() {
    let steps = plan(&site(), &names(&["keystone", "nova"])).unwrap();
    assert_eq!(shown(&steps), "keystone@h1 | keystone@h2 keystone@h3 | keystone@h4 keystone@h5 | nova@h1 nova@h2");
    assert_eq!(shown(&plan(&site(), &names(&["nova"])).unwrap()), "nova@h1 nova@h2");
    assert_eq!(plan(&site(), &names(&[])).unwrap(), []);
}

#[test]
fn the_way_back_is_dependants_first_and_holds_what_was_touched_alone() {
    let touched: Vec<_> =
        [("keystone", "h1"), ("keystone", "h2"), ("glance", "h4"), ("galera", "h1"), ("galera", "h2")]
            .map(|(service, host)| Instance { service: service.parse().unwrap(), host: host.parse().unwrap() })
            .into();
    assert_eq!(shown(&back(&site(), &touched)), "glance@h4 | keystone@h2 keystone@h1 | galera@h2 | galera@h1");
}

#[test]
fn waves_order_what_the_operator_left_equal_and_dependencies_lift_them() {
    let deployment = site();
    let catalogue = Catalogue::named("kolla-ansible").unwrap();
    let secrets = ["keystone_database_password", "glance_keystone_password", "nova_database_password"];
    let waves = waves(&catalogue, &deployment, &secrets.map(|name| name.parse().unwrap()).into());
    let of = |service: &str| waves[&service.parse::<ServiceName>().unwrap()];
    // Horizon reads secrets of two waves and restarts once: with the later one.
    assert!(of("keystone") < of("glance") && of("horizon") == of("glance"), "{waves:?}");
    assert_eq!(of("nova"), of("keystone"));
    let steps = plan_in_waves(&deployment, &waves).unwrap();
    assert_eq!(
        shown(&steps),
        "keystone@h1 | keystone@h2 keystone@h3 | keystone@h4 keystone@h5 | glance@h4 horizon@local | glance@h5 | \
         nova@h1 nova@h2"
    );
}

#[test]
fn what_is_not_described_is_refused() {
    let unknown = plan(&site(), &names(&["cinder"])).unwrap_err();
    assert_eq!(unknown, Mistake::Unknown { service: "cinder".parse().unwrap() });
    assert_eq!(unknown.to_string(), "service `cinder` is to restart and is not under `services`");
}

#[test]
fn a_host_that_is_not_known_yet_is_not_taken_for_another() {
    let text = SITE.replace("h5: {driver: local}", "h6: {driver: local}") + "inventory: /etc/ansible/hosts\n";
    let deployment = Deployment::parse("f", &text).unwrap();
    let refused = plan(&deployment, &names(&["glance"])).unwrap_err();
    assert_eq!(refused, Mistake::Host { service: "glance".parse().unwrap(), host: "h5".parse().unwrap() });
    assert!(plan(&deployment, &names(&["galera"])).is_ok(), "what restarts elsewhere is not held up");
}

#[test]
fn a_long_chain_overflows_no_stack() {
    let mut deployment = site();
    deployment.services.clear();
    let web = site().services[&"nova".parse::<ServiceName>().unwrap()].clone();
    let name = |at: usize| -> ServiceName { format!("s{at:05}").parse().unwrap() };
    for at in 0..20_000 {
        let mut service = web.clone();
        service.after = if at == 0 { BTreeSet::new() } else { BTreeSet::from([name(at - 1)]) };
        deployment.services.insert(name(at), service);
    }
    let steps = plan(&deployment, &BTreeSet::from([name(0), name(19_999)])).unwrap();
    assert_eq!(shown(&steps), "s00000@h1 s00000@h2 | s19999@h1 s19999@h2");
    deployment.services.get_mut(&name(0)).unwrap().after.insert(name(19_999));
    let refused = plan(&deployment, &BTreeSet::from([name(0)])).unwrap_err();
    assert!(matches!(&refused, Mistake::Circle { services } if services.len() == 20_000));
}

#[test]
fn a_plan_is_data() {
    let steps = plan(&site(), &names(&["glance"])).unwrap();
    let text = serde_saphyr::to_string(&steps).unwrap();
    assert_eq!(serde_saphyr::from_str::<Vec<Step>>(&text).unwrap(), steps, "{text}");
}
