//! `donjon doctor`: which stored value logs in where, and what to type next.

use crate::{
    cli::{Context, progress::Progress, show},
    failure::{Exit, Failure},
    socket::message::{DoctorAsked, Request},
};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;

/// Say what is wrong and what to type next. Changes nothing.
///
/// Tries the stored values by fresh logins on every node and account. Exit code 0: healthy; 13: a rotation has not ended;
/// 6: a node did not answer; 10: ambiguous, a person must decide.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon doctor                      every rotation that has not ended\n  donjon doctor database_password\n  donjon doctor --all --output json"
)]
pub struct Doctor {
    /// The secrets; without any, those whose rotations have not ended.
    names: Vec<String>,
    /// Every secret that a target has.
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

impl Doctor {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let request = Request::Doctor(DoctorAsked { names: self.names, all: self.all });
        let mut progress = Progress::new(context.output);
        let reply = context.client()?.ask(&request, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        let value = reply?.value;
        show::answer(context.output, &value, || people(&value))?;
        let failure = |code, what| Err(Failure::new(code, what));
        match value["health"].as_str() {
            Some("healthy") => Ok(()),
            Some("unfinished") => failure(Exit::Waiting, "rotations have not ended"),
            Some("unreachable") => failure(Exit::Unavailable, "a node did not answer"),
            _ => failure(Exit::Ambiguous, "what is valid where is not what is stored; see above"),
        }
    }
}

fn people(value: &Value) -> String {
    let mut shown = String::new();
    for secret in items(&value["secrets"]) {
        shown += &format!("{}: {}\n", text(&secret["secret"]), text(&secret["health"]));
        let mut rows: BTreeMap<(String, String, String), BTreeMap<String, String>> = BTreeMap::new();
        for login in items(&secret["logins"]) {
            let node = format!("{} ({})", text(&login["node"]), text(&login["address"]));
            let row = rows.entry((text(&login["target"]), node, text(&login["account"]))).or_default();
            row.insert(text(&login["value"]), text(&login["answer"]));
        }
        let labels = ["pending", "current", "previous"];
        let row = |((target, node, account), answers): (&(String, String, String), &BTreeMap<String, String>)| {
            let answers = labels.map(|label| answers.get(label).map_or("-", String::as_str).to_owned());
            [target.clone(), node.clone(), account.clone()].into_iter().chain(answers).collect::<Vec<_>>()
        };
        if !rows.is_empty() {
            let head = ["TARGET", "NODE", "ACCOUNT", "PENDING", "CURRENT", "PREVIOUS"];
            shown += &show::table(&head, &rows.iter().map(row).collect::<Vec<_>>());
        }
        for finding in items(&secret["findings"]) {
            shown += &format!("- {}\n", text(finding));
        }
        for next in items(&secret["next"]) {
            shown += &format!("next: {}\n", text(next));
        }
        shown += "\n";
    }
    let row = |left: &Value| vec![text(&left["secret"]), text(&left["why"])];
    let left: Vec<_> = items(&value["left"]).iter().map(row).collect();
    if !left.is_empty() {
        shown += &show::table(&["LEFT ALONE", "WHY"], &left);
    }
    if shown.is_empty() {
        "no rotation is under way; `donjon doctor --all` looks at every secret\n".to_owned()
    } else {
        shown
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
