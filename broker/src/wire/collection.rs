//! The Ansible collection, carried in the binary so that a run needs nothing else installed.

use donjon_drivers::fs::{self, FileError};
use std::path::Path;

/// Writes the collection below a folder for `ANSIBLE_COLLECTIONS_PATH`. Files that are there already as they should be stay.
pub fn unpack(folder: &Path) -> Result<(), FileError> {
    let root = folder.join("ansible_collections/donjon/broker");
    for (name, content) in FILES {
        let path = root.join(name);
        if std::fs::read(&path).is_ok_and(|present| present == content.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::private_folder(parent)?;
        }
        fs::replace(&path, content.as_bytes())?;
    }
    Ok(())
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/../drivers/ansible/ansible_collections/donjon/broker/", $name
        )))),+]
    };
}

const FILES: &[(&str, &str)] = files![
    "galaxy.yml",
    "README.md",
    "meta/runtime.yml",
    "plugins/callback/mask.py",
    "plugins/doc_fragments/broker.py",
    "plugins/lookup/file.py",
    "plugins/lookup/secret.py",
    "plugins/plugin_utils/covering.py",
    "plugins/plugin_utils/daemon.py",
    "plugins/plugin_utils/masking.py",
    "plugins/plugin_utils/reference.py",
    "plugins/plugin_utils/searching.py",
    "plugins/plugin_utils/settings.py",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_plugin_is_carried() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../drivers/ansible/ansible_collections/donjon/broker");
        let mut folders = vec![PathBuf::from(source).join("plugins")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "py") {
                    let name = path.strip_prefix(source).unwrap().display().to_string();
                    assert!(FILES.iter().any(|(carried, _)| *carried == name), "{name} is not in FILES");
                }
            }
        }
    }

    #[test]
    fn it_is_unpacked_where_ansible_looks_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("ansible");
        unpack(&below).unwrap();
        let plugin = below.join("ansible_collections/donjon/broker/plugins/lookup/secret.py");
        let written = std::fs::metadata(&plugin).unwrap().modified().unwrap();
        unpack(&below).unwrap();
        assert_eq!(std::fs::metadata(&plugin).unwrap().modified().unwrap(), written);
    }
}
