//! Ansible's settings for a run on references: what the mask asks for, where the operator has not chosen already.

use std::path::Path;

/// Names and values of environment variables. `present` tells what the operator's environment has.
///
/// Lists are added to. Everything that keeps values off a disk or out of a log is set, but for the folders of temporary files,
/// which an operator may want elsewhere in memory; the mask looks at these.
pub fn settings(collections: &Path, present: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let mut settings: Vec<(&'static str, String)> = [
        ("ANSIBLE_PIPELINING", "true"),
        ("ANSIBLE_KEEP_REMOTE_FILES", "false"),
        ("ANSIBLE_NO_TARGET_SYSLOG", "true"),
        ("ANSIBLE_SHELL_ALLOW_WORLD_READABLE_TEMP", "false"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    let chosen = present("ANSIBLE_COLLECTIONS_PATH").or_else(|| present("ANSIBLE_COLLECTIONS_PATHS"));
    let others = chosen.filter(|path| !path.is_empty()).unwrap_or_else(|| COLLECTIONS.to_owned());
    settings.push(("ANSIBLE_COLLECTIONS_PATH", format!("{}:{others}", collections.display())));
    let callbacks = present("ANSIBLE_CALLBACKS_ENABLED").unwrap_or_default();
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
/// Ansible's own default.
const COLLECTIONS: &str = "~/.ansible/collections:/usr/share/ansible/collections";
/// In memory on every Linux host, for every user that a task becomes. Each name that Ansible makes right in it has a random part,
/// is new or an error, its user's alone, and removed by Ansible; of a folder of its own below it would take one that somebody
/// else has made. And no variable: a host's shell and its modules read `${NAME:-…}` differently, and `sudo` unsets most.
pub const MEMORY: &str = "/dev/shm";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn set(present: &[(&str, &str)]) -> BTreeMap<&'static str, String> {
        let find = |name: &str| present.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        settings(Path::new("/c"), find).into_iter().collect()
    }

    #[test]
    fn what_an_operator_has_set_is_kept_where_it_does_no_harm() {
        let plain = set(&[]);
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
