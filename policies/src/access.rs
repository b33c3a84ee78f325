//! Who may read what: roles, exact names, one decision, and the Vault policies that say the same to a Vault.
//!
//! No globs, no prefixes, no "all": a role reads the names it was given. What is not granted is denied.

use crate::{
    catalogue::Catalogue,
    name::{DeploymentName, RoleName, SecretName},
};
use std::collections::{BTreeMap, BTreeSet};

/// Which role reads which secrets and views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    grants: BTreeMap<RoleName, BTreeSet<SecretName>>,
    aliases: BTreeMap<SecretName, SecretName>,
}

/// The answer to "may this role read that?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The name was given to the role.
    Granted,
    /// No rule grants it.
    Denied,
}

/// Deployment names that begin with `donjon-` are folders of Donjon's own, which no reader may touch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{deployment}` is a folder of Donjon's own: no role can be given anything in it")]
pub struct OwnFolder {
    /// The name.
    pub deployment: DeploymentName,
}

impl Access {
    /// From what each role was given. Aliases of the catalogue are resolved, here and in every question.
    pub fn new(given: impl IntoIterator<Item = (RoleName, BTreeSet<SecretName>)>, catalogue: &Catalogue) -> Access {
        let aliases =
            catalogue.current().flat_map(|entry| entry.aliases.iter().map(|old| (old.clone(), entry.name.clone())));
        let mut access = Access { grants: BTreeMap::new(), aliases: aliases.collect() };
        for (role, secrets) in given {
            let canonical: Vec<SecretName> = secrets.iter().map(|secret| access.canonical(secret).clone()).collect();
            access.grants.entry(role).or_default().extend(canonical);
        }
        access
    }

    /// From what each role was given by canonical name, as in a bundle.
    pub fn exactly(given: impl IntoIterator<Item = (RoleName, BTreeSet<SecretName>)>) -> Access {
        Access { grants: given.into_iter().collect(), aliases: BTreeMap::new() }
    }

    /// May this role read that secret? The only place where this is decided.
    pub fn decide(&self, role: &RoleName, secret: &SecretName) -> Decision {
        match self.grants.get(role) {
            Some(granted) if granted.contains(self.canonical(secret)) => Decision::Granted,
            Some(_) | None => Decision::Denied,
        }
    }

    /// Everything a role may read, by canonical name.
    pub fn granted(&self, role: &RoleName) -> impl Iterator<Item = &SecretName> {
        self.grants.get(role).into_iter().flatten()
    }

    /// The Vault policy that grants a role the same and nothing else, in HCL.
    ///
    /// # Errors
    /// [`OwnFolder`] for a deployment name that is no deployment's.
    pub fn vault_policy(&self, deployment: &DeploymentName, role: &RoleName) -> Result<String, OwnFolder> {
        if deployment.as_str().starts_with(OWN) {
            return Err(OwnFolder { deployment: deployment.clone() });
        }
        // Names hold letters, digits, `_`, `-` and `.` only: nothing in them can end a path, a string or a block.
        let (block, rest) = READER_POLICY.split_once("}\n").unwrap_or((READER_POLICY, ""));
        let (comment, block) = block.split_once("path ").unwrap_or(("", block));
        let mut policy = comment.to_owned();
        for secret in self.granted(role) {
            policy.push_str("path ");
            policy.push_str(&block.replace("{secret}", secret.as_str()));
            policy.push_str("}\n\n");
        }
        policy.push_str(rest.trim_start());
        Ok(policy.replace("{deployment}", deployment.as_str()))
    }

    fn canonical<'a>(&'a self, name: &'a SecretName) -> &'a SecretName {
        self.aliases.get(name).unwrap_or(name)
    }
}

/// A policy for a mount of another name than `donjon`.
pub fn at_mount(policy: &str, mount: &str) -> String {
    let paths = policy.replace("path \"donjon/", &format!("path \"{mount}/"));
    paths.replace("sys/internal/ui/mounts/donjon/", &format!("sys/internal/ui/mounts/{mount}/"))
}

/// The Vault policy of the daemon, in HCL. Its name is [`BROKER`].
pub const BROKER_POLICY: &str = include_str!("../vault/broker.hcl");
/// The name of the daemon's policy, and of its AppRole.
pub const BROKER: &str = "donjon-broker";
/// The AppRole of the broker that a Vault's database is handed over to; it has no credential but during a hand-over.
pub const SUCCESSOR: &str = "donjon-successor";
/// What the names of readers' policies and AppRoles begin with; the rest is the role.
pub const READER_PREFIX: &str = "donjon-reader-";
/// A reader's policy with `{deployment}` and `{secret}` left open; the first block is one secret's.
pub const READER_POLICY: &str = include_str!("../vault/reader.hcl");
const OWN: &str = "donjon-";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CATALOGUE: &str = "
deployer: test
recipe: alphanumeric 40
classes: { identifier: { credentials: [{ target: consumers, strategy: never }] } }
secrets:
  a: { class: identifier, aliases: [old-a, older-a] }
  b: { class: identifier, aliases: [old-b] }
  a.b: { class: identifier }
";

    fn catalogue() -> Catalogue {
        Catalogue::parse("test.yaml", CATALOGUE).unwrap()
    }

    fn secret(name: &str) -> SecretName {
        name.parse().unwrap()
    }

    fn role(name: &str) -> RoleName {
        name.parse().unwrap()
    }

    /// The same question, answered as simply as can be: a list of pairs, walked through each time.
    fn reference(rules: &[(String, String)], asked_role: &str, asked: &str) -> Decision {
        let meaning = |name: &str| match name {
            "old-a" | "older-a" => "a".to_owned(),
            "old-b" => "b".to_owned(),
            other => other.to_owned(),
        };
        for (role, name) in rules {
            if role == asked_role && meaning(name) == meaning(asked) {
                return Decision::Granted;
            }
        }
        Decision::Denied
    }

    fn any_secret() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("a"),
            Just("b"),
            Just("a.b"),
            Just("A"),
            Just("old-a"),
            Just("older-a"),
            Just("old-b"),
            Just("aa"),
            Just("view")
        ]
        .prop_map(str::to_owned)
    }

    fn any_role() -> impl Strategy<Value = String> {
        prop_oneof![Just("r"), Just("R"), Just("rr"), Just("s")].prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn every_decision_is_the_reference_evaluators(
            rules in proptest::collection::vec((any_role(), any_secret()), 0..8),
            asked_role in any_role(),
            asked in any_secret(),
        ) {
            let given = rules.iter().map(|(r, name)| (role(r), BTreeSet::from([secret(name)])));
            let access = Access::new(given, &catalogue());
            let expected = reference(&rules, &asked_role, &asked);
            prop_assert_eq!(access.decide(&role(&asked_role), &secret(&asked)), expected);
            let listed = access.granted(&role(&asked_role)).any(|name| access.canonical(&secret(&asked)) == name);
            prop_assert_eq!(listed, expected == Decision::Granted);
        }

        #[test]
        fn a_vault_policy_names_what_is_granted_and_nothing_else(
            deployment in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}",
            names in proptest::collection::btree_set("[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", 0..5),
        ) {
            let given = [(role("r"), names.iter().map(|name| secret(name)).collect())];
            let access = Access::new(given, &Catalogue::named("kolla-ansible").unwrap());
            let policy = access.vault_policy(&deployment.parse().unwrap(), &role("r")).unwrap();
            let paths: BTreeSet<String> =
                policy.lines().filter_map(|line| line.strip_prefix("path \"")?.strip_suffix("\" {")).map(str::to_owned).collect();
            let mut expected: BTreeSet<String> = names.iter().map(|name| format!("donjon/data/{deployment}/{name}")).collect();
            expected.insert(format!("donjon/data/donjon-public/{deployment}/epoch"));
            expected.extend(["auth/token/lookup-self".to_owned(), "auth/token/renew-self".to_owned()]);
            prop_assert_eq!(paths, expected, "{}", policy);
            prop_assert!(!policy.lines().any(|line| !line.starts_with('#') && line.contains(['*', '+', '<'])));
            prop_assert_eq!(policy.matches("{\n").count(), policy.matches("\n}").count());
        }
    }

    #[test]
    fn a_policy_for_another_mount_names_that_one_alone() {
        let policy = at_mount(BROKER_POLICY, "secret/overcloud");
        let paths: Vec<&str> = policy.lines().filter_map(|line| line.strip_prefix("path \"")).collect();
        assert!(paths.iter().any(|path| path.starts_with("secret/overcloud/data/*")), "{policy}");
        assert!(paths.iter().any(|path| path.starts_with("sys/internal/ui/mounts/secret/overcloud/*")), "{policy}");
        assert!(!paths.iter().any(|path| path.starts_with("donjon/") || path.contains("mounts/donjon")), "{policy}");
        assert_eq!(at_mount(BROKER_POLICY, "donjon"), BROKER_POLICY);
    }

    #[test]
    fn nothing_of_donjons_own_can_be_given_away() {
        let access = Access::new([(role("r"), BTreeSet::from([secret("epoch")]))], &catalogue());
        for own in ["donjon-private", "donjon-public", "donjon-"] {
            let deployment: DeploymentName = own.parse().unwrap();
            assert_eq!(access.vault_policy(&deployment, &role("r")), Err(OwnFolder { deployment }));
        }
    }
}
