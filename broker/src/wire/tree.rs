//! A config-download tree: who reads which file, what changes in it, and what cannot be wired.

use super::{
    document::{self, Reader},
    lookups,
    placeholder::{Found, Placeholders},
    weave::{Reading, weave},
};
use donjon_policies::name::SecretName;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

/// A file as it was read.
#[derive(Debug)]
pub struct Given {
    /// Relative to the tree.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
}

/// A file that is to be written anew.
#[derive(Debug)]
pub struct Change {
    /// Relative to the tree.
    pub path: PathBuf,
    /// Its new content.
    pub text: String,
    /// How many placeholders became lookups.
    pub references: usize,
    /// How many lookups of files were given to `donjon.broker.file`.
    pub lookups: usize,
}

/// A placeholder that cannot become a lookup.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the tree.
    pub path: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// Why not.
    pub reason: Reason,
}

/// Why a placeholder cannot become a lookup.
#[derive(Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is a mapping's key.
    Key,
    /// Ansible does not evaluate this file, and no task reads it with `lookup('file', …)`.
    NotEvaluated,
    /// The catalogue knows no such secret.
    Unknown,
    /// The repository has no key of that number: it has rotated since.
    KeyGone(SecretName),
    /// The repository has keys that are not in the tree: it has rotated since.
    KeysMissing(SecretName, BTreeSet<u32>),
}

impl Reason {
    /// Whether a new environment, and what heat makes of it, is what mends it.
    pub fn is_of_an_earlier_repository(&self) -> bool {
        matches!(self, Self::KeyGone(_) | Self::KeysMissing(..))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = format_args!("{}:{}", self.path.display(), self.line);
        let reason = match &self.reason {
            Reason::Key => "a placeholder is the key of a mapping, which Ansible does not evaluate",
            Reason::NotEvaluated => {
                "a placeholder is in a file that Ansible does not evaluate and that no task here reads with lookup('file', …)"
            }
            Reason::Unknown => "a placeholder stands for a secret that the catalogue does not have",
            Reason::KeyGone(name) => {
                return write!(
                    f,
                    "{at}: a placeholder stands for a key that `{name}` has no more: it has rotated since"
                );
            }
            Reason::KeysMissing(name, keys) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                let keys = keys.join(", ");
                return write!(f, "{at}: `{name}` has rotated since: no placeholder is there for its key {keys}");
            }
        };
        write!(f, "{at}: {reason}")
    }
}

/// What has to be written so that no placeholder is left, or every reason why that cannot be.
pub fn plan(files: &[Given], placeholders: &Placeholders) -> Result<Vec<Change>, Vec<Fault>> {
    let read = read_by_lookup(files);
    let holds = |file: &&Given| placeholders.any(&file.content);
    let turn = files.iter().filter(holds).any(|file| is_read(&file.path, &read));
    let mut changes = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        match change(file, placeholders, &read, turn) {
            Ok(Some(change)) => changes.push(change),
            Ok(None) => {}
            Err(mut found) => faults.append(&mut found),
        }
    }
    faults.extend(missing(files, placeholders));
    if faults.is_empty() { Ok(changes) } else { Err(faults) }
}

/// Repositories of which some keys are in the tree, and others not: with these alone Keystone would lose the others.
fn missing(files: &[Given], placeholders: &Placeholders) -> Vec<Fault> {
    let mut seen: BTreeMap<&SecretName, (BTreeSet<u32>, &Given, usize)> = BTreeMap::new();
    for file in files {
        for Found { place, reference, .. } in placeholders.find(&file.content) {
            if let Some((name, key)) = reference.and_then(|reference| Some((&reference.name, reference.piece.key()?))) {
                seen.entry(name).or_insert_with(|| (BTreeSet::new(), file, place.start)).0.insert(key);
            }
        }
    }
    let of = |name: &SecretName| -> BTreeSet<u32> {
        placeholders
            .iter()
            .filter(|(known, _)| known.name == *name)
            .filter_map(|(known, _)| known.piece.key())
            .collect()
    };
    let fault = |(name, (keys, file, at)): (&SecretName, (BTreeSet<u32>, &Given, usize))| {
        let missing: BTreeSet<u32> = of(name).difference(&keys).copied().collect();
        let reason = Reason::KeysMissing(name.clone(), missing.clone());
        (!missing.is_empty()).then(|| Fault { path: file.path.clone(), line: line(&file.content, at), reason })
    };
    seen.into_iter().filter_map(fault).collect()
}

fn change(
    file: &Given,
    placeholders: &Placeholders,
    read: &BTreeSet<String>,
    turn: bool,
) -> Result<Option<Change>, Vec<Fault>> {
    let fault = |line, reason| Fault { path: file.path.clone(), line, reason };
    let kind = kind(&file.path, read);
    let concerns = placeholders.any(&file.content) || (turn && kind == Kind::Ansible);
    if !concerns {
        return Ok(None);
    }
    let reason = |found: &Found<'_>| match (found.reference, found.key_of) {
        (Some(_), _) => Reason::NotEvaluated,
        (None, Some(name)) => Reason::KeyGone(name.clone()),
        (None, None) => Reason::Unknown,
    };
    let left = |text: &[u8]| -> Vec<Fault> {
        placeholders.find(text).map(|found| fault(line(text, found.place.start), reason(&found))).collect()
    };
    let Ok(text) = std::str::from_utf8(&file.content) else { return Err(left(&file.content)) };
    let whole = |reading| document::Rewritten {
        text: weave(text, placeholders, reading),
        references: placeholders.find(text).filter(|found| found.reference.is_some()).count(),
        lookups: 0,
    };
    let yaml = |reader| document::rewritten(text, placeholders, reader, turn);
    let rewritten = match kind {
        Kind::Ansible => yaml(Reader::Ansible).unwrap_or_else(|_| Ok(untouched(text))),
        Kind::File if is_yaml(&file.path) => yaml(Reader::File).unwrap_or_else(|_| Ok(whole(Reading::File))),
        Kind::File => Ok(whole(Reading::File)),
        Kind::Template => Ok(whole(Reading::Template)),
        Kind::Other => Ok(untouched(text)),
    };
    let rewritten =
        rewritten.map_err(|keys| keys.into_iter().map(|key| fault(key.0, Reason::Key)).collect::<Vec<_>>())?;
    let faults = left(rewritten.text.as_bytes());
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok((rewritten.text != text).then(|| Change {
        path: file.path.clone(),
        text: rewritten.text,
        references: rewritten.references,
        lookups: rewritten.lookups,
    }))
}

fn untouched(text: &str) -> document::Rewritten {
    document::Rewritten { text: text.to_owned(), references: 0, lookups: 0 }
}

/// Who evaluates a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ansible loads it.
    Ansible,
    /// Tasks read it with `lookup('file', …)`.
    File,
    /// The `template` module renders it.
    Template,
    /// Nobody that is known.
    Other,
}

fn kind(path: &Path, read: &BTreeSet<String>) -> Kind {
    if is_read(path, read) {
        Kind::File
    } else if path.extension().is_some_and(|ext| ext == "j2") {
        Kind::Template
    } else if is_yaml(path) || path.components().any(|part| VARIABLES.iter().any(|folder| part.as_os_str() == *folder))
    {
        Kind::Ansible
    } else {
        Kind::Other
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml")
}

fn is_read(path: &Path, read: &BTreeSet<String>) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| read.contains(name))
}

/// The names of all files that tasks of the tree read with `lookup('file', …)`.
fn read_by_lookup(files: &[Given]) -> BTreeSet<String> {
    let nobody = BTreeSet::new();
    let loaded = files.iter().filter(|file| kind(&file.path, &nobody) == Kind::Ansible);
    loaded
        .filter_map(|file| std::str::from_utf8(&file.content).ok())
        .filter(|text| text.contains("file"))
        .flat_map(|text| document::scalars(text).unwrap_or_default())
        .flat_map(|scalar| lookups::files_read(&scalar))
        .collect()
}

fn line(text: &[u8], at: usize) -> usize {
    1 + text[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Folders whose files Ansible loads as variables, whatever they are called.
const VARIABLES: [&str; 2] = ["group_vars", "host_vars"];

#[cfg(test)]
mod tests {
    use super::{super::reference::Numbers, *};
    use donjon_policies::catalogue::Catalogue;

    const P: &str = "DONJON_REF_RedisPassword_END";
    const E: &str = "{{ lookup('donjon.broker.secret', 'RedisPassword') }}";

    fn tree(files: &[(&str, &str)]) -> Vec<Given> {
        files
            .iter()
            .map(|(path, text)| Given { path: path.into(), content: text.replace("PPP", P).into_bytes() })
            .collect()
    }

    fn planned(files: &[Given]) -> Result<Vec<(String, String)>, Vec<String>> {
        let placeholders = Placeholders::of(&Catalogue::named("tripleo").unwrap(), &Numbers::default());
        let texts = |changes: Vec<Change>| {
            changes.into_iter().map(|c| (c.path.display().to_string(), c.text.replace(E, "<P>"))).collect()
        };
        plan(files, &placeholders).map(texts).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn config_download() -> Vec<Given> {
        tree(&[
            ("group_vars/Controller", "service_configs:\n  redis::masterauth: PPP\n"),
            (
                "Controller/docker_config.yaml",
                "step_1:\n  x: {environment: {P: PPP}, command: \"echo ${#a} {{.Names}}\"}\n",
            ),
            ("Controller/step_config.pp", "class { 'x': password => 'PPP' }\n"),
            (
                "deploy_steps_tasks.yaml",
                "- copy:\n    content: \"{{ lookup('file', r + '/step_config.pp') }}\"\n- set_fact:\n    d: \"{{ lookup('file', r + '/docker_config.yaml') | from_yaml }}\"\n",
            ),
            ("templates/x.j2", "{{ y }} PPP\n"),
            ("README", "nothing here\n"),
        ])
    }

    #[test]
    fn each_file_changes_as_its_reader_needs_it() {
        let changes = planned(&config_download()).unwrap();
        assert_eq!(
            changes,
            [
                ("group_vars/Controller", "service_configs:\n  redis::masterauth: \"<P>\"\n"),
                ("Controller/docker_config.yaml", "step_1:\n  x: {environment: {P: \"<P>\"}, command: \"echo ${#a} {{.Names}}\"}\n"),
                ("Controller/step_config.pp", "class { 'x': password => '<P>' }\n"),
                ("deploy_steps_tasks.yaml", "- copy:\n    content: \"{{ lookup('donjon.broker.file', r + '/step_config.pp') }}\"\n- set_fact:\n    d: \"{{ lookup('donjon.broker.file', r + '/docker_config.yaml') | from_yaml }}\"\n"),
                ("templates/x.j2", "{{ y }} <P>\n"),
            ]
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let mut files = config_download();
        let placeholders = Placeholders::of(&Catalogue::named("tripleo").unwrap(), &Numbers::default());
        for change in plan(&files, &placeholders).unwrap() {
            let file = files.iter_mut().find(|file| file.path == change.path).unwrap();
            file.content = change.text.into_bytes();
        }
        assert!(plan(&files, &placeholders).unwrap().is_empty());
    }

    #[test]
    fn every_placeholder_that_would_be_left_is_named_with_its_line() {
        let files = tree(&[
            ("Controller/c0/Deployment", "config: |\n  x\n  PPP\n"),
            ("a.yaml", "k: 1\nPPP: 2\n"),
            ("b.yaml", "k: DONJON_REF_Nobody_END\n"),
            ("script.yaml", "#!/bin/sh\n\t\"PPP\n"),
            ("ok.yaml", "k: PPP\n"),
        ]);
        let faults = planned(&files).unwrap_err();
        let starts = ["Controller/c0/Deployment:3: ", "a.yaml:2: ", "b.yaml:1: ", "script.yaml:2: "];
        assert_eq!(faults.len(), starts.len(), "{faults:?}");
        for (fault, start) in faults.iter().zip(starts) {
            assert!(fault.starts_with(start), "{fault}");
        }
    }

    #[test]
    fn a_tree_of_another_repository_than_the_stored_one_is_refused_with_what_is_missing() {
        let name: SecretName = "KeystoneFernetKeys".parse().unwrap();
        let tree = tree(&[(
            "group_vars/Controller",
            "a: DONJON_REF_KeystoneFernetKeys_0_END\nb: DONJON_REF_KeystoneFernetKeys_1_END\n",
        )]);
        let stands = |keys: &[u32]| {
            let numbers = [(name.clone(), keys.iter().copied().collect())].into_iter().collect();
            plan(&tree, &Placeholders::of(&Catalogue::named("tripleo").unwrap(), &numbers))
        };
        assert_eq!(stands(&[0, 1]).unwrap()[0].references, 2);
        let fault = |line, reason| Fault { path: "group_vars/Controller".into(), line, reason };
        let gone = fault(2, Reason::KeyGone(name.clone()));
        assert_eq!(stands(&[0, 2, 3]).unwrap_err(), [gone, fault(1, Reason::KeysMissing(name.clone(), [2, 3].into()))]);
        // Nothing is gone, but what Keystone signs with by now would be.
        assert_eq!(stands(&[0, 1, 2]).unwrap_err(), [fault(1, Reason::KeysMissing(name.clone(), [2].into()))]);
    }

    #[test]
    fn a_file_that_is_no_text_is_searched_all_the_same() {
        let mut files = tree(&[("blob.yaml", "PPP")]);
        files[0].content.splice(0..0, [0xff, b'\n']);
        assert_eq!(planned(&files).unwrap_err().len(), 1);
    }
}
