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
/// 6: a node did not answer; 10: ambiguous, a person must decide; 4: the server has no such account, which with --all is
/// the usual where a service is not deployed; 2: no login was tried, with --all of none.
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
        let all = self.all;
        let request = Request::Doctor(DoctorAsked { names: self.names, all });
        let mut progress = Progress::new(context.output);
        let reply = context.client()?.ask(&request, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        let value = reply?.value;
        show::answer(context.output, &value, || if all { of_all(&value) } else { people(&value) })?;
        let failure = |code, what| Err(Failure::new(code, what));
        match value["health"].as_str() {
            Some("healthy") => Ok(()),
            // Of a whole catalogue, what is not deployed is the usual.
            Some("without_account") if all => Ok(()),
            Some("without_account") => Err(Failure::new(Exit::NotThere, "the server has no such account")
                .cause("no service of the deployment uses it, so that its service may not be deployed")
                .hint("where it is not deployed there is nothing to do; else deploy it, or make the account there")),
            Some("untried") => Err(Failure::new(Exit::Usage, "no login was tried, so nothing is proven")
                .hint("`targets` in donjon.yaml describe the servers; of what has no account on one, its consumers' checks tell")),
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
    let shown: String = items(&value["secrets"]).iter().map(one).collect();
    let shown = shown + &left(value);
    if shown.is_empty() {
        "no rotation is under way; `donjon doctor --all` looks at every secret\n".to_owned()
    } else {
        shown
    }
}

/// A summary, then what was found; those that are healthy, and those that the server has no account of, are counted.
fn of_all(value: &Value) -> String {
    let secrets = items(&value["secrets"]);
    let healthy = |secret: &&Value| secret["health"] == "healthy" && secret["untried"] == 0;
    let those = |health| secrets.iter().filter(move |secret| secret["health"] == health);
    let names = |health| those(health).map(|secret| text(&secret["secret"])).collect::<Vec<String>>();
    let (absent, untried) = (names("without_account"), names("untried"));
    let counted = ["without_account", "untried"];
    let found = secrets.iter().filter(|secret| !healthy(secret) && !counted.iter().any(|of| secret["health"] == *of));
    let found: Vec<&Value> = found.collect();
    let healthy = secrets.iter().filter(healthy).count();
    let mut shown = format!(
        "{healthy} healthy, {} untried, {} without account, {} with findings\n\n",
        untried.len() + items(&value["left"]).len(),
        absent.len(),
        found.len()
    );
    shown += &found.into_iter().map(one).collect::<String>();
    if !untried.is_empty() {
        shown += &format!("untried, without an account on a server that is described: {}\n\n", untried.join(", "));
    }
    if !absent.is_empty() {
        shown += &format!(
            "without account: {}\nthe server has no such account: is the service deployed? `donjon doctor NAME` tells more\n\n",
            absent.join(", ")
        );
    }
    shown + &left(value)
}

/// How a secret is, in a word, and whether somebody else has to try something.
fn headline(secret: &Value) -> String {
    let health = text(&secret["health"]).replace('_', " ");
    match secret["untried"].as_u64() {
        None | Some(0) => health,
        Some(1) => format!("{health}, but for an account that cannot be tried from here"),
        Some(untried) => format!("{health}, but for {untried} accounts that cannot be tried from here"),
    }
}

fn one(secret: &Value) -> String {
    let mut shown = format!("{}: {}\n", text(&secret["secret"]), headline(secret));
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
    shown
}

fn left(value: &Value) -> String {
    let row = |left: &Value| vec![text(&left["secret"]), text(&left["why"])];
    let left: Vec<_> = items(&value["left"]).iter().map(row).collect();
    if left.is_empty() { String::new() } else { show::table(&["LEFT ALONE", "WHY"], &left) }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
