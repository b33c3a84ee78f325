//! A service with unchanged castellan: the files that it reads, and what it reads by them.

use crate::tools;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The view that is mapped to a service's `[database] connection`.
pub const CONNECTION: &str = "keystone.database.connection";

/// Where its secrets are, and with which credential it reads them.
#[derive(Debug, Clone)]
pub struct Castellan {
    /// The server.
    pub url: String,
    /// Who is trusted there; none where it is asked without TLS.
    pub authority: Option<PathBuf>,
    /// The folder that holds its AppRole: `role-id` and `secret-id`.
    pub approle: PathBuf,
}

impl Castellan {
    /// Writes what it needs into a folder, and answers the lines of a service's file that lead there.
    ///
    /// # Panics
    /// Where the AppRole cannot be read or the folder not be written.
    pub fn configure(&self, folder: &Path) -> String {
        let read = |name: &str| std::fs::read_to_string(self.approle.join(name)).expect("the AppRole is there");
        let (role, secret) = (read("role-id"), read("secret-id"));
        let trust = self.authority.as_ref().map(|file| format!("ssl_ca_crt_file = {}\n", file.display()));
        let settings = format!(
            "[key_manager]\nbackend = vault\n[vault]\nvault_url = {}\n{}kv_mountpoint = donjon\nkv_path = site1\n\
             approle_role_id = {}\napprole_secret_id = {}\n",
            self.url,
            trust.unwrap_or_default(),
            role.trim(),
            secret.trim()
        );
        let mapping = format!("[database]\nconnection = {CONNECTION}\n");
        let at = |name: &str| folder.join(name);
        for (name, content) in [(SETTINGS, settings), (MAPPING, mapping)] {
            donjon_drivers::fs::replace(&at(name), content.as_bytes()).expect("the folder can be written");
        }
        let (settings, mapping) = (at(SETTINGS), at(MAPPING));
        format!(
            "[DEFAULT]\nconfig_source = secrets\n[secrets]\ndriver = castellan\nconfig_file = {}\nmapping_file = {}\n",
            settings.display(),
            mapping.display()
        )
    }

    /// What a service reads as its database's URL when it starts.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn connection(&self, folder: &Path) -> String {
        let lines = self.configure(folder);
        donjon_drivers::fs::replace(&folder.join("service.conf"), lines.as_bytes()).expect("the folder can be written");
        let mut python = Command::new(tools::program("python3"));
        let output = python.args(["-c", SERVICE]).current_dir(folder).output().expect("python can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

const SETTINGS: &str = "castellan.conf";
const MAPPING: &str = "mapping.conf";
const SERVICE: &str = "
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt('connection', default='sqlite://')], group='database')
conf(['--config-file', 'service.conf'], project='service')
print(conf.database.connection)
";
