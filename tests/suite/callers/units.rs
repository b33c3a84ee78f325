//! Groups let in, units and containers narrow: real users on a machine with systemd, and a real container.

use super::{GRANTED, Scene};
use donjon_tests::{
    donjon::binary,
    podman::{Booted, ENGINE_ARGUMENTS, Podman},
};
use std::process::Command;

const SOCKET: &str = "DONJON_SOCKET=/run/donjon/lookup.sock";

/// A booted machine with a daemon, and users of its own.
struct Machine(Booted);

impl Machine {
    async fn start() -> Self {
        let machine = Booted::start().await;
        std::fs::copy(binary(), machine.folder().join("donjon")).unwrap();
        let roles = "deployment: site1\nlookup_socket: /run/donjon/lookup.sock\nroles:\n  \
            shared: {reads: [x], groups: [readers]}\n  web: {reads: [y], users: [web], units: [web.service]}\n";
        donjon_drivers::fs::replace(&machine.folder().join("donjon.yaml"), roles.as_bytes()).unwrap();
        for words in [
            &["install", "-m", "755", "/test/donjon", "/usr/bin/donjon"][..],
            &["install", "-d", "-m", "700", "/root/home"],
            &["install", "-m", "600", "/test/donjon.yaml", "/root/home/donjon.yaml"],
            &["groupadd", "readers"],
            &["useradd", "web"],
            &["useradd", "--gid", "readers", "of-readers"],
            &["useradd", "other"],
            &["env", HOME, "donjon", "up", "--store", "file"],
            &[
                "sh",
                "-c",
                "for name in x y; do printf the-value-of-$name | DONJON_HOME=/root/home donjon put $name; done",
            ],
        ] {
            machine.told(words);
        }
        Self(machine)
    }

    /// What `donjon get` says and ends with, started by these words.
    fn get(&self, start: &[&str], name: &str) -> (Option<i32>, String) {
        let ran = self.0.exec(&[start, &["env", "HOME=/nonexistent", SOCKET, "donjon", "get", name]].concat());
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr))
    }

    /// By a login of the user, with the groups that it has now.
    fn get_as(&self, user: &str, name: &str) -> (Option<i32>, String) {
        self.get(&["runuser", "-u", user, "--"], name)
    }

    /// As a unit of the system's own manager.
    fn get_in(&self, unit: &str, user: &str, name: &str) -> (Option<i32>, String) {
        let (unit, user) = (format!("--unit={unit}"), format!("--uid={user}"));
        self.get(&["systemd-run", "--quiet", "--wait", "--pipe", "--collect", &unit, &user], name)
    }
}

const HOME: &str = "DONJON_HOME=/root/home";

fn read(name: &str) -> (Option<i32>, String) {
    (Some(0), format!("the-value-of-{name}"))
}

#[track_caller]
fn refused((code, said): (Option<i32>, String), name: &str) {
    assert!(code == Some(3) && said.contains(&format!("may not read `{name}`")), "{code:?}: {said}");
}

#[tokio::test]
async fn on_a_machine_with_systemd_a_group_lets_in_and_a_unit_narrows() {
    let machine = Machine::start().await;
    // A group beside its own lets a user in, as long as it is in it, and one of its own does.
    refused(machine.get_as("web", "x"), "x");
    machine.0.told(&["usermod", "--append", "--groups", "readers", "web"]);
    let own = machine.0.told(&["id", "--group", "--name", "web"]);
    assert_eq!(own.trim(), "web", "the control: it is beside its own");
    assert_eq!(machine.get_as("web", "x"), read("x"));
    assert_eq!(machine.get_as("of-readers", "x"), read("x"));
    refused(machine.get_as("other", "x"), "x");
    let without = ["setpriv", "--reuid", "web", "--regid", "web", "--clear-groups"];
    refused(machine.get(&without, "x"), "x");
    let many: Vec<String> = (50_000..50_100).map(|group| group.to_string()).collect();
    let many = format!("{},readers", many.join(","));
    assert_eq!(machine.get(&["setpriv", "--reuid", "other", "--regid", "other", "--groups", &many], "x"), read("x"));
    machine.0.told(&["gpasswd", "--delete", "web", "readers"]);
    refused(machine.get_as("web", "x"), "x");

    // A unit of the right name and user is let in. The same user outside of it is not, nor is another user in it.
    assert_eq!(machine.get_in("web.service", "web", "y"), read("y"));
    refused(machine.get_as("web", "y"), "y");
    refused(machine.get_in("other.service", "web", "y"), "y");
    refused(machine.get_in("web.service", "other", "y"), "y");
    refused(machine.get_in("web.service", "root", "y"), "y");
    assert_eq!(
        machine.get_in("other.service", "of-readers", "x"),
        read("x"),
        "a role without units is for all of them"
    );

    let audit = machine.0.told(&["cat", "/root/home/audit.jsonl"]);
    for line in ["\"role\":\"shared\"", "\"role\":\"web\"", "\"outcome\":\"denied\""] {
        assert!(audit.contains(line), "{line}: {audit}");
    }
    machine.0.told(&["env", HOME, "donjon", "audit", "verify"]);
    machine.0.told(&["env", HOME, "donjon", "down", "--no-search"]);
}

#[test]
fn a_container_narrows_a_role_and_is_nobody_by_itself() {
    let scene = Scene::new(GRANTED);
    let open = scene.open.path().display().to_string();
    let volume = format!("--volume={open}:{open}");
    let start = || Podman::start(&[&volume], &["sleep", "infinity"]);
    let (inside, elsewhere) = (start(), start());
    let get = |container: &Podman, user: &str| {
        let (socket, program) = (format!("DONJON_SOCKET={}", scene.socket().display()), format!("{open}/donjon"));
        let start = ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups", "env", "HOME=/nonexistent"];
        let ran = container.exec(&[&start[..], &[&socket, &program, "get", "x"]].concat());
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr))
    };
    assert_eq!(get(&inside, "games"), read("x"), "the control: a user is one in a container, too");
    assert_eq!(get(&elsewhere, "games"), read("x"), "the control");
    let words = ["inspect", "--format", "{{.Id}}", inside.name()];
    let id = Command::new("podman").args(ENGINE_ARGUMENTS).args(words).output().unwrap();
    let id = String::from_utf8(id.stdout).unwrap();
    // What podman calls it where systemd makes its group, and where podman does itself.
    let id = id.trim();
    scene.grant(&format!("roles:\n  web: {{reads: [x], users: [games], units: [libpod-{id}.scope, libpod-{id}]}}\n"));
    assert_eq!(get(&inside, "games"), read("x"));
    refused(get(&elsewhere, "games"), "x");
    refused(get(&inside, "daemon"), "x");
    refused(get(&inside, "root"), "x");
    scene.donjon_as("games", &["get", "x"]).failed(3);
}
