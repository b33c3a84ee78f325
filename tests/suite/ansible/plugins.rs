//! The collection's unit tests, which run the real ansible-playbook against a stand-in for the daemon.

use donjon_tests::tools;
use std::process::Command;

#[test]
fn the_collections_own_tests_pass() {
    let done = Command::new(tools::program("python3"))
        .args(["-m", "unittest", "discover", "-s", "ansible_collections/donjon/broker/tests/unit", "-t", "."])
        .current_dir(super::site::COLLECTIONS)
        .env("PYTHONPATH", ".")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let ran: usize =
        said.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse().ok()).unwrap_or(0);
    assert!(ran > 30, "only {ran} tests were found: {said}");
}
