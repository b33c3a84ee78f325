//! Reading a wired file as the service will: by another process, as the service's own user, who has what its role grants and
//! nothing else.

use crate::{
    failure::{Exit, Failure},
    wire::oslo::Moved,
};
use donjon_policies::deployment::Account;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};
use zeroize::Zeroizing;

/// A user of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whom a service runs as: the one of these whose file it is, else the first that there is. `None` where this process cannot
    /// become another.
    pub(super) fn of_service(file: &Path, users: &BTreeSet<Account>) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let known = std::fs::read_to_string(USERS).ok()?;
        let owner = std::fs::metadata(file).ok()?.uid();
        let found: Vec<Self> = users.iter().filter_map(|account| Self::find(&known, account)).collect();
        found.iter().find(|user| user.uid == owner).or(found.first()).copied()
    }

    fn find(known: &str, account: &Account) -> Option<Self> {
        let mut lines = known.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let line = lines.find(|fields| match account {
            Account::Name(name) => fields.first() == Some(&name.as_str()),
            Account::Number(number) => fields.get(2).and_then(|uid| uid.parse().ok()) == Some(*number),
        })?;
        Some(Self { uid: line.get(2)?.parse().ok()?, gid: line.get(3)?.parse().ok()? })
    }

    /// Reads the file as this user, and compares what moved.
    pub(super) fn reads(self, file: &Path, moved: &[Moved]) -> Result<(), Failure> {
        let failed = |what: &str| {
            Failure::new(Exit::NotAllowed, format!("the service's own user ({}) cannot read what moved", self.uid))
                .cause(what.to_owned())
        };
        // The program itself, wherever it lies: the user may not come there.
        let mut child = Command::new("/proc/self/exe");
        child.args(["config", "show", "--reveal", "--output", "json", "--config-file"]).arg(file);
        child.env_clear().env("DONJON_HOME", "/nonexistent").current_dir("/");
        child.uid(self.uid).gid(self.gid).stdin(Stdio::null());
        let ran = child.output().map_err(|error| failed(&error.to_string()))?;
        let said = Zeroizing::new(ran.stdout);
        let told: Value = serde_json::from_slice(&said)
            .map_err(|_| failed(String::from_utf8_lossy(&ran.stderr).trim().trim_start_matches("error: ")))?;
        for Moved { option, value, .. } in moved {
            let is = |row: &&Value| row["group"] == option.group.as_str() && row["option"] == option.name.as_str();
            // EXPOSE: compared
            let same = |row: &Value| row["value"].as_str() == Some(value.expose());
            match told["options"].as_array().into_iter().flatten().find(is) {
                Some(row) if same(row) => {}
                Some(_) => return Err(failed(&format!("{option} would be read otherwise than before"))),
                None => {
                    let mut untold = told["untold"].as_array().into_iter().flatten();
                    let why = untold.find(|row| row["option"] == option.to_string().as_str());
                    return Err(failed(&format!(
                        "{option}: {}",
                        why.map_or("it is not set", |row| row["why"].as_str().unwrap_or_default())
                    )));
                }
            }
        }
        Ok(())
    }
}

const USERS: &str = "/etc/passwd";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let known = "root:x:0:0:root:/root:/bin/sh\nnova:x:162:163::/var/lib/nova:/bin/false\nbroken\n";
        let nova = Some(User { uid: 162, gid: 163 });
        assert_eq!(User::find(known, &Account::Name("nova".to_owned())), nova);
        assert_eq!(User::find(known, &Account::Number(162)), nova);
        assert_eq!(User::find(known, &Account::Name("broken".to_owned())), None);
    }
}
