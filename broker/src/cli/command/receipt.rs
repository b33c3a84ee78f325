//! `donjon receipt`: what sites have confirmed.

use super::import::read;
use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;
use donjon_drivers::material::Material;
use serde_json::Value;
use std::path::PathBuf;

/// Take receipts that sites have sent back, and show which bundles nobody has confirmed.
///
/// A receipt proves that its sender opened that very bundle. Forged, replayed and older ones are refused with exit code 9.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon receipt edge1.donjon.receipt\n  donjon receipt")]
pub struct Receipt {
    /// Receipts, as `donjon import` wrote them.
    files: Vec<PathBuf>,
}

impl Receipt {
    /// Asks the daemon, one file at a time.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut client = context.client()?;
        let mut value = Value::Null;
        let files = self.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        for file in &files {
            value = client.ask_quietly(&Request::Receipt, vec![Material::new(file.clone())])?.value;
        }
        if files.is_empty() {
            value = client.ask_quietly(&Request::Receipt, Vec::new())?.value;
        }
        show::answer(context.output, &value, || people(&value["standing"]))
    }
}

fn people(standing: &Value) -> String {
    let sites = standing["sites"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = sites
        .iter()
        .map(|site| {
            let scope = site["scope"].as_str().unwrap_or_default().to_owned();
            vec![scope, site["epoch"].to_string(), site["receipts"].to_string(), site["recipients"].to_string()]
        })
        .collect();
    let mut text = match rows.is_empty() {
        true => "no bundle was exported to a site\n".to_owned(),
        false => show::table(&["BUNDLE", "EPOCH", "RECEIPTS", "RECIPIENTS"], &rows),
    };
    let custodians = &standing["custodians"];
    text += &match (custodians["epoch"].as_u64(), custodians["reopened"].as_i64()) {
        (None, _) => "there is no custodians' bundle\n".to_owned(),
        (Some(epoch), None) => format!("the custodians' bundle (epoch {epoch}) was never reopened\n"),
        (Some(epoch), Some(at)) => format!("the custodians' bundle (epoch {epoch}) was reopened {}\n", show::time(at)),
    };
    let changed = custodians["changed_since"].as_array().cloned().unwrap_or_default();
    if !changed.is_empty() {
        text += &format!("{} records have changed since it was made\n", changed.len());
    }
    text
}
