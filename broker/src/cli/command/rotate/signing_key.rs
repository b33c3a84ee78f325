//! `donjon rotate signing-key`: a new key for the authority, named by the old one.

use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;
use serde_json::Value;

/// Renew the key that signs bundles: the old key names the new one, and sites take it by themselves.
///
/// No secret changes, and nothing restarts. Every bundle from then on holds the links from each earlier key, so a site that
/// has pinned any of them takes it, pins the new key, and takes bundles of the old ones no longer. The old key is destroyed
/// in the store. Receipts for bundles that the old key has signed count as before. A key that is lost cannot name another:
/// then sites pin the new one by file (`donjon export key`).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon rotate signing-key --plan\n  donjon rotate signing-key")]
pub(super) struct SigningKey {
    /// Only show which key signs, and whose bundles are by it.
    #[arg(long)]
    plan: bool,
}

impl SigningKey {
    /// Asks the daemon.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let asked = Request::RotateSigningKey { plan: self.plan };
        let value = context.client()?.ask_quietly(&asked, Vec::new())?.value;
        show::answer(context.output, &value, || people(&value))
    }
}

fn people(value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let since = show::time(value["since"].as_i64().unwrap_or_default());
    let (signs, renewed) = (text(&value["signs"]), value["renewed"]["id"].as_str());
    let mut shown = match renewed {
        None => format!("{signs} signs since {since}, after {} earlier keys\n", value["earlier"]),
        Some(new) => format!("renewed: the signing key is {new} now, named by {signs}, which is destroyed here\n"),
    };
    let sites = value["sites"].as_array().map_or(&[][..], Vec::as_slice);
    let mut rows: Vec<_> = sites.iter().map(|site| vec![text(&site["scope"]), text(&site["epoch"])]).collect();
    if !value["custodians"].is_null() {
        rows.push(vec!["the custodians".to_owned(), text(&value["custodians"])]);
    }
    if !rows.is_empty() {
        shown += "\n";
        shown += &show::table(&["BUNDLE FOR", "EPOCH"], &rows);
        shown += match renewed {
            None => "\neach takes the new key with its next bundle, without a new pin\n",
            Some(_) => "\neach takes the new key with its next bundle, without a new pin: `donjon export bundle`\n",
        };
    }
    if renewed.is_some() {
        shown += "the file that is kept beside the custodians' bundle: `donjon export key -o authority.pem`\n";
    }
    shown
}
