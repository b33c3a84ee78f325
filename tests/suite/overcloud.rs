//! The deployment host and an overcloud of three controllers, to which two commands carry everything.

use donjon_tests::{
    castellan::Castellan,
    cluster::Cluster,
    donjon::{Donjon, Ran},
};
use std::{path::PathBuf, time::Duration};

/// A deployment in which Keystone reads the URL of its database; more roles may follow.
pub(super) const DEPLOYMENT: &str = "
deployment: site1
catalogue: kolla-ansible
views:
  keystone.database.connection: 'mysql+pymysql://keystone:{keystone_database_password:url}@10.0.0.11/keystone'
roles:
  keystone: {reads: [keystone.database.connection]}
";

/// How long is waited for somebody who serves once the leader of the cluster has died. An election took 3.4 to 4.6 seconds
/// here; a server that is slow to notice may stand for a second one, and a machine may be busy.
pub(super) const ELECTION: Duration = Duration::from_secs(60);

/// Both ends, and a folder for files.
pub(super) struct Overcloud {
    pub(super) donjon: Donjon,
    pub(super) cluster: Cluster,
    pub(super) files: tempfile::TempDir,
    pub(super) people: Vec<Person>,
}

/// A person with an age identity in a file.
pub(super) struct Person {
    pub(super) identity: age::x25519::Identity,
    pub(super) path: String,
}

impl Person {
    pub(super) fn new(files: &tempfile::TempDir, name: &str) -> Self {
        use age::secrecy::ExposeSecret;
        let identity = age::x25519::Identity::generate();
        let path = files.path().join(name);
        donjon_drivers::fs::replace(&path, identity.to_string().expose_secret().as_bytes()).unwrap();
        Self { identity, path: path.display().to_string() }
    }

    pub(super) fn key(&self) -> String {
        self.identity.to_public().to_string()
    }
}

impl Overcloud {
    /// The deployment host is up and holds a few secrets.
    pub(super) fn new(deployment: &str, up: &[&str], cluster: Cluster) -> Self {
        let (donjon, files) = (Donjon::new(), tempfile::tempdir().unwrap());
        donjon.describe(deployment);
        donjon.run(&[&["up"], up].concat()).ok();
        donjon.run_with_input(&["put", "keystone_database_password"], b"s3cret-4711").ok();
        donjon.run(&["generate", "heat_database_password", "glance_database_password"]).ok();
        let people = ["a", "b", "c"].map(|name| Person::new(&files, name)).into();
        Self { donjon, cluster, files, people }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A command of the deployment host about these controllers.
    pub(super) fn command(&self, words: &[&str], nodes: &[usize], more: &[&str]) -> Vec<String> {
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        all.extend(["--cacert".to_owned(), self.cluster.authority_file().display().to_string()]);
        for node in nodes {
            all.extend(["--address".to_owned(), self.cluster.url(*node)]);
        }
        all.extend(more.iter().map(|word| (*word).to_owned()));
        all
    }

    pub(super) fn run(&self, words: &[&str], nodes: &[usize], more: &[&str]) -> Ran {
        let command = self.command(words, nodes, more);
        self.donjon.run(&command.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What an unchanged service reads through one of the controllers, with an AppRole from this folder.
    pub(super) fn service(&self, node: usize, approle: &str) -> String {
        let (url, authority) = (self.cluster.url(node), Some(self.cluster.authority_file()));
        Castellan { url, authority, approle: self.path(approle) }.connection(self.files.path())
    }
}
