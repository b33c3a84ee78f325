//! `donjon recipients`: who can open bundles, and what those who leave have seen.

use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::{RecipientsAsked, Request},
};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Add, remove and list the recipients of bundles: age X25519 public keys of nodes and people.
///
/// Whoever could once open a value keeps it. So removing a recipient prints the plan of the rotations that take the worth
/// of it away, the oldest exposure first; `donjon rotate apply --exposed-to RECIPIENT` does them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon recipients list\n  donjon recipients add age1… --name compute7 --site edge1\n  donjon recipients remove compute7\n  donjon rotate apply --exposed-to compute7"
)]
pub struct Recipients {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show every recipient that was ever known, and how much each has seen.
    List,
    /// Encrypt later bundles to this recipient, too.
    Add {
        /// The age X25519 public key.
        recipient: String,
        /// Whose it is: a host, a person.
        #[arg(long)]
        name: Option<String>,
        /// The site whose bundles it opens.
        #[arg(long)]
        site: Option<String>,
    },
    /// Encrypt no later bundle to this recipient, and show what is to be rotated because of it.
    Remove {
        /// The key, or the name that it was added with.
        recipient: String,
    },
}

impl Recipients {
    /// Asks the daemon.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let asked = match self.what {
            What::List => RecipientsAsked::List,
            What::Add { recipient, name, site } => RecipientsAsked::Add { recipient, name, site },
            What::Remove { recipient } => RecipientsAsked::Remove { recipient },
        };
        let value = context.client()?.ask_quietly(&Request::Recipients { asked }, Vec::new())?.value;
        show::answer(context.output, &value, || people(&value))
    }
}

fn people(value: &Value) -> String {
    if let Some(rows) = value["recipients"].as_array() {
        return listed(rows);
    }
    if let Some(added) = value["added"].as_str() {
        let sites: Vec<&str> = value["sites"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        return match sites.as_slice() {
            [] => format!(
                "{added} is known, and may be given as --recipient; no site's bundles are encrypted to it by themselves (--site)\n"
            ),
            sites => format!("bundles for {} are encrypted to {added} from now on, too\n", sites.join(", ")),
        };
    }
    let who = value["removed"].as_str().unwrap_or_default();
    let mut told = format!("no bundle from now on is encrypted to {who}; bundles that it has stay readable to it\n");
    if value["declared"] == true {
        told += "donjon.yaml names it still: take it out there\n";
    }
    if value["heir"] == true {
        told += "it had the key that is to sign after this one, and can sign for sites in its place: `donjon rotate signing-key`, then a bundle to each site\n";
    }
    told + &seen(value) + &next(value, &format!("donjon rotate apply --exposed-to {who}"))
}

fn listed(rows: &[Value]) -> String {
    let time = |value: &Value| value.as_i64().map_or_else(String::new, show::time);
    let row = |row: &Value| {
        let sites = row["sites"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        vec![
            row["recipient"].as_str().unwrap_or_default().to_owned(),
            row["name"].as_str().unwrap_or_default().to_owned(),
            sites.join(","),
            row["exposed"].to_string(),
            row["in_use"].to_string(),
            time(&row["since"]),
            time(&row["removed"]),
        ]
    };
    let head = ["RECIPIENT", "NAME", "SITES", "SEEN", "IN USE", "SINCE", "REMOVED"];
    show::table(&head, &rows.iter().map(row).collect::<Vec<_>>())
}

/// What was seen, the oldest exposure first.
pub(super) fn seen(value: &Value) -> String {
    let exposed = value["exposed"].as_array().cloned().unwrap_or_default();
    if exposed.is_empty() {
        return "no bundle that is known here gave it a value\n".to_owned();
    }
    let row = |one: &Value| {
        let now = if one["in_use"] == true { "in use" } else { "replaced since" };
        vec![
            one["name"].as_str().unwrap_or_default().to_owned(),
            one["version"].to_string(),
            one["since"].as_i64().map_or_else(String::new, show::time),
            now.to_owned(),
        ]
    };
    let head = ["IT COULD OPEN", "VERSION", "SINCE", "NOW"];
    show::table(&head, &exposed.iter().map(row).collect::<Vec<_>>())
}

/// The rotations that take the worth of it away, and what no rotation can.
pub(super) fn next(value: &Value, command: &str) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names = |value: &Value| {
        let secrets = list(value);
        let names = secrets
            .iter()
            .map(|planned| planned["secret"].as_str().or_else(|| planned.as_str()).unwrap_or_default().to_owned());
        names.collect::<Vec<_>>().join(", ")
    };
    let mut told = String::new();
    for rotation in list(&value["rotations"]) {
        let outage = rotation["outage"].as_str().unwrap_or_default();
        told += &format!("to rotate: {} ({outage})\n", names(&rotation["secrets"]));
    }
    for left in list(&value["left"]) {
        let text = |key: &str| left[key].as_str().unwrap_or_default().to_owned();
        told += &format!("by hand: {}: {}\n", text("secret"), text("why"));
    }
    if list(&value["rotations"]).is_empty() {
        return told + "nothing that a rotation could replace is in use\n";
    }
    told + &format!("next: {command}\n")
}
