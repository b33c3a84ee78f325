//! `donjon doctor`: which stored value logs in where, and what to type next; and the restore drill.

use crate::{
    cli::{Context, command::import::read, progress::Progress, show},
    failure::{Exit, Failure},
    socket::{
        frame::LONGEST_MATERIAL,
        message::{DoctorAsked, Request},
    },
};
use clap::Args;
use donjon_drivers::material::Material;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Say what is wrong and what to type next. Changes nothing.
///
/// Tries the stored values by fresh logins on every node and account. Exit code 0: healthy; 13: a rotation has not ended;
/// 6: a node did not answer; 10: ambiguous, a person must decide.
///
/// With --drill it proves instead that the custodians can come back: each of their identities opens the last custodians'
/// bundle, and no value is shown or stored. Its age is a metric, `donjon_drill_age_seconds`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon doctor                      every rotation that has not ended\n  donjon doctor database_password\n  donjon doctor --all --output json\n  donjon doctor --drill everything.donjon -i alice.txt -i bob.txt"
)]
pub struct Doctor {
    /// The secrets; without any, those whose rotations have not ended.
    names: Vec<String>,
    /// Every secret that a target has.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// The last custodians' bundle, to be opened for proof.
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["names", "all"], requires = "identity")]
    drill: Option<PathBuf>,
    /// A file with a custodian's age identity; one for each custodian who is there.
    #[arg(short, long, value_name = "IDENTITY", requires = "drill")]
    identity: Vec<PathBuf>,
    /// How many custodians have to open it, each alone; as many as open the Vault where not given.
    #[arg(long, value_name = "K", requires = "drill")]
    threshold: Option<usize>,
}

impl Doctor {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(bundle) = &self.drill {
            return self.drilled(context, bundle);
        }
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

impl Doctor {
    fn drilled(&self, context: &Context, bundle: &Path) -> Result<(), Failure> {
        let mut materials = Vec::new();
        for path in &self.identity {
            materials.push(Material::new(read(path)?));
        }
        materials.extend(read(bundle)?.chunks(LONGEST_MATERIAL).map(|piece| Material::new(piece.to_vec())));
        let asked = Request::Drill { identities: self.identity.len(), needed: self.threshold };
        let value = context.client()?.ask_quietly(&asked, materials)?.value;
        show::answer(context.output, &json!({"drill": value}), || {
            let changed = items(&value["changed_since"]).len() + items(&value["stood_otherwise"]).len();
            let since = match changed {
                0 => "it holds everything as it is now".to_owned(),
                _ => format!(
                    "{changed} records, sites or recipients have changed since: `donjon export bundle --custodians` makes another"
                ),
            };
            format!(
                "{} custodians have opened the bundle, each alone ({} are needed): {} records, made {} days ago\n{since}\n",
                value["opened_by"],
                value["needed"],
                value["records"],
                value["age"].as_i64().unwrap_or_default() / 86400
            )
        })
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
