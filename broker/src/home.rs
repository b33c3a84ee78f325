//! Where Donjon keeps its files: one folder, and fixed names in it.

use crate::{
    daemon::{start::NOT_STARTED, translate},
    failure::{Exit, Failure},
};
use donjon_policies::deployment::LOOKUP_SOCKET;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The folder named by `DONJON_HOME`; else `/var/lib/donjon` for root, else the XDG state folder.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self, Failure> {
        if let Some(home) = env::var_os("DONJON_HOME").filter(|h| !h.is_empty()) {
            let home = PathBuf::from(home);
            return match home.is_absolute() {
                true => Ok(Self(home)),
                false => Err(Failure::new(
                    Exit::Usage,
                    format!("DONJON_HOME is `{}`, which is not an absolute path", home.display()),
                )),
            };
        }
        if rustix::process::geteuid().is_root() {
            return Ok(Self("/var/lib/donjon".into()));
        }
        let state = env::var_os("XDG_STATE_HOME").filter(|s| !s.is_empty()).map(PathBuf::from);
        let user = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let missing = || Failure::new(Exit::Usage, "neither DONJON_HOME, XDG_STATE_HOME nor HOME is set");
        Ok(Self(state.or_else(user).ok_or_else(missing)?.join("donjon")))
    }

    /// A folder given outright.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The folder of the socket; 0700, because that is what keeps others out.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        env::var_os("DONJON_SOCKET")
            .filter(|s| !s.is_empty())
            .map_or_else(|| self.run().join("donjon.sock"), PathBuf::from)
    }

    /// The socket to ask at: the daemon's own, or the lookup socket for a user who has no daemon.
    pub fn socket_to_ask(&self) -> PathBuf {
        let own = self.socket();
        let lookup = PathBuf::from(LOOKUP_SOCKET);
        let stranger = is_by_default() && !own.exists();
        if stranger && lookup.exists() { lookup } else { own }
    }

    /// What to know of an error at the socket where nobody has said which home is meant.
    pub fn told(&self, failure: Failure) -> Failure {
        if is_by_default() { self.by_default(failure) } else { failure }
    }

    /// That nobody has said which home is meant: whoever starts a daemon at the default one has a second store, which is empty.
    pub fn by_default(&self, mut failure: Failure) -> Failure {
        failure.causes.push(format!("DONJON_HOME is not set, so it is {}", self.0.display()));
        let other = "if it has another home, set DONJON_HOME (sudo drops it)";
        failure.hint = Some(failure.hint.map_or_else(|| other.to_owned(), |hint| format!("{other}; else {hint}")));
        failure
    }

    /// Makes the folder. Those above it are made where it is the default one alone: a disk that is not mounted lacks them.
    pub fn make(&self) -> Result<(), Failure> {
        let above = self.0.parent().unwrap_or(&self.0);
        if named("DONJON_HOME") && !above.exists() {
            return Err(Failure::new(Exit::NotThere, "cannot use DONJON_HOME")
                .state(NOT_STARTED)
                .cause(format!("{} is not there", above.display()))
                .hint(format!("is the disk mounted? a new folder is yours to make: `mkdir -p {}`", above.display())));
        }
        donjon_drivers::fs::private_folder(&self.0)
            .map_err(|error| translate::file("cannot use DONJON_HOME", &error).state(NOT_STARTED))
    }

    /// The folder of the sockets of connections to other hosts.
    pub fn connections(&self) -> PathBuf {
        self.run().join("ssh")
    }

    /// The lock that one daemon holds.
    pub fn lock(&self) -> PathBuf {
        self.0.join("daemon.lock")
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.0.join("daemon.log")
    }

    /// The figures for Prometheus, where the deployment file names no other file.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.prom")
    }

    /// The audit log.
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    /// The name by which other brokers know the one of this home.
    pub fn reader(&self) -> PathBuf {
        self.0.join("reader")
    }

    /// The temporary Vault's folder.
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// What is on its way to the overcloud: the file of the Vault's snapshot, and the new shares.
    pub fn overcloud(&self) -> PathBuf {
        self.0.join("overcloud")
    }

    /// The file store's folder.
    pub fn file_store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The deployment file: `DONJON_CONFIG`, else `donjon.yaml` here.
    pub fn deployment_file(&self) -> PathBuf {
        env::var_os("DONJON_CONFIG").filter(|c| !c.is_empty()).map_or_else(|| self.0.join("donjon.yaml"), PathBuf::from)
    }
}

/// Whether nobody has said where the daemon is.
fn is_by_default() -> bool {
    !named("DONJON_HOME") && !named("DONJON_SOCKET")
}

fn named(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_forgotten_the_home_is_not_led_to_a_second_store() {
        let down = Failure::new(Exit::Unavailable, "donjon is not up").hint("`donjon up` starts it");
        let home = Home::at("/var/lib/donjon".into());
        let told = home.by_default(down);
        assert_eq!(told.causes, ["DONJON_HOME is not set, so it is /var/lib/donjon"]);
        let hint = told.hint.unwrap();
        assert!(
            hint.starts_with("if it has another home, set DONJON_HOME (sudo drops it); else `donjon up`"),
            "{hint}"
        );
        let refused = home.by_default(Failure::new(Exit::NotAllowed, "x"));
        assert_eq!(
            (refused.code, refused.hint.as_deref()),
            (Exit::NotAllowed, hint.split_once("; else").map(|(start, _)| start))
        );
    }
}
