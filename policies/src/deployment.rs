//! The deployment file `donjon.yaml`: hosts, targets with their nodes, services, views and who reads what.
//!
//! What a driver needs beyond its name is kept as it stands and checked against the driver's own description of its
//! options when the deployment opens.

use crate::name::{DeploymentName, HostName, RoleName, SecretName, ServiceName, SiteName, TargetName};
use serde::Deserialize;
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
    /// Where commands run. `local` is always there.
    #[serde(default)]
    pub hosts: BTreeMap<HostName, Driven>,
    /// Servers that accept credentials.
    #[serde(default)]
    pub targets: BTreeMap<TargetName, Driven>,
    /// What restarts.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Service>,
    /// Values assembled from secrets: a template with `{secret}` or `{secret:url}` (percent-encoded).
    #[serde(default)]
    pub views: BTreeMap<SecretName, String>,
    /// Who may read what.
    #[serde(default)]
    pub roles: BTreeMap<RoleName, Reads>,
    /// Edge sites and the overcloud.
    #[serde(default)]
    pub sites: BTreeMap<SiteName, Site>,
}

/// Something that a driver opens: the driver's name and its options.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Driven {
    /// The driver.
    pub driver: String,
    /// Its options, as they stand.
    #[serde(flatten)]
    pub options: BTreeMap<String, Setting>,
}

/// An option's value as it stands in the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Setting>),
    /// A map.
    Map(BTreeMap<String, Setting>),
}

/// A service: something that restarts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Service {
    /// `systemd`, `container` or `command`.
    pub driver: String,
    /// The hosts it runs on; the deployment host where none is named.
    #[serde(default)]
    pub hosts: Vec<HostName>,
    /// Lower ones restart first.
    #[serde(default)]
    pub order: i32,
    /// How many hosts restart at once.
    #[serde(default = "default_batch")]
    pub batch: u32,
    /// Services of one group are never restarted two at once.
    #[serde(default)]
    pub quorum_group: Option<String>,
    /// The secrets and views it reads.
    #[serde(default)]
    pub uses: BTreeSet<SecretName>,
    /// How long it may take to be well again after a restart, in seconds.
    #[serde(default = "default_settle")]
    pub settle: u32,
    /// What proves that it runs on a new value.
    #[serde(default)]
    pub proof: Proof,
    /// The driver's options, as they stand.
    #[serde(flatten)]
    pub options: BTreeMap<String, Setting>,
}

/// What proves that a service runs on a new value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A session at the target that began after its restart, beside its health check.
    #[default]
    Session,
    /// Its health check alone, which must log in by itself: for services that keep no session open.
    Check,
}

/// What a role may read: secrets and views by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reads {
    /// The secrets and views.
    pub reads: BTreeSet<SecretName>,
}

/// A site that receives bundles.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The roles whose secrets it gets.
    pub roles: BTreeSet<RoleName>,
    /// The age recipients of its nodes.
    pub recipients: Vec<String>,
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

impl Deployment {
    /// Reads the text of a deployment file; on error, every mistake that was found.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<DeploymentError>> {
        let mistake = |what: String| DeploymentError { file: file.to_owned(), what };
        let read: Self = serde_saphyr::from_str(text).map_err(|error| vec![mistake(error.to_string())])?;
        let mistakes: Vec<_> = read.mistakes().into_iter().map(mistake).collect();
        if mistakes.is_empty() { Ok(read) } else { Err(mistakes) }
    }

    /// A deployment of this name with nothing in it.
    pub fn empty(deployment: DeploymentName) -> Self {
        Self {
            deployment,
            catalogue: default_catalogue(),
            keep_previous: default_keep_previous(),
            drain: default_drain(),
            hosts: BTreeMap::new(),
            targets: BTreeMap::new(),
            services: BTreeMap::new(),
            views: BTreeMap::new(),
            roles: BTreeMap::new(),
            sites: BTreeMap::new(),
        }
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

    /// The services that use a secret, itself or through a view, in the order in which they restart.
    pub fn consumers_of(&self, secret: &SecretName) -> Vec<(&ServiceName, &Service)> {
        let views = self.views_of(secret);
        let uses = |service: &Service| service.uses.contains(secret) || !service.uses.is_disjoint(&views);
        let mut consumers: Vec<_> = self.services.iter().filter(|(_, service)| uses(service)).collect();
        consumers.sort_by_key(|(name, service)| (service.order, (*name).clone()));
        consumers
    }

    fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.deployment.as_str().starts_with("donjon-") {
            found.push("deployment names that begin with `donjon-` are reserved".to_owned());
        }
        for (name, service) in &self.services {
            let unknown = service.hosts.iter().filter(|h| h.as_str() != LOCAL && !self.hosts.contains_key(h));
            found.extend(unknown.map(|host| format!("service `{name}` runs on `{host}`, which is not under `hosts`")));
            if service.batch == 0 {
                found.push(format!("service `{name}` has batch 0; at least one host restarts at once"));
            }
        }
        for (view, template) in &self.views {
            found.extend(placeholders(template).filter_map(Result::err).map(|what| format!("view `{view}`: {what}")));
            found.extend(self.parts_of(view).iter().filter(|part| self.views.contains_key(part)).map(|part| {
                format!("view `{view}` is made from the view `{part}`; views are made from secrets alone")
            }));
        }
        for (site, described) in &self.sites {
            found.extend(
                described
                    .roles
                    .iter()
                    .filter(|r| !self.roles.contains_key(r))
                    .map(|role| format!("site `{site}` has the role `{role}`, which is not under `roles`")),
            );
        }
        found
    }
}

/// A place in a view's template where a secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The secret.
    pub secret: SecretName,
    /// How it is written there.
    pub encoding: Encoding,
    /// Where the placeholder stands in the template, in bytes.
    pub range: std::ops::Range<usize>,
}

/// How a secret is written into a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Percent-encoded, for a URL.
    Url,
}

/// The placeholders of a template, in order. A brace that opens none is written twice.
pub fn placeholders(template: &str) -> impl Iterator<Item = Result<Placeholder, String>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + template.get(at..)?.find('{')?;
        let Some(length) = template[start..].find('}') else {
            at = template.len();
            return Some(Err("a `{` is not closed".to_owned()));
        };
        at = start + length + 1;
        let inside = &template[start + 1..at - 1];
        let (name, encoding) = match inside.split_once(':') {
            None => (inside, Encoding::Plain),
            Some((name, "url")) => (name, Encoding::Url),
            Some((_, other)) => return Some(Err(format!("`{other}` is no encoding; `url` is"))),
        };
        Some(name.parse().map_err(|error: crate::name::NameError| error.to_string()).map(|secret| Placeholder {
            secret,
            encoding,
            range: start..at,
        }))
    })
}

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

fn default_batch() -> u32 {
    1
}

fn default_settle() -> u32 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn every_mistake_is_told_at_once() {
        let text = "
deployment: donjon-x
services:
  web: {driver: systemd, hosts: [nowhere], batch: 0}
views:
  a: 'x{b'
  c: '{d:hex}'
sites:
  edge: {roles: [none], recipients: []}
";
        let mistakes = Deployment::parse("f.yaml", text).unwrap_err();
        assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
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
            let _ = placeholders(&text).count();
        }
    }
}
