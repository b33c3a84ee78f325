//! Two files of one service, each wired by itself, as a real oslo.config process reads them together.

use donjon_tests::{donjon::Donjon, python_driver, tools};
use std::{path::PathBuf, process::Command};

const SERVICE: &str = r#"
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("transport_url", default="rabbit://"), cfg.StrOpt("metadata_proxy_shared_secret", default="none")])
conf.register_opts([cfg.StrOpt("connection", default="sqlite://")], "database")
conf(sys.argv[1:], default_config_files=[], default_config_dirs=[])
print(conf.transport_url, conf.database.connection, conf.metadata_proxy_shared_secret)
"#;
const FIRST: &str =
    "[DEFAULT]\ntransport_url = rabbit://u:canary-1@h//\n[database]\nconnection = mysql://u:canary-2@h/d\n";
const SECOND: &str = "[DEFAULT]\ndebug = true\nmetadata_proxy_shared_secret = canary-canary-3\n";
const READ: &str = "rabbit://u:canary-1@h// mysql://u:canary-2@h/d canary-canary-3\n";

struct Service {
    donjon: Donjon,
    folder: tempfile::TempDir,
    package: tempfile::TempDir,
}

impl Service {
    fn new() -> Self {
        let (donjon, folder) = (Donjon::new(), tempfile::tempdir().unwrap());
        let reads = "neutron.transport_url, neutron.database.connection, neutron.metadata_proxy_shared_secret";
        donjon.describe(&format!("deployment: default\nroles: {{neutron: {{reads: [{reads}]}}}}\n"));
        donjon.run(&["up", "--store", "file"]).ok();
        let service = Self { donjon, folder, package: python_driver::installed() };
        for (name, text) in [("neutron.conf", FIRST), ("metadata_agent.ini", SECOND)] {
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

    fn wire(&self, name: &str, more: &[&str]) -> String {
        let file = self.at(name).display().to_string();
        self.donjon.run(&[&["wire", "oslo", "--service", "neutron", "--config", &file], more].concat()).ok()
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

    // The first can go first, too.
    service.wire("metadata_agent.ini", &[]);
    service.wire("neutron.conf", &["--undo"]);
    assert_eq!(service.text("neutron.conf"), FIRST);
    assert_eq!(service.reads(&both), READ);
}
