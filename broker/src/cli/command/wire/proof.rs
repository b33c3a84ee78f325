//! Reading a wired file as the service will: by another process, as the service's own user, who has what its role grants and
//! nothing else.

use crate::{
    callers::{Accounts, User},
    failure::{Exit, Failure},
    wire::oslo::Moved,
};
use donjon_policies::deployment::Reads;
use serde_json::Value;
use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};
use zeroize::Zeroizing;

/// Whom a service runs as: of the users of its role, and those whose own group its role names, the one whose file it is, else
/// the first. `None` where there is none, or where this process cannot become another.
pub(super) fn user_of_service(file: &Path, role: &Reads, accounts: &Accounts) -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let owner = std::fs::metadata(file).ok()?.uid();
    let users = role.users.iter().filter_map(|user| accounts.known(user));
    let found: Vec<User> = users.chain(role.groups.iter().flat_map(|group| accounts.of_group(group))).collect();
    found.iter().find(|user| user.uid == owner).or(found.first()).copied()
}

/// Reads the file as this user, and compares what moved.
pub(super) fn reads(user: User, file: &Path, moved: &[Moved]) -> Result<(), Failure> {
    let failed = |what: &str| {
        Failure::new(Exit::NotAllowed, format!("the service's own user ({}) cannot read what moved", user.uid))
            .cause(what.to_owned())
    };
    // The program itself, wherever it lies: the user may not come there.
    let mut child = Command::new("/proc/self/exe");
    child.args(["config", "show", "--reveal", "--output", "json", "--config-file"]).arg(file);
    child.env_clear().env("DONJON_HOME", "/nonexistent").current_dir("/");
    child.uid(user.uid).gid(user.gid).stdin(Stdio::null());
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
