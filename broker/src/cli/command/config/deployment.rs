//! `donjon config show` of the deployment file: what is in it, or every mistake at once.

use crate::{
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    settings::misspelt::misspelt,
};
use donjon_drivers::{
    drain::registry::DRAINS, host::registry::HOSTS, keyring::registry::KEYRINGS, options::Mistake,
    service::registry::SERVICES, target::registry::TARGETS,
};
use donjon_policies::deployment::Deployment;
use serde_json::json;

/// Reads the deployment file and checks every driver's settings in it.
pub(super) fn check(context: &Context) -> Result<(), Failure> {
    let deployment = config::deployment(&context.home)?;
    let mistakes = mistakes(&deployment);
    let path = context.home.deployment_file();
    if !mistakes.is_empty() {
        let mut failure = Failure::new(Exit::Usage, format!("the deployment file {} has mistakes", path.display()));
        failure.causes = mistakes.iter().map(ToString::to_string).collect();
        return Err(failure.state("nothing was done").hint("`donjon config sample` shows every option"));
    }
    let warnings = match config::catalogue(&deployment.catalogue) {
        Ok(catalogue) => misspelt(&deployment, &catalogue, &[]),
        Err(_) => Vec::new(),
    };
    let rows = rows(&deployment);
    let all = json!({
        "file": path.display().to_string(),
        "deployment": deployment.deployment.as_str(),
        "catalogue": deployment.catalogue,
        "warnings": warnings,
        "parts": rows.iter().map(|row| json!({"what": row[0], "name": row[1], "driver": row[2]})).collect::<Vec<_>>(),
    });
    show::answer(context.output, &all, || {
        let head =
            format!("{}: deployment {}, catalogue {}\n", path.display(), deployment.deployment, deployment.catalogue);
        let table = if rows.is_empty() { String::new() } else { show::table(&["WHAT", "NAME", "DRIVER"], &rows) };
        head + &table + &warnings.iter().map(|warning| format!("warning: {warning}\n")).collect::<String>()
    })
}

fn mistakes(deployment: &Deployment) -> Vec<Mistake> {
    let mut all = Vec::new();
    let mut take = |checked: Result<(), Vec<Mistake>>| all.extend(checked.err().unwrap_or_default());
    for (name, host) in &deployment.hosts {
        take(HOSTS.check(&host.driver, &host.options, &format!("hosts.{name}")));
    }
    for (name, target) in &deployment.targets {
        let mut options = target.options.clone();
        // The broker's own, not the driver's.
        options.remove("administrator");
        take(TARGETS.check(&target.driver, &options, &format!("targets.{name}")));
    }
    for (name, keyring) in &deployment.keyrings {
        take(KEYRINGS.check(&keyring.driver, &keyring.options, &format!("keyrings.{name}")));
    }
    for (name, service) in &deployment.services {
        take(SERVICES.check(&service.driver, &service.options, &format!("services.{name}")));
        if let Some(drain) = &service.drain {
            take(DRAINS.check(&drain.driver, &drain.options, &format!("services.{name}.drain")));
        }
    }
    all
}

fn rows(deployment: &Deployment) -> Vec<Vec<String>> {
    let row = |what: &str, name: String, driver: &str| vec![what.to_owned(), name, driver.to_owned()];
    let hosts = deployment.hosts.iter().map(|(name, host)| row("host", name.to_string(), &host.driver));
    let targets = deployment.targets.iter().map(|(name, target)| row("target", name.to_string(), &target.driver));
    let keyrings = deployment.keyrings.iter().map(|(name, keyring)| row("keyring", name.to_string(), &keyring.driver));
    let services = deployment.services.iter().map(|(name, service)| row("service", name.to_string(), &service.driver));
    hosts.chain(targets).chain(keyrings).chain(services).collect()
}
