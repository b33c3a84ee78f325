//! The lookup socket: users of the host read what a role grants them, with no credential, and nothing else.

mod confused;
mod drain;
mod strangers;
mod units;

use donjon_tests::{
    donjon::{Donjon, Ran, binary},
    process::{copy_program, wait_for},
};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// A daemon with a lookup socket, and what other users may enter.
struct Scene {
    donjon: Donjon,
    open: TempDir,
}

impl Scene {
    fn new(roles: &str) -> Self {
        Self::on("file", roles)
    }

    /// As [`Self::new`], on some kind of store.
    fn on(store: &str, roles: &str) -> Self {
        Self::of(Donjon::new(), store, roles)
    }

    /// As [`Self::on`], in some home.
    fn of(donjon: Donjon, store: &str, roles: &str) -> Self {
        let open = tempfile::tempdir().unwrap();
        std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(&binary(), &open.path().join("donjon"));
        let scene = Self { donjon, open };
        scene.grant(roles);
        scene.donjon.run(&["up", "--store", store]).ok();
        for name in ["x", "y"] {
            scene.donjon.run_with_input(&["put", name], format!("the-value-of-{name}").as_bytes()).ok();
        }
        scene
    }

    fn grant(&self, roles: &str) {
        self.donjon.describe(&format!("deployment: site1\nlookup_socket: {}\n{roles}", self.socket().display()));
    }

    fn socket(&self) -> PathBuf {
        self.open.path().join("sockets/lookup.sock")
    }

    /// Runs a program as another user.
    fn as_user(&self, user: &str, program: &Path, words: &[&str]) -> Ran {
        self.as_user_at(&self.socket(), user, program, words)
    }

    /// As [`Self::as_user`], at some socket.
    fn as_user_at(&self, socket: &Path, user: &str, program: &Path, words: &[&str]) -> Ran {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", "nogroup", "--clear-groups"]).arg(program).args(words);
        command.env("DONJON_SOCKET", socket).env("HOME", "/nonexistent").env_remove("DONJON_HOME");
        // What is in a folder of the tester's own is out of their reach.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Ran::of(words, command.output().expect("setpriv is there"))
    }

    fn donjon_as(&self, user: &str, words: &[&str]) -> Ran {
        self.as_user(user, &self.open.path().join("donjon"), words)
    }

    fn python_as(&self, user: &str, script: &str) -> Ran {
        self.python_at(&self.socket(), user, script, &[])
    }

    /// As [`Self::python_as`], at some socket and with arguments.
    fn python_at(&self, socket: &Path, user: &str, script: &str, arguments: &[&str]) -> Ran {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers/python/donjon/broker.py");
        std::fs::copy(package, self.open.path().join("broker.py")).unwrap();
        let whole = format!("import sys, os; sys.path.insert(0, {:?})\nimport broker\n{script}", self.open.path());
        self.as_user_at(socket, user, Path::new("python3"), &[&["-B", "-c", &whole], arguments].concat())
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.donjon.home().join("audit.jsonl")).unwrap()
    }
}

const GRANTED: &str = "roles:\n  web: {reads: [x], users: [games]}\n";

#[test]
fn a_lookup_socket_that_cannot_be_opened_leaves_no_vault_behind() {
    let donjon = Donjon::new();
    donjon.describe("deployment: site1\nlookup_socket: /proc/nowhere/lookup.sock\n");
    let said = donjon.run(&["up"]).failed(1);
    assert!(said.contains("cannot open the lookup socket"), "{said}");
    assert!(!donjon.home().join("vault").exists(), "a Vault was made");
    donjon.describe("deployment: site1\n");
    donjon.run(&["up", "--store", "file"]).ok();
    assert!(!donjon.run(&["status"]).ok().contains("lookup socket"));
    // Asked for after it began, it is told that it is missing.
    let open = tempfile::tempdir().unwrap();
    let place = open.path().join("s/lookup.sock").display().to_string();
    donjon.describe(&format!("deployment: site1\nlookup_socket: {place}\n"));
    let said = donjon.run(&["status"]).ok();
    assert!(said.contains(&place) && said.contains("SIGTERM"), "{said}");
}

#[test]
fn a_user_reads_what_a_role_grants_and_nothing_else() {
    let scene = Scene::new(GRANTED);
    assert_eq!(scene.donjon_as("games", &["get", "x"]).ok(), "the-value-of-x");
    assert!(scene.audit().contains("\"role\":\"web\""), "the line says as which role");
    let python = scene.python_as("games", "print(broker.read(broker.default_socket(), ['x'], 5))");
    assert_eq!(python.ok().trim_end(), "[b'the-value-of-x']");

    let refused = scene.donjon_as("games", &["get", "y"]).failed(3);
    assert!(refused.contains("may not read `y`"), "{refused}");
    let missing = scene.donjon_as("games", &["get", "no-such-secret"]).failed(3);
    assert_eq!(missing, refused.replace("`y`", "`no-such-secret`"), "whether it is there is not told");
    let denied = || scene.audit().lines().filter(|line| line.contains("\"outcome\":\"denied\"")).count();
    assert_eq!(denied(), 2, "each refusal has its line");
    scene.donjon_as("daemon", &["get", "x"]).failed(3);

    // Nor is root more there: a container that the socket is mounted into may run as root.
    for words in [&["get", "y"][..], &["list"], &["rotate", "status"], &["down", "--force"]] {
        scene.donjon_as("root", words).failed(3);
    }
    for words in [&["list"][..], &["history", "x"], &["get", "x", "--version", "1"], &["rotate", "status"], &["down"]] {
        let before = denied();
        scene.donjon_as("games", words).failed(3);
        assert_eq!(denied(), before + 1, "what is not for that socket has its line, too: {words:?}");
    }
    let error = scene.python_as("games", "broker.read(broker.default_socket(), ['x', 'y'], 5)").ended(1);
    assert!(error.contains("may not read `y`") && !error.contains("the-value"), "{error}");
    assert_eq!(scene.donjon.run(&["get", "y"]).ok(), "the-value-of-y", "the owner reads as ever");
    // Many long names at once make no long line.
    let many = "names = ['x'] + ['%0127d' % n for n in range(1000)]\nbroker.read(broker.default_socket(), names, 5)";
    scene.python_as("games", many).ended(1);
    let audit = scene.audit();
    let last = audit.lines().rfind(|line| line.contains("\"outcome\":\"denied\"")).unwrap();
    assert!(last.contains("\"asked\":1001") && last.len() < 1000, "{last}");
    // Most values are good names: one that slips into the place of a name stands in no log.
    scene.donjon_as("games", &["get", "Canary4711canaryCANARY"]).failed(3);
    scene.donjon_as("games", &["get", "keystone_database_password"]).failed(3);
    let audit = scene.audit();
    assert!(audit.contains("\"keystone_database_password\""), "the control: a name that an operator knows is told");
    assert!(!audit.contains("Canary4711canaryCANARY"), "{audit}");
}

#[test]
fn a_grant_that_is_taken_back_ends_at_once_and_a_file_that_cannot_be_read_grants_nothing() {
    let scene = Scene::new(GRANTED);
    assert_eq!(scene.donjon_as("games", &["get", "x"]).ok(), "the-value-of-x");
    scene.grant("roles:\n  web: {reads: [x], users: [daemon]}\n");
    scene.donjon_as("games", &["get", "x"]).failed(3);
    assert_eq!(scene.donjon_as("daemon", &["get", "x"]).ok(), "the-value-of-x");
    scene.grant("roles:\n  web: {reads: [x], users: [games], units: [web.service]}\n");
    scene.donjon_as("games", &["get", "x"]).failed(3);
    scene.grant("roles: [\n");
    let failed = || scene.audit().lines().filter(|line| line.contains("\"outcome\":\"failed\"")).count();
    let before = failed();
    let error = scene.donjon_as("games", &["get", "x"]).failed(6);
    assert!(error.contains("cannot tell who may read"), "{error}");
    assert_eq!(failed(), before + 1, "it has its line");
}

/// What of these names a user reads, and as what.
fn read_by(scene: &Scene, user: &str, names: &[&str]) -> Vec<Option<String>> {
    let one = |name: &&str| {
        let ran = scene.donjon_as(user, &["get", name]);
        assert!(matches!(ran.code, 0 | 3), "{ran:?}");
        (ran.code == 0).then_some(ran.out)
    };
    names.iter().map(one).collect()
}

#[test]
fn a_rotation_gives_nobody_more_than_the_new_value_of_what_was_theirs() {
    let roles = "catalogue: kolla-ansible\nroles:\n  web: {reads: [memcache_secret_key], users: [games]}\n  api: {reads: [x, web.url], users: [daemon]}\n\
        views:\n  web.url: 'http://u:{memcache_secret_key:url}@h/'\n";
    let scene = Scene::on("vault", roles);
    let (old, secret) = ("the-shared-secret-4711", "memcache_secret_key");
    scene.donjon.run_with_input(&["put", secret], old.as_bytes()).ok();
    let names = [secret, "web.url", "x", "y", "donjon-private", "pending", "site1"];
    let both = || ["games", "daemon"].map(|user| read_by(&scene, user, &names));
    let before = both();
    let url = |value: &str| Some(format!("http://u:{value}@h/"));
    assert_eq!(before[0], [Some(old.to_owned()), None, None, None, None, None, None], "the control");
    assert_eq!(before[1], [None, url(old), Some("the-value-of-x".into()), None, None, None, None], "the control");
    scene.donjon.run(&["rotate", "apply", secret, "--accept-outage"]).ok();
    let after = both();
    let new = after[0][0].clone().expect("it is theirs still");
    assert_ne!(new, old);
    assert_eq!(after[0], [Some(new.clone()), None, None, None, None, None, None]);
    assert_eq!(after[1], [None, url(&new), Some("the-value-of-x".into()), None, None, None, None]);
    // Nor is the value of before, which is kept for a while, anybody's.
    for user in ["games", "daemon"] {
        for version in ["1", "previous"] {
            scene.donjon_as(user, &["get", secret, "--version", version]).failed(3);
        }
    }
}

#[test]
fn the_folder_is_passed_through_and_not_listed_and_strangers_are_bounded() {
    let scene = Scene::new(GRANTED);
    let script = "
folder = os.path.dirname(broker.default_socket())
try:
    os.listdir(folder)
    sys.exit('listed')
except PermissionError:
    pass
import socket, struct
def connect():
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(20)
    stream.connect(broker.default_socket())
    return stream
def ended(stream):
    try:
        while stream.recv(4096):
            pass
        return True
    except ConnectionResetError:
        return True
# A length that no request of theirs has, and a nest of brackets.
stream = connect()
stream.sendall(struct.pack('>I', 1 << 20))
assert ended(stream), 'a large request'
stream = connect()
stream.sendall(struct.pack('>I', 100000) + b'[' * 100000)
assert ended(stream), 'a deep one'
held = [connect() for _ in range(128)]
assert ended(connect()), 'one connection too many'
del held
for _ in range(200):
    try:
        broker.read(broker.default_socket(), ['x'], 20)
        break
    except broker.BrokerError:
        pass
else:
    sys.exit('it does not recover')
asked = 0
try:
    while asked < 100:
        try:
            broker.read(broker.default_socket(), ['y'], 20)
        except broker.BrokerError as error:
            if 'too much' in str(error):
                break
        asked += 1
except OSError:
    pass
print('refusals before it was too much:', asked)
assert asked < 100
";
    let out = scene.python_as("games", script).ok();
    assert!(out.contains("refusals before"), "{out}");
    let mode = std::fs::metadata(scene.socket().parent().unwrap()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o711);
    scene.donjon.run(&["down", "--no-search"]).ok();
    wait_for("the socket to be taken away", Duration::from_secs(20), || !scene.socket().exists());
}
