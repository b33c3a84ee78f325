//! The real `ansible-test sanity` over the collection, and the real `ansible-doc`.

use super::site::COLLECTIONS;
use donjon_tests::tools;
use std::{
    path::Path,
    process::{Command, Output},
};

/// Those that need nothing more than Ansible.
const BY_ITSELF: [&str; 15] = [
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

/// Those that check with packages of their own, each in an environment that `make setup` has made.
const WITH_PACKAGES: [&str; 7] =
    ["ansible-doc", "import", "pep8", "pylint", "runtime-metadata", "validate-modules", "yamllint"];

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

fn sanity(root: &Path, tests: &[&str]) -> Output {
    let bin = tools::program("python3");
    let path = format!("{}:{}", bin.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let version = Command::new(&bin).args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output();
    let version = String::from_utf8(version.expect("it runs").stdout).expect("it prints text");
    Command::new(&bin)
        .arg(tools::program("ansible-test"))
        .args(["sanity", "--python", version.trim()])
        .args(tests.iter().flat_map(|name| ["--test", name]))
        .current_dir(collection(root))
        .env("PATH", path)
        .env("HOME", tools::folder().join("ansible-test"))
        // No network: what is not there is not fetched.
        .env("PIP_NO_INDEX", "1")
        .output()
        .expect("it runs")
}

#[test]
fn ansible_test_finds_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    copied(folder.path());
    let passes = |tests: &[&str]| {
        let said = sanity(folder.path(), tests);
        let told = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        (said.status.success() && !told.contains("Skipping"), told)
    };
    for tests in [&BY_ITSELF[..], &WITH_PACKAGES] {
        let (passes, told) = passes(tests);
        assert!(passes, "{told}");
    }
    // The control: each would have seen something.
    let broken = collection(folder.path()).join("plugins/lookup/broken.py");
    donjon_drivers::fs::replace(&broken, b"import nothing_like_it\nassert print\nx=  1\n").expect("it can be written");
    for test in ["no-assert", "ansible-doc", "import", "pep8", "pylint"] {
        let (passes, told) = passes(&[test]);
        assert!(!passes && told.contains("broken"), "{test}: {told}");
    }
}

/// What `ansible-doc` says of a plugin.
fn documented(kind: &str, plugin: &str) -> Output {
    let mut doc = Command::new(tools::program("python3"));
    doc.arg(tools::program("ansible-doc")).args(["-t", kind, plugin]).env("ANSIBLE_COLLECTIONS_PATH", COLLECTIONS);
    doc.output().expect("it runs")
}

#[test]
fn ansible_doc_shows_every_plugin() {
    for (kind, plugin, word) in [
        ("lookup", "donjon.broker.secret", "EXAMPLES"),
        ("lookup", "donjon.broker.file", "EXAMPLES"),
        ("callback", "donjon.broker.mask", "fails closed"),
    ] {
        let told = documented(kind, plugin);
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(told.status.success() && text.contains(word), "{plugin}: {told:?}");
        assert_eq!(String::from_utf8_lossy(&told.stderr), "", "{plugin}: no warnings");
    }
    // The control: what it warns of is on standard error.
    let told = documented("lookup", "donjon.broker.nothing_like_it");
    assert!(String::from_utf8_lossy(&told.stderr).contains("nothing_like_it"), "{told:?}");
}
