//! The built-in catalogues against the survey of the deployers' own practice: each strategy is the one that its phrase means, and
//! each restart set the one that was found. Where a catalogue knows better, the exception stands here with its reason.

use super::{catalogue, python};
use donjon_policies::{
    catalogue::{Catalogue, Entry, Standing},
    strategy::Strategy,
    survey::{SURVEYED, meaning},
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// One secret of the survey.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    strategy: String,
    restart_containers: String,
    #[serde(default)]
    pacemaker_bundles: String,
}

#[test]
fn the_phrases_that_are_mapped_are_those_of_the_survey() {
    let said: BTreeSet<String> = DEPLOYERS.iter().flat_map(|name| rows(name)).map(|row| row.strategy).collect();
    let mapped: BTreeSet<String> = SURVEYED.iter().map(|phrase| (*phrase).to_owned()).collect();
    assert_eq!(said, mapped, "policies/src/survey.rs has a copy of the phrases, for the compiler to look at");
}

#[test]
fn each_strategy_is_what_its_phrase_means() {
    let mut found = Vec::new();
    for (entry, row) in both() {
        let meant = meaning(&row.strategy).unwrap_or_else(|| panic!("{}: {:?} means nothing", row.name, row.strategy));
        if entry.standing == Standing::Older {
            assert_eq!(meant, [Strategy::Never], "{}: it is taken in and nothing else", row.name);
            continue;
        }
        let here: Vec<Strategy> = entry.credentials.iter().map(|credential| credential.strategy).collect();
        if here != meant {
            found.push((row.name, here));
        }
    }
    let excepted: Vec<(String, Vec<Strategy>)> =
        OTHERWISE.iter().map(|(name, here, _)| ((*name).to_owned(), here.to_vec())).collect();
    assert_eq!(found, excepted, "left: the entries that go otherwise than the survey says; right: those with a reason");
}

#[test]
fn each_restart_set_is_what_was_found() {
    let mut found = BTreeMap::new();
    for (entry, row) in both() {
        // What never changes restarts nothing, whoever reads it.
        if entry.standing == Standing::Older || entry.credentials.iter().all(|c| c.strategy == Strategy::Never) {
            continue;
        }
        let here: BTreeSet<String> = entry.restart.iter().map(ToString::to_string).collect();
        if here != surveyed(&row) {
            found.insert(row.name, here);
        }
    }
    let excepted = RESTARTS.iter().map(|(name, here, _)| ((*name).to_owned(), words(here))).collect();
    assert_eq!(found, excepted, "left: the restart sets that differ from the survey; right: those with a reason");
}

/// What restarts for a secret by the survey. A container that Pacemaker runs in a bundle of the same row is that bundle.
fn surveyed(row: &Row) -> BTreeSet<String> {
    let plain = |text: &str| match PROSE.iter().find(|(prose, _)| *prose == text) {
        Some((_, meant)) => words(meant),
        None => words(&without_notes(text)),
    };
    let (containers, bundles) = (plain(&row.restart_containers), plain(&row.pacemaker_bundles));
    let bundled = |container: &String| BUNDLES.iter().any(|(of, bundle)| of == container && bundles.contains(*bundle));
    containers.iter().filter(|container| !bundled(container)).chain(&bundles).cloned().collect()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What stands outside parentheses.
fn without_notes(text: &str) -> String {
    text.split('(').map(|part| part.rsplit(')').next().unwrap_or_default()).collect()
}

/// Each entry with its row; every name is in both.
fn both() -> Vec<(Entry, Row)> {
    let mut both = Vec::new();
    for name in DEPLOYERS {
        let of: Catalogue = catalogue(name);
        let mut rows: BTreeMap<String, Row> = rows(name).into_iter().map(|row| (row.name.clone(), row)).collect();
        let known = of.current().map(|entry| entry.name.clone()).chain(of.older_names().cloned());
        for name in known.collect::<BTreeSet<_>>() {
            // An older name of an entry that is current under another one is no entry.
            let Some(entry) = of.entry(&name).filter(|entry| entry.name == name) else { continue };
            let row = rows.remove(name.as_str());
            both.push((entry.clone(), row.unwrap_or_else(|| panic!("`{name}` was not surveyed"))));
        }
        let left: Vec<&String> = rows.keys().filter(|name| of.entry(&name.parse().unwrap()).is_none()).collect();
        assert!(left.is_empty(), "surveyed, and not in the catalogue: {left:?}");
    }
    assert!(both.len() > 150, "only {} rows: not the whole survey", both.len());
    both
}

fn rows(deployer: &str) -> Vec<Row> {
    let path = format!("{}/fixtures/surveyed/{deployer}.csv", env!("CARGO_MANIFEST_DIR"));
    let read = format!("import csv, json\nprint(json.dumps(list(csv.DictReader(open({path:?}, newline='')))))");
    serde_json::from_value(python(&read)).expect("rows with the columns of the survey")
}

const DEPLOYERS: [&str; 2] = ["kolla-ansible", "tripleo"];

/// Entries that go otherwise than their phrase means, and why.
const OTHERWISE: [(&str, &[Strategy], &str); 3] = [
    (
        "valkey_master_password",
        &[Strategy::DualPassword],
        "the note of the phrase says how, and the driver does it: an ACL that takes two passwords",
    ),
    (
        "CeilometerPassword",
        &[Strategy::Cutover],
        "the survey gave every service user one phrase; in its own columns this one has no account in a database",
    ),
    (
        "RedisPassword",
        &[Strategy::DualPassword],
        "the second part is the way for Redis 6 and later, which TripleO's last release has; the first is the one before it",
    ),
];

/// Restart sets that are otherwise than the survey found them, and why.
const RESTARTS: [(&str, &str, &str); 12] = [
    ("opensearch_dashboards_password", "opensearch_dashboards haproxy prometheus_blackbox_exporter", EXPORTER),
    ("prometheus_alertmanager_password", "haproxy grafana prometheus_blackbox_exporter", WHOLE_ROLE),
    ("prometheus_grafana_password", "prometheus_server grafana", WHOLE_ROLE),
    ("prometheus_haproxy_password", "prometheus_server haproxy", WHOLE_ROLE),
    (
        "prometheus_password",
        "prometheus_server prometheus_blackbox_exporter cloudkitty_api cloudkitty_processor",
        WHOLE_ROLE,
    ),
    ("prometheus_skyline_password", "prometheus_server skyline_apiserver", WHOLE_ROLE),
    (
        "rabbitmq_monitoring_password",
        "haproxy",
        "RabbitMQ itself is told by its API, and reads its file of definitions, a sink, when it starts for another reason; \
         prometheus_server reads no such value",
    ),
    (
        "valkey_master_password",
        "valkey_server valkey_sentinel horizon octavia_api octavia_health_manager octavia_housekeeping octavia_worker \
         prometheus_valkey_exporter",
        WHOLE_ROLE,
    ),
    ("NotifyPassword", MESSAGES, TWIN),
    ("RabbitPassword", MESSAGES, TWIN),
    ("RpcPassword", MESSAGES, TWIN),
    (
        "SwiftPassword",
        "swift_proxy ceph-rgw",
        "the RADOS gateway, where it is the object store, has the user's password too",
    ),
];

const EXPORTER: &str = "kolla's template of the blackbox exporter reads it, for the probe of the dashboards";
const WHOLE_ROLE: &str = "the survey names each container of the prometheus role; these are those whose template, or that of HAProxy \
                          in front of them, reads the value in kolla-ansible 22.2";
const TWIN: &str = "the survey did not see that Designate has a transport URL; RabbitMQ itself is told of the twin by its API, and goes on";
const MESSAGES: &str = "aodh_evaluator aodh_api aodh_notifier aodh_listener barbican_api barbican_keystone_listener barbican_worker \
    ceilometer_agent_compute ceilometer_agent_ipmi ceilometer_agent_notification ceilometer_agent_central cinder_api \
    cinder_scheduler designate_api designate_central designate_mdns designate_producer designate_sink designate_worker \
    eswitchd glance_api heat_engine heat_api heat_api_cfn ironic_conductor ironic_inspector ironic_neutron_agent ironic_api \
    keystone manila_api manila_scheduler neutron_sriov_agent neutron_metadata_agent neutron_ovs_agent neutron_api neutron_dhcp \
    neutron_l3_agent neutron_mlnx_agent ovn_metadata_agent nova_compute nova_migration_target nova_api nova_conductor \
    nova_scheduler nova_vnc_proxy nova_metadata octavia_worker octavia_health_manager octavia_housekeeping octavia_api \
    swift_proxy openstack-cinder-volume openstack-cinder-backup openstack-manila-share";

/// What the survey says in words, and the services that it means.
const PROSE: [(&str, &str); 8] = [
    ("mariadb (rolling, wsrep_sst_auth) + proxysql; no OpenStack service stores it", "mariadb proxysql"),
    ("mariadb healthcheck, proxysql", "mariadb proxysql"),
    // It runs once and ends.
    ("mariabackup (one-shot)", ""),
    // Outside what the deployer restarts.
    ("external RGW", ""),
    ("ceph grafana", ""),
    ("neutron agents using ssh (generic switch / dhcp)", "neutron_server"),
    ("ceph rgw daemons", "ceph-rgw"),
    ("all bundles via pacemaker/pacemaker_remote", "pacemaker pacemaker_remote"),
];

/// Containers that Pacemaker runs on a cluster, and their bundles.
const BUNDLES: [(&str, &str); 6] = [
    ("cinder_volume", "openstack-cinder-volume"),
    ("cinder_backup", "openstack-cinder-backup"),
    ("manila_share", "openstack-manila-share"),
    ("mysql", "galera-bundle"),
    ("rabbitmq", "rabbitmq-bundle"),
    ("haproxy", "haproxy-bundle"),
];
