//! Opening what a rotation touches: the target, the hosts and the consumers, as the deployment file describes them.

use super::{
    Instance, Subject,
    plan::Planned,
    subject::{Administrator, Proof},
};
use crate::failure::{Exit, Failure};
use donjon_drivers::{
    host::{self, Host, registry::HOSTS},
    options::Mistake,
    service::{place::Place, registry::SERVICES},
    target::registry::TARGETS,
};
use donjon_policies::{
    catalogue::{Catalogue, TargetKind},
    deployment::{self, Deployment, LOCAL},
    name::{HostName, SecretName, ServiceName},
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// Opens everything that the rotation of a planned secret touches; on error, every mistake in what the deployment file
/// says of it. `control` is a folder of this user alone, for the sockets of connections to hosts. Nothing is connected yet.
pub fn subject(
    catalogue: &Catalogue,
    deployment: &Deployment,
    planned: &Planned,
    control: &Path,
) -> Result<Subject, Failure> {
    let mut mistakes = Vec::new();
    let mut keep = |found: Vec<Mistake>| mistakes.extend(found);
    let target = deployment.targets.get(&planned.target).and_then(|driven| {
        TARGETS
            .open(&driven.driver, &driven.options, &format!("targets.{}", planned.target), planned.target.to_string())
            .map_err(&mut keep)
            .ok()
    });
    let mut instances = Vec::new();
    for (name, described) in deployment.consumers_of(&planned.secret) {
        match consumers(deployment, name, described, control) {
            Ok(found) => instances.extend(found),
            Err(found) => keep(found),
        }
    }
    let (Some(target), []) = (target, mistakes.as_slice()) else {
        let mut failure =
            Failure::new(Exit::Usage, format!("the deployment file does not fit the rotation of `{}`", planned.secret));
        failure.causes = mistakes.iter().map(Mistake::to_string).collect();
        return Err(failure.state("nothing was changed"));
    };
    Ok(Subject {
        secret: planned.secret.clone(),
        target_name: planned.target.clone(),
        target,
        users: planned.users.clone(),
        administrator: administrator(catalogue, planned)?,
        views: planned
            .views
            .iter()
            .filter_map(|view| Some((view.clone(), deployment.views.get(view)?.clone())))
            .collect(),
        instances,
        keep_previous: Duration::from_secs(u64::from(deployment.keep_previous) * 24 * 3600),
        drain: Duration::from_secs(u64::from(deployment.drain)),
    })
}

fn consumers(
    deployment: &Deployment,
    name: &ServiceName,
    described: &deployment::Service,
    control: &Path,
) -> Result<Vec<Instance>, Vec<Mistake>> {
    let local: HostName = LOCAL.parse().expect("a fixed good name");
    let hosts = if described.hosts.is_empty() { vec![local] } else { described.hosts.clone() };
    let mut instances = Vec::new();
    for on in hosts {
        let place =
            Place { service: name.to_string(), host_name: on.to_string(), host: open_host(deployment, &on, control)? };
        let driver = SERVICES.open(&described.driver, &described.options, &format!("services.{name}"), place)?;
        let proof = match described.proof {
            deployment::Proof::Session => Proof::Session,
            deployment::Proof::Check => Proof::Check,
        };
        instances.push(Instance {
            service: name.clone(),
            host: on,
            driver,
            settle: Duration::from_secs(u64::from(described.settle)),
            proof,
        });
    }
    Ok(instances)
}

fn open_host(deployment: &Deployment, name: &HostName, control: &Path) -> Result<Arc<dyn Host>, Vec<Mistake>> {
    let place = host::registry::Place { name: name.to_string(), control: control.to_path_buf() };
    match deployment.hosts.get(name) {
        Some(driven) => HOSTS.open(&driven.driver, &driven.options, &format!("hosts.{name}"), place),
        // A name that is not described is the deployment host: the deployment file was checked for others.
        None => HOSTS.open(LOCAL, &BTreeMap::new(), "hosts.local", place),
    }
}

/// Who changes accounts on MariaDB: root, with the secret that the catalogue has for it.
fn administrator(catalogue: &Catalogue, planned: &Planned) -> Result<Administrator, Failure> {
    let roots = |name: &SecretName| {
        let credentials = catalogue.entry(name).map(|entry| entry.credentials.as_slice()).unwrap_or_default();
        credentials
            .iter()
            .any(|c| c.target == TargetKind::Mariadb && c.accounts.iter().any(|account| account.user == ROOT))
    };
    let secret = catalogue.current().map(|entry| &entry.name).find(|name| roots(name));
    let none = || {
        Failure::new(Exit::Usage, format!("cannot rotate `{}`", planned.secret)).cause(format!(
            "the catalogue `{}` has no secret for `{ROOT}` on {}",
            catalogue.deployer(),
            TargetKind::Mariadb
        ))
    };
    Ok(Administrator { user: ROOT.to_owned(), secret: secret.ok_or_else(none)?.clone() })
}

const ROOT: &str = "root";
