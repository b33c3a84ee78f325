//! A host that is reached by the system's OpenSSH: one connection for many commands, never a question.

use super::{Command, Host, HostError, Output, local, registry::Place};
use crate::{
    fs,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The driver `ssh`.
pub(super) const DRIVER: Driver<Place, Arc<dyn Host>> = Driver {
    name: "ssh",
    help: "a host behind the system's OpenSSH, which asks no question",
    options: &[
        Description {
            name: "address",
            kind: Kind::Like("10.0.0.11"),
            need: Need::Required,
            help: "its name, address or alias",
        },
        Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Optional, help: "its port" },
        Description { name: "user", kind: Kind::Like("root"), need: Need::Optional, help: "as whom to log in" },
        Description { name: "identity", kind: Kind::Path, need: Need::Optional, help: "the file of the private key" },
        Description { name: "known_hosts", kind: Kind::Path, need: Need::Optional, help: "the file of hosts' keys" },
        Description { name: "config", kind: Kind::Path, need: Need::Optional, help: "OpenSSH's configuration file" },
        Description {
            name: "connect_timeout",
            kind: Kind::Number(1, 300),
            need: Need::Number(10),
            help: "how long connecting may take, in seconds",
        },
        local::BEFORE,
    ],
    open: |place, checked| {
        let login: Login = typed(checked)?;
        // A socket's path has 107 bytes, of which OpenSSH takes a slash, 40 for the host and 17 while it connects.
        match place.control.as_os_str().len() {
            ..=45 => Ok(Arc::new(Ssh::new(place.name, login, &place.control))),
            long => Err(format!("the folder for connections has a path of {long} bytes; 45 are possible")),
        }
    },
};

/// A host behind SSH.
#[derive(Debug, Clone)]
pub struct Ssh {
    name: String,
    login: Login,
    control: PathBuf,
}

/// How to get there. What is not given is OpenSSH's own configuration to say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Login {
    /// The host's name or address, or its alias in OpenSSH's configuration.
    pub address: String,
    /// Its port.
    pub port: Option<u16>,
    /// As whom.
    pub user: Option<String>,
    /// The file of the private key.
    pub identity: Option<PathBuf>,
    /// The file of the hosts' keys.
    pub known_hosts: Option<PathBuf>,
    /// OpenSSH's configuration file.
    pub config: Option<PathBuf>,
    /// How long connecting may take, in seconds.
    #[serde(rename = "connect_timeout")]
    pub connect: u64,
    /// What stands before each command's words, such as `sudo -n --`.
    #[serde(default)]
    pub before: Vec<String>,
}

impl Ssh {
    /// A host of this name. Its connection's socket is kept in `control`, a folder that only this user may enter.
    pub fn new(name: impl Into<String>, login: Login, control: &Path) -> Self {
        Self { name: name.into(), login, control: control.to_owned() }
    }

    fn arguments(&self) -> Vec<String> {
        let login = &self.login;
        let mut arguments = vec!["ssh".to_owned(), "-T".to_owned(), "-x".to_owned(), "-a".to_owned()];
        let mut option = |name: &str, value: &str| arguments.extend(["-o".to_owned(), format!("{name}={value}")]);
        option("BatchMode", "yes");
        // Whatever the user's own configuration says: a host that is not known gets no keys and no values, and nothing of
        // this host is at its hand.
        option("StrictHostKeyChecking", "yes");
        option("ForwardAgent", "no");
        option("PermitLocalCommand", "no");
        option("ControlMaster", "auto");
        option("ControlPersist", "60");
        // %C keeps the path short whatever the host is called; quoted, since OpenSSH splits values at blanks.
        option("ControlPath", &format!("\"{}/%C\"", self.control.display()));
        option("ConnectTimeout", &login.connect.to_string());
        option("ServerAliveInterval", "5");
        option("ServerAliveCountMax", "3");
        if let Some(path) = &login.known_hosts {
            option("UserKnownHostsFile", &format!("\"{}\"", path.display()));
        }
        if let Some(path) = &login.identity {
            option("IdentityFile", &format!("\"{}\"", path.display()));
            option("IdentitiesOnly", "yes");
        }
        let mut flag = |flag: &str, value: Option<String>| {
            arguments.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        };
        flag("-F", login.config.as_ref().map(|path| path.display().to_string()));
        flag("-p", login.port.map(|port| port.to_string()));
        flag("-l", login.user.clone());
        arguments.extend(["--".to_owned(), login.address.clone()]);
        arguments
    }
}

#[async_trait]
impl Host for Ssh {
    async fn run(&self, command: Command<'_>) -> Result<Output, HostError> {
        let unreachable = |source| HostError::Unreachable { host: self.name.clone(), source };
        let program = command.words.first().copied().unwrap_or_default();
        fs::private_folder(&self.control).map_err(|error| unreachable(io::Error::other(error)))?;
        let within = command.within + Duration::from_secs(self.login.connect);
        let words = self.login.before.iter().map(String::as_str).chain(command.words.iter().copied());
        let line = line(words, within).map_err(|source| HostError::NotRunnable {
            host: self.name.clone(),
            program: program.to_owned(),
            source,
        })?;
        let mut arguments = self.arguments();
        arguments.push(line);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended =
            local::run(&self.name, &arguments, &["SSH_AUTH_SOCK"], command.input, within, local::MOST_OUT).await;
        match ended {
            Ok(Output { code: Some(OWN_ERROR), err, .. }) => Err(unreachable(io::Error::other(said(&err)))),
            Ok(Output { code: Some(code @ (126 | 127)), .. }) => Err(HostError::NotRunnable {
                host: self.name.clone(),
                program: program.to_owned(),
                source: if code == 127 { io::ErrorKind::NotFound } else { io::ErrorKind::PermissionDenied }.into(),
            }),
            Err(HostError::TimedOut { host, .. }) => {
                Err(HostError::TimedOut { host, program: program.to_owned(), within: command.within })
            }
            other => other,
        }
    }
}

/// Closes every connection whose socket is in `control`, with what still runs over it. Left alone, each closes a minute
/// after its last command. One that has died already is no error; its socket is removed.
pub async fn close(control: &Path) {
    let Ok(sockets) = std::fs::read_dir(control) else { return };
    for socket in sockets.flatten().filter(|entry| is_socket(&entry.file_name())).map(|entry| entry.path()) {
        let path = format!("ControlPath=\"{}\"", socket.display());
        let words = ["ssh", "-F", "/dev/null", "-O", "exit", "-o", &path, "--", "closed"];
        // Whatever it says, nothing can be done but to forget it.
        let _ = local::run("the deployment host", &words, &[], None, CLOSING, local::MOST_OUT).await;
        let _ = std::fs::remove_file(&socket);
    }
}

/// What OpenSSH makes of `%C`.
fn is_socket(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

const CLOSING: Duration = Duration::from_secs(5);

/// OpenSSH's exit code for its own errors. A command that ends so too is not told apart.
const OWN_ERROR: i32 = 255;

/// The line for the far shell, which sees exactly these words. Should the connection break, `timeout` ends the command
/// there a little after nobody waits for it any more.
fn line<'a>(words: impl Iterator<Item = &'a str>, within: Duration) -> io::Result<String> {
    let mut line = format!("exec timeout -k 2 {}", within.as_secs() + 5);
    for word in words {
        if word.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        line.push(' ');
        line.push_str(&quoted(word));
    }
    Ok(line)
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What OpenSSH says of its own error; a far command's words are left out.
fn said(err: &str) -> String {
    let own = |line: &&str| {
        ["ssh: ", "Host key verification failed", "Connection ", "kex_exchange", "Bad ", "unix_listener"]
            .iter()
            .any(|start| line.starts_with(start))
            || line.contains("Permission denied (")
    };
    err.lines().map(str::trim).rfind(own).unwrap_or("ssh ended with 255").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_asked_and_the_address_is_no_option() {
        let login = Login {
            address: "-oProxyCommand=x".into(),
            port: Some(2222),
            user: None,
            identity: Some("/k".into()),
            known_hosts: None,
            config: None,
            connect: 5,
            before: vec![],
        };
        let arguments = Ssh::new("h", login, Path::new("/run/x")).arguments().join(" ");
        for option in ["BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no", "PermitLocalCommand=no"] {
            assert!(arguments.contains(&format!("-o {option}")), "{arguments}");
        }
        assert!(arguments.ends_with("-p 2222 -- -oProxyCommand=x"), "{arguments}");
    }

    #[test]
    fn only_openssh_itself_is_quoted() {
        assert_eq!(
            said("value=canary\nssh: connect to host x port 22: Connection refused\n"),
            "ssh: connect to host x port 22: Connection refused"
        );
        assert_eq!(said("value=canary\n"), "ssh ended with 255");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_far_shell_sees_the_same_words(words in prop::collection::vec("[^\0]{0,12}", 1..6)) {
            let all = ["printf", "%s\\0"].into_iter().chain(words.iter().map(String::as_str));
            let line = line(all, Duration::from_secs(5)).unwrap();
            let output = std::process::Command::new("sh").arg("-c").arg(line).output().unwrap();
            let seen: Vec<_> = output.stdout.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
            prop_assert_eq!(&seen[..seen.len() - 1], &words[..]);
        }
    }
}
