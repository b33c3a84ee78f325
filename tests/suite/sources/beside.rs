//! Several files of one service, each wired by itself, as a real oslo.config process reads them together.

use donjon_tests::{
    donjon::{Donjon, Ran},
    python_driver, tools,
};
use std::{path::PathBuf, process::Command};

const SERVICE: &str = r#"
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("transport_url", default="rabbit://"), cfg.StrOpt("metadata_proxy_shared_secret", default="none")])
conf.register_opts([cfg.StrOpt("connection", default="sqlite://")], "database")
conf.register_opts([cfg.StrOpt("password", default="empty")], "nova")
conf(sys.argv[1:], default_config_files=[], default_config_dirs=[])
print(conf.transport_url, conf.database.connection, conf.metadata_proxy_shared_secret, conf.nova.password)
"#;
const FIRST: &str =
    "[DEFAULT]\ntransport_url = rabbit://u:canary-1@h//\n[database]\nconnection = mysql://u:canary-2@h/d\n";
const SECOND: &str = "[DEFAULT]\ndebug = true\nmetadata_proxy_shared_secret = canary-canary-3\n";
/// It has an option of the first, too, with a value of its own.
const THIRD: &str = "[nova]\npassword = canary-canary-4\n[database]\nconnection = mysql://u:canary-5@h/d\n";
const READ: &str = "rabbit://u:canary-1@h// mysql://u:canary-2@h/d canary-canary-3 empty\n";

struct Service {
    donjon: Donjon,
    folder: tempfile::TempDir,
    package: tempfile::TempDir,
}

impl Service {
    fn new() -> Self {
        let (donjon, folder) = (Donjon::new(), tempfile::tempdir().unwrap());
        let reads = "neutron.transport_url, neutron.database.connection, neutron.metadata_proxy_shared_secret, \
                     neutron.nova.password";
        donjon.describe(&format!("deployment: default\nroles: {{neutron: {{reads: [{reads}]}}}}\n"));
        donjon.run(&["up", "--store", "file"]).ok();
        let service = Self { donjon, folder, package: python_driver::installed() };
        for (name, text) in [("neutron.conf", FIRST), ("metadata_agent.ini", SECOND), ("nova_agent.ini", THIRD)] {
            donjon_drivers::fs::replace(&service.at(name), text.as_bytes()).unwrap();
        }
        service
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        donjon_drivers::fs::replace(&self.at(name), text.as_bytes()).unwrap();
    }

    fn run(&self, name: &str, more: &[&str]) -> Ran {
        let file = self.at(name).display().to_string();
        self.donjon.run(&[&["wire", "oslo", "--service", "neutron", "--config", &file], more].concat())
    }

    fn wire(&self, name: &str, more: &[&str]) -> String {
        self.run(name, more).ok()
    }

    /// What our own reader says of these files.
    fn shows(&self, files: &[&str]) -> Ran {
        let files: Vec<String> = files.iter().map(|file| self.at(file).display().to_string()).collect();
        let named = files.iter().flat_map(|file| ["--config-file", file]);
        self.donjon.run(&["config", "show"].into_iter().chain(named).collect::<Vec<_>>())
    }

    /// What the process has of these files, in this order.
    fn reads(&self, files: &[&str]) -> String {
        let mut python = Command::new(tools::program("python"));
        python.args(["-c", SERVICE]).current_dir(self.folder.path());
        for file in files {
            python.arg(format!("--config-file={}", self.at(file).display()));
        }
        python.env_clear().env("PYTHONPATH", self.package.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_second_file_of_a_service_is_wired_beside_the_first_and_undone_by_itself() {
    let service = Service::new();
    let both = ["neutron.conf", "metadata_agent.ini"];
    assert_eq!(service.reads(&both), READ, "the control");
    service.wire("neutron.conf", &[]);
    let first = (service.text("neutron.conf"), service.text("donjon-neutron.conf"));
    let told = service.wire("metadata_agent.ini", &[]);
    assert!(told.contains("config_source = donjon_metadata_agent,donjon") && !told.contains("canary"), "{told}");
    assert!(both.iter().all(|name| !service.text(name).contains("canary")), "no value is left");
    assert_eq!(service.reads(&both), READ);
    // Another process of the service reads the first alone.
    assert_eq!(service.reads(&both[..1]), READ.replace("canary-canary-3", "none"));
    assert_eq!((service.text("neutron.conf"), service.text("donjon-neutron.conf")), first, "the first is as it was");

    service.wire("metadata_agent.ini", &["--undo"]);
    assert_eq!(service.text("metadata_agent.ini"), SECOND);
    assert!(!service.at("donjon-neutron-metadata_agent.conf").exists());
    assert_eq!((service.text("neutron.conf"), service.text("donjon-neutron.conf")), first, "that of the first stays");
    assert_eq!(service.reads(&both), READ);

    // The first does not go while the other names its source.
    service.wire("metadata_agent.ini", &[]);
    let wired = service.text("neutron.conf");
    let refused = service.run("neutron.conf", &["--undo"]).failed(5);
    assert!(refused.contains("metadata_agent.ini names its source `donjon`"), "{refused}");
    assert!(refused.contains("metadata_agent.ini --undo`"), "{refused}");
    assert_eq!((service.text("neutron.conf"), service.reads(&both)), (wired, READ.to_owned()));
    service.wire("metadata_agent.ini", &["--undo"]);
    service.wire("neutron.conf", &["--undo"]);
    assert_eq!(
        (service.text("neutron.conf"), service.text("metadata_agent.ini")),
        (FIRST.to_owned(), SECOND.to_owned())
    );
    assert_eq!(service.reads(&both), READ);
}

#[test]
fn a_third_file_takes_nothing_from_the_second_whichever_of_them_a_process_reads() {
    let service = Service::new();
    let (first, second, third) = ("neutron.conf", "metadata_agent.ini", "nova_agent.ini");
    service.write(third, THIRD.split("[database]").next().unwrap());
    let sets = [&[first, second, third][..], &[first, third], &[first, second], &[first]];
    let reads = || sets.map(|files| service.reads(files));
    let before = reads();
    assert_eq!(before[0], READ.replace("empty", "canary-canary-4"), "the control");
    for name in [first, second, third] {
        service.wire(name, &[]);
        assert!(!service.text(name).contains("canary"), "{name}");
        assert_eq!(reads(), before, "once {name} is wired");
    }
    assert!(service.text(third).contains("config_source = donjon_nova_agent,donjon_metadata_agent,donjon\n"));
    for files in sets {
        service.shows(files).ok();
    }
    // That a file has the source elsewhere is said; where nothing says so, or that file is read and has lost it, it is an error.
    let said = service.text(second);
    service.write(second, &said.replace("driver = donjon\n", ""));
    assert!(service.shows(&[first, second, third]).failed(2).contains("`driver` is missing"));
    service.write(second, &said);

    for (name, by) in [(first, 2), (second, 1)] {
        let refused = service.run(name, &["--undo"]).failed(5);
        assert_eq!(refused.matches("names its source").count(), by, "{refused}");
    }
    for name in [third, second, first] {
        service.wire(name, &["--undo"]);
        assert_eq!(reads(), before, "once {name} is undone");
    }
    assert_eq!(service.text(second), SECOND);
}

/// It may be in another order than the one in which a process reads them, which is not told.
#[test]
fn what_a_later_file_would_change_of_those_before_it_is_seen_before_it_stays() {
    let service = Service::new();
    for name in ["neutron.conf", "metadata_agent.ini"] {
        service.wire(name, &[]);
    }
    // Another value than the store has by that name.
    let refused = service.run("nova_agent.ini", &[]).failed(5);
    assert!(refused.contains("`neutron.database.connection` has another value"), "{refused}");
    // Somebody took the source of the second out of its own file.
    service.write("nova_agent.ini", THIRD.split("[database]").next().unwrap());
    let said = service.text("metadata_agent.ini");
    service.write("metadata_agent.ini", &format!("{said}[donjon]\nmapping_file = {}\n", service.at("empty").display()));
    service.write("empty", "");
    let refused = service.run("nova_agent.ini", &[]).failed(1);
    assert!(refused.contains("would be read otherwise than before"), "{refused}");
    assert!(refused.contains("the service's file is as it was") && !refused.contains("canary"), "{refused}");
    assert!(service.text("nova_agent.ini").contains("canary-canary-4"));
}

#[test]
fn a_copy_beside_the_first_is_not_taken_for_it() {
    let service = Service::new();
    service.wire("neutron.conf", &[]);
    // It comes before it by the alphabet.
    let copied = service.text("neutron.conf");
    service.write("neutron-old.conf", &copied);
    service.wire("metadata_agent.ini", &[]);
    let own = format!("defined_in = {}\n", service.at("neutron.conf").display());
    assert!(service.text("metadata_agent.ini").contains(&own), "{}", service.text("metadata_agent.ini"));
    service.wire("metadata_agent.ini", &["--undo"]);
    // Once nothing is kept that says which one was wired, it is asked for.
    service.wire("neutron.conf", &["--confirm"]);
    let refused = service.run("metadata_agent.ini", &[]).failed(5);
    assert!(refused.contains("neutron-old.conf names it") && refused.contains("take the copies out"), "{refused}");
    std::fs::remove_file(service.at("neutron-old.conf")).unwrap();
    service.wire("metadata_agent.ini", &[]);
    assert_eq!(service.reads(&["neutron.conf", "metadata_agent.ini"]), READ);
}
