//! Where the programs are that tests need: one folder, filled by `make test`.

use std::path::PathBuf;

/// A program of the test environment; panics with what to do when it is not there.
pub fn program(name: &str) -> PathBuf {
    let path = folder().join("venv/bin").join(name);
    assert!(path.exists(), "{} is not there: `make test` installs it, or set DONJON_TEST_TOOLS", path.display());
    path
}

/// The folder itself.
pub fn folder() -> PathBuf {
    std::env::var_os("DONJON_TEST_TOOLS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools")), PathBuf::from)
}
