//! `kill -9` of the daemon, of its Vault, of both, in both custodies: nothing that was acknowledged is lost.

use age::{secrecy::ExposeSecret, x25519};
use donjon_tests::{
    donjon::{Donjon, end, runs},
    process::wait_for,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{path::PathBuf, process::Stdio, time::Duration};

const VALUE: &str = "a-value-long-enough";

/// Whom to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    Daemon,
    Vault,
    Both,
}

/// A home with one secret, and the identity files of its custodians.
pub(super) struct Site {
    pub(super) donjon: Donjon,
    pub(super) identities: Vec<PathBuf>,
}

impl Site {
    pub(super) fn host() -> Self {
        let donjon = Donjon::new();
        donjon.up();
        Self::with_secret(donjon, Vec::new())
    }

    /// Three custodians, of whom two unseal.
    pub(super) fn custodians() -> Self {
        let donjon = Donjon::new();
        let people: Vec<x25519::Identity> = (0..3).map(|_| x25519::Identity::generate()).collect();
        let keys: Vec<String> = people.iter().map(|person| person.to_public().to_string()).collect();
        let mut arguments = vec!["up", "--threshold", "2"];
        keys.iter().for_each(|key| arguments.extend(["--custodian", key]));
        donjon.run(&arguments).ok();
        let file = |(n, person): (usize, &x25519::Identity)| {
            let path = donjon.home().join(format!("custodian{n}.txt"));
            // EXPOSE: the key of a test
            donjon_drivers::fs::replace(&path, person.to_string().expose_secret().as_bytes())
                .expect("the home can be written");
            path
        };
        let identities = people.iter().enumerate().map(file).collect();
        Self::with_secret(donjon, identities)
    }

    fn with_secret(donjon: Donjon, identities: Vec<PathBuf>) -> Self {
        donjon.run_with_input(&["put", "x"], VALUE.as_bytes()).ok();
        Self { donjon, identities }
    }

    /// The process that was written down of the Vault's server.
    pub(super) fn server(&self) -> Option<i32> {
        let text = std::fs::read(self.donjon.home().join("vault/process.json")).ok()?;
        let serving: Value = serde_json::from_slice(&text).expect("it is JSON");
        serving["process"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    pub(super) fn kill(&self, killed: Killed) {
        let (daemon, server) = (self.donjon.daemon().expect("a daemon runs"), self.server().expect("a server runs"));
        if killed != Killed::Vault {
            end(daemon, Signal::KILL);
        }
        if killed != Killed::Daemon {
            end(server, Signal::KILL);
        }
    }

    /// Waits for a state of the daemon, by the exit code of `status`.
    pub(super) fn wait(&self, code: i32) {
        wait_for("the state", Duration::from_secs(20), || self.donjon.run(&["status"]).code == code);
    }

    pub(super) fn unseal(&self, number: usize) -> donjon_tests::donjon::Ran {
        self.unseal_together(&[number])
    }

    fn unseal_together(&self, numbers: &[usize]) -> donjon_tests::donjon::Ran {
        let identities: Vec<String> = numbers.iter().map(|n| self.identities[*n].display().to_string()).collect();
        let words = identities.iter().flat_map(|identity| ["-i", identity]);
        self.donjon.run(&[&["unseal"][..], &words.collect::<Vec<_>>()].concat())
    }

    pub(super) fn nothing_is_lost(&self) {
        assert_eq!(self.donjon.run(&["get", "x"]).ok().trim_end(), VALUE);
        self.donjon.run_with_input(&["put", "y"], VALUE.as_bytes()).ok();
    }
}

#[test]
fn host_identity() {
    let site = Site::host();
    for killed in [Killed::Daemon, Killed::Vault, Killed::Both] {
        let before = site.server();
        site.kill(killed);
        match killed {
            // The daemon brings it back by itself.
            Killed::Vault => wait_for("another server", Duration::from_secs(20), || {
                site.server().is_some_and(|server| Some(server) != before)
            }),
            Killed::Daemon | Killed::Both => site.donjon.up(),
        }
        site.wait(0);
        site.nothing_is_lost();
        assert_eq!(site.server() == before, killed == Killed::Daemon, "a server that runs is found again: {killed:?}");
    }
}

#[test]
fn custodians() {
    for killed in [Killed::Daemon, Killed::Vault, Killed::Both] {
        let site = Site::custodians();
        site.kill(killed);
        if killed != Killed::Vault {
            site.donjon.up();
        }
        site.wait(2);
        site.donjon.run(&["get", "x"]).failed(6);
        site.unseal(1).ok();
        site.wait(2);
        site.donjon.run(&["get", "x"]).failed(6);
        site.unseal(2).ok();
        site.wait(0);
        site.nothing_is_lost();
        // Enough of them were there: one more does no harm.
        site.unseal(0).ok();
    }
}

#[test]
fn a_strangers_identity_and_a_share_given_twice_are_told() {
    let site = Site::custodians();
    site.kill(Killed::Both);
    site.donjon.up();
    let stranger = site.donjon.home().join("stranger.txt");
    let key = x25519::Identity::generate().to_string();
    // EXPOSE: the key of a test
    donjon_drivers::fs::replace(&stranger, key.expose_secret().as_bytes()).unwrap();
    let error = site.donjon.run(&["unseal", "-i", &stranger.display().to_string()]).failed(3);
    assert!(error.contains("none of the unseal shares"), "{error}");
    site.unseal(0).ok();
    let error = site.unseal(0).failed(3);
    assert!(error.contains("already"), "{error}");
    assert!(site.donjon.run(&["up"]).ok().contains("sealed"), "a second `up` does not hide it");
    assert!(site.donjon.run(&["status"]).out.contains("opened by 2 of 3 custodians"));
    // Two who come together, of whom one was there before.
    site.unseal_together(&[0, 1]).ok();
    site.nothing_is_lost();
    let error =
        site.donjon.run(&["up", "--custodian", &x25519::Identity::generate().to_public().to_string()]).failed(5);
    assert!(error.contains("other custodians"), "{error}");
}

/// The daemon is killed while it makes its Vault, later each time; the next `up` makes it whole, with one server.
#[test]
fn a_kill_in_the_middle_of_the_first_up() {
    let mut points = Vec::new();
    for delay in (0..100).map(|n| Duration::from_millis(90 * n)) {
        let donjon = Donjon::new();
        // As `up` starts it, to which it tells each step.
        let mut command = donjon.command(&["up", "--foreground", "--token-on-stdin"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the point of the kill is what is being varied")]
        std::thread::sleep(delay);
        end(pid, Signal::KILL);
        let told = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        points.push(told.lines().count());
        donjon.up();
        let site = Site::with_secret(donjon, Vec::new());
        site.nothing_is_lost();
        let argument = format!("-config={}", site.donjon.home().join("vault/server.json").display());
        let servers = std::fs::read_dir("/proc").unwrap().flatten().filter(|process| {
            let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            words.split(|b| *b == 0).any(|word| word == argument.as_bytes())
        });
        assert_eq!(servers.count(), 1, "after {delay:?}");
        if told.contains("\"serving\"") {
            break;
        }
    }
    points.dedup();
    assert!(points.len() > 3, "the kills were spread over the steps: {points:?}");
}

#[test]
fn down_leaves_nothing_running_and_nothing_to_open() {
    let site = Site::host();
    let (daemon, server) = (site.donjon.daemon().unwrap(), site.server().unwrap());
    site.donjon.run(&["down"]).failed(13);
    site.nothing_is_lost();
    site.donjon.run(&["down", "--force", "--no-search"]).ok();
    wait_for("both to end", Duration::from_secs(10), || !runs(daemon) && !runs(server));
    let vault = site.donjon.home().join("vault");
    let left: Vec<_> = std::fs::read_dir(vault).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".log")), "{left:?}");
    site.donjon.up();
    site.donjon.run(&["get", "x"]).failed(4);
}
