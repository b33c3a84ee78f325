//! Ansible's settings for a run on references: what the mask asks for, where the operator has not chosen already.

use std::path::Path;

/// What an operator has chosen in an `ansible.cfg`: a variable of the environment takes its place, so that it is added to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Where collections are looked for.
    pub collections: Option<String>,
    /// Which callbacks are enabled.
    pub callbacks: Option<String>,
}

impl Chosen {
    /// What the text of such a file in a folder says, as Python's configparser reads it: by section, with `=` or `:`, and what
    /// follows ` ;` is a comment. Paths that are relative are below the folder.
    pub fn of(text: &str, folder: &Path) -> Self {
        let (mut chosen, mut section) = (Self::default(), "");
        for line in text.lines() {
            let line = line.split(" ;").next().unwrap_or_default();
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.trim_end().strip_suffix(']')) {
                section = name;
            }
            let Some((key, value)) = line.split_once(['=', ':']).filter(|_| section == "defaults") else { continue };
            let value = value.trim().to_owned();
            match key.trim().to_ascii_lowercase().as_str() {
                "collections_path" | "collections_paths" => chosen.collections = Some(below(folder, &value)),
                "callbacks_enabled" | "callback_whitelist" => chosen.callbacks = Some(value),
                _ => {}
            }
        }
        chosen
    }
}

fn below(folder: &Path, paths: &str) -> String {
    let absolute = |path: &str| match path.starts_with(['/', '~', '$', '{']) {
        true => path.to_owned(),
        false => folder.join(path).display().to_string(),
    };
    paths.split(':').map(str::trim).filter(|path| !path.is_empty()).map(absolute).collect::<Vec<_>>().join(":")
}

/// Names and values of environment variables. `present` tells what the operator's environment has, `file` what an `ansible.cfg`
/// does.
///
/// Lists are added to. Everything that keeps values off a disk or out of a log is set, but for the folders of temporary files,
/// which an operator may want elsewhere in memory; the mask looks at these.
pub fn settings(
    collections: &Path,
    present: impl Fn(&str) -> Option<String>,
    file: Chosen,
) -> Vec<(&'static str, String)> {
    let mut settings: Vec<(&'static str, String)> = [
        ("ANSIBLE_PIPELINING", "true"),
        ("ANSIBLE_KEEP_REMOTE_FILES", "false"),
        ("ANSIBLE_NO_TARGET_SYSLOG", "true"),
        ("ANSIBLE_SHELL_ALLOW_WORLD_READABLE_TEMP", "false"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    let chosen = present("ANSIBLE_COLLECTIONS_PATH").or_else(|| present("ANSIBLE_COLLECTIONS_PATHS"));
    let chosen = chosen.or(file.collections).filter(|path| !path.is_empty());
    let others = chosen.unwrap_or_else(|| COLLECTIONS.to_owned());
    settings.push(("ANSIBLE_COLLECTIONS_PATH", format!("{}:{others}", collections.display())));
    let callbacks = present("ANSIBLE_CALLBACKS_ENABLED").or(file.callbacks).unwrap_or_default();
    let mut callbacks: Vec<&str> = callbacks.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if !callbacks.contains(&MASK) {
        callbacks.push(MASK);
    }
    settings.push(("ANSIBLE_CALLBACKS_ENABLED", callbacks.join(",")));
    for (name, value) in [
        ("ANSIBLE_LOCAL_TEMP", MEMORY),
        ("ANSIBLE_REMOTE_TEMP", MEMORY),
        ("ANSIBLE_SYSTEM_TMPDIRS", MEMORY),
        ("ANSIBLE_LOAD_CALLBACK_PLUGINS", "true"),
    ] {
        if present(name).is_none() {
            settings.push((name, value.to_owned()));
        }
    }
    settings
}

const MASK: &str = "donjon.broker.mask";
/// Ansible's own default, and where openstack-ansible has its own, which it looks for alone where nobody says otherwise.
const COLLECTIONS: &str = "~/.ansible/collections:/usr/share/ansible/collections:/etc/ansible";
/// In memory on every Linux host, for every user that a task becomes. Each name that Ansible makes right in it has a random part,
/// is new or an error, its user's alone, and removed by Ansible; of a folder of its own below it would take one that somebody
/// else has made. And no variable: a host's shell and its modules read `${NAME:-…}` differently, and `sudo` unsets most.
pub const MEMORY: &str = "/dev/shm";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn file() -> Chosen {
        let text = "callbacks_enabled = elsewhere\n[defaults]\nforks=5\ncallbacks_enabled = timer, profile ; both\n\
            collections_path : mine:/theirs:~/c\n[ssh_connection]\ncollections_path=/other\n";
        Chosen::of(text, Path::new("/etc/x"))
    }

    #[test]
    fn what_a_file_says_is_added_to() {
        let text = |name: &str| Some(name.to_owned());
        let found = file();
        assert_eq!((found.collections, found.callbacks), (text("/etc/x/mine:/theirs:~/c"), text("timer, profile")));
        assert_eq!(Chosen::of("[defaults]\n# callbacks_enabled = x\n", Path::new("/")), Chosen::default());
        let set = set(&[]);
        assert_eq!(set["ANSIBLE_COLLECTIONS_PATH"], "/c:/etc/x/mine:/theirs:~/c");
        assert_eq!(set["ANSIBLE_CALLBACKS_ENABLED"], "timer,profile,donjon.broker.mask");
    }

    fn set(present: &[(&str, &str)]) -> BTreeMap<&'static str, String> {
        let find = |name: &str| present.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        settings(Path::new("/c"), find, file()).into_iter().collect()
    }

    #[test]
    fn what_an_operator_has_set_is_kept_where_it_does_no_harm() {
        let plain: BTreeMap<_, _> = settings(Path::new("/c"), |_| None, Chosen::default()).into_iter().collect();
        assert_eq!(plain["ANSIBLE_CALLBACKS_ENABLED"], MASK);
        assert_eq!(plain["ANSIBLE_COLLECTIONS_PATH"], format!("/c:{COLLECTIONS}"));
        for name in ["ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP", "ANSIBLE_SYSTEM_TMPDIRS"] {
            assert_eq!(plain[name], "/dev/shm");
        }
        let chosen = set(&[
            ("ANSIBLE_CALLBACKS_ENABLED", "timer, donjon.broker.mask"),
            ("ANSIBLE_COLLECTIONS_PATH", "/mine"),
            ("ANSIBLE_PIPELINING", "false"),
            ("ANSIBLE_LOCAL_TEMP", "/run/mine"),
        ]);
        assert_eq!(chosen["ANSIBLE_CALLBACKS_ENABLED"], "timer,donjon.broker.mask");
        assert_eq!(chosen["ANSIBLE_COLLECTIONS_PATH"], "/c:/mine");
        assert_eq!(chosen["ANSIBLE_PIPELINING"], "true");
        assert!(!chosen.contains_key("ANSIBLE_LOCAL_TEMP"));
    }
}
