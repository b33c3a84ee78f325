//! The Python package of this repository, as pip installs it.

use crate::tools;
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// Installs it into a folder of its own, to be named in PYTHONPATH. What a build needs is in the test environment.
pub fn installed() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../drivers/python"));
    // The package's own folder is left as it is.
    let build = tempfile::tempdir().expect("a temporary folder can be made");
    let modules = ["__init__", "broker", "driver", "reader"].map(|name| format!("donjon/{name}.py"));
    for name in ["pyproject.toml", "README.md"].into_iter().chain(modules.iter().map(String::as_str)) {
        let to = build.path().join(name);
        fs::create_dir_all(to.parent().expect("it is below a folder")).expect("it is our folder");
        fs::copy(source.join(name), to).expect("the package is whole");
    }
    let mut pip = Command::new(tools::program("python"));
    pip.args(["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]);
    let output = pip.arg("--target").arg(folder.path()).arg(build.path()).output().expect("python is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}
