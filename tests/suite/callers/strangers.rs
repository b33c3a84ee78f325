//! Who has no role changes nothing: every operation there is, at the lookup socket and at the daemon's own.

use super::{GRANTED, Scene};
use donjon::socket::message::{
    AdoptAsked, Asked, BundleAsked, CarryAsked, DoctorAsked, ImportAsked, RecipientsAsked, Request, RestoreAsked,
    ResumeAsked, RotateAsked, SnapshotAsked, VaultAsked,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// One request of each kind, such as would change something where it were let in.
pub(super) fn every_request() -> Vec<Request> {
    let text = str::to_owned;
    let x = || Asked { name: text("x"), part: Default::default() };
    let rotated = || RotateAsked { names: vec![text("x")], accept_outage: true, ..Default::default() };
    let resumed = || ResumeAsked { take_over: true, ..Default::default() };
    let all = vec![
        Request::Status,
        Request::Read { names: vec![x()], version: None, epoch: None },
        Request::Replaced { names: vec![x()], epoch: None },
        Request::Record { role: "web".parse().unwrap(), names: vec!["x".parse().unwrap()], version: None },
        Request::Ready,
        Request::Names,
        Request::Put { name: text("x"), new_deployment: false },
        Request::List,
        Request::History { name: text("x") },
        Request::Generate {
            catalogue: None,
            catalogue_text: None,
            names: vec![text("database_password")],
            new_deployment: false,
        },
        Request::Adopt(AdoptAsked { overwrite: true, ..Default::default() }),
        Request::Unseal,
        Request::Down { force: true },
        Request::Deploy,
        Request::RotatePlan(rotated()),
        Request::RotateApply(rotated()),
        Request::RotateResume(resumed()),
        Request::RotateAbort(resumed()),
        Request::RotateStatus,
        Request::RotateBroker,
        Request::RotateSigningKey { plan: false },
        Request::Schedule,
        Request::Metrics,
        Request::Doctor(DoctorAsked { all: true, ..Default::default() }),
        Request::Scan { paths: vec![text("/etc/hostname")], elsewhere: vec![] },
        Request::Drill { identities: 0, needed: None },
        Request::Witness { names: vec!["database_password".parse().unwrap()] },
        Request::ExportBundle(BundleAsked { days: 1, ..Default::default() }),
        Request::ExportVault(VaultAsked::default()),
        Request::ExportSnapshot { asked: SnapshotAsked::Take { recipients: vec![] } },
        Request::ExportSnapshot { asked: SnapshotAsked::Carry(CarryAsked::default()) },
        Request::ExportSnapshot { asked: SnapshotAsked::Finish(CarryAsked::default()) },
        Request::ExportCancel { there: None, lost: true },
        Request::ExportKey,
        Request::Import(ImportAsked::default()),
        Request::Restore(RestoreAsked { trust_first: true, ..Default::default() }),
        Request::Recipients { asked: RecipientsAsked::Retire { name: text("edge1"), vault: None } },
        Request::Receipt,
    ];
    let kinds: BTreeSet<usize> = all.iter().map(kind).collect();
    assert!(kinds.into_iter().eq(0..=35), "a kind of request is missing here");
    all
}

/// Counts the kinds: a new one has to be told here, and is then asked for above.
fn kind(request: &Request) -> usize {
    match request {
        Request::Status => 0,
        Request::Read { .. } => 1,
        Request::Record { .. } => 2,
        Request::Ready => 3,
        Request::Names => 4,
        Request::Put { .. } => 5,
        Request::List => 6,
        Request::History { .. } => 7,
        Request::Generate { .. } => 8,
        Request::Adopt(_) => 9,
        Request::Unseal => 10,
        Request::Down { .. } => 11,
        Request::Deploy => 12,
        Request::RotatePlan(_) => 13,
        Request::RotateApply(_) => 14,
        Request::RotateResume(_) => 15,
        Request::RotateAbort(_) => 16,
        Request::RotateStatus => 17,
        Request::RotateBroker => 18,
        Request::Schedule => 19,
        Request::Metrics => 20,
        Request::Doctor(_) => 21,
        Request::Scan { .. } => 22,
        Request::Drill { .. } => 23,
        Request::ExportBundle(_) => 24,
        Request::ExportVault(_) => 25,
        Request::ExportSnapshot { .. } => 26,
        Request::ExportKey => 27,
        Request::Import(_) => 28,
        Request::Restore(_) => 29,
        Request::Recipients { .. } => 30,
        Request::Receipt => 31,
        Request::Witness { .. } => 32,
        Request::RotateSigningKey { .. } => 33,
        Request::Replaced { .. } => 34,
        Request::ExportCancel { .. } => 35,
    }
}

/// Everything that a daemon keeps, by path, as digests; without its two logs and its figures, which are to tell of strangers.
fn state(home: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && !["daemon.log", "metrics.prom", "audit."].iter().any(|part| name.contains(part))
            {
                found.insert(path.clone(), hex::encode(Sha256::digest(std::fs::read(&path).unwrap())));
            }
        }
    }
    found
}

/// Sends each line as a request of its own, without and with a value, and says with which code it was refused. One that
/// came too fast is sent again.
const ASK: &str = r#"
import json, socket, struct, time
def ask(request, materials):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(20)
        stream.connect(broker.default_socket())
        text = json.dumps({**request, "v": 1, "materials": len(materials)}).encode()
        try:
            # At once: who is told in the middle that it was too fast would not hear it.
            stream.sendall(b"".join(struct.pack(">I", len(frame)) + frame for frame in [text, *materials]))
            head = stream.recv(4, socket.MSG_WAITALL)
            if len(head) < 4:
                return "closed"
            answer = json.loads(stream.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))
        except ConnectionError:
            return "closed"
        return answer["error"]["code"] if "error" in answer else "answered"
for request in json.loads(sys.argv[1]):
    for materials in [], [b"a-value-of-a-stranger"]:
        for _ in range(200):
            told = ask(request, materials)
            if told != 6:
                break
            time.sleep(0.1)
        print(request["op"], told)
"#;

#[test]
fn no_operation_of_a_stranger_changes_anything() {
    let scene = Scene::new(GRANTED);
    let home = scene.donjon.home();
    let requests = serde_json::to_string(&every_request()).unwrap();
    let count = every_request().len() * 2;
    let before = state(home);
    assert!(before.keys().any(|path| path.starts_with(home.join("store"))), "the control: the store is looked at");
    let own = home.join("run/donjon.sock");
    let open = |mode| {
        for folder in [home, &home.join("run")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    // Even where somebody has opened the folders of the daemon's own socket.
    open(0o755);
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
    let denied = || {
        let log = std::fs::read_to_string(home.join("audit.jsonl")).unwrap();
        log.lines().filter(|line| line.contains("\"uid\":1,") && line.contains("\"denied\"")).count()
    };
    for socket in [scene.socket(), own] {
        let earlier = denied();
        let told = scene.python_at(&socket, "daemon", ASK, &[&requests]).ok();
        assert_eq!(told.lines().count(), count, "{told}");
        for line in told.lines() {
            // At the lookup socket nothing is taken that comes with a value.
            assert!(line.ends_with(" 3") || line.ends_with(" closed"), "{}: {line}", socket.display());
        }
        assert!(told.lines().filter(|line| line.ends_with(" 3")).count() >= count / 2, "{told}");
        assert_eq!(state(home), before, "{}", socket.display());
        if socket == scene.socket() {
            assert_eq!(denied() - earlier, count, "each has its line, what came with a value too");
        }
    }
    open(0o700);
    assert_eq!(scene.donjon.run(&["get", "x"]).ok(), "the-value-of-x", "and it runs");
    scene.donjon.run_with_input(&["put", "x"], b"another-value-of-x").ok();
    assert_ne!(state(home), before, "the control: what its owner changes is seen");
}
