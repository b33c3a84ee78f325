//! Reading a wired file as the service will: by another process, as the service's own user, who has what its role grants and
//! nothing else.

use crate::{
    callers::{Accounts, User},
    failure::{Exit, Failure},
    wire::oslo::Moved,
};
use donjon_policies::deployment::Reads;
use rustix::process::{Gid, Uid};
use serde_json::Value;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use zeroize::Zeroizing;

/// Whom a service runs as: of the users of its role, and those of the groups that its role names, the one whose file it is, else
/// the first. `None` where there is none, or where this process cannot become another.
pub(super) fn user_of_service(file: &Path, role: &Reads, accounts: &Accounts) -> Option<Login> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let owner = std::fs::metadata(file).ok()?.uid();
    let users = role.users.iter().filter_map(|user| accounts.known(user));
    let found: Vec<User> = users.chain(role.groups.iter().flat_map(|group| accounts.of_group(group))).collect();
    let user = *found.iter().find(|user| user.uid == owner).or(found.first())?;
    Some(Login { user, groups: accounts.groups_of(user) })
}

/// A user as a service has it.
#[derive(Debug)]
pub(super) struct Login {
    user: User,
    groups: Vec<u32>,
}

impl Login {
    /// What a program says that runs as this user, with its groups.
    fn runs(&self, mut program: Command) -> io::Result<Output> {
        let (uid, gid) = (Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid));
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        let run = move || {
            rustix::thread::set_thread_groups(&groups)?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
            program.output()
        };
        // `Command::uid` takes all groups away. Linux keeps users and groups per thread, and a child has those of its thread.
        let thread = std::thread::Builder::new().spawn(run)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it panicked")))
    }
}

/// Reads the files as this user, and compares what moved.
pub(super) fn reads(login: &Login, files: &[PathBuf], moved: &[&Moved]) -> Result<(), Failure> {
    let failed = |what: &str| {
        Failure::new(Exit::NotAllowed, format!("the service's own user ({}) cannot read what moved", login.user.uid))
            .cause(what.to_owned())
    };
    // The program itself, wherever it lies: the user may not come there.
    let mut child = Command::new("/proc/self/exe");
    child.args(["config", "show", "--reveal", "--output", "json"]);
    for file in files {
        child.arg("--config-file").arg(file);
    }
    child.env_clear().env("DONJON_HOME", "/nonexistent").current_dir("/");
    child.stdin(Stdio::null());
    let ran = login.runs(child).map_err(|error| failed(&error.to_string()))?;
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
