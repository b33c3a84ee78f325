//! A commented sample of the deployment file, made from what the drivers say of themselves.

use donjon_drivers::{
    drain::registry::DRAINS, host::registry::HOSTS, keyring::registry::KEYRINGS, registry::Table,
    service::registry::SERVICES, target::registry::TARGETS,
};
use std::fmt::Write;

/// The sample. Every part that is not needed is commented out, so that it is a deployment file as it stands.
pub fn deployment() -> String {
    let mut text = String::from(HEAD);
    family(&mut text, "hosts", "Where commands run. `local` is always there.", &HOSTS, HOST);
    family(&mut text, "targets", "Servers that accept credentials.", &TARGETS, "");
    family(&mut text, "services", "What restarts, and which secrets and views it reads.", &SERVICES, SERVICE);
    family(
        &mut text,
        "keyrings",
        "Repositories of keys on several nodes, by the secret that holds them.",
        &KEYRINGS,
        "",
    );
    // A `String` takes all that is written.
    let _ = writeln!(text, "\n# A service's `drain`: how clients are led away from an instance before it restarts.");
    for driver in DRAINS.drivers {
        commented(&mut text, &driver.sample(), 6);
    }
    text + TAIL
}

fn family<C, T>(text: &mut String, name: &str, help: &str, table: &Table<C, T>, more: &str) {
    let _ = writeln!(text, "\n# {help}\n# {name}:");
    for driver in table.drivers {
        let _ = writeln!(text, "#   {}-{}:", table.family, driver.name);
        commented(text, &driver.sample(), 4);
        commented(text, more, 4);
    }
}

fn commented(text: &mut String, sample: &str, margin: usize) {
    for line in sample.lines() {
        let _ = writeln!(text, "# {:margin$}{line}", "");
    }
}

const HEAD: &str = "\
# donjon.yaml: this site. DONJON_CONFIG names the file; else it is donjon.yaml in DONJON_HOME.
# It holds no secret: secrets are named here.

# The folder of this deployment's secrets in the store.
deployment: site1

# kolla-ansible, tripleo, openstack-ansible, or the path of a file.
catalogue: kolla-ansible

# How long the previous value is kept after a rotation, in days.
# keep_previous: 7

# For how long knocks with an old value are watched for once it is refused, in seconds, where a target's node names its log.
# trial: 30

# For how long a value that was read may be answered without a look at the store, in seconds; 0 for never.
# read_lease: 2

# An Ansible inventory whose hosts are hosts here, too.
# inventory: /etc/kolla/multinode
";

const HOST: &str = "\
# The addresses that servers see its sessions come from
# addresses: [10.0.0.11]
";

const SERVICE: &str = "\
# The hosts it runs on; the deployment host where none is named
# hosts: [local]
# Lower ones restart first
# order: 0
# Services that are restarted everywhere before it
# after: [other]
# How many hosts restart at once, once the first one is well by itself
# batch: 1
# canary: true
# Services of one group are never restarted two at once
# quorum_group: name
# The secrets and views that it reads
# uses: [database_password]
# How long it may take to be well again after a restart, in seconds
# settle: 60
# What proves that it runs on a new value: session or check
# proof: session
# The secret that its check reads on standard input; it is believed only where it fails on a wrong one
# fed: database_password
";

const TAIL: &str = "
# Values assembled from secrets: `{secret}`, or `{secret:url}` percent-encoded.
# views:
#   keystone.database.connection: \"mysql+pymysql://keystone:{keystone_database_password:url}@10.0.0.11/keystone\"

# Secrets that change here otherwise than the catalogue says.
# strategies:
#   keystone_admin_password: cutover

# Who may read what: nodes that get a bundle of it; on this host the users and units that ask at the lookup socket.
# roles:
#   compute: {reads: [keystone.database.connection]}
#   keystone: {reads: [keystone.database.connection], users: [keystone], units: [keystone.service]}

# Where the users of roles ask.
# lookup_socket: /run/donjon/lookup.sock

# Edge sites and the overcloud, and who can open their bundles.
# sites:
#   edge1: {roles: [compute], recipients: [age1…]}

# When secrets are to change; the first rule that fits a secret holds. Days and hours are UTC.
# schedules:
#   automatic: false
#   freezes: [{first: 2026-12-20, last: 2027-01-04}]
#   rules:
#     - {secrets: [database_password], max_age: 30d, window: 'sat sun 22:00-04:00'}
#     - {classes: [keystone-user], max_age: 90d, jitter: 14d, accept_outage: true}
#     - {max_age: 180d, jitter: 30d}

# Who is told how rotations go, by JSON without values.
# notifications:
#   - {name: operations, webhook: 'https://hooks.example/donjon', on: [failed, overdue, waiting, straggler]}
#   - {name: databases, command: [/usr/local/bin/page, database], secrets: ['*_database_password']}

# The file that node_exporter reads; metrics.prom in DONJON_HOME where none is named.
# metrics: /var/lib/node_exporter/donjon.prom
";

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_policies::deployment::Deployment;

    #[test]
    fn the_sample_is_a_deployment_file_and_names_every_driver() {
        let sample = deployment();
        let read = Deployment::parse("sample", &sample).unwrap();
        assert_eq!(read.deployment.as_str(), "site1");
        let names = |name: &str| assert!(sample.contains(&format!("driver: {name}\n")), "{name}");
        HOSTS.drivers.iter().for_each(|driver| names(driver.name));
        TARGETS.drivers.iter().for_each(|driver| names(driver.name));
        SERVICES.drivers.iter().for_each(|driver| names(driver.name));
        DRAINS.drivers.iter().for_each(|driver| names(driver.name));
        KEYRINGS.drivers.iter().for_each(|driver| names(driver.name));
    }

    /// What a reader does with a sample: takes a part's comments off.
    #[test]
    fn a_part_without_its_comments_is_read() {
        let sample = deployment();
        for part in ["views", "roles", "strategies", "lookup_socket", "schedules", "notifications", "metrics"] {
            let from = sample.find(&format!("# {part}:")).unwrap();
            let lines: String = sample[from..]
                .lines()
                .take_while(|line| !line.is_empty())
                .map(|line| format!("{}\n", line.trim_start_matches("# ").replacen('#', "", 1)))
                .collect();
            let text = format!("deployment: a\n{lines}");
            assert!(Deployment::parse("sample", &text).is_ok(), "{text}");
        }
    }
}
