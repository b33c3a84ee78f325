//! Opening what a rotation touches: the targets, the hosts and the consumers, as the deployment file describes them.

mod addresses;
mod administrator;
mod consumer;
mod hosts;

pub(crate) use hosts::open_host;

use super::{
    Subject,
    plan::PlannedRotation,
    subject::{Addresses, Credential, Item, Reached, Stands},
};
use crate::failure::{Exit, Failure};
use donjon_drivers::{
    host::registry::ByName,
    keyring::{self, registry::KEYRINGS},
    options::Mistake,
    target::{self, Target, registry::TARGETS},
};
use donjon_policies::{
    catalogue::{Catalogue, TargetKind},
    deployment::{Deployment, Driven, LOCAL},
    name::{HostName, TargetName},
    restart,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// Opens everything that a planned rotation touches; on error, every mistake in what the deployment file says of it.
/// `control` is a folder of this user alone, for the sockets of connections to hosts. Nothing is connected yet.
pub fn subject(
    catalogue: &Catalogue,
    deployment: &Deployment,
    planned: &PlannedRotation,
    control: &Path,
) -> Result<Subject, Failure> {
    let names = planned.secrets.iter().map(|p| format!("`{}`", p.secret)).collect::<Vec<_>>().join(", ");
    let mut mistakes = Vec::new();
    let mut targets = BTreeMap::new();
    let by_name = hosts::by_name(deployment, control);
    for credential in planned.secrets.iter().flat_map(|planned| &planned.credentials) {
        if targets.contains_key(&credential.target) {
            continue;
        }
        match target(catalogue, deployment, &credential.target, credential.kind, &by_name) {
            Ok(reached) => drop(targets.insert(credential.target.clone(), reached)),
            Err(Unopened::Mistakes(found)) => mistakes.extend(found),
            Err(Unopened::Failed(failure)) => return Err(*failure),
        }
    }
    let mut hosts = hosts::Hosts::new(deployment, control);
    let mut instances = Vec::new();
    let mut groups = Vec::new();
    let reached: Vec<_> = targets.values().map(|reached| reached.target.clone()).collect();
    for step in &planned.restarts {
        let mut group = Vec::new();
        for instance in &step.instances {
            match consumer::open(deployment, instance, planned, &reached, &mut hosts) {
                Ok(opened) => {
                    group.push(instances.len());
                    instances.push(opened);
                }
                Err(found) => mistakes.extend(found),
            }
        }
        groups.push(group);
    }
    let mut keyrings = BTreeMap::new();
    for planned in &planned.secrets {
        let Some(Driven { driver, options }) = deployment.keyrings.get(&planned.secret) else { continue };
        let at = format!("keyrings.{}", planned.secret);
        let opened =
            hosts.all().and_then(|hosts| KEYRINGS.open(driver, options, &at, keyring::registry::Place { hosts }));
        match opened {
            Ok(keyring) => drop(keyrings.insert(planned.secret.clone(), keyring)),
            Err(found) => mistakes.extend(found),
        }
    }
    if !mistakes.is_empty() {
        let what = format!("the deployment file does not fit the rotation of {names}");
        let mut failure = Failure::new(Exit::Usage, what);
        failure.causes = mistakes.iter().map(Mistake::to_string).collect();
        failure.causes.dedup();
        return Err(failure.state("nothing was changed"));
    }
    let secrets = planned.secrets.iter().map(|planned| Item {
        secret: planned.secret.clone(),
        credentials: planned
            .credentials
            .iter()
            .map(|c| Credential { target: c.target.clone(), way: c.way, users: c.users.clone() })
            .collect(),
    });
    Ok(Subject {
        path: planned.path,
        compromised: planned.compromised,
        sites: planned.sites.clone(),
        secrets: secrets.collect(),
        targets,
        keyrings,
        views: planned
            .views
            .iter()
            .filter_map(|view| Some((view.clone(), deployment.views.get(view)?.clone())))
            .collect(),
        instances,
        groups,
        back: consumer::back(deployment),
        hosts: everywhere(deployment, &reached),
        trial: Duration::from_secs(u64::from(deployment.trial)),
        keep_previous: Duration::from_secs(u64::from(deployment.keep_previous) * 24 * 3600),
        drain: Duration::from_secs(u64::from(deployment.drain)),
    })
}

enum Unopened {
    Mistakes(Vec<Mistake>),
    Failed(Box<Failure>),
}

fn target(
    catalogue: &Catalogue,
    deployment: &Deployment,
    name: &TargetName,
    kind: TargetKind,
    hosts: &ByName,
) -> Result<Reached, Unopened> {
    let Some(Driven { driver, options }) = deployment.targets.get(name) else {
        let what = format!("the deployment file has no target `{name}`");
        return Err(Unopened::Failed(Box::new(Failure::new(Exit::Bug, what))));
    };
    let mut options = options.clone();
    let given = options.remove(administrator::OPTION);
    let place = target::registry::Place { name: name.to_string(), hosts: hosts.clone() };
    let target = TARGETS.open(driver, &options, &format!("targets.{name}"), place);
    let target = target.map_err(Unopened::Mistakes)?;
    let administrator = administrator::of(catalogue, name, kind, given.as_ref());
    let administrator = administrator.map_err(|failure| Unopened::Failed(Box::new(failure)))?;
    let stands = match kind {
        TargetKind::Proxysql => Stands::Between,
        TargetKind::Mariadb
        | TargetKind::Rabbitmq
        | TargetKind::Redis
        | TargetKind::Keystone
        | TargetKind::Keyring
        | TargetKind::Sshkeys
        | TargetKind::Command
        | TargetKind::Consumers => Stands::AtTheEnd,
    };
    Ok(Reached { target, administrator, stands })
}

/// The hosts of a deployment, with where targets see their sessions come from; looked up where somebody asks.
pub type Hosts = Arc<dyn Fn() -> BTreeMap<HostName, Addresses> + Send + Sync>;

fn everywhere(deployment: &Deployment, targets: &[Arc<dyn Target>]) -> Hosts {
    let (deployment, targets) = (deployment.clone(), targets.to_vec());
    let local: HostName = LOCAL.parse().expect("it is a name of a host");
    Arc::new(move || {
        let hosts = deployment.hosts.keys().chain([&local]);
        hosts.map(|host| (host.clone(), addresses::of(&deployment, host, &targets))).collect()
    })
}

/// The order in which consumers that were touched return to the old value.
pub type Back = Arc<dyn Fn(&[restart::Instance]) -> Vec<restart::Step> + Send + Sync>;
