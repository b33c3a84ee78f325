//! The real `ansible-test sanity` over the collection, as far as it runs without a network, and the real `ansible-doc`.

use super::site::COLLECTIONS;
use donjon_tests::tools;
use std::{
    path::Path,
    process::{Command, Output},
};

/// Those that ask for packages of their own (pep8, yamllint, pylint, import, validate-modules …) fetch them from the network.
const OFFLINE: [&str; 15] = [
    "action-plugin-docs",
    "changelog",
    "compile",
    "empty-init",
    "ignores",
    "line-endings",
    "no-assert",
    "no-get-exception",
    "no-illegal-filenames",
    "no-smart-quotes",
    "replace-urlopen",
    "shebang",
    "symlinks",
    "use-argspec-type-path",
    "use-compat-six",
];

/// It works on a git repository, and writes below it: it gets a copy.
fn copied(root: &Path) {
    let copy = Command::new("cp").arg("-a").arg(Path::new(COLLECTIONS).join("ansible_collections")).arg(root).status();
    assert!(copy.expect("it is installed").success());
    for words in [&["init", "--quiet"][..], &["add", "--all", "--force"]] {
        let git = Command::new("git")
            .args(words)
            .current_dir(collection(root))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status();
        assert!(git.expect("it is installed").success());
    }
}

fn collection(root: &Path) -> std::path::PathBuf {
    root.join("ansible_collections/donjon/broker")
}

fn sanity(root: &Path) -> Output {
    let bin = tools::program("python3");
    let path = format!("{}:{}", bin.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let version = Command::new(&bin).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output();
    let version = String::from_utf8(version.expect("it runs").stdout).expect("it prints text");
    Command::new(&bin)
        .arg(tools::program("ansible-test"))
        .args(["sanity", "--python", version.trim()])
        .args(OFFLINE.iter().flat_map(|name| ["--test", name]))
        .current_dir(collection(root))
        .env("PATH", path)
        .env("HOME", root)
        .output()
        .expect("it runs")
}

#[test]
fn ansible_test_finds_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    copied(folder.path());
    let said = sanity(folder.path());
    let told = [said.stdout, said.stderr].concat();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&told));
    // The control: it would have seen something.
    let plugin = collection(folder.path()).join("plugins/lookup/broken.py");
    donjon_drivers::fs::replace(&plugin, b"assert print 1\n").expect("it can be written");
    assert!(!sanity(folder.path()).status.success());
}

#[test]
fn ansible_doc_shows_every_plugin() {
    for (kind, plugin, word) in [
        ("lookup", "donjon.broker.secret", "EXAMPLES"),
        ("lookup", "donjon.broker.file", "EXAMPLES"),
        ("callback", "donjon.broker.mask", "fails closed"),
    ] {
        let told = Command::new(tools::program("python3"))
            .arg(tools::program("ansible-doc"))
            .args(["-t", kind, plugin])
            .env("ANSIBLE_COLLECTIONS_PATH", COLLECTIONS)
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(told.status.success() && text.contains(word), "{plugin}: {told:?}");
    }
}
