//! `donjon wire oslo` where something comes in between: another run, a full disk, a kill.

use crate::full::on_a_small_disk;
use donjon_tests::donjon::{Donjon, Ran};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

const READS: &str = "deployment: default\nroles: {neutron: {reads: [neutron.a.password, neutron.b.password]}}\n";

struct Place {
    donjon: Donjon,
    folder: PathBuf,
}

impl Place {
    fn new(folder: PathBuf) -> Self {
        let donjon = Donjon::new();
        donjon.describe(READS);
        donjon.run(&["up", "--store", "file"]).ok();
        Self { donjon, folder }
    }

    fn write(&self, name: &str, text: &str) {
        donjon_drivers::fs::replace(&self.folder.join(name), text.as_bytes()).unwrap();
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, name: &str, more: &[&str]) -> Command {
        let file = self.folder.join(name).display().to_string();
        self.donjon.command(&[&["wire", "oslo", "--service", "neutron", "--config", &file], more].concat())
    }

    fn wire(&self, name: &str, more: &[&str]) -> Ran {
        Ran::of(&["wire", "oslo"], self.command(name, more).output().unwrap())
    }

    /// What our own reader has of these files, one read after the other.
    fn reads(&self, names: &[&str], group: &str) -> String {
        let files: Vec<String> = names.iter().map(|name| self.folder.join(name).display().to_string()).collect();
        let named = files.iter().flat_map(|file| ["--config-file", file]);
        let words: Vec<&str> =
            ["config", "get"].into_iter().chain(named).chain([group, "password", "--reveal"]).collect();
        self.donjon.run(&words).ok()
    }
}

#[test]
fn two_files_of_a_service_that_are_wired_at_once_do_not_take_each_others_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().to_owned());
    let files = ["neutron.conf", "metadata_agent.ini"];
    for round in 0..6 {
        place.write(files[0], "[a]\npassword = canary-canary-a\n");
        place.write(files[1], "[b]\npassword = canary-canary-b\n");
        let begin = |name: &str| {
            place.command(name, &[]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running = files.map(begin);
        let ended = running.map(|child| Ran::of(&["wire", "oslo"], child.wait_with_output().unwrap()));
        for (name, ran) in files.iter().zip(&ended) {
            match ran.code {
                0 => {}
                5 => assert!(place.text(name).contains("canary"), "round {round}: {name} is as it was"),
                _ => panic!("round {round}: {ran:?}"),
            }
        }
        // The one that was refused is wired beside the other; whichever came first is read first.
        let late: Vec<&str> = files.into_iter().filter(|name| place.text(name).contains("canary")).collect();
        for name in &late {
            place.wire(name, &[]).ok();
        }
        let both = |first: &str| place.text(first).contains("config_source = donjon\n");
        let mut order = files;
        if !both(files[0]) {
            order.reverse();
        }
        for (group, value) in [("a", "canary-canary-a"), ("b", "canary-canary-b")] {
            assert!(place.reads(&order, group).contains(value), "round {round}: {ended:?}");
        }
        for name in [order[1], order[0]] {
            place.wire(name, &["--undo"]).ok();
        }
        assert_eq!(place.names(), ["metadata_agent.ini", "neutron.conf"], "round {round}");
    }
}

#[test]
fn a_full_disk_leaves_the_file_alone_and_nothing_beside_it() {
    let Some(disk) = on_a_small_disk("wiring::a_full_disk_leaves_the_file_alone_and_nothing_beside_it", 8) else {
        return;
    };
    let place = Place::new(disk);
    let text = format!("# {}\n[a]\npassword = canary-canary-a\n", "x".repeat(1_000_000));
    place.write("neutron.conf", &text);
    // Room for nothing, for what puts it back, and for its mapping too.
    for room in [500_000, 1_200_000] {
        place.write("room", &"x".repeat(room));
        let ballast = std::fs::OpenOptions::new().create(true).append(true).open(place.folder.join("ballast"));
        let mut ballast = ballast.unwrap();
        while std::io::Write::write(&mut ballast, &[7; 4096]).is_ok_and(|written| written > 0) {}
        std::fs::remove_file(place.folder.join("room")).unwrap();
        let refused = place.wire("neutron.conf", &[]).failed(1);
        assert!(refused.contains("No space left") && refused.contains("file is as it was"), "{refused}");
        assert!(place.text("neutron.conf") == text, "{room}");
        assert_eq!(place.names(), ["ballast", "neutron.conf"], "{room}");
        std::fs::remove_file(place.folder.join("ballast")).unwrap();
    }
    place.wire("neutron.conf", &[]).ok();
    assert!(!place.text("neutron.conf").contains("canary"));
}

#[test]
fn what_a_run_that_was_cut_off_has_left_is_in_nobodys_way_and_confirms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().to_owned());
    let text = "[a]\npassword = canary-canary-a\n";
    place.write("neutron.conf", text);
    // As a kill leaves it before the file itself has its name, and as a deployer does that writes it anew.
    place.wire("neutron.conf", &[]).ok();
    place.write("neutron.conf", text);
    let refused = place.wire("neutron.conf", &["--confirm"]).failed(5);
    assert!(refused.contains("does not read its secrets from the store"), "{refused}");
    let before = place.names();
    assert_eq!(before.len(), 3, "nothing was done: {before:?}");
    place.wire("neutron.conf", &["--plan"]).ok();
    assert_eq!((place.names(), place.text("neutron.conf")), (before, text.to_owned()), "nothing was done");
    place.wire("neutron.conf", &[]).ok();
    assert!(!place.text("neutron.conf").contains("canary"));
    // What was added to the wired file makes it no other.
    place.write("neutron.conf", &format!("{}[c]\nd = 1\n", place.text("neutron.conf")));
    assert!(place.wire("neutron.conf", &[]).failed(5).contains("is wired already"));
    place.wire("neutron.conf", &["--confirm"]).ok();
    assert!(place.reads(&["neutron.conf"], "a").contains("canary-canary-a"));
    assert_eq!(place.names(), ["donjon-neutron.conf", "neutron.conf"]);
}

#[test]
fn what_would_stand_in_clear_all_the_same_is_told_before_anything_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().to_owned());
    let text = "[a]\n# it was canary-canary-a\npassword = canary-canary-a\n";
    place.write("neutron.conf", text);
    let refused = place.wire("neutron.conf", &[]).failed(2);
    assert!(refused.contains("line 2 holds the value of [a] password"), "{refused}");
    assert!(!refused.contains("canary"), "{refused}");
    assert_eq!((place.names(), place.text("neutron.conf")), (vec!["neutron.conf".to_owned()], text.to_owned()));
    assert!(!place.donjon.run(&["list"]).ok().contains("neutron"), "nothing was stored");
    place.write("neutron.conf", &text.replace("it was canary-canary-a", "it was another"));
    let other = folder.path().join("copy");
    std::fs::hard_link(folder.path().join("neutron.conf"), &other).unwrap();
    let done = place.wire("neutron.conf", &[]).ok();
    assert!(done.contains("! other names of the file (hard links) keep its values: 1"), "{done}");
    assert!(place.text("copy").contains("canary-canary-a"), "the control");
}

#[test]
fn what_a_file_cannot_hold_is_not_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().to_owned());
    place.write("neutron.conf", "[a]\npassword = canary-canary-a\n");
    place.wire("neutron.conf", &[]).ok();
    let (names, wired) = (place.names(), place.text("neutron.conf"));
    for (value, why) in [("new$debug-token", "has a `$`"), ("one-line\nevil = yes", "has several lines")] {
        place.donjon.run_with_input(&["put", "neutron.a.password"], value.as_bytes()).ok();
        let refused = place.wire("neutron.conf", &["--undo"]).failed(10);
        assert!(refused.contains(&format!("[a] password: the value of `neutron.a.password` {why}")), "{refused}");
        assert_eq!((place.names(), place.text("neutron.conf")), (names.clone(), wired.clone()), "nothing was done");
    }
    place.donjon.run_with_input(&["put", "neutron.a.password"], b"another-value").ok();
    place.wire("neutron.conf", &["--undo"]).ok();
    assert_eq!(place.text("neutron.conf"), "[a]\npassword = another-value\n");
}

#[test]
fn an_undo_that_was_cut_off_is_done_again_and_leaves_no_second_copy() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().to_owned());
    let text = "[a]\npassword = canary-canary-a\n";
    place.write("neutron.conf", text);
    place.wire("neutron.conf", &[]).ok();
    // As a kill leaves it once the file has its name.
    place.write("neutron.conf", text);
    let undone = place.wire("neutron.conf", &["--undo"]).ok();
    assert!(!undone.contains("had been changed"), "{undone}");
    assert_eq!((place.names(), place.text("neutron.conf")), (vec!["neutron.conf".to_owned()], text.to_owned()));
}

#[test]
fn an_option_that_is_to_be_left_stays_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().to_owned());
    let text = "[a]\npassword = canary-canary-a\n[b]\npassword = canary-canary-b\n[token]\ntoken_ttl = 3600\n";
    place.write("neutron.conf", text);
    place.donjon.run_with_input(&["put", "neutron.a.password"], b"that-of-another-file").ok();
    let refused = place.wire("neutron.conf", &[]).failed(5);
    assert!(refused.contains("`--leave GROUP.OPTION`"), "{refused}");
    let refused = place.wire("neutron.conf", &["--leave", "a.pasword"]).failed(2);
    assert!(refused.contains("did you mean `a.password`?"), "{refused}");
    assert_eq!(place.text("neutron.conf"), text, "nothing was done");
    let done = place.wire("neutron.conf", &["--leave", "a.password"]).ok();
    assert!(done.contains("! [a] password stays in the file: it is to be left"), "{done}");
    assert!(done.contains("! [token] token_ttl stays in the file: it is a number"), "{done}");
    let left = place.text("neutron.conf");
    assert!(left.contains("canary-canary-a") && !left.contains("canary-canary-b"), "{left}");
    assert!(place.reads(&["neutron.conf"], "b").contains("canary-canary-b"));
    place.wire("neutron.conf", &["--undo"]).ok();
    assert_eq!(place.text("neutron.conf"), text);
}
