//! Every form of a value in every place is found, and a clean tree is clean.

use super::{git, write};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use donjon_tests::{donjon::Donjon, mariadb::MariaDb, process::wait_for};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

pub(super) const VALUE: &str = "p4ss/w0rd+Q\"x'y&z\\7";

/// Beside it: one with white space that is short, and one that is as short as can be.
const VALUES: [(&str, &str); 3] = [("seeded", VALUE), ("phrase", "my/h0rse run"), ("short", "s3cr3t-8")];

/// The forms of every value, by name.
fn forms() -> Vec<(String, String)> {
    let of = |(name, value): (&str, &str)| {
        forms_of(value).into_iter().map(|(form, text)| (format!("{name}-{form}"), text)).collect::<Vec<_>>()
    };
    VALUES.into_iter().flat_map(of).collect()
}

/// The forms, by name, each as another program writes it.
fn forms_of(value: &str) -> Vec<(&'static str, String)> {
    let url: String = value
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let encoded = |before: &str| STANDARD.encode(format!("{before}{value}!"));
    vec![
        ("raw", value.to_owned()),
        ("base64-0", encoded("")),
        ("base64-1", encoded("u")),
        ("base64-2", encoded("u:")),
        ("base64url", URL_SAFE.encode(format!("??>{value}~"))),
        ("hex", hex::encode(value)),
        ("hex-upper", hex::encode_upper(value)),
        ("url", url.clone()),
        ("url-lower", url.to_ascii_lowercase().replace('q', "Q")),
        ("json", Value::from(value).to_string()),
        ("yaml", format!("key: '{}'", value.replace('\'', "''"))),
        ("shell", format!("X='{}'", value.replace('\'', "'\\''"))),
    ]
}

fn seeded(folder: &Path) {
    for (name, text) in forms() {
        write(&folder.join(name), format!("before {text} after\n"));
    }
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let ran = Command::new(program).args(arguments).current_dir(folder).output().expect("it is installed");
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// What a scan reports, with its code, and no value printed.
pub(super) fn scanned(donjon: &Donjon, arguments: &[&str]) -> Value {
    let ran = donjon.run(&[&["scan", "--output", "json"], arguments].concat());
    assert!(ran.code == 7 || ran.code == 0, "{ran:?}");
    for value in ["p4ss", "h0rse", "s3cr3t"] {
        assert!(!ran.out.contains(value) && !ran.err.contains(value), "a value was printed");
    }
    let reply: Value = serde_json::from_str(&ran.out).expect("it prints JSON");
    assert_eq!(ran.code, if reply["report"]["found"] == 0 { 0 } else { 7 });
    reply["report"].clone()
}

/// The last segments of what findings name by a key.
fn told(report: &Value, key: &str) -> BTreeSet<String> {
    let findings = report["findings"].as_array().expect("a list");
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    findings.iter().filter_map(|finding| finding[key].as_str()).map(last).collect()
}

fn names() -> BTreeSet<String> {
    forms().into_iter().map(|(name, _)| name).collect()
}

fn with_secret() -> Donjon {
    let donjon = Donjon::new();
    donjon.up();
    for (name, value) in VALUES {
        donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    }
    donjon
}

#[test]
fn every_form_is_found_in_files_histories_and_archives_in_each_other() {
    let donjon = with_secret();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        path
    };
    // The control: as many files and archives, and nothing in them.
    let clean = place("clean");
    for (name, text) in forms() {
        write(&clean.join(name), format!("before {} after\n", text.chars().rev().collect::<String>()));
    }
    run("tar", &["-czf", "../clean.tgz", "."], &clean);
    fs::rename(folder.path().join("clean.tgz"), clean.join("all.tar.gz")).expect("it can be moved");
    let report = scanned(&donjon, &[&clean.display().to_string()]);
    assert_eq!((&report["found"], &report["unsearched_count"]), (&0.into(), &0.into()), "{report}");
    assert!(report["members"].as_u64().unwrap_or(0) > 12, "{report}");

    let files = place("files");
    seeded(&files);
    assert_eq!(told(&scanned(&donjon, &[&files.display().to_string()]), "path"), names());

    // Archives: plain, packed, one in the other, and a log that was rotated away.
    let archives = place("archives");
    run("tar", &["-cf", "plain.tar", "-C", "../files", "."], &archives);
    run("tar", &["-czf", "packed.tar.gz", "-C", "../files", "."], &archives);
    run("gzip", &["-k", "plain.tar"], &archives);
    run("tar", &["-czf", "nested.tgz", "plain.tar.gz", "packed.tar.gz"], &archives);
    for archive in ["plain.tar", "packed.tar.gz", "plain.tar.gz", "nested.tgz"] {
        let report = scanned(&donjon, &[&archives.join(archive).display().to_string()]);
        assert_eq!(told(&report, "member"), names(), "{archive}: {report}");
    }
    // One that breaks off is told, and what only looks like one is searched as it is.
    let whole = fs::read(archives.join("packed.tar.gz")).expect("it is there");
    let broken = place("broken");
    donjon_drivers::fs::replace(&broken.join("cut.tar.gz"), &whole[..whole.len() / 2]).expect("it can be written");
    donjon_drivers::fs::replace(&broken.join("no.gz"), &[b"\x1f\x8b\x08", VALUE.as_bytes()].concat())
        .expect("it can be written");
    let report = scanned(&donjon, &[&broken.display().to_string()]);
    assert_eq!(report["unsearched_count"], 2, "{report}");
    assert!(told(&report, "path").contains("no.gz"), "{report}");

    // A history: committed, and removed by the next commit.
    let history = place("history");
    git(&history, &["init", "--quiet"]);
    seeded(&history);
    git(&history, &["add", "."]);
    git(&history, &["commit", "--quiet", "-m", "one"]);
    for (name, _) in forms() {
        fs::remove_file(history.join(name)).expect("it is there");
    }
    git(&history, &["commit", "--quiet", "-a", "-m", "two"]);
    assert_eq!(told(&scanned(&donjon, &[&history.display().to_string()]), "path"), names());
}

#[tokio::test]
async fn processes_and_databases_are_looked_into() {
    let donjon = with_secret();
    let server = MariaDb::start().await;
    server.sql("CREATE DATABASE app").await;
    server.sql("CREATE TABLE app.settings (name TEXT, value TEXT) ENGINE=InnoDB").await;
    let data = server.folder().display().to_string();
    assert_eq!(scanned(&donjon, &[&data])["found"], 0);
    let quoted = VALUE.replace('\\', "\\\\").replace('\'', "\\'");
    server.sql(&format!("INSERT INTO app.settings VALUES ('password', '{quoted}')")).await;
    server.sql("FLUSH TABLES app.settings FOR EXPORT").await;
    let report = scanned(&donjon, &[&data]);
    assert!(
        told(&report, "path").iter().any(|file| file.starts_with("settings") || file.starts_with("ib")),
        "{report}"
    );

    let mut child = Command::new("sleep")
        .args(["60"])
        .env("SEEDED_BY_A_TEST", VALUE)
        .stdin(Stdio::null())
        .spawn()
        .expect("it is installed");
    let mut other =
        Command::new("sh").args(["-c", "read _", VALUE]).stdin(Stdio::piped()).spawn().expect("it is installed");
    let shown = |pid: u32, part: &str| fs::read(format!("/proc/{pid}/{part}")).unwrap_or_default();
    let holds = |bytes: Vec<u8>| bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes());
    wait_for("both to run", Duration::from_secs(60), || {
        holds(shown(child.id(), "environ")) && holds(shown(other.id(), "cmdline"))
    });
    let report = scanned(&donjon, &["--processes"]);
    let findings = report["findings"].as_array().expect("a list");
    let found = |pid: u32, part: &str| findings.iter().any(|f| f["pid"] == pid && f["part"] == part);
    let both = found(child.id(), "environ") && found(other.id(), "cmdline");
    for child in [&mut child, &mut other] {
        child.kill().expect("it runs");
        child.wait().expect("a child can be waited for");
    }
    assert!(both, "{report}");
}
