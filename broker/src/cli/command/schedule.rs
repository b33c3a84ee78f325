//! `donjon schedule`: what is due, when the rest will be, and why.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::Request,
};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;

/// Show which secrets are due, when the others will be, and why.
///
/// The rules stand under `schedules` in donjon.yaml. `donjon rotate apply --due` rotates what is due; with `automatic: true`
/// the daemon does.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon schedule\n  donjon schedule --all\n  donjon schedule --detailed-exitcode     12 where something is due"
)]
pub struct Schedule {
    /// A line for each secret that is never due, too, instead of one for all that are so for the same reason.
    #[arg(long)]
    all: bool,
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
        let rows = if self.all { rows } else { folded(rows) };
        let more = if rows.len() < secrets.len() { "`donjon schedule --all` names each\n" } else { "" };
        show::answer(context.output, &value, || show::table(&head, &rows) + more)?;
        let due = secrets.iter().any(|secret| secret["due"] == "now");
        if self.detailed_exitcode && due { Err(Failure::new(Exit::Due, "secrets are due")) } else { Ok(()) }
    }
}

/// Those that are never due for the same reason in one row, where they are many.
fn folded(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let alike = |row: &[String]| (row[DUE] == "never").then(|| row[DUE..].to_vec());
    let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for key in rows.iter().filter_map(|row| alike(row)) {
        *counts.entry(key).or_default() += 1;
    }
    let mut folded = Vec::new();
    for row in rows {
        let many = alike(&row).and_then(|key| Some((counts.get_mut(&key)?, key)));
        match many {
            Some((count, key)) if *count > FEW => {
                folded.push([vec![format!("{count} secrets"), "-".to_owned()], key].concat());
                *count = 0;
            }
            // Told with the first of them.
            Some((0, _)) => {}
            Some(_) | None => folded.push(row),
        }
    }
    folded
}

/// Which column tells when.
const DUE: usize = 2;
/// So many have a row each.
const FEW: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_never_due_for_one_reason_are_one_row_where_they_are_many() {
        let row = |name: &str, due: &str, why: &str| [name, "0d", due, "-", "none", why].map(str::to_owned).to_vec();
        let many =
            |count: usize, why: &str| (0..count).map(|n| row(&format!("{why}{n}"), "never", why)).collect::<Vec<_>>();
        let due: Vec<_> = (0..5).map(|n| row(&format!("d{n}"), "now", "old")).collect();
        let rows = [due.clone(), many(3, "few"), many(4, "many"), vec![row("last", "never", "few")]].concat();
        let told = folded(rows);
        let names: Vec<&str> = told.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["d0", "d1", "d2", "d3", "d4", "4 secrets", "4 secrets"]);
        assert_eq!((told[5][5].as_str(), told[6][5].as_str()), ("few", "many"));
        assert_eq!(folded(many(3, "few")).len(), 3);
    }
}
