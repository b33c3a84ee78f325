//! `donjon scan`: where stored values lie in clear.

use crate::{
    cli::{Context, progress::Progress, show},
    failure::{Exit, Failure},
    printable,
    scan::Elsewhere,
    socket::message::Request,
};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Look for stored values in files, folders, the archives and git histories in them, and in other places.
///
/// Current, previous and pending values are looked for as they are, in base64, in hex, percent-encoded, escaped for JSON
/// and quoted for YAML or a shell, also where YAML folds them. Names and places are printed, never a value. Symbolic links
/// inside a folder are not followed; tar and gzip are looked into, one in the other, and other compressed files are searched
/// as they are. What `donjon render` has declared is no finding. Ends with 7 when something was found, and with 1 when a
/// place could not be searched.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon scan /etc/kolla ~/config-download\n  donjon scan --processes --journal --containers /var/lib/mysql\n  donjon scan --output json /var/log | jq .report.findings"
)]
pub struct Scan {
    /// Files and folders.
    #[arg(required_unless_present_any = ["processes", "journal", "containers"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also the environment and the arguments of every process.
    #[arg(long)]
    processes: bool,
    /// Also all that the journal holds.
    #[arg(long)]
    journal: bool,
    /// Also what `podman inspect` shows of every container.
    #[arg(long)]
    containers: bool,
}

impl Scan {
    /// Asks the daemon, which does the searching, and shows what it found.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let paths = self.paths.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
        let asked = [
            (self.processes, Elsewhere::Processes),
            (self.journal, Elsewhere::Journal),
            (self.containers, Elsewhere::Containers),
        ];
        let elsewhere = asked.into_iter().filter(|(asked, _)| *asked).map(|(_, place)| place).collect();
        let mut progress = Progress::new(context.output);
        let reply =
            context.client()?.ask(&Request::Scan { paths, elsewhere }, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        let reply = reply?.value;
        show::answer(context.output, &reply, || people(&reply))?;
        verdict(&reply)
    }
}

/// A link that is named is meant to be followed, other than one inside a folder.
fn absolute(path: &Path) -> Result<String, Failure> {
    let refused = |why: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Usage, format!("cannot search {}", path.display())).because(why)
    };
    // The daemon may see more than this user: what cannot be resolved here is left to it.
    let whole = match std::fs::canonicalize(path) {
        Ok(whole) => whole,
        Err(_) => std::path::absolute(path).map_err(|error| refused(&error))?,
    };
    whole.into_os_string().into_string().map_err(|_| {
        Failure::new(Exit::Usage, format!("cannot search {}", path.display()))
            .cause("the path is not UTF-8 text")
            .hint("name the folder above it")
    })
}

fn people(reply: &Value) -> String {
    let report = &reply["report"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| printable::line(value.as_str().unwrap_or_default()).into_owned();
    let rows: Vec<Vec<String>> = list(&report["findings"])
        .iter()
        .map(|f| {
            vec![word(&f["secret"]), word(&f["standing"]), word(&f["encoding"]), f["offset"].to_string(), place(f)]
        })
        .collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text += &show::table(&["SECRET", "VALUE", "ENCODING", "OFFSET", "WHERE"], &rows);
        let rest = report["found"].as_u64().unwrap_or(0) - rows.len() as u64;
        if rest > 0 {
            text += &format!("… and {rest} more\n");
        }
    }
    for place in list(&report["unsearched"]) {
        text += &format!("could not look at {}: {}\n", word(&place["path"]), word(&place["reason"]));
    }
    for not in list(&reply["not_looked_for"]) {
        let why = match not["why"].as_str() {
            Some("too_short") => "its value is shorter than 8 bytes",
            Some("spaces") => "it is white space but for a few characters, and was looked for encoded alone",
            Some("no_secret") => "it is an identifier",
            Some("assembled") => "it is assembled from other secrets, which were",
            Some(_) | None => "",
        };
        text += &format!("not looked for: {} ({why})\n", word(&not["secret"]));
    }
    if report["declared"].as_u64().unwrap_or(0) > 0 {
        text += &format!("{} values are where they are declared to be\n", report["declared"]);
    }
    if report["members"].as_u64().unwrap_or(0) > 0 {
        text += &format!("{} files were looked at in archives\n", report["members"]);
    }
    if report["processes"].as_u64().unwrap_or(0) > 0 {
        text += &format!("{} processes were looked at\n", report["processes"]);
    }
    text + &format!(
        "looked for {} secrets in {} files and {} git objects, {} bytes; {} links not followed\n",
        reply["looked_for"], report["files"], report["objects"], report["bytes"], report["links"]
    )
}

fn place(finding: &Value) -> String {
    let word = |key: &str| finding[key].as_str();
    if let Some(output) = word("output") {
        return format!("`{output}`");
    }
    if let Some(part) = word("part") {
        return format!("process {} ({}), {part}", finding["pid"], word("command").unwrap_or_default());
    }
    if let Some(member) = word("member") {
        return format!("{}: {member}", word("path").unwrap_or_default());
    }
    match (word("object"), word("path")) {
        (None, path) => path.unwrap_or_default().to_owned(),
        (Some(object), path) => {
            let mut text =
                format!("{} {} {object}", word("repository").unwrap_or_default(), word("kind").unwrap_or_default());
            path.into_iter().for_each(|path| text += &format!(" {path}"));
            word("commit").into_iter().for_each(|commit| text += &format!(" (commit {commit})"));
            text
        }
    }
}

fn verdict(reply: &Value) -> Result<(), Failure> {
    let count = |key: &str| reply["report"][key].as_u64().unwrap_or(0);
    match (count("found"), count("unsearched_count")) {
        (0, 0) => Ok(()),
        (0, places) => Err(Failure::new(Exit::Failed, format!("{places} places could not be searched"))
            .state("nothing was found in the places that could be searched")),
        (found, _) => Err(Failure::new(Exit::Found, format!("stored values lie in clear in {found} places"))
            .state("nothing was changed")
            .hint("remove them, then rotate what others may have read: `donjon rotate apply NAME --compromised --accept-outage`")),
    }
}
