//! The plan: what would change, in which order, what restarts where, and what it costs. Pure: it looks at nothing outside.

use crate::{
    failure::{Exit, Failure},
    socket::message::RotateAsked,
};
use donjon_policies::{
    catalogue::{Catalogue, Credential, Entry, Standing, TargetKind},
    deployment::{Deployment, LOCAL},
    name::{SecretName, TargetName},
    strategy::{Outage, Strategy},
};
use serde::Serialize;

/// What a rotation would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The secrets, in the order in which they change.
    pub secrets: Vec<Planned>,
    /// Secrets that were not named and are left alone, and why.
    pub left: Vec<Left>,
}

/// One secret of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The secret.
    pub secret: SecretName,
    /// How it changes.
    pub strategy: Strategy,
    /// What that costs its consumers.
    pub outage: Outage,
    /// Where its value must be accepted.
    pub target: TargetName,
    /// The users whose accounts have the value.
    pub users: Vec<String>,
    /// The views that are assembled from it.
    pub views: Vec<SecretName>,
    /// What restarts, in order.
    pub restarts: Vec<Restart>,
}

/// One restart of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restart {
    /// The service.
    pub service: String,
    /// The host.
    pub host: String,
}

/// A secret that a bulk rotation leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The secret.
    pub secret: SecretName,
    /// Why.
    pub why: String,
}

/// Plans what was asked. A secret that was named and cannot be rotated so refuses the whole plan.
pub fn plan(catalogue: &Catalogue, deployment: &Deployment, asked: &RotateAsked) -> Result<Plan, Failure> {
    if asked.compromised {
        return Err(Failure::new(
            Exit::Refused,
            "`--compromised` is refused: this version has no path that removes the old value first",
        )
        .state("nothing was changed")
        .hint("remove the account's old password by hand, `donjon put` the new one, and restart its consumers"));
    }
    match (asked.names.as_slice(), asked.all) {
        ([], false) => {
            Err(Failure::new(Exit::Usage, "which secrets? name them, or say --all")
                .hint("`donjon list` shows the names"))
        }
        ([], true) => Ok(everything(catalogue, deployment)),
        (names, _) => {
            let secrets = names.iter().map(|name| named(catalogue, deployment, name)).collect::<Result<Vec<_>, _>>()?;
            Ok(Plan { secrets, left: Vec::new() })
        }
    }
}

fn everything(catalogue: &Catalogue, deployment: &Deployment) -> Plan {
    let (mut secrets, mut left) = (Vec::new(), Vec::new());
    for entry in catalogue.current() {
        match one(deployment, entry) {
            Ok(planned) if entry.in_bulk() => secrets.push(planned),
            Ok(_) => left.push(Left { secret: entry.name.clone(), why: "it changes only when it is named".to_owned() }),
            Err(why) => left.push(Left { secret: entry.name.clone(), why: why.to_string() }),
        }
    }
    Plan { secrets, left }
}

fn named(catalogue: &Catalogue, deployment: &Deployment, name: &str) -> Result<Planned, Failure> {
    let parsed: SecretName = crate::daemon::lookup::name(name)?;
    let unknown = || {
        let failure =
            Failure::new(Exit::NotThere, format!("the catalogue `{}` has no secret `{name}`", catalogue.deployer()));
        match catalogue.nearest(name) {
            Some(nearest) => failure.hint(format!("the nearest name is `{nearest}`")),
            None => failure,
        }
    };
    let entry = catalogue.entry(&parsed).ok_or_else(unknown)?;
    one(deployment, entry).map_err(|why| match why {
        Unplannable::NoTarget(_) => Failure::new(Exit::Usage, format!("cannot rotate `{name}`"))
            .cause(why.to_string())
            .state("nothing was changed")
            .hint("describe the server under `targets` in donjon.yaml"),
        Unplannable::Refused(_) | Unplannable::Older | Unplannable::NotYet(_) => {
            Failure::new(Exit::Refused, format!("`{name}` is not to be rotated so"))
                .cause(why.to_string())
                .state("nothing was changed")
        }
    })
}

/// Why a secret is not in a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Unplannable {
    #[error("{0}")]
    Refused(&'static str),
    #[error("the deployer knows it no longer")]
    Older,
    #[error("this version does not rotate by {0} yet")]
    NotYet(String),
    #[error("the deployment file has no target with the driver `{0}`")]
    NoTarget(TargetKind),
}

fn one(deployment: &Deployment, entry: &Entry) -> Result<Planned, Unplannable> {
    if entry.standing == Standing::Older {
        return Err(Unplannable::Older);
    }
    if let Some(why) = entry.credentials.iter().find_map(|c| c.strategy.refusal()) {
        return Err(Unplannable::Refused(why));
    }
    let [Credential { target: TargetKind::Mariadb, strategy: Strategy::DualPassword, accounts, .. }] =
        entry.credentials.as_slice()
    else {
        let ways: Vec<_> = entry.credentials.iter().map(|c| format!("{} on {}", c.strategy, c.target)).collect();
        return Err(Unplannable::NotYet(ways.join(" and ")));
    };
    let target = deployment.targets.iter().find(|(_, driven)| driven.driver == TargetKind::Mariadb.word());
    let (target, _) = target.ok_or(Unplannable::NoTarget(TargetKind::Mariadb))?;
    let restarts = deployment.consumers_of(&entry.name).into_iter().flat_map(|(service, described)| {
        let hosts = if described.hosts.is_empty() {
            vec![LOCAL.to_owned()]
        } else {
            described.hosts.iter().map(ToString::to_string).collect()
        };
        hosts.into_iter().map(move |host| Restart { service: service.to_string(), host })
    });
    Ok(Planned {
        secret: entry.name.clone(),
        strategy: Strategy::DualPassword,
        outage: entry.outage().unwrap_or(Outage::None),
        target: target.clone(),
        users: accounts.iter().map(|account| account.user.clone()).collect(),
        views: deployment.views_of(&entry.name).into_iter().collect(),
        restarts: restarts.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = "
deployment: site1
targets:
  mariadb: {driver: mariadb, nodes: []}
services:
  web: {driver: systemd, order: 2, uses: [root_url]}
  api: {driver: container, order: 1, uses: [database_password]}
views:
  root_url: 'mysql://root:{database_password:url}@127.0.0.1/'
";

    fn plan_of(asked: &RotateAsked) -> Result<Plan, Failure> {
        plan(&Catalogue::named("kolla-ansible").unwrap(), &Deployment::parse("donjon.yaml", DEPLOYMENT).unwrap(), asked)
    }

    fn names(names: &[&str]) -> RotateAsked {
        RotateAsked { names: names.iter().map(ToString::to_string).collect(), ..RotateAsked::default() }
    }

    #[test]
    fn mysql_root_is_planned_with_its_consumers_in_order() {
        let plan = plan_of(&names(&["database_password"])).unwrap();
        let planned = &plan.secrets[0];
        assert_eq!((planned.users[0].as_str(), planned.outage), ("root", Outage::None));
        assert_eq!(planned.restarts.iter().map(|r| r.service.as_str()).collect::<Vec<_>>(), ["api", "web"]);
        assert_eq!(planned.views.len(), 1);
    }

    #[test]
    fn what_must_never_change_is_refused_when_named_and_left_alone_in_bulk() {
        let never: Vec<SecretName> = Catalogue::named("kolla-ansible")
            .unwrap()
            .current()
            .filter(|e| e.credentials.iter().any(|c| c.strategy.refusal().is_some()))
            .map(|e| e.name.clone())
            .collect();
        assert!(never.len() > 5);
        let all = plan_of(&RotateAsked { all: true, ..RotateAsked::default() }).unwrap();
        for name in &never {
            assert_eq!(plan_of(&names(&[name.as_str()])).unwrap_err().code, Exit::Refused, "{name}");
            assert!(
                all.secrets.iter().all(|p| p.secret != *name) && all.left.iter().any(|l| l.secret == *name),
                "{name}"
            );
        }
    }

    #[test]
    fn an_unknown_name_has_the_nearest_one() {
        let failure = plan_of(&names(&["database_pasword"])).unwrap_err();
        assert_eq!(failure.code, Exit::NotThere);
        assert!(failure.hint.unwrap().contains("database_password"));
    }

    #[test]
    fn compromised_is_refused_by_name() {
        let asked = RotateAsked { compromised: true, ..names(&["database_password"]) };
        let failure = plan_of(&asked).unwrap_err();
        assert_eq!(failure.code, Exit::Refused);
        assert!(failure.message.contains("--compromised"));
    }
}
