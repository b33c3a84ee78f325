//! What somebody who has brought a store up should know of it.

use crate::{home::Home, vault::place::Place};
use serde_json::Value;
use std::path::PathBuf;

/// What custodians do.
pub const UNSEAL: &str = "custodians run `donjon unseal -i IDENTITY`";

/// That it is up, by its status; a new store had nothing before.
pub fn up(home: &Home, status: &Value, new: bool) -> String {
    match status["state"]["sealed"].is_object() {
        true => format!("donjon is up, sealed: {UNSEAL}\n"),
        false => {
            let (note, there) = (host_identity(home, status), what_is_there(home, status, new));
            format!("donjon is up (pid {})\n{note}{there}{}", status["pid"], unfinished(status))
        }
    }
}

/// What it means that this host alone opens the store; nothing where it does not.
pub fn host_identity(home: &Home, status: &Value) -> String {
    if status["host_identity"] != true {
        return String::new();
    }
    match status["store"] == "encrypted folder" {
        true => format!(
            "note: all that is stored is encrypted to the identity in {}.\n      Whoever can read that file and the folder can open the store.\n",
            home.file_store().join("identity").display()
        ),
        false => format!(
            "note: the unseal share and the broker's credential are encrypted to the identity in {}.\n      Whoever can read that file and the Vault's storage can open the store; `--custodian`, at the first `up` of a home, avoids it.\n",
            Place::new(&home.vault()).identity().display()
        ),
    }
}

/// What was under way when a daemon ended goes on when somebody says so; what this one drives goes on by itself.
pub fn unfinished(status: &Value) -> String {
    let named = |key: &str| {
        let names = status[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let driven = named("driven");
    let told = |names: &String| match driven.contains(names) {
        true => format!("the rotation of {names} goes on\n"),
        false if driven.is_empty() => format!("a rotation of {names} has not ended: `donjon rotate resume`\n"),
        false => format!("a rotation of {names} has not ended: `donjon rotate resume`, once the other one has\n"),
    };
    named("unfinished").iter().map(told).collect()
}

/// What the store holds, so that whoever meant another home or another deployment sees it now.
fn what_is_there(home_of: &Home, status: &Value, new: bool) -> String {
    let (home, deployment) = (home_of.folder().display(), status["deployment"].as_str().unwrap_or_default());
    match status["secrets"].as_u64() {
        None => String::new(),
        Some(0) if new => format!("this is a new, empty store, in {home}\n"),
        Some(0) => match (status["instead"].as_str(), beside(home_of, status)) {
            (Some(instead), _) => format!("{instead}\n"),
            (None, Some(folder)) => format!(
                "this store holds no secrets, and {} is another one, which it does not read: `donjon export bundle --custodians` there, then `donjon up --from` in another DONJON_HOME\n",
                folder.display()
            ),
            (None, None) => format!("the store in {home} holds no secrets of the deployment `{deployment}` yet\n"),
        },
        Some(count) => format!("the store in {home} holds {count} secrets of the deployment `{deployment}`\n"),
    }
}

/// The encrypted folder of a home whose store is another one.
fn beside(home: &Home, status: &Value) -> Option<PathBuf> {
    Some(home.file_store()).filter(|folder| status["store"] != "encrypted folder" && folder.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nobody_is_told_to_resume_what_is_driven() {
        let told = |driven: &[&str]| unfinished(&json!({"unfinished": ["`a`", "`b`"], "driven": driven}));
        assert_eq!(told(&[]).matches("`donjon rotate resume`\n").count(), 2);
        let told = told(&["`a`"]);
        assert!(told.contains("the rotation of `a` goes on\n"), "{told}");
        assert!(told.contains("a rotation of `b` has not ended: `donjon rotate resume`, once"), "{told}");
        let older = unfinished(&json!({"unfinished": ["`a`"]}));
        assert!(older.contains("`donjon rotate resume`"), "a daemon of before says nothing of it: {older}");
    }
}
