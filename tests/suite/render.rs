//! `donjon render`: files in memory, each by itself, declared so that a scan knows them.

use donjon_tests::donjon::Donjon;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

const VALUE: &str = "R7m/Aq2Lw&Zx'T9kVbN4cYp";

fn write(path: &Path, content: &str) {
    donjon_drivers::fs::replace(path, content.as_bytes()).expect("a temporary file can be written");
}

#[test]
fn each_template_becomes_a_file_in_memory_whatever_becomes_of_the_others() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], VALUE.as_bytes()).ok();
    let templates = tempfile::tempdir().expect("a temporary folder can be made");
    let memory = tempfile::tempdir_in("/dev/shm").expect("there is a tmpfs");
    let path = |name: &str| templates.path().join(name).display().to_string();
    let file = |name: &str| memory.path().join(name);
    let shown = |name: &str| file(name).display().to_string();
    write(&templates.path().join("my.cnf.html"), "[client]\npassword = \"{{ secret('database_password') }}\"\n");
    write(&templates.path().join("url"), "mysql://root:{{ secret('database_password', encoding='url') }}@h/d\n");
    write(&templates.path().join("bad"), "fine\n{{ secret('no_such_secret') }}\n");
    write(&file("bad"), "as it was");

    let all = [path("my.cnf.html"), path("bad"), path("url")];
    let files = [shown("my.cnf"), shown("bad"), shown("url")];
    let arguments: Vec<&str> =
        all.iter().zip(&files).flat_map(|(template, file)| [template.as_str(), "-o", file.as_str()]).collect();
    let arguments = [&["render", "--output", "json"][..], &arguments].concat();
    let ran = donjon.run(&arguments);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("line 2: there is no secret `no_such_secret`"), "{ran:?}");
    assert!(!ran.out.contains(VALUE) && !ran.err.contains(VALUE));
    let text = |name: &str| fs::read_to_string(file(name)).expect("it was written");
    assert_eq!(text("my.cnf"), format!("[client]\npassword = \"{VALUE}\"\n"), "nothing is escaped by itself");
    assert_eq!(text("url"), "mysql://root:R7m%2FAq2Lw%26Zx%27T9kVbN4cYp@h/d\n");
    assert_eq!(text("bad"), "as it was");
    let found = |name: &str| fs::metadata(file(name)).expect("it is there");
    assert_eq!(found("my.cnf").permissions().mode() & 0o777, 0o600);

    // Put right: what would not change is not touched.
    let before = (found("my.cnf").ino(), found("url").ino());
    write(&templates.path().join("bad"), "{{ secret('database_password', encoding='shell') }}");
    let again = donjon.run(&arguments).json();
    let states: Vec<&str> = again["files"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|file| file["state"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(states, ["unchanged", "written", "unchanged"]);
    assert_eq!((found("my.cnf").ino(), found("url").ino()), before);

    // A scan knows them as sinks; a copy is a finding.
    let scanned = donjon.run(&["scan", &memory.path().display().to_string()]);
    assert_eq!(scanned.code, 0, "{scanned:?}");
    assert!(scanned.out.contains("3 values are where they are declared to be"), "{scanned:?}");
    fs::copy(file("my.cnf"), file("copy")).expect("it can be copied");
    assert_eq!(donjon.run(&["scan", &memory.path().display().to_string()]).code, 7);

    // Not on a disk, unless that is asked for.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rendered-{}", std::process::id()));
    let on_disk = disk.display().to_string();
    let refused = donjon.run(&["render", &path("url"), "-o", &on_disk]).failed(2);
    assert!(refused.contains("would lie on a disk") && !disk.exists(), "{refused}");
    donjon.run(&["render", "--disk", "--mode", "0640", &path("url"), "-o", &on_disk]).ok();
    assert_eq!(fs::metadata(&disk).expect("it is there").permissions().mode() & 0o777, 0o640);
    fs::remove_file(&disk).expect("it can be removed");
    donjon.run(&["render", "--mode", "0644", &path("url"), "-o", &shown("x")]).failed(2);
    donjon.run(&["render", &path("url"), &path("bad"), "-o", &shown("x")]).failed(2);
}
