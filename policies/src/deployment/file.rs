//! The deployment file as a whole, and how its parts hang together.

use super::{
    Driven, Host, Inventory, LOOPBACK, Notification, Reads, Schedules, Service, Site,
    forms::{self, Forms},
    placeholders,
};
use crate::{
    name::{DeploymentName, HostName, RoleName, SecretName, ServiceName, SiteName, TargetName},
    strategy::Strategy,
};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};

/// This site.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Its name: the folder of its secrets in the store.
    pub deployment: DeploymentName,
    /// Its catalogue: `kolla-ansible`, `tripleo`, `openstack-ansible`, or the path of a file.
    #[serde(default = "default_catalogue")]
    pub catalogue: String,
    /// How long the previous value is kept after a rotation, in days.
    #[serde(default = "default_keep_previous")]
    pub keep_previous: u32,
    /// How long sessions from before the restarts may stay before a rotation says that it waits for them, in seconds.
    #[serde(default = "default_drain")]
    pub drain: u32,
    /// For how long knocks with an old value are watched for once it is refused, in seconds, where a target tells them.
    #[serde(default = "default_trial")]
    pub trial: u32,
    /// For how long a value that was read may be answered again without a look at the epoch, in seconds: 10 at most, and 0
    /// for never. Another broker that publishes waits for as long.
    #[serde(default = "default_read_lease")]
    pub read_lease: u32,
    /// An Ansible inventory whose hosts are hosts here too. What stands under `hosts` goes before it.
    #[serde(default)]
    pub inventory: Option<Inventory>,
    /// Where commands run. `local` is always there.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub hosts: BTreeMap<HostName, Host>,
    /// Servers that accept credentials.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub targets: BTreeMap<TargetName, Driven>,
    /// Repositories of keys on several nodes, by the secret that holds them.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub keyrings: BTreeMap<SecretName, Driven>,
    /// What restarts.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub services: BTreeMap<ServiceName, Service>,
    /// Values assembled from secrets: a template with `{secret}` or `{secret:url}` (percent-encoded).
    #[serde(default, deserialize_with = "none_is_empty")]
    pub views: BTreeMap<SecretName, String>,
    /// Secrets that change here otherwise than the catalogue says: Keystone users by `dual-user` instead of `cutover`, say.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub strategies: BTreeMap<SecretName, Strategy>,
    /// Who may read what.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub roles: BTreeMap<RoleName, Reads>,
    /// The socket at which the users of roles read. `/run/donjon/lookup.sock` where none is given and a role has users.
    #[serde(default)]
    pub lookup_socket: Option<String>,
    /// Edge sites and the overcloud.
    #[serde(default, deserialize_with = "none_is_empty")]
    pub sites: BTreeMap<SiteName, Site>,
    /// When secrets are to change.
    #[serde(default)]
    pub schedules: Schedules,
    /// Who is told how rotations go.
    #[serde(default)]
    pub notifications: Vec<Notification>,
    /// The file that node_exporter's textfile collector reads; `metrics.prom` in `DONJON_HOME` where none is given.
    #[serde(default)]
    pub metrics: Option<String>,
}

/// A section that has a heading and nothing below it.
fn none_is_empty<'de, D, K, V>(from: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Why a deployment file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct DeploymentError {
    /// The file.
    pub file: String,
    /// What is wrong, with its line where it is known.
    pub what: String,
}

/// What could be read of a deployment file.
#[derive(Debug)]
pub struct Partly {
    /// The file without what has mistakes of its form, where that is a deployment.
    pub read: Option<Deployment>,
    /// Every mistake that was found.
    pub mistakes: Vec<DeploymentError>,
    forms: Forms,
}

impl Partly {
    /// Whether a mistake that somebody finds in what was read may come from what was left out alone.
    pub fn explains(&self, mistake: &str) -> bool {
        self.forms.explain(mistake)
    }
}

impl Deployment {
    /// Reads the text of a deployment file; on error, every mistake that was found.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<DeploymentError>> {
        match Self::parse_partly(file, text) {
            Partly { read: Some(read), mistakes, .. } if mistakes.is_empty() => Ok(read),
            Partly { mistakes, .. } => Err(mistakes),
        }
    }

    /// As [`Deployment::parse`]; beside the mistakes, what could be read without them, in which others may look for theirs.
    pub fn parse_partly(file: &str, text: &str) -> Partly {
        let mistake = |what: String| DeploymentError { file: file.to_owned(), what };
        match serde_saphyr::from_str::<Self>(text) {
            Ok(read) => {
                let mistakes = read.mistakes().into_iter().map(mistake).collect();
                Partly { read: Some(read), mistakes, forms: Forms::default() }
            }
            Err(error) => {
                let mut forms = forms::read(text, error);
                let others = forms.rest.as_ref().map(Self::mistakes).unwrap_or_default();
                let others = others.into_iter().filter(|mistake| !forms.explain(mistake));
                let mistakes = forms.mistakes.iter().cloned().chain(others).map(mistake).collect();
                Partly { read: forms.rest.take(), mistakes, forms }
            }
        }
    }

    /// It with the hosts of its inventory.
    ///
    /// # Errors
    /// Each service that runs on a host of neither, or on one that the inventory describes in a way that is `refused`.
    pub fn with_hosts(
        mut self,
        found: BTreeMap<HostName, Host>,
        refused: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Vec<DeploymentError>> {
        let file = self.inventory.as_ref().map_or_else(String::new, |inventory| inventory.file.clone());
        for (name, host) in found {
            self.hosts.entry(name).or_insert(host);
        }
        let mut mistakes = Vec::new();
        for (service, host) in self.strangers() {
            match refused.get(host.as_str()) {
                Some(reasons) => mistakes.extend(reasons.iter().map(|reason| format!("host `{host}`: {reason}"))),
                None => mistakes.push(format!("it has no host `{host}`, on which service `{service}` runs")),
            }
        }
        // One host has many services.
        let mut once = BTreeSet::new();
        mistakes.retain(|mistake| once.insert(mistake.clone()));
        let mistakes: Vec<_> = mistakes.into_iter().map(|what| DeploymentError { file: file.clone(), what }).collect();
        if mistakes.is_empty() { Ok(self) } else { Err(mistakes) }
    }

    /// The services that run on a host that is not described, with the host.
    pub(crate) fn strangers(&self) -> impl Iterator<Item = (&ServiceName, &HostName)> {
        let known = |host: &HostName| host.as_str() == LOCAL || self.hosts.contains_key(host);
        self.services.iter().flat_map(move |(name, service)| {
            service.hosts.iter().filter(move |host| !known(host)).map(move |host| (name, host))
        })
    }

    /// A deployment of this name with nothing in it.
    pub fn empty(deployment: DeploymentName) -> Self {
        Self {
            deployment,
            catalogue: default_catalogue(),
            keep_previous: default_keep_previous(),
            drain: default_drain(),
            trial: default_trial(),
            read_lease: default_read_lease(),
            inventory: None,
            hosts: BTreeMap::new(),
            targets: BTreeMap::new(),
            keyrings: BTreeMap::new(),
            services: BTreeMap::new(),
            views: BTreeMap::new(),
            strategies: BTreeMap::new(),
            roles: BTreeMap::new(),
            lookup_socket: None,
            sites: BTreeMap::new(),
            schedules: Schedules::default(),
            notifications: Vec::new(),
            metrics: None,
        }
    }

    /// The lookup socket, where there is to be one.
    pub fn lookup_socket(&self) -> Option<&str> {
        let has_users = |reads: &Reads| !reads.users.is_empty() || !reads.groups.is_empty();
        let usual = self.roles.values().any(has_users).then_some(LOOKUP_SOCKET);
        self.lookup_socket.as_deref().or(usual)
    }

    /// The secrets that a view is assembled from, in the order of their names.
    pub fn parts_of(&self, view: &SecretName) -> BTreeSet<SecretName> {
        self.views
            .get(view)
            .map(|template| placeholders(template).filter_map(Result::ok).map(|p| p.secret).collect())
            .unwrap_or_default()
    }

    /// The views that a secret is part of.
    pub fn views_of(&self, secret: &SecretName) -> BTreeSet<SecretName> {
        self.views.keys().filter(|view| self.parts_of(view).contains(secret)).cloned().collect()
    }

    /// Where sessions of a host come from, as a target sees them.
    pub fn seen_from(&self, host: &HostName) -> Vec<&str> {
        self.hosts.get(host).map_or_else(|| LOOPBACK.to_vec(), Host::seen_from)
    }

    /// The services that read any of these secrets, themselves or through a view.
    pub fn readers_of(&self, secrets: &BTreeSet<SecretName>) -> BTreeSet<ServiceName> {
        let part_changes = |view: &&SecretName| !self.parts_of(view).is_disjoint(secrets);
        let views: BTreeSet<SecretName> = self.views.keys().filter(part_changes).cloned().collect();
        let reads = |service: &Service| service.uses.iter().any(|name| secrets.contains(name) || views.contains(name));
        self.services.iter().filter(|(_, service)| reads(service)).map(|(name, _)| name.clone()).collect()
    }

    /// The services that use a secret, itself or through a view, in the order in which they restart.
    pub fn consumers_of(&self, secret: &SecretName) -> Vec<(&ServiceName, &Service)> {
        let views = self.views_of(secret);
        let uses = |service: &Service| service.uses.contains(secret) || !service.uses.is_disjoint(&views);
        let mut consumers: Vec<_> = self.services.iter().filter(|(_, service)| uses(service)).collect();
        consumers.sort_by_key(|(name, service)| (service.order, (*name).clone()));
        consumers
    }
}

/// Where the users of roles read, where nothing else is said.
pub const LOOKUP_SOCKET: &str = "/run/donjon/lookup.sock";

/// The deployment host.
pub const LOCAL: &str = "local";

fn default_catalogue() -> String {
    "kolla-ansible".to_owned()
}

fn default_keep_previous() -> u32 {
    7
}

fn default_drain() -> u32 {
    60
}

fn default_trial() -> u32 {
    30
}

fn default_read_lease() -> u32 {
    2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::Setting;
    use proptest::prelude::*;

    const GOOD: &str = "
deployment: site1
targets:
  mariadb: {driver: mariadb, nodes: [{name: db1, address: 127.0.0.1, port: 3306}]}
services:
  web: {driver: systemd, unit: web.service, hosts: [local], order: 20, uses: [web_database]}
  api: {driver: container, container: api, order: 10, uses: [database_password]}
views:
  web_database: 'mysql+pymysql://root:{database_password:url}@127.0.0.1/x'
";

    #[test]
    fn consumers_come_in_their_order_also_through_views() {
        let deployment = Deployment::parse("donjon.yaml", GOOD).unwrap();
        let names: Vec<_> =
            deployment.consumers_of(&"database_password".parse().unwrap()).iter().map(|(n, _)| n.to_string()).collect();
        assert_eq!(names, ["api", "web"]);
    }

    #[test]
    fn a_mistake_is_told_without_the_lines_around_it() {
        // A webhook's address is a credential to many.
        let text = format!(
            "{GOOD}notifications:\n  - {{name: night, webhook: 'https://chat/canary-0815'}}\nkeep_previous: [soon]\n"
        );
        let mistakes = Deployment::parse("donjon.yaml", &text).unwrap_err();
        let told = mistakes.iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("line 12") && !told.contains("canary"), "{told}");
    }

    #[test]
    fn readers_are_found_for_many_secrets_at_once() {
        let deployment = Deployment::parse("donjon.yaml", GOOD).unwrap();
        let readers = |names: &[&str]| -> Vec<String> {
            let names = names.iter().map(|name| name.parse().unwrap()).collect();
            deployment.readers_of(&names).iter().map(ToString::to_string).collect()
        };
        assert_eq!(readers(&["database_password", "other"]), ["api", "web"]);
        assert_eq!(readers(&["web_database"]), ["web"]);
        assert!(readers(&["other"]).is_empty());
    }

    #[test]
    fn a_host_is_seen_from_its_addresses() {
        let text = "
deployment: site1
hosts:
  a: {driver: ssh, address: a.example}
  b: {driver: ssh, address: b, addresses: [10.0.0.2, 10.1.0.2]}
";
        let deployment = Deployment::parse("f.yaml", text).unwrap();
        let seen = |host: &str| deployment.seen_from(&host.parse().unwrap());
        assert_eq!(seen("a"), ["a.example"]);
        assert_eq!(seen("b"), ["10.0.0.2", "10.1.0.2"]);
        assert_eq!(seen("local"), LOOPBACK);
        assert!(!deployment.hosts[&"b".parse().unwrap()].options.contains_key("addresses"));
    }

    #[test]
    fn an_inventory_brings_hosts_and_the_deployment_file_goes_before_it() {
        let text = "
deployment: site1
inventory: /etc/kolla/multinode
hosts: {c1: {driver: local}}
services:
  api: {driver: systemd, unit: a, hosts: [c1, c2]}
  web: {driver: systemd, unit: w, hosts: [c2, c3, c4]}
";
        let deployment = Deployment::parse("f.yaml", text).unwrap();
        let inventory = deployment.inventory.clone().unwrap();
        assert_eq!((inventory.file.as_str(), inventory.dynamic), ("/etc/kolla/multinode", false));
        let host = |name: &str| -> (HostName, Host) {
            let host = Host { driver: "ssh".into(), addresses: vec![], options: BTreeMap::new() };
            (name.parse().unwrap(), host)
        };
        let refused = BTreeMap::from([("c3".to_owned(), vec!["`ansible_connection` is `winrm`".to_owned()])]);
        let found = BTreeMap::from(["c1", "c2"].map(host));
        let told = deployment.clone().with_hosts(found, &refused).unwrap_err();
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "/etc/kolla/multinode: host `c3`: `ansible_connection` is `winrm`",
                "/etc/kolla/multinode: it has no host `c4`, on which service `web` runs",
            ]
        );
        let found = BTreeMap::from(["c1", "c2", "c3", "c4"].map(host));
        let whole = deployment.with_hosts(found, &BTreeMap::new()).unwrap();
        assert_eq!(whole.hosts[&"c1".parse().unwrap()].driver, "local");
        assert_eq!(whole.hosts.len(), 4);
    }

    #[test]
    fn services_may_wait_for_each_other_and_drain() {
        let text = "
deployment: site1
services:
  api: {driver: systemd, unit: a}
  web: {driver: systemd, unit: w, after: [api], canary: false, drain: {driver: haproxy, backend: web}}
";
        let deployment = Deployment::parse("f.yaml", text).unwrap();
        let service = |name: &str| &deployment.services[&name.parse::<ServiceName>().unwrap()];
        assert!(service("api").canary && service("api").drain.is_none());
        assert!(!service("web").canary && service("web").after.contains(&"api".parse().unwrap()));
        let drain = service("web").drain.as_ref().unwrap();
        assert_eq!((drain.driver.as_str(), &drain.options["backend"]), ("haproxy", &Setting::Text("web".into())));
        assert_eq!(service("web").options.len(), 1);
    }

    #[test]
    fn what_cannot_be_ordered_is_told_by_name() {
        let text = "
deployment: site1
services:
  a: {driver: systemd, after: [b, nobody]}
  b: {driver: systemd, after: [c]}
  c: {driver: systemd, after: [a]}
  d: {driver: systemd, after: [d], hosts: [local, local]}
  e: {driver: systemd, after: [f], order: 5}
  f: {driver: systemd, order: 6}
";
        let told: Vec<_> = Deployment::parse("f.yaml", text).unwrap_err().into_iter().map(|m| m.what).collect();
        assert_eq!(
            told,
            [
                "service `d` names the host `local` twice",
                "service `a` is after `nobody`, which is not under `services`",
                "service `e` (order 5) is after `f` (order 6), which restarts later",
                "services wait for each other in a circle: `a` after `b` after `c` after `a`",
                "services wait for each other in a circle: `d` after `d`",
            ]
        );
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = "
deployment: donjon-x
read_lease: 11
services:
  web: {driver: systemd, hosts: [nowhere], batch: 0, fed: other}
views:
  a: 'x{b'
  c: '{d:hex}'
sites:
  edge: {roles: [none], recipients: []}
";
        let mistakes = Deployment::parse("f.yaml", text).unwrap_err();
        assert_eq!(mistakes.len(), 9, "{mistakes:#?}");
        assert!(mistakes.iter().all(|m| m.file == "f.yaml"));
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let mistakes = Deployment::parse("f.yaml", "deployment: x\nhosts: [\n").unwrap_err();
        assert!(mistakes[0].what.contains("line"), "{mistakes:?}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = Deployment::parse("f", &text);
        }

        #[test]
        fn no_yaml_panics(text in "((deployment|hosts|views|sites|roles|a|-|driver)?[ \\-:{}\\[\\],&*!|>'\"%#?~<\na0-9]){0,60}") {
            let _ = Deployment::parse("f", &text);
        }
    }
}
