//! The hosts that a rotation reaches, each opened once however many consumers and drains are on it.

use donjon_drivers::{
    host::{
        self, Host,
        registry::{ByName, HOSTS},
    },
    options::Mistake,
};
use donjon_policies::{
    deployment::{Deployment, LOCAL},
    name::HostName,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Every host by its name, as drains and keyrings take them.
pub(super) type All = Arc<BTreeMap<String, Arc<dyn Host>>>;

/// The hosts of a deployment. One that nothing asks for is not opened, so that a mistake in it stops nobody.
pub(super) struct Hosts<'a> {
    deployment: &'a Deployment,
    control: &'a Path,
    opened: BTreeMap<HostName, Arc<dyn Host>>,
    all: Option<All>,
}

impl<'a> Hosts<'a> {
    /// Those of a deployment; `control` is for the sockets of connections to them.
    pub(super) fn new(deployment: &'a Deployment, control: &'a Path) -> Self {
        Self { deployment, control, opened: BTreeMap::new(), all: None }
    }

    /// One of them.
    pub(super) fn one(&mut self, name: &HostName) -> Result<Arc<dyn Host>, Vec<Mistake>> {
        if let Some(opened) = self.opened.get(name) {
            return Ok(opened.clone());
        }
        let opened = open_host(self.deployment, name, self.control)?;
        self.opened.insert(name.clone(), opened.clone());
        Ok(opened)
    }

    /// Every one of them, this machine too.
    pub(super) fn all(&mut self) -> Result<All, Vec<Mistake>> {
        if let Some(all) = &self.all {
            return Ok(all.clone());
        }
        let local: HostName = LOCAL.parse().expect("it is a name of a host");
        let mut all = BTreeMap::new();
        for name in self.deployment.hosts.keys().chain([&local]) {
            all.insert(name.to_string(), self.one(name)?);
        }
        Ok(self.all.insert(Arc::new(all)).clone())
    }
}

/// The hosts of a deployment for whoever knows one by its name alone.
pub(super) fn by_name(deployment: &Deployment, control: &Path) -> ByName {
    let hosts = deployment.hosts.clone();
    let control = control.to_path_buf();
    Arc::new(move |name: &str| {
        let known = name.parse().ok().and_then(|name: HostName| hosts.get(&name));
        let described = known.ok_or_else(|| format!("there is no host `{name}` under `hosts`"))?;
        let place = host::registry::Place { name: name.to_owned(), control: control.clone() };
        let opened = HOSTS.open(&described.driver, &described.options, &format!("hosts.{name}"), place);
        opened.map_err(|found| found.iter().map(Mistake::to_string).collect::<Vec<_>>().join("; "))
    })
}

/// Opens a host. Nothing is connected yet.
pub(crate) fn open_host(
    deployment: &Deployment,
    name: &HostName,
    control: &Path,
) -> Result<Arc<dyn Host>, Vec<Mistake>> {
    let place = host::registry::Place { name: name.to_string(), control: control.to_path_buf() };
    match deployment.hosts.get(name) {
        Some(described) => HOSTS.open(&described.driver, &described.options, &format!("hosts.{name}"), place),
        // A name that is not described is the deployment host: the deployment file was checked for others.
        None => HOSTS.open(LOCAL, &BTreeMap::new(), "hosts.local", place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_opened_once_and_one_that_nobody_asks_for_not_at_all() {
        let yaml = "deployment: d\nhosts:\n  a: {driver: ssh, address: 10.0.0.1, user: root}\n  b: {driver: nosuch}\n";
        let deployment = Deployment::parse("donjon.yaml", yaml).unwrap();
        let mut hosts = Hosts::new(&deployment, Path::new("/nowhere"));
        let (a, again) = (hosts.one(&"a".parse().unwrap()).unwrap(), hosts.one(&"a".parse().unwrap()).unwrap());
        assert!(Arc::ptr_eq(&a, &again));
        assert!(hosts.all().is_err(), "the mistake is told to whoever asks for every host");
    }
}
