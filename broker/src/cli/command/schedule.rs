//! `donjon schedule`: what is due, when the rest will be, and why.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::Request,
};
use clap::Args;
use serde_json::Value;

/// Show which secrets are due, when the others will be, and why.
///
/// The rules stand under `schedules` in donjon.yaml. `donjon rotate apply --due` rotates what is due; with `automatic: true`
/// the daemon does.
#[derive(Debug, Args)]
pub struct Schedule {
    /// Exit code 12 where something is due.
    #[arg(long)]
    detailed_exitcode: bool,
}

impl Schedule {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let value = context.client()?.ask_quietly(&Request::Schedule, Vec::new())?.value;
        let secrets = value["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let row = |secret: &Value| {
            let age = secret["age"].as_i64().unwrap_or(0) / 86_400;
            let next = secret["next"].as_i64().map_or_else(|| "-".to_owned(), show::time);
            vec![
                text(&secret["secret"]),
                format!("{age}d"),
                text(&secret["due"]),
                next,
                text(&secret["outage"]),
                text(&secret["why"]),
            ]
        };
        let head = ["SECRET", "AGE", "DUE", "NEXT", "OUTAGE", "WHY"];
        let rows: Vec<_> = secrets.iter().map(row).collect();
        show::answer(context.output, &value, || show::table(&head, &rows))?;
        let due = secrets.iter().any(|secret| secret["due"] == "now");
        if self.detailed_exitcode && due { Err(Failure::new(Exit::Due, "secrets are due")) } else { Ok(()) }
    }
}
