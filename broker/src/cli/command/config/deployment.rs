//! `donjon config` of the deployment file: what is in it and where each option comes from; or every mistake at once.

use super::reading;
use crate::{
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    settings::{
        misspelt::misspelt,
        provenance::{self, Told},
        secrecy::Secrecy,
    },
};
use donjon_drivers::options::Mistake;
use donjon_policies::{deployment::Deployment, nearest::nearest};
use serde_json::{Value, json};
use std::path::Path;

/// Reads the deployment file and checks every driver's settings in it; tells its parts, or `all` its options.
pub(super) fn show(context: &Context, all: bool, reveal: bool) -> Result<(), Failure> {
    let (deployment, told) = open(context, true)?;
    let path = context.home.deployment_file();
    let warnings = match config::catalogue(&deployment.catalogue) {
        Ok(catalogue) => misspelt(&deployment, &catalogue, &[]),
        Err(_) => Vec::new(),
    };
    let rows = rows(&deployment);
    let answer = json!({
        "file": path.display().to_string(),
        "deployment": deployment.deployment.as_str(),
        "catalogue": deployment.catalogue,
        "warnings": warnings,
        "parts": rows.iter().map(|row| json!({"what": row[0], "name": row[1], "driver": row[2]})).collect::<Vec<_>>(),
        "options": told.iter().map(|told| described(told, reveal)).collect::<Vec<_>>(),
    });
    show::answer(context.output, &answer, || {
        let place = match path.exists() {
            true => path.display().to_string(),
            false => config::says(&context.home),
        };
        let head = format!("{place}: deployment {}, catalogue {}\n", deployment.deployment, deployment.catalogue);
        let table = match (all, rows.is_empty()) {
            (true, _) => table(&told, reveal),
            (false, true) => String::new(),
            (false, false) => show::table(&["WHAT", "NAME", "DRIVER"], &rows),
        };
        head + &table + &warnings.iter().map(|warning| format!("warning: {warning}\n")).collect::<String>()
    })
}

/// Tells one option of the deployment file, or all below a name.
pub(super) fn get(context: &Context, wanted: &str, reveal: bool) -> Result<(), Failure> {
    // An inventory is a program's to read: it is asked for what it can tell alone.
    let (_, told) = open(context, wanted.split('.').next() == Some("hosts"))?;
    if let Some(one) = told.iter().find(|told| told.path == wanted) {
        return show::answer(context.output, &described(one, reveal), || {
            format!("{}\nvalue: {}\nfrom:  {}\n", one.path, text(one, reveal), one.origin)
        });
    }
    let below: Vec<_> = told.iter().filter(|told| is_below(&told.path, wanted)).collect();
    if below.is_empty() {
        let path = context.home.deployment_file();
        let failure = Failure::new(Exit::NotThere, format!("`{wanted}` is not set")).state(match path.exists() {
            true => format!("{} does not say it, and it has no default", path.display()),
            false => format!("{}, and it has none", config::says(&context.home)),
        });
        let near = nearest(wanted, told.iter().map(|told| told.path.as_str()));
        return Err(
            failure.hint(near.map_or_else(|| LISTED.to_owned(), |near| format!("did you mean `{near}`? {LISTED}")))
        );
    }
    let answer = json!({"options": below.iter().map(|told| described(told, reveal)).collect::<Vec<_>>()});
    show::answer(context.output, &answer, || table(below, reveal))
}

const LISTED: &str = "`donjon config show --all` lists every option of donjon.yaml that holds; `--config-file FILE` is for those \
                      of a service";

fn is_below(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// The deployment file and every option as it holds; with the hosts of the inventory that it names where that is wanted.
fn open(context: &Context, inventory: bool) -> Result<(Deployment, Vec<Told>), Failure> {
    let (deployment, text) = config::deployment_and_text(&context.home)?;
    let path = context.home.deployment_file();
    let wrong =
        |mistakes: Vec<Mistake>| config::mistaken(&path, mistakes).hint("`donjon config sample` shows every option");
    let mut told = provenance::everything(&deployment, text.as_deref().unwrap_or_default(), &path).map_err(wrong)?;
    if let Some(inventory) = deployment.inventory.as_ref().filter(|_| inventory) {
        let whole = reading::runtime()?.block_on(config::with_inventory(deployment.clone()))?;
        for (name, host) in whole.hosts.iter().filter(|(name, _)| !deployment.hosts.contains_key(*name)) {
            told.extend(provenance::of_inventory(name, host, Path::new(&inventory.file)).map_err(wrong)?);
        }
    }
    Ok((deployment, told))
}

fn described(told: &Told, reveal: bool) -> Value {
    let mut all = json!({"option": told.path, "origin": told.origin});
    match is_open(told, reveal) {
        true => all["value"] = told.value.clone(),
        false => all["secret"] = true.into(),
    }
    all
}

fn table<'a>(told: impl IntoIterator<Item = &'a Told>, reveal: bool) -> String {
    let row = |told: &Told| vec![told.path.clone(), told.origin.to_string(), text(told, reveal)];
    show::table(&["OPTION", "FROM", "VALUE"], &told.into_iter().map(row).collect::<Vec<_>>())
}

fn text(told: &Told, reveal: bool) -> String {
    match (is_open(told, reveal), &told.value) {
        (false, _) => super::HIDDEN.to_owned(),
        (true, Value::String(text)) => text.clone(),
        (true, other) => other.to_string(),
    }
}

fn is_open(told: &Told, reveal: bool) -> bool {
    reveal || told.secrecy == Secrecy::Open
}

fn rows(deployment: &Deployment) -> Vec<Vec<String>> {
    let row = |what: &str, name: String, driver: &str| vec![what.to_owned(), name, driver.to_owned()];
    let hosts = deployment.hosts.iter().map(|(name, host)| row("host", name.to_string(), &host.driver));
    let targets = deployment.targets.iter().map(|(name, target)| row("target", name.to_string(), &target.driver));
    let keyrings = deployment.keyrings.iter().map(|(name, keyring)| row("keyring", name.to_string(), &keyring.driver));
    let services = deployment.services.iter().map(|(name, service)| row("service", name.to_string(), &service.driver));
    hosts.chain(targets).chain(keyrings).chain(services).collect()
}
