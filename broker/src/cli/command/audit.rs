//! `donjon audit verify`: does every line of the audit log follow from the one before?

use crate::{
    absence,
    audit::{head::Head, verify},
    cli::{Context, show},
    daemon::translate,
    failure::{Exit, Failure},
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Look after the audit log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon audit verify\n  donjon audit verify --node /var/lib/donjon-reader")]
pub struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check that every line follows from the one before. Exit code 9 where one does not, 4 where there is no log.
    Verify {
        /// The log of a node's reader, in its folder, instead of the daemon's.
        #[arg(long, value_name = "FOLDER")]
        node: Option<PathBuf>,
    },
}

impl Audit {
    /// Reads the log and checks it.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let What::Verify { node } = self.what;
        let (path, writer) = match node {
            Some(folder) => (folder.join(OF_NODE), "reader"),
            None => (context.home.audit(), "daemon"),
        };
        let unread = |error| translate::file("cannot read the audit log", &error);
        // Before the log, which goes on meanwhile.
        let head = Head::read(&path).map_err(unread)?;
        let text = absence::read_private(&path).map_err(unread)?.ok_or_else(|| gone(&path, head.as_ref()))?;
        let end = verify::chain(&text, head.as_ref()).map_err(|broken| {
            Failure::new(Exit::Integrity, format!("the audit log {} does not hold together", path.display()))
                .because(&broken)
                .state("nothing was changed; lines before that one hold together")
                .hint("keep the file as evidence; compare it with its copies")
        })?;
        let known = head.as_ref().map(|head| head.sequence);
        let json = json!({"lines": end.sequence, "torn": end.torn, "hash": end.hash, "known": known});
        show::answer(context.output, &json, || {
            let known = known.map_or_else(
                || format!("nothing says how far it went: start the {writer} once"),
                |known| format!("it is known to have gone to line {known}"),
            );
            format!(
                "{} lines hold together, {} cut short by a crash; last hash {}; {known}\n",
                end.sequence,
                end.torn,
                end.hash.as_deref().unwrap_or("-")
            )
        })
    }
}

/// A log that is not there: one that has been is known from its head.
fn gone(path: &Path, head: Option<&Head>) -> Failure {
    match head {
        Some(head) => Failure::new(Exit::Integrity, format!("the audit log {} is gone", path.display()))
            .cause(format!("it is known to have gone to line {}", head.sequence))
            .state("nothing was changed")
            .hint("bring it back from its copies"),
        None => Failure::new(Exit::NotThere, format!("there is no audit log {}", path.display()))
            .cause("nothing has been written there, or it was moved away")
            .state("nothing was changed")
            .hint(
                "name the folder of the reader (`--node`), or the daemon's (`DONJON_HOME`); the first start begins it",
            ),
    }
}

/// The audit log in a node's folder.
pub(super) const OF_NODE: &str = "audit.jsonl";
