//! `donjon wire oslo` where something comes in between: another run, a full disk, a kill.

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
        let words: Vec<&str> = ["config", "get"].into_iter().chain(named).chain([group, "password", "--reveal"]).collect();
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
