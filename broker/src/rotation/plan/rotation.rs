//! Secrets that go the same way in the same wave rotate as one.

use super::{
    credential::{PlannedCredential, Unplannable, credentials},
    proof, roles,
};
use crate::{
    failure::{Exit, Failure},
    rotation::state_transfer,
    socket::message::RotateAsked,
};
use donjon_policies::{
    catalogue::{Catalogue, EMBEDDED, Entry, Phase, TargetKind},
    deployment::{Deployment, Setting},
    name::{SecretName, SiteName},
    restart::{self, Step},
    strategy::Outage,
    transition::Path,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a rotation would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The rotations, in the order in which they run: one ends before the next begins.
    pub rotations: Vec<PlannedRotation>,
    /// Secrets that were not named and are left alone, and why.
    pub left: Vec<Left>,
}

/// Secrets that rotate as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedRotation {
    /// The way all of them go.
    pub path: Path,
    /// Whether others know the old values: then they never come back and are not kept.
    pub compromised: bool,
    /// What that costs, the worst of all.
    pub outage: Outage,
    /// The secrets, in the order of their names.
    pub secrets: Vec<Planned>,
    /// The views that are assembled from them.
    pub views: BTreeSet<SecretName>,
    /// What restarts, step by step; what stands in one step restarts together.
    pub restarts: Vec<Step>,
    /// The sites that have to answer before an old value goes.
    pub sites: BTreeSet<SiteName>,
    /// Of the secrets, those that no service uses by the deployment file: nobody restarts for them or is waited for.
    pub unread: BTreeSet<SecretName>,
}

/// One secret of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The secret.
    pub secret: SecretName,
    /// What its change costs its consumers.
    pub outage: Outage,
    /// Where its value must be accepted; empty where its consumers share it among themselves.
    pub credentials: Vec<PlannedCredential>,
    /// What would be better than a value, where something would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A secret that a bulk rotation leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The secret.
    pub secret: SecretName,
    /// Why.
    pub why: String,
}

/// Where in the order a rotation stands, and what keeps it apart from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    wave: u8,
    path: Path,
    alone: Option<SecretName>,
}

/// Plans what was asked. A secret that was named and cannot be rotated so refuses the whole plan.
pub fn plan(catalogue: &Catalogue, deployment: &Deployment, asked: &RotateAsked) -> Result<Plan, Failure> {
    let mut places: BTreeMap<Place, Vec<Planned>> = BTreeMap::new();
    let mut left = Vec::new();
    match (asked.names.as_slice(), asked.all) {
        ([], false) => {
            return Err(Failure::new(Exit::Usage, "which secrets? name them, or say --all")
                .hint("`donjon list` shows the names"));
        }
        ([], true) => {
            let own = roles::OwnRoles::new(catalogue, deployment);
            for entry in catalogue.current() {
                if let Some(why) = own.unreadable(&entry.name) {
                    left.push(Left { secret: entry.name.clone(), why });
                    continue;
                }
                match one(deployment, entry, asked.compromised) {
                    Ok((place, planned)) if entry.in_bulk() => match proof::unproven(deployment, &planned) {
                        Some(why) if proof::needed(place.path, asked.compromised) => {
                            left.push(Left { secret: entry.name.clone(), why });
                        }
                        Some(_) | None => places.entry(place).or_default().push(planned),
                    },
                    Ok(_) => left
                        .push(Left { secret: entry.name.clone(), why: "it changes only when it is named".to_owned() }),
                    Err(why) => left.push(Left { secret: entry.name.clone(), why: why.to_string() }),
                }
            }
        }
        (names, _) => {
            let names: BTreeSet<&String> = names.iter().collect();
            for name in names {
                let (place, planned) = named(catalogue, deployment, name, asked.compromised)?;
                places.entry(place).or_default().push(planned);
            }
        }
    }
    // Waves are kept to; within one, what was named first is rotated first.
    let order: BTreeMap<&str, usize> = asked.names.iter().enumerate().rev().map(|(at, name)| (&**name, at)).collect();
    let first = |secrets: &[Planned]| secrets.iter().filter_map(|one| order.get(one.secret.as_str())).min().copied();
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(place, secrets)| (place.wave, first(secrets)));
    let rotations = places
        .into_iter()
        .map(|(place, secrets)| {
            let planned = rotation(catalogue, deployment, place.path, secrets)?;
            Ok(PlannedRotation { compromised: asked.compromised, ..planned })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Plan { rotations, left })
}

/// Those that are left alone where nobody named them, and why: a service would restart that cannot read the new value, or of
/// which nothing would show that it logs in.
pub fn kept_back(
    catalogue: &Catalogue,
    deployment: &Deployment,
    rotations: &[PlannedRotation],
) -> BTreeMap<SecretName, String> {
    let own = roles::OwnRoles::new(catalogue, deployment);
    let why = |rotation: &PlannedRotation, planned: &Planned| {
        let unproven =
            || proof::needed(rotation.path, rotation.compromised).then(|| proof::unproven(deployment, planned));
        own.unreadable(&planned.secret).or_else(|| unproven().flatten())
    };
    let each = rotations.iter().flat_map(|rotation| rotation.secrets.iter().map(move |planned| (rotation, planned)));
    each.filter_map(|(rotation, planned)| Some((planned.secret.clone(), why(rotation, planned)?))).collect()
}

/// Refuses what costs an outage that nobody has accepted.
pub fn outage_accepted(plan: &Plan, asked: &RotateAsked) -> Result<(), Failure> {
    let costly: Vec<_> = plan.rotations.iter().filter(|rotation| rotation.outage != Outage::None).collect();
    if asked.accept_outage || costly.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Refused, "this rotation has an outage that nobody has accepted");
    let worth = |rotation: &&PlannedRotation| {
        let names: Vec<_> = rotation.secrets.iter().map(|planned| planned.secret.to_string()).collect();
        format!("{}: {}", names.join(", "), rotation.outage)
    };
    failure.causes = costly.iter().map(worth).collect();
    Err(failure.state("nothing was changed").hint("`donjon rotate plan` shows it; `--accept-outage` accepts it"))
}

fn rotation(
    catalogue: &Catalogue,
    deployment: &Deployment,
    path: Path,
    mut secrets: Vec<Planned>,
) -> Result<PlannedRotation, Failure> {
    secrets.sort_by(|a, b| a.secret.cmp(&b.secret));
    let names: BTreeSet<SecretName> = secrets.iter().map(|planned| planned.secret.clone()).collect();
    let views = names.iter().flat_map(|name| deployment.views_of(name)).collect();
    let mut readers = restart::waves(catalogue, deployment, &names);
    if path == Path::Keyring {
        // Whoever has a repository of keys looks into it anew by itself.
        readers.clear();
    }
    let restarts = restart::plan_in_waves(deployment, &readers);
    let restarts = restarts.map_err(|mistake| {
        Failure::new(Exit::Quorum, "the services cannot be restarted in any order").because(&mistake)
    })?;
    let outage = secrets.iter().map(|planned| planned.outage).max().unwrap_or(Outage::None);
    let sites = sites(deployment, &names);
    // Whoever has a repository of keys needs no restart.
    let unread = if path == Path::Keyring { BTreeSet::new() } else { unread(deployment, names) };
    Ok(PlannedRotation { path, compromised: false, outage, secrets, views, restarts, sites, unread })
}

/// What of these no service uses, itself or in a view.
fn unread(deployment: &Deployment, mut names: BTreeSet<SecretName>) -> BTreeSet<SecretName> {
    for used in deployment.services.values().flat_map(|service| &service.uses) {
        names.remove(used);
        names.retain(|name| !deployment.parts_of(used).contains(name));
    }
    names
}

/// What whoever applies it should know of consumers that no service describes.
pub fn cut_off(unread: &BTreeSet<SecretName>) -> Option<String> {
    let names = unread.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    (!names.is_empty()).then(|| {
        format!(
            "no service in donjon.yaml uses {}: whoever does is neither restarted nor waited for, and is cut off once the old value goes",
            names.join(", ")
        )
    })
}

/// The sites that have any of these secrets, themselves or in a view.
fn sites(deployment: &Deployment, names: &BTreeSet<SecretName>) -> BTreeSet<SiteName> {
    let concerned = |read: &SecretName| names.contains(read) || !deployment.parts_of(read).is_disjoint(names);
    let reads = |site: &donjon_policies::deployment::Site| {
        site.roles.iter().filter_map(|role| deployment.roles.get(role)).any(|role| role.reads.iter().any(concerned))
    };
    deployment.sites.iter().filter(|(_, site)| reads(site)).map(|(name, _)| name.clone()).collect()
}

fn named(
    catalogue: &Catalogue,
    deployment: &Deployment,
    name: &str,
    compromised: bool,
) -> Result<(Place, Planned), Failure> {
    let parsed: SecretName = crate::daemon::lookup::name(name)?;
    let unknown = || {
        let failure =
            Failure::new(Exit::NotThere, format!("the catalogue `{}` has no secret `{name}`", catalogue.deployer()));
        let other = EMBEDDED.iter().map(|(deployer, _)| *deployer).find(|deployer| {
            *deployer != catalogue.deployer()
                && Catalogue::named(deployer).is_ok_and(|other| other.entry(&parsed).is_some())
        });
        let by_hand = format!("where nothing knows it but you: `donjon put {name}`, and the same where it is used");
        match (other, catalogue.nearest(name)) {
            (Some(deployer), _) => failure.hint(format!(
                "`{deployer}` has it: `catalogue: {deployer}` in donjon.yaml, where that is what deploys"
            )),
            (None, Some(nearest)) => failure.hint(format!("the nearest name is `{nearest}`; or {by_hand}")),
            (None, None) => failure.hint(by_hand),
        }
    };
    let entry = catalogue.entry(&parsed).ok_or_else(unknown)?;
    one(deployment, entry, compromised).map_err(|why| match why {
        Unplannable::NoTarget(_) | Unplannable::NoKeyring(_) => Failure::new(
            Exit::Usage,
            format!("cannot rotate `{name}`"),
        )
        .cause(why.to_string())
        .state("nothing was changed")
        .hint("describe the server under `targets` in donjon.yaml, the nodes of a repository of keys under `keyrings`"),
        Unplannable::OnePassword(_) => {
            refused(name, &why).hint(format!("`strategies: {{{name}: dual-user}}` in donjon.yaml"))
        }
        Unplannable::NotFirst => refused(name, &why).hint(
            "without `--compromised`, as often as the repository has keys: then the one that leaked is out of it",
        ),
        Unplannable::Refused(_) | Unplannable::Older | Unplannable::NotYet(_) => refused(name, &why),
    })
}

fn refused(name: &str, why: &Unplannable) -> Failure {
    Failure::new(Exit::Refused, format!("`{name}` is not to be rotated so"))
        .cause(why.to_string())
        .state("nothing was changed")
}

fn one(deployment: &Deployment, entry: &Entry, compromised: bool) -> Result<(Place, Planned), Unplannable> {
    let (path, credentials) = credentials(deployment, entry)?;
    let path = match (compromised, path) {
        (false, path) | (true, path @ Path::Together) => path,
        (true, Path::Overlap | Path::Cutover) => Path::Compromised,
        (true, Path::Keyring | Path::Compromised) => return Err(Unplannable::NotFirst),
    };
    let here = deployment.strategies.get(&entry.name).map(|strategy| strategy.outage());
    let own = here.unwrap_or_else(|| entry.outage()).unwrap_or(Outage::None);
    let outage = if path == Path::Compromised { own.max(Outage::OneService) } else { own };
    let wave = |phase: Phase| match phase {
        Phase::Wave(wave) => wave,
        Phase::Alone => 0,
    };
    let place = Place {
        wave: entry.credentials.iter().map(|c| wave(c.phase)).max().unwrap_or_default(),
        path,
        alone: (!entry.in_bulk()).then(|| entry.name.clone()),
    };
    let clustered = credentials.iter().any(|planned| is_clustered(deployment, planned));
    let advice = (clustered && entry.is_of_state_transfer()).then(|| state_transfer::advice(&entry.name));
    Ok((place, Planned { secret: entry.name.clone(), outage, credentials, advice }))
}

/// Whether a target has several nodes, which fetch copies from each other.
fn is_clustered(deployment: &Deployment, planned: &PlannedCredential) -> bool {
    let nodes = deployment.targets.get(&planned.target).and_then(|driven| driven.options.get("nodes"));
    matches!(nodes, Some(Setting::List(nodes)) if planned.kind == TargetKind::Mariadb && nodes.len() > 1)
}
