//! What kolla-ansible writes in clear by itself, whatever its services read from: file by file, with the reason.

use donjon_policies::{catalogue::Catalogue, name::SecretName};
use std::collections::{BTreeMap, BTreeSet};

/// A place that gets values in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clear {
    /// The file, or what else it is.
    pub place: String,
    /// Whose values.
    pub secrets: BTreeSet<SecretName>,
    /// Why.
    pub reason: &'static str,
}

/// All of them, in the order of their places.
pub fn clear(catalogue: &Catalogue) -> Vec<Clear> {
    let mut places = BTreeMap::<&str, BTreeSet<SecretName>>::new();
    for entry in catalogue.current() {
        for sink in &entry.sinks {
            places.entry(&sink.path).or_default().insert(entry.name.clone());
        }
    }
    let file =
        |(path, secrets): (&str, BTreeSet<SecretName>)| Clear { place: path.to_owned(), secrets, reason: reason(path) };
    let mut all: Vec<Clear> = places.into_iter().map(file).collect();
    for (place, secret, reason) in ELSEWHERE {
        let secrets = catalogue.current().map(|entry| &entry.name).filter(|name| name.as_str() == *secret).cloned();
        all.push(Clear { place: (*place).to_owned(), secrets: secrets.collect(), reason });
    }
    all
}

/// Why a file has values in it: what reads it knows no `config_source`.
fn reason(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is = |words: &[&str]| words.iter().any(|word| path.contains(word));
    match () {
        () if is(&["openrc", "clouds.y"]) => "people and their clients read it, and kolla writes it for them",
        () if name.starts_with("id_rsa") || is(&["ssh_key"]) => "ssh reads keys from files alone",
        () if name.ends_with(".cnf") => "MariaDB and its clients read files alone",
        () if is(&["/proxysql/"]) => "ProxySQL logs clients in by the passwords of its file",
        () if is(&["/rabbitmq", "rabbitmq-"]) => "RabbitMQ reads files alone",
        () if is(&[
            "/haproxy/",
            "/keepalived/",
            "/prometheus",
            "/grafana/",
            "/valkey",
            "/horizon/",
            "/keystone-httpd/",
        ]) =>
        {
            "this service reads its own format, without sources"
        }
        () if is(&["auth.conf"]) => "libvirt reads files alone",
        () => "what reads it is not oslo.config",
    }
}

/// What is no file of a sink.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("/etc/kolla/placement-api/migrate-db.rc", "nova_api_database_password", "a shell script reads it"),
    ("/etc/kolla/placement-api/migrate-db.rc", "placement_database_password", "a shell script reads it"),
    ("/etc/kolla/*/trove-guestagent.conf", "rabbitmq_password", "it is read in guests, which reach no reader"),
    (
        "container mariadb: environment DB_ROOT_PASSWORD",
        "database_password",
        "kolla's image sets root up from it; `podman inspect` shows it",
    ),
    (
        "kolla_toolbox: module arguments",
        "database_password",
        "kolla logs in to MariaDB with it while it deploys: a file in that container until the task ends, in older versions a command line",
    ),
    (
        "keystone: command line of kolla_keystone_bootstrap, and the node's journal",
        "keystone_admin_password",
        "kolla gives it to Keystone so while it deploys, and journald keeps the command lines of podman",
    ),
    (
        "container rabbitmq: environment RABBITMQ_CLUSTER_COOKIE",
        "rabbitmq_cluster_cookie",
        "kolla's image writes the cookie from it; `podman inspect` shows it",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sink_is_told_once_with_its_secrets() {
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let told = clear(&catalogue);
        let galera: Vec<&Clear> = told.iter().filter(|clear| clear.place == "/etc/kolla/mariadb/galera.cnf").collect();
        assert_eq!(galera.len(), 1);
        assert!(galera[0].secrets.contains(&"database_password".parse().unwrap()));
        assert_eq!(galera[0].reason, "MariaDB and its clients read files alone");
        assert!(told.iter().all(|clear| !clear.secrets.is_empty()), "{told:?}");
    }
}
