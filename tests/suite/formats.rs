//! What is generated, given to those who read it: cryptography, bcrypt, kolla's filter and reader, ssh-keygen.

use donjon::{
    generation::{self, Reserve, System, World, plan, run},
    records::{Layout, secrets},
};
use donjon_drivers::store::{Which, secret::SecretValue, vault::Trust};
use donjon_policies::catalogue::Catalogue;
use donjon_tests::{openbao::OpenBao, tools};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

const RECIPES: [&str; 15] = [
    "alphanumeric 40",
    "exactly 32",
    "erlang-cookie 40",
    "pacemaker-authkey",
    "hex 32",
    "hmac 128 hex",
    "hmac 256 base64",
    "uuid4",
    "fernet",
    "fernet-repository 2",
    "cephx",
    "bcrypt-salt",
    "ssh ed25519",
    "ssh rsa-2048",
    "ssh rsa-4096",
];

#[test]
fn every_recipe_is_what_its_readers_read() {
    let made: BTreeMap<&str, Value> = RECIPES.iter().map(|recipe| (*recipe, shown(&made(recipe)))).collect();
    let told = python("recipes.py", &json!(made));
    assert_eq!(told, json!({"read": RECIPES.len(), "refused": []}));

    // The control: the same readers refuse what is nearly right.
    let mut bent = made;
    bent.insert("fernet", json!("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A"));
    bent.insert("bcrypt-salt", json!("abcdefghijklmnopqrstuz"));
    bent.insert("uuid4", json!("00010203-0405-1607-8809-0a0b0c0d0e0f"));
    bent.insert("cephx", json!("AQAAAAAAAAAAABAAAAECAwQFBgcICQoLDA0ODw=="));
    let other = bent["ssh rsa-4096"]["public_key"].clone();
    bent.get_mut("ssh rsa-2048").expect("it was made")["public_key"] = other;
    let told = python("recipes.py", &json!(bent));
    let refused: Vec<&str> = told["refused"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let recipes: BTreeSet<&str> = refused.iter().filter_map(|told| told.split(':').next()).collect();
    assert_eq!(recipes, BTreeSet::from(["bcrypt-salt", "cephx", "fernet", "ssh rsa-2048", "uuid4"]), "{refused:?}");
}

#[test]
fn ssh_keygen_reads_every_pair() {
    for (recipe, kind) in [("ssh ed25519", "(ED25519)"), ("ssh rsa-2048", "(RSA)"), ("ssh rsa-4096", "(RSA)")] {
        let SecretValue::Pair { private, public } = made(recipe) else { panic!("{recipe} makes a pair") };
        // EXPOSE: a test's own key, by standard input
        let read = ended(run_with(Command::new("ssh-keygen").args(["-y", "-f", "/dev/stdin"]), private.expose()));
        assert_eq!(read.trim(), public, "{recipe}: the public half is the one of the private half");
        let shown = ended(run_with(Command::new("ssh-keygen").args(["-l", "-f", "/dev/stdin"]), public.as_bytes()));
        let bits = recipe.strip_prefix("ssh rsa-").unwrap_or("256");
        assert!(shown.starts_with(bits) && shown.trim().ends_with(kind), "{recipe}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kolla_reads_what_was_generated_for_it() {
    let server = OpenBao::start().await;
    let store = server.store();
    let catalogue = Catalogue::named("kolla-ansible").unwrap();
    let layout = Layout::new("kolla_passwords".parse().unwrap()).unwrap();
    let (chance, reserve) = (Arc::new(System), &Reserve::default());
    let world = World { store: &*store, layout: &layout, chance, reserve, now: 1_780_000_000 };
    let plan = plan(&catalogue, &BTreeSet::new(), &[]).unwrap();
    let operator = plan.operator.clone();
    let report = run(&world, plan, &|_| ()).await;
    assert!(report.failed.is_empty() && report.kept.is_empty() && report.untried.is_empty(), "{report:?}");
    assert_eq!(report.made.len() + operator.len(), 106);

    let mut expected = BTreeMap::new();
    for name in &report.made {
        let held =
            secrets::read(&*store, &layout, name, Which::Latest).await.unwrap().expect("it was reported as made");
        expected.insert(name.to_string(), shown(&held.record.value));
    }
    let pairs = expected.values().filter(|value| value.is_object()).count();
    assert_eq!(pairs, 7, "seven key pairs");
    let Trust::Only(authority) = &server.address().trust else { panic!("a test server has an authority of its own") };
    let names: Vec<String> = catalogue.current().map(|entry| entry.name.to_string()).collect();
    let mut asked = json!({
        "address": server.address().url,
        "authority": String::from_utf8_lossy(authority),
        "token": server.root().expose_text().unwrap(), // EXPOSE: the token of a server that lives for one test
        "mount": "kv",
        "deployment": "kolla_passwords",
        "names": names,
        "expected": expected,
    });
    let told = python("kolla.py", &asked);
    let missing: Vec<String> = operator.iter().map(ToString::to_string).collect();
    assert_eq!(told, json!({"read": 106, "same": 104, "differ": [], "missing": missing}));

    // The control: it would have seen another value.
    asked["expected"]["database_password"] = json!("another");
    assert_eq!(python("kolla.py", &asked)["differ"], json!(["database_password"]));
}

fn made(recipe: &str) -> SecretValue {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970").as_secs();
    generation::make(recipe.parse().expect("a recipe"), &System, now.cast_signed()).expect("a value")
}

/// A value as its reader gets it from a record.
fn shown(value: &SecretValue) -> Value {
    // EXPOSE: a test's own value, given to a reader by standard input
    let text = value.material().expose_text().expect("generated values are text");
    match value {
        SecretValue::Whole(_) => json!(text),
        SecretValue::Pair { public, .. } => json!({"private_key": text, "public_key": public}),
    }
}

/// Runs a fixture with the interpreter of the test environment, and reads what it prints.
fn python(fixture: &str, input: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/formats").join(fixture);
    let printed = ended(run_with(Command::new(tools::program("python")).arg(script), input.to_string().as_bytes()));
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{fixture}: {error}"))
}

fn run_with(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().expect("it was asked for").write_all(input).expect("the program reads its input");
    child.wait_with_output().expect("a child can be waited for")
}

fn ended(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}
