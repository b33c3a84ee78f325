//! A bundle that is longer than what anybody holds of it: the daemon and the command pass it on, and one that was cut off is
//! no file.

use donjon::transfer::bundle::{Checks, Identities, Opened};
use donjon_tests::{
    donjon::{Donjon, Ran, binary},
    process::{forget_peak, memory},
};
use std::{fs, path::Path, process::Command};

struct Long {
    donjon: Donjon,
    node: age::x25519::Identity,
    folder: tempfile::TempDir,
}

impl Long {
    fn new(deployment: &str) -> Self {
        let (donjon, folder) = (Donjon::new(), tempfile::tempdir().unwrap());
        donjon.describe(&format!("deployment: {deployment}\ncatalogue: kolla-ansible\n"));
        donjon.up();
        Self { donjon, node: age::x25519::Identity::generate(), folder }
    }

    /// With records that are long together.
    fn filled() -> Self {
        let Self { donjon, node, folder } = Self::new("site1");
        let line = |number: usize| format!("long_{number:03}: '{}'\n", String::from_utf8(value(number)).unwrap());
        let passwords = folder.path().join("passwords.yml");
        for some in (0..RECORDS).collect::<Vec<_>>().chunks(RECORDS / 2) {
            let text: String = some.iter().map(|number| line(*number)).collect();
            donjon_drivers::fs::replace(&passwords, text.as_bytes()).unwrap();
            donjon.run(&["adopt", "--format", "kolla", passwords.to_str().unwrap()]).ok();
            fs::remove_file(&passwords).unwrap();
        }
        Self { donjon, node, folder }
    }

    /// Exports all of it by a command that a shell limits so.
    fn export(&self, limits: &str, file: &Path) -> Ran {
        let recipient = self.node.to_public().to_string();
        let asked = ["export", "bundle", "--custodians", "--recipient", &recipient, "-o", file.to_str().unwrap()];
        let binary = binary().display().to_string();
        let output = limited(limits).arg(binary).args(asked).env("DONJON_HOME", self.donjon.home()).output().unwrap();
        Ran::of(&asked, output)
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A program with its arguments behind these commands of a shell.
fn limited(limits: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits}; exec \"$@\""), "sh"]);
    command
}

fn value(number: usize) -> Vec<u8> {
    format!("{number:07},").into_bytes().repeat(LENGTH / 8)
}

/// Files without a name that a process has open.
fn nameless(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let path = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    open.filter_map(path).filter(|path| path.to_string_lossy().ends_with("(deleted)")).count()
}

#[test]
fn a_long_bundle_is_whole_in_nobodys_memory() {
    let long = Long::filled();
    let whole = (RECORDS * LENGTH) as u64;
    let (file, pid) = (long.folder.path().join("all.donjon"), u32::try_from(long.donjon.daemon().unwrap()).unwrap());

    let control = limited(LITTLE_MEMORY).args(["python3", "-c", &format!("bytes({whole})")]).output().unwrap();
    assert!(String::from_utf8_lossy(&control.stderr).contains("MemoryError"), "the control: the limit holds");
    forget_peak(pid);
    let (before, _) = memory(pid);
    let told = long.export(LITTLE_MEMORY, &file).ok();
    let (_, most) = memory(pid);
    assert!(told.contains("epoch 1"), "{told}");
    assert!(fs::metadata(&file).unwrap().len() > whole);
    // Some of it are pages of the program, which it gives back in between.
    let took = most.saturating_sub(before);
    assert!(took < whole, "the daemon took {took} bytes for a bundle of {whole}");
    assert_eq!(nameless(pid), 0, "what it had of the bundle is gone");

    let checks = Checks { now: jiff::Timestamp::now().as_second(), ..Checks::default() };
    let identities = Identities::one(long.node.clone());
    let opened = Opened::from_file(&fs::read(&file).unwrap(), &checks, &identities).unwrap();
    let of = |number: usize| {
        let path = format!("site1/long_{number:03}");
        let record = opened.records().iter().find(|record| record.path.as_str() == path).unwrap();
        record.document.parse::<serde_json::Value>().unwrap()
    };
    for number in [0, 1, RECORDS - 1] {
        assert_eq!(of(number)["password"].as_str().unwrap().as_bytes(), value(number), "{number}");
    }

    // A command that cannot go on, at a place that has a file from before.
    let before = fs::read(&file).unwrap();
    let error = long.export("trap '' XFSZ; ulimit -f 4000", &file).failed(1);
    assert!(error.contains("cannot write") && error.contains("File too large"), "{error}");
    assert!(error.contains("what was there before is still there"), "{error}");
    assert!(fs::read(&file).unwrap() == before, "and it is");
    assert_eq!(long.names(), ["all.donjon"], "and nothing beside it");

    // Where nothing can be written, nothing is made: the next bundle is the one after the one that was lost.
    for nowhere in [long.folder.path().join("gone").join("all.donjon"), long.folder.path().to_path_buf()] {
        let error = long.export("true", &nowhere).failed(1);
        assert!(error.contains("no bundle was made"), "{error}");
    }
    assert!(long.export("true", &file).ok().contains("epoch 3"));
    assert_eq!(nameless(pid), 0);
}

/// More names than one answer can have: each is of 245 characters with its deployment's.
#[test]
fn a_bundle_of_many_records_is_told_by_their_number() {
    let many = Long::new(&"d".repeat(120));
    let (passwords, file) = (many.folder.path().join("passwords.yml"), many.folder.path().join("all.donjon"));
    for some in (0..MANY).collect::<Vec<_>>().chunks(MANY / 2) {
        let line = |number: &usize| format!("{}{number:04}: value-{number:04}\n", "a".repeat(120));
        donjon_drivers::fs::replace(&passwords, some.iter().map(line).collect::<String>().as_bytes()).unwrap();
        many.donjon.run(&["adopt", "--format", "kolla", passwords.to_str().unwrap()]).ok();
        fs::remove_file(&passwords).unwrap();
    }
    let told = many.export("true", &file).ok();
    let records: usize = told.split(" holds ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
    // With what is the deployment's own.
    assert!((MANY..MANY + 100).contains(&records), "{told}");
}

const MANY: usize = 4400;
const RECORDS: usize = 160;
const LENGTH: usize = 100_000;
/// A part of the bundle.
const LITTLE_MEMORY: &str = "ulimit -d 12000";
