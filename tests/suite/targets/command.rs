//! An operator's own program as a target: the example conforms, and one that misbehaves is an error, never an answer.

use super::scene::{account, material};
use donjon_drivers::target::{
    Account, Admin, Login, Node, Target, TargetError, Twins,
    command::{Command, Settings},
    conformance,
};
use serde_json::{Value, json};
use sha2::Digest;
use std::{fs, path::Path, time::Duration};

/// The value and the name of who changes accounts.
const KEEPER: (&str, &str) = ("keeper-1", "administrator");

fn driver(program: &[&str], within: Duration) -> Command {
    let settings = Settings {
        target: "hashes".into(),
        program: program.iter().map(|&word| word.to_owned()).collect(),
        values_at_once: 2,
        twins: Twins::Yes,
        within,
        ..Settings::default()
    };
    Command::new(vec![Node { name: "n1".into(), address: "here".into() }], settings)
}

fn example() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/target/hashes.py").to_owned()
}

fn stored(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_example_conforms_and_its_twins_have_the_same_rights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hashes.json");
    let hash = |text: &str| hex::encode(sha2::Sha256::digest(text));
    let content = json!({
        "administrators": { KEEPER.1: [hash(KEEPER.0)] },
        "accounts": { "app": { "hashes": [hash("current-1")], "rights": ["read", "write"] } },
    });
    donjon_drivers::fs::replace(&path, content.to_string().as_bytes()).unwrap();
    let (example, file) = (example(), path.display().to_string());
    let driver = driver(&["python3", "-IS", &example, &file], Duration::from_secs(60));
    let keeper = material(KEEPER.0);
    let scene = conformance::Scene {
        target: &driver,
        admin: Admin { user: KEEPER.1, values: &[&keeper], fence: None, passes: &[] },
        user: "app",
        current: &material("current-1"),
        next: &material("next\n-1 \u{1F511}"),
    };
    if let Err(violation) = conformance::check(&scene, async |_: &Node| ()).await {
        panic!("{violation:?}");
    }
    conformance::check_texts(&scene).await.unwrap_or_else(|violation| panic!("{violation:?}"));
    let rights = async |account: &Account| stored(&path)["accounts"][&account.user]["rights"].clone();
    let spoil = async |twin: &Account| {
        let mut content = stored(&path);
        content["accounts"][&twin.user]["rights"] = json!(["read", "all"]);
        donjon_drivers::fs::replace(&path, content.to_string().as_bytes()).unwrap();
    };
    if let Err(violation) = conformance::check_rights(&scene, rights, spoil).await {
        panic!("{violation:?}");
    }
}

/// What else is amiss there is told beside that, and not taken for it.
#[tokio::test]
async fn that_there_is_no_account_is_a_hazard_of_its_own() {
    let admin = Admin { user: KEEPER.1, values: &[], fence: None, passes: &[] };
    for (hazards, told) in [
        ("[]", &["n1: there is no account of `app`"][..]),
        ("[\"the cluster is split\"]", &["n1: there is no account of `app`", "n1: the cluster is split"]),
    ] {
        let script = format!("cat > /dev/null; echo '{{\"accounts\": [], \"hazards\": {hazards}}}'");
        let driver = driver(&["sh", "-c", &script], Duration::from_secs(60));
        let survey = driver.survey(&admin, "app", &[]).await.unwrap();
        assert!(survey.entries.is_empty());
        assert_eq!(survey.hazards.iter().map(ToString::to_string).collect::<Vec<_>>(), told);
    }
}

#[tokio::test]
async fn a_program_that_misbehaves_is_an_error() {
    let value = material("CanaryOfTheProgram");
    let app = account("app", "");
    for script in [
        "exit 3",
        "echo '{\"login\":\"accepted\"}'; exit 1",
        "printf '{\"login\":\"accepted\"}'",
        "echo '{\"login\":\"accepted\",\"more\":1}'",
        "echo '{\"login\":\"accepted\"}'; echo '{}'",
        "echo '{}'",
        "cat",
        "cat >&2; exit 1",
        "sleep 300",
        "kill -9 $$",
    ] {
        let driver = driver(&["sh", "-c", script], Duration::from_secs(2));
        let tried = driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), &value).await;
        assert!(tried.is_err(), "{script}: {tried:?}");
        assert!(!format!("{tried:?}").contains("Canary"), "{script}: {tried:?}");
    }
    let missing = driver(&["/nowhere/at-all"], Duration::from_secs(2));
    let tried = missing.login(&missing.nodes()[0], &app, std::slice::from_ref(&app), &value).await;
    assert!(matches!(tried, Err(TargetError::Unreachable { .. })), "{tried:?}");
    // A value is in no argument and no variable: the program itself looks, and finds it where it belongs.
    let look = "if tr '\\0' '\\n' < /proc/$$/cmdline | grep -q OfTheProgram || env | grep -q OfTheProgram; then exit 9; fi\n\
                grep -q CanaryOfTheProgram && echo '{\"login\":\"accepted\"}'";
    let driver = driver(&["sh", "-c", &look.replace("OfTheProgram", "[O]fTheProgram")], Duration::from_secs(60));
    let tried = driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), &value).await;
    assert_eq!(tried.unwrap(), Login::Accepted);
}
