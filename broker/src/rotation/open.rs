//! Opening what a rotation touches: the target and the consumers, as the deployment file describes them.

use super::{Subject, plan::Planned, subject::Administrator};
use crate::failure::{Exit, Failure};
use donjon_drivers::target::{
    Target,
    mariadb::{Limits, MariaDb, Member},
};
use donjon_policies::{
    catalogue::{Catalogue, TargetKind},
    deployment::{Deployment, Driven, Setting},
    name::SecretName,
};
use std::{sync::Arc, time::Duration};

/// Opens everything that the rotation of a planned secret touches. Nothing is connected yet.
pub fn subject(catalogue: &Catalogue, deployment: &Deployment, planned: &Planned) -> Result<Subject, Failure> {
    let driven = deployment
        .targets
        .get(&planned.target)
        .ok_or_else(|| Failure::new(Exit::Usage, format!("the deployment file has no target `{}`", planned.target)))?;
    let administrator = administrator(catalogue, planned)?;
    Ok(Subject {
        secret: planned.secret.clone(),
        target_name: planned.target.clone(),
        target: target(driven),
        users: planned.users.clone(),
        administrator,
        views: planned
            .views
            .iter()
            .filter_map(|view| Some((view.clone(), deployment.views.get(view)?.clone())))
            .collect(),
        instances: Vec::new(),
        keep_previous: Duration::from_secs(u64::from(deployment.keep_previous) * 24 * 3600),
        drain: DRAIN,
    })
}

fn target(driven: &Driven) -> Arc<dyn Target> {
    let Some(Setting::List(nodes)) = driven.options.get("nodes") else {
        return Arc::new(MariaDb::new(Vec::new(), Limits::default()));
    };
    let text = |map: &std::collections::BTreeMap<String, Setting>, key: &str| match map.get(key) {
        Some(Setting::Text(t)) => Some(t.clone()),
        _ => None,
    };
    let members = nodes
        .iter()
        .filter_map(|n| match n {
            Setting::Map(m) => Some(Member {
                name: text(m, "name")?,
                address: text(m, "address")?,
                port: match m.get("port") {
                    Some(Setting::Number(p)) => *p as u16,
                    _ => 3306,
                },
                socket: text(m, "socket").map(Into::into),
                tls_ca: None,
            }),
            _ => None,
        })
        .collect();
    Arc::new(MariaDb::new(members, Limits::default()))
}

/// Who changes accounts on a target of this kind: the first account of the catalogue's administrator there.
fn administrator(catalogue: &Catalogue, planned: &Planned) -> Result<Administrator, Failure> {
    let mariadb = |name: &SecretName| {
        catalogue
            .entry(name)?
            .credentials
            .iter()
            .find(|c| c.target == TargetKind::Mariadb)?
            .accounts
            .iter()
            .find(|a| a.user == ROOT)
            .map(|_| name.clone())
    };
    let secret = catalogue.current().find_map(|entry| mariadb(&entry.name));
    let none = || {
        Failure::new(Exit::Usage, format!("cannot rotate `{}`", planned.secret)).cause(format!(
            "the catalogue `{}` has no secret for `{ROOT}` on {}",
            catalogue.deployer(),
            TargetKind::Mariadb
        ))
    };
    Ok(Administrator { user: ROOT.to_owned(), secret: secret.ok_or_else(none)? })
}

const ROOT: &str = "root";
const DRAIN: Duration = Duration::from_secs(30);
