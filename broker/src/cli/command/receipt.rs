//! `donjon receipt`: what sites have confirmed.

use super::{import::read, serve::ended};
use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    socket::message::Request,
    transfer::inbox,
};
use clap::Args;
use donjon_drivers::material::Material;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Take receipts that sites have sent back, and show which bundles nobody has confirmed.
///
/// A receipt proves that its sender opened that very bundle. Forged and older ones are refused with exit code 9, and one that
/// was recorded before changes nothing; of several files, the good ones are taken all the same.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon receipt edge1.donjon.receipt\n  donjon receipt")]
pub struct Receipt {
    /// Receipts, as `donjon import` and `donjon drain` wrote them.
    files: Vec<PathBuf>,
    /// Take receipts by HTTP, as `donjon drain --send` sends them, until this command is ended.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "files")]
    listen: Option<SocketAddr>,
}

impl Receipt {
    /// Asks the daemon, one file at a time.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(address) = self.listen {
            return listen(context, address);
        }
        let mut client = context.client()?;
        if self.files.is_empty() {
            let value = client.ask_quietly(&Request::Receipt, Vec::new())?.value;
            return show::answer(context.output, &value, || people(&value["standing"]));
        }
        let mut take = |path: &Path| Ok(client.ask_quietly(&Request::Receipt, vec![Material::new(read(path)?)])?.value);
        if let [file] = &self.files[..] {
            let value = take(file)?;
            return show::answer(context.output, &value, || taken(&value["taken"]));
        }
        let answers: Vec<_> = self.files.iter().map(|path| (path.display().to_string(), take(path))).collect();
        several(context, &answers)
    }
}

/// What each of several receipts says. A bad one keeps none of the others back; the first of the bad ones says the code.
fn several(context: &Context, answers: &[(String, Result<Value, Failure>)]) -> Result<(), Failure> {
    let row = |(file, answer): &(String, Result<Value, Failure>)| match answer {
        Ok(value) => json!({"file": file, "taken": value["taken"]}),
        Err(failure) => json!({"file": file, "refused": failure}),
    };
    let value = json!({"receipts": answers.iter().map(row).collect::<Vec<_>>()});
    show::answer(context.output, &value, || {
        answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).map(|value| taken(&value["taken"])).collect()
    })?;
    let refused: Vec<_> = answers.iter().filter_map(|(file, answer)| Some((file, answer.as_ref().err()?))).collect();
    let Some((_, first)) = refused.first() else { return Ok(()) };
    let (all, bad) = (answers.len(), refused.len());
    let mut failure = Failure::new(first.code, format!("of {all} receipts, {bad} were not taken"));
    failure.causes = refused.iter().map(|(file, failure)| format!("{file}: {}", failure.line())).collect();
    let state = match refused.iter().any(|(_, failure)| failure.code == Exit::Unavailable) {
        true => format!("{} were recorded; of the others `donjon receipt` says how things stand", all - bad),
        false => format!("{} were recorded; nothing was recorded for the others", all - bad),
    };
    Err(failure.state(state).hint("each of them alone says what to do: `donjon receipt FILE`"))
}

/// What one receipt says, and how its bundle stands with it.
fn taken(taken: &Value) -> String {
    let (scope, epoch) = (taken["scope"].as_str().unwrap_or_default(), &taken["epoch"]);
    let before = if taken["before"] == true { "this was recorded before; " } else { "" };
    match taken["act"].as_str() {
        Some("reopened") => format!("{scope}: {before}the bundle of epoch {epoch} was reopened\n"),
        _ => format!(
            "{scope}: {before}of {} recipients of epoch {epoch}, {} have imported and {} have drained it\n",
            taken["recipients"], taken["imported"], taken["drained"]
        ),
    }
}

fn listen(context: &Context, address: SocketAddr) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, "cannot start the runtime").because(&error))?;
    runtime.block_on(async {
        let listener = inbox::bind(address).await?;
        let url = listener.local_addr().map_or_else(|_| address.to_string(), |own| format!("http://{own}"));
        show::answer(context.output, &json!({"url": url}), || format!("taking receipts at {url}\n"))?;
        inbox::serve(listener, context.home.clone(), ended()?).await;
        Ok(())
    })
}

fn people(standing: &Value) -> String {
    let sites = standing["sites"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = sites
        .iter()
        .map(|site| {
            let scope = site["scope"].as_str().unwrap_or_default().to_owned();
            let count = |key: &str| site[key].to_string();
            vec![scope, count("epoch"), count("receipts"), count("drained"), count("recipients")]
        })
        .collect();
    let mut text = match rows.is_empty() {
        true => "no bundle was exported to a site\n".to_owned(),
        false => show::table(&["BUNDLE", "EPOCH", "IMPORTED", "DRAINED", "RECIPIENTS"], &rows),
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
    for what in custodians["stood_otherwise"].as_array().into_iter().flatten() {
        text += &format!("since it was made, {}\n", what.as_str().unwrap_or_default());
    }
    text
}
