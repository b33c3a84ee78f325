//! Who may read which record: exact paths, one decision. What is not granted is denied.

use donjon_drivers::store::RecordPath;
use donjon_policies::name::RoleName;
use std::collections::{BTreeMap, BTreeSet};

/// Which role reads which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<RoleName, BTreeSet<RecordPath>>);

/// The answer to "may this role read that?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The path was given to the role.
    Granted,
    /// No rule grants it.
    Denied,
}

impl Grants {
    /// From what each role was given.
    pub fn new(given: impl IntoIterator<Item = (RoleName, BTreeSet<RecordPath>)>) -> Self {
        let mut grants = BTreeMap::<_, BTreeSet<_>>::new();
        for (role, paths) in given {
            grants.entry(role).or_default().extend(paths);
        }
        Self(grants)
    }

    /// May this role read that record? The only place where this is decided.
    pub fn decide(&self, role: &RoleName, path: &RecordPath) -> Decision {
        match self.0.get(role) {
            Some(granted) if granted.contains(path) => Decision::Granted,
            Some(_) | None => Decision::Denied,
        }
    }

    /// Whether any role may read that, or something below it.
    pub fn knows(&self, path: &RecordPath) -> bool {
        let below = |granted: &RecordPath| {
            granted.as_str().strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.values().flatten().any(below)
    }

    /// The names directly below a folder that lead to something granted; folders end in `/`. Empty where there are none.
    pub fn below(&self, role: &RoleName, folder: Option<&RecordPath>) -> BTreeSet<String> {
        let prefix = folder.map_or_else(String::new, |folder| format!("{folder}/"));
        let granted = self.0.get(role).into_iter().flatten();
        let below = granted.filter_map(|path| path.as_str().strip_prefix(&prefix));
        below.map(|rest| rest.split_once('/').map_or_else(|| rest.to_owned(), |(name, _)| format!("{name}/"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RecordPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_grants_nothing_and_a_list_shows_no_more_than_was_granted() {
        let role: RoleName = "nova".parse().unwrap();
        let grants = Grants::new([(role.clone(), [path("kolla/a"), path("kolla/f/b")].into())]);
        assert_eq!(grants.decide(&role, &path("kolla/a")), Decision::Granted);
        assert!(["kolla/a", "kolla/f", "kolla"].iter().all(|known| grants.knows(&path(known))));
        assert!(!grants.knows(&path("kolla/ab")) && !grants.knows(&path("koll")));
        for denied in ["kolla/ab", "kolla", "kolla/a/b", "kolla/f", "Kolla/a", "kolla/A"] {
            assert_eq!(grants.decide(&role, &path(denied)), Decision::Denied, "{denied}");
        }
        assert_eq!(grants.decide(&"other".parse().unwrap(), &path("kolla/a")), Decision::Denied);
        let below = |folder: Option<&str>| {
            let folder = folder.map(path);
            grants.below(&role, folder.as_ref()).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(below(Some("kolla")), ["a", "f/"]);
        assert_eq!(below(None), ["kolla/"]);
        assert!(below(Some("koll")).is_empty());
    }
}
