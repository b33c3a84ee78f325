//! What is to be made: the secrets of a catalogue that are not there yet.

use donjon_policies::{
    catalogue::{Catalogue, Entry, Standing},
    name::SecretName,
    recipe::Recipe,
};
use std::collections::BTreeSet;

/// What is to be made, and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// These, in the order of names.
    pub make: Vec<Making>,
    /// These are there already and stay as they are.
    pub present: Vec<SecretName>,
    /// These are not there, and a person has to supply them.
    pub operator: Vec<SecretName>,
}

/// One secret that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Making {
    /// Its name.
    pub name: SecretName,
    /// How.
    pub recipe: Recipe,
}

/// Why something that was asked for by name cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The catalogue has no such secret.
    #[error("the catalogue has no secret `{name}`{}", did_you_mean(nearest.as_ref()))]
    Unknown {
        /// What was asked for.
        name: SecretName,
        /// The name that reads most like it.
        nearest: Option<SecretName>,
    },
    /// The deployer does not use it any more.
    #[error("`{name}` is an older name: it is accepted on import and never generated")]
    Older {
        /// What was asked for.
        name: SecretName,
    },
    /// A person has to supply it.
    #[error("`{name}` is supplied by a person: `donjon put {name}`")]
    Operator {
        /// What was asked for.
        name: SecretName,
    },
}

/// What is to be made of a catalogue: everything that is not there, or of that only the `wanted` where any are named.
///
/// # Errors
/// Every wanted name that cannot be made, not only the first.
pub fn plan(
    catalogue: &Catalogue,
    existing: &BTreeSet<SecretName>,
    wanted: &[SecretName],
) -> Result<Plan, Vec<PlanError>> {
    let mut plan = Plan::default();
    if wanted.is_empty() {
        catalogue.current().for_each(|entry| plan.add(entry, existing));
        return Ok(plan);
    }
    let (entries, errors): (Vec<_>, Vec<_>) =
        wanted.iter().map(|name| asked_for(catalogue, existing, name)).partition(Result::is_ok);
    let errors: Vec<PlanError> = errors.into_iter().filter_map(Result::err).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    // An alias and its secret are one entry, and a name may be given twice.
    let mut entries: Vec<&Entry> = entries.into_iter().filter_map(Result::ok).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    entries.into_iter().for_each(|entry| plan.add(entry, existing));
    Ok(plan)
}

impl Plan {
    fn add(&mut self, entry: &Entry, existing: &BTreeSet<SecretName>) {
        let name = entry.name.clone();
        if existing.contains(&name) {
            self.present.push(name);
        } else if entry.recipe == Recipe::Operator {
            self.operator.push(name);
        } else {
            self.make.push(Making { name, recipe: entry.recipe });
        }
    }
}

fn asked_for<'a>(
    catalogue: &'a Catalogue,
    existing: &BTreeSet<SecretName>,
    name: &SecretName,
) -> Result<&'a Entry, PlanError> {
    let Some(entry) = catalogue.entry(name) else {
        let nearest = catalogue.nearest(name.as_str()).cloned();
        return Err(PlanError::Unknown { name: name.clone(), nearest });
    };
    if entry.standing == Standing::Older {
        return Err(PlanError::Older { name: name.clone() });
    }
    if entry.recipe == Recipe::Operator && !existing.contains(&entry.name) {
        return Err(PlanError::Operator { name: entry.name.clone() });
    }
    Ok(entry)
}

fn did_you_mean(nearest: Option<&SecretName>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kolla() -> Catalogue {
        Catalogue::named("kolla-ansible").unwrap()
    }

    fn names(names: &[&str]) -> Vec<SecretName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn everything_is_made_once() {
        let first = plan(&kolla(), &BTreeSet::new(), &[]).unwrap();
        assert_eq!((first.make.len(), first.present.len()), (104, 0));
        assert_eq!(first.operator, names(&["barbican_p11_password", "docker_registry_password"]));
        let made = first.make.iter().map(|making| making.name.clone()).collect();
        let second = plan(&kolla(), &made, &[]).unwrap();
        assert_eq!((second.make.len(), second.present.len(), second.operator.len()), (0, 104, 2));
    }

    #[test]
    fn what_is_named_is_made_and_nothing_else() {
        let wanted = names(&["nova_database_password", "database_password", "nova_database_password"]);
        let plan = plan(&kolla(), &BTreeSet::from_iter(names(&["nova_database_password"])), &wanted).unwrap();
        assert_eq!(
            plan.make,
            [Making { name: names(&["database_password"])[0].clone(), recipe: Recipe::Alphanumeric { length: 40 } }]
        );
        assert_eq!(plan.present, names(&["nova_database_password"]));
    }

    #[test]
    fn every_name_that_cannot_be_made_is_told_with_the_nearest() {
        let wanted = names(&["database_pasword", "docker_registry_password", "nova_database_password", "zzz"]);
        let errors = plan(&kolla(), &BTreeSet::new(), &wanted).unwrap_err();
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "the catalogue has no secret `database_pasword`; did you mean `database_password`?",
                "`docker_registry_password` is supplied by a person: `donjon put docker_registry_password`",
                "the catalogue has no secret `zzz`",
            ]
        );
    }

    #[test]
    fn older_names_are_never_made() {
        let tripleo = Catalogue::named("tripleo").unwrap();
        let older: Vec<SecretName> = tripleo
            .entries()
            .filter(|entry| entry.standing == Standing::Older)
            .map(|entry| entry.name.clone())
            .collect();
        assert!(!older.is_empty());
        let all = plan(&tripleo, &BTreeSet::new(), &[]).unwrap();
        assert!(all.make.iter().all(|making| !older.contains(&making.name)));
        assert_eq!(plan(&tripleo, &BTreeSet::new(), &older).unwrap_err().len(), older.len());
    }
}
