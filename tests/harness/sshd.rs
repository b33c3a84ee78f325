//! A real sshd in a folder of its own, which lets in this system's users by the keys that lie in that folder.

use crate::{
    port,
    process::{Guard, tied, wait_for},
};
use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A server. It needs root, as every sshd that serves several users.
#[derive(Debug)]
pub struct Sshd {
    /// Its port on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    _process: Guard,
}

impl Sshd {
    /// Starts one.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("sshd.").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = port::free();
        let own = |name: &str| folder.path().join(name).display().to_string();
        keygen(Path::new(&own("host_key")));
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}/%u/keys\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nMaxStartups 100\nLogLevel ERROR\n",
            own("host_key"),
            folder.path().display()
        );
        donjon_drivers::fs::replace(Path::new(&own("sshd_config")), settings.as_bytes()).unwrap();
        let public = fs::read_to_string(own("host_key.pub")).unwrap();
        let known = format!("[127.0.0.1]:{port} {public}");
        donjon_drivers::fs::replace(Path::new(&own("known_hosts")), known.as_bytes()).unwrap();
        // Its children part with their rights there; the package makes this folder when its service starts. Another test of the
        // same process may have cleared the umask, and sshd refuses to start where others may write.
        fs::create_dir_all("/run/sshd").unwrap();
        fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(own("log")).unwrap();
        let mut command = tied("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", &own("sshd_config")]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Guard::start(&mut command).expect("openssh-server is installed");
        wait_for("sshd to listen", Duration::from_secs(60), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, folder, _process: process }
    }

    /// Where a user's keys are, with `%u` for the name.
    pub fn pattern(&self) -> String {
        self.folder.path().join("%u/keys").display().to_string()
    }

    /// The file of its host key.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// The folder in which everything of it lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a user a file of keys.
    pub fn user(&self, name: &str, content: &str) -> PathBuf {
        let [uid, gid] = ["-u", "-g"].map(|of| {
            let id = Command::new("id").args([of, name]).output().unwrap().stdout;
            String::from_utf8(id).unwrap().trim().parse::<u32>().expect("the user is there")
        });
        let folder = self.folder.path().join(name);
        fs::DirBuilder::new().mode(0o755).create(&folder).unwrap();
        let file = folder.join("keys");
        donjon_drivers::fs::replace_with_mode(&file, content.as_bytes(), 0o640).unwrap();
        for path in [&folder, &file] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        file
    }
}

/// A new key pair: the private key as OpenSSH writes it, and the public one without a comment.
pub fn key_pair() -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    keygen(&path);
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    (fs::read_to_string(&path).unwrap(), public.trim().to_owned())
}

fn keygen(path: &Path) {
    let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).status();
    assert!(done.expect("openssh-client is installed").success());
}
