//! The reader as a unit of a real systemd: hardened, with its identity as a credential, and as the guard of a service.

use super::edge::Edge;
use donjon_tests::{donjon::binary, podman::Booted, port, wait};
use std::{path::Path, time::Duration};

/// Reads its password at the socket.
const READ: &str = "import http.client,socket,sys
c=http.client.HTTPConnection('reader')
c.sock=socket.socket(socket.AF_UNIX)
c.sock.connect('/run/donjon-reader/reader.sock')
c.request('GET','/v1/donjon/data/site1/nova_password')
print(c.getresponse().read().decode())
";

fn unit(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../broker/systemd").join(name);
    std::fs::read_to_string(file).unwrap()
}

/// Puts a text somewhere in the machine.
fn put(machine: &Booted, path: &str, text: &str) {
    let name = path.replace('/', "-");
    donjon_drivers::fs::replace(&machine.folder().join(&name), text.as_bytes()).unwrap();
    machine.told(&["install", "-D", "-m", "644", &format!("/test/{name}"), path]);
}

fn code(machine: &Booted, words: &[&str]) -> (i32, String) {
    let output = machine.exec(words);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

/// After `donjon down` nothing brings a store up.
fn rotates_only_beside_a_broker(machine: &Booted) {
    let started = || {
        let property = "--property=ExecMainStartTimestampMonotonic";
        machine.told(&["systemctl", "show", "--value", property, "donjon-rotate.service"]).trim().to_owned()
    };
    assert_ne!(code(machine, &["systemctl", "start", "donjon-rotate.service"]).0, 0);
    assert_eq!(code(machine, &["systemctl", "is-active", "donjon.service"]).1.trim(), "inactive");
    assert_eq!(started(), "0");
    machine.told(&["systemctl", "start", "donjon.service"]);
    code(machine, &["systemctl", "start", "donjon-rotate.service"]);
    assert_ne!(started(), "0", "the control: beside one it runs");
    machine.told(&["systemctl", "stop", "donjon.service"]);
}

/// As it is after a reboot: behind all that starts with the machine, and of no effect where all has drained.
fn drains_once_more(machine: &Booted, started: &dyn Fn() -> String) {
    let show = |property: &str| machine.told(&["systemctl", "show", "--value", property, "donjon-drain.service"]);
    assert!(show("--property=After").contains("multi-user.target"));
    assert!(!show("--property=Before").contains("multi-user.target"));
    let wants = machine.told(&["systemctl", "show", "--value", "--property=Wants", "multi-user.target"]);
    assert!(wants.contains("donjon-drain.service"), "{wants}");
    let before = started();
    machine.told(&["systemctl", "start", "donjon-drain.service"]);
    assert_eq!(started(), before, "nothing restarts");
}

/// One that does not start is tried, and then the unit has failed: it is not tried for ever. Once it starts, the unit goes on.
fn gives_up_what_does_not_start(machine: &Booted) {
    let drain = "/etc/systemd/system/donjon-drain.service";
    put(machine, drain, &unit("donjon-drain.service").replace("--tries 5", "--tries 1"));
    let broken = "/etc/systemd/system/nova.service.d/broken.conf";
    put(machine, broken, "[Service]\nExecStart=\nExecStart=/bin/false\n");
    machine.told(&["systemctl", "daemon-reload"]);
    code(machine, &["systemctl", "restart", "nova.service"]);
    assert_ne!(code(machine, &["systemctl", "restart", "donjon-drain.service"]).0, 0);
    let show = |property: &str| machine.told(&["systemctl", "show", "--value", property, "donjon-drain.service"]);
    assert_eq!((show("--property=ActiveState").trim(), show("--property=ExecMainStatus").trim()), ("failed", "10"));
    machine.told(&["rm", broken]);
    machine.told(&["systemctl", "daemon-reload"]);
    machine.exec(&["systemctl", "reset-failed", "nova.service"]);
    machine.told(&["systemctl", "restart", "donjon-drain.service"]);
    assert_eq!(code(machine, &["systemctl", "is-active", "nova.service"]).1.trim(), "active");
}

#[tokio::test]
async fn the_reader_is_a_hardened_unit_and_no_service_starts_without_it() {
    let edge = Edge::new().await;
    let bundle = edge.bundle("one").await;
    let machine = Booted::start().await;
    // As on a machine of its own: without this, systemd's credentials stay in a mount namespace that nobody sees.
    machine.told(&["mount", "--make-rshared", "/"]);
    for (from, name) in [
        (binary(), "donjon"),
        (bundle, "one.donjon"),
        (edge.bundle("two").await, "two.donjon"),
        (edge.at("identity"), "identity"),
    ] {
        std::fs::copy(from, machine.folder().join(name)).unwrap();
    }
    machine.told(&["install", "-m", "755", "/test/donjon", "/usr/bin/donjon"]);
    machine.told(&["install", "-D", "-m", "600", "/test/identity", "/etc/donjon/node.identity"]);
    machine.told(&["useradd", "--system", "--uid", "942", "nova"]);
    let system = "/etc/systemd/system";
    put(&machine, &format!("{system}/donjon-reader.service"), &unit("donjon-reader.service"));
    let own = format!("[Service]\nEnvironment=LISTEN=127.0.0.1:{}\n", port::free());
    put(&machine, &format!("{system}/donjon-reader.service.d/port.conf"), &own);
    put(&machine, "/usr/local/bin/read", READ);
    let nova = "[Service]\nUser=nova\nExecStart=/bin/sh -c 'python3 /usr/local/bin/read; exec sleep infinity'\n";
    put(&machine, &format!("{system}/nova.service"), nova);
    for name in ["donjon-drain.service", "donjon-drain.path", "donjon-rotate.service"] {
        put(&machine, &format!("{system}/{name}"), &unit(name));
    }
    put(&machine, &format!("{system}/donjon.service"), "[Service]\nExecStart=/usr/bin/sleep infinity\n");
    let services =
        "deployment: site1\nservices: {nova: {driver: systemd, unit: nova.service, uses: [nova_password]}}\n";
    put(&machine, "/tmp/donjon.yaml", services);
    machine.told(&["install", "-D", "-m", "600", "/tmp/donjon.yaml", "/var/lib/donjon/donjon.yaml"]);
    let guard = unit("donjon-reader-guard.conf").replace("ready --wait 30", "ready --wait 5 site1/nova_password");
    put(&machine, &format!("{system}/nova.service.d/donjon-reader-guard.conf"), &guard);
    machine.told(&["systemctl", "daemon-reload"]);
    machine.told(&["systemctl", "enable", "--quiet", "donjon-drain.service"]);
    let units = ["donjon-reader.service", "nova.service", "donjon-drain.path", "donjon-rotate.service"];
    let (verified, said) = code(&machine, &[&["systemd-analyze", "verify", "--man=no"], &units[..]].concat());
    assert_eq!((verified, said.trim()), (0, ""));
    rotates_only_beside_a_broker(&machine);
    let (_, security) =
        code(&machine, &["systemd-analyze", "security", "--no-pager", "--threshold=25", "donjon-reader.service"]);
    assert!(security.contains("OK"), "{security}");

    // Without a bundle there is nothing to drain, no reader, and so no service.
    machine.told(&["systemctl", "start", "donjon-drain.service"]);
    assert_eq!(
        code(&machine, &["systemctl", "show", "--property=ConditionResult", "donjon-drain.service"]).1.trim(),
        "ConditionResult=no"
    );
    let state = |name: &str| code(&machine, &["systemctl", "is-active", name]).1.trim().to_owned();
    let show = |name: &str, property: &str| {
        let property = format!("--property={property}");
        machine.told(&["systemctl", "show", "--value", &property, name]).trim().to_owned()
    };
    let kept_from_starting = || {
        assert_ne!(code(&machine, &["systemctl", "restart", "nova.service"]).0, 0);
        assert_ne!(state("nova.service"), "active");
        assert_eq!(show("nova.service", "Result"), "exit-code", "it is asked for the reader first, which says no");
    };
    kept_from_starting();
    assert_eq!(show("nova.service", "ExecMainStartTimestampMonotonic"), "0");
    // As often as that may be: it comes up by itself once there is what it waits for.
    let often = async || (show("donjon-reader.service", "NRestarts").parse::<u32>().unwrap() > 6).then_some(());
    wait::until("a few tries of the reader", Duration::from_secs(60), often).await;
    machine.told(&["systemctl", "reset-failed", "nova.service"]);
    let import = |file: &str| {
        let words = ["donjon", "import", file, "-i", "/etc/donjon/node.identity", "--into", "/var/lib/donjon-reader"];
        machine.told(&[&words[..], &["--receipt", "/tmp/receipt"]].concat())
    };
    import("/test/one.donjon");
    let active = async || (state("donjon-reader.service") == "active").then_some(());
    wait::until("the reader to come up", Duration::from_secs(60), active).await;
    machine.told(&["systemctl", "restart", "donjon-reader.service"]);
    assert_eq!(state("donjon-reader.service"), "active", "started means ready");

    // It is there, but does not know the service's user.
    assert_ne!(code(&machine, &["systemctl", "start", "nova.service"]).0, 0);
    put(&machine, "/tmp/consumers.yaml", "nova: {uids: [942], reads: [nova_password]}\n");
    machine.told(&["install", "-m", "600", "/tmp/consumers.yaml", "/var/lib/donjon-reader/consumers.yaml"]);
    wait::until("the service to start", Duration::from_secs(60), async || {
        machine.exec(&["systemctl", "reset-failed"]);
        (code(&machine, &["systemctl", "start", "nova.service"]).0 == 0).then_some(())
    })
    .await;

    // What the unit promises is so in the process.
    let pid = show("donjon-reader.service", "MainPID");
    let status = machine.told(&["cat", &format!("/proc/{}/status", pid)]);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let limits = machine.told(&["cat", &format!("/proc/{}/limits", pid)]);
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert_eq!(show("donjon-reader.service", "MemorySwapMax"), "0");
    // Its folders for temporary files are its own, and empty: the machine's are not what it sees.
    for folder in ["tmp", "var/tmp"] {
        let mark = format!("/{folder}/of-the-machine");
        machine.told(&["touch", &mark]);
        let inside = |path: &str| format!("/proc/{}/root{path}", pid);
        assert_eq!(code(&machine, &["test", "-e", &inside("/etc/donjon")]).0, 0, "the control");
        assert_eq!(code(&machine, &["test", "-e", &inside(&mark)]).0, 1, "{mark}");
    }

    // Once the reader serves the new bundle, what uses it restarts, reads it anew, and that is signed.
    let started = || show("nova.service", "ExecMainStartTimestampMonotonic");
    let before = started();
    assert_eq!(code(&machine, &["test", "-e", "/var/lib/donjon-reader/drained"]).0, 1, "the control");
    machine.told(&["systemctl", "start", "donjon-drain.path"]);

    // The service's user reads the new bundle; root, who is in nobody's list, reads nothing.
    import("/test/two.donjon");
    let ask =
        |user: &str| machine.told(&["setpriv", "--reuid", user, "--clear-groups", "python3", "/usr/local/bin/read"]);
    let two = async || ask("nova").contains("\"password\":\"two\"").then_some(());
    wait::until("the new bundle", Duration::from_secs(60), two).await;
    assert!(ask("root").contains("permission denied"));
    let drained = async || (code(&machine, &["test", "-e", "/var/lib/donjon-reader/drained"]).0 == 0).then_some(());
    wait::until("the receipt that says so", Duration::from_secs(60), drained).await;
    assert_ne!(started(), before, "the service has restarted");
    drains_once_more(&machine, &started);

    // A reader that dies comes back, and nobody who runs on what it has read goes with it.
    let (runs, dies) = (started(), show("donjon-reader.service", "MainPID"));
    machine.told(&["systemctl", "kill", "--signal=KILL", "donjon-reader.service"]);
    let back = async || {
        let pid = show("donjon-reader.service", "MainPID");
        (state("donjon-reader.service") == "active" && pid != dies).then_some(())
    };
    wait::until("the reader to come back", Duration::from_secs(60), back).await;
    assert_eq!((state("nova.service").as_str(), started()), ("active", runs.clone()));
    machine.told(&["systemctl", "restart", "donjon-reader.service"]);
    machine.told(&["systemctl", "stop", "donjon-reader.service"]);
    assert_eq!((state("nova.service").as_str(), started()), ("active", runs));
    // Whoever starts while there is none, and none can be started, does not.
    machine.told(&["mv", "/etc/donjon/node.identity", "/etc/donjon/elsewhere"]);
    kept_from_starting();
    machine.told(&["mv", "/etc/donjon/elsewhere", "/etc/donjon/node.identity"]);
    wait::until("the reader to come up", Duration::from_secs(60), active).await;
    machine.told(&["systemctl", "start", "nova.service"]);
    gives_up_what_does_not_start(&machine);
}
