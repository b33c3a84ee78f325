//! A booted Debian with systemd and an OpenSSH server, as a host of a deployment.

use crate::{podman::Booted, port};
use donjon_drivers::host::ssh::{Login, Ssh};
use std::{
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A host behind SSH.
#[derive(Debug)]
pub struct DebianRoot {
    booted: Booted,
    port: u16,
    control: TempDir,
}

impl DebianRoot {
    /// Boots one and waits for its SSH server, which lets in a key made for this test.
    pub async fn boot() -> Self {
        Self::of(Booted::start().await).await
    }

    /// Makes a host of what was booted.
    pub async fn of(booted: Booted) -> Self {
        let port = port::free();
        let folder = booted.folder();
        for name in ["key", "host_key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
                .arg(folder.join(name))
                .stdin(Stdio::null())
                .status();
            assert!(made.unwrap().success());
        }
        let public = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        write(&folder.join("authorized"), &public("key.pub"));
        write(&folder.join("known_hosts"), &format!("[127.0.0.1]:{port} {}", public("host_key.pub")));
        write(
            &folder.join("sshd_config"),
            &format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey /test/host_key\nAuthorizedKeysFile /test/authorized\n\
                 PasswordAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n"
            ),
        );
        booted.told(&[
            "systemd-run",
            "--unit=sshd-of-the-test",
            "--property=RuntimeDirectory=sshd",
            "/usr/sbin/sshd",
            "-D",
            "-f",
            "/test/sshd_config",
        ]);
        crate::wait::until("sshd", Duration::from_secs(60), async || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        })
        .await;
        let control = control_folder();
        Self { booted, port, control }
    }

    /// How to log in.
    pub fn login(&self) -> Login {
        Login {
            address: Ipv4Addr::LOCALHOST.to_string(),
            port: Some(self.port),
            user: Some("root".to_owned()),
            identity: Some(self.booted.folder().join("key")),
            known_hosts: Some(self.booted.folder().join("known_hosts")),
            config: Some(PathBuf::from("/dev/null")),
            connect: 5,
            before: Vec::new(),
        }
    }

    /// The folder of the connections' sockets.
    pub fn control(&self) -> &Path {
        self.control.path()
    }

    /// It as a host of this name.
    pub fn host(&self, name: &str) -> Ssh {
        Ssh::new(name, self.login(), self.control())
    }

    /// Puts a unit there and starts it.
    pub fn unit(&self, name: &str, content: &str) {
        write(&self.booted.folder().join(name), content);
        self.booted.told(&["cp", &format!("/test/{name}"), "/etc/systemd/system/"]);
        self.booted.told(&["systemctl", "daemon-reload"]);
    }
}

impl std::ops::Deref for DebianRoot {
    type Target = Booted;
    fn deref(&self) -> &Booted {
        &self.booted
    }
}

/// A folder for the sockets of connections: this user's alone, and with the short path that they need.
pub fn control_folder() -> TempDir {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    tempfile::Builder::new().prefix("s.").permissions(mode).tempdir_in("/tmp").unwrap()
}

fn write(path: &Path, content: &str) {
    donjon_drivers::fs::replace(path, content.as_bytes()).unwrap();
}
