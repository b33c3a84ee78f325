//! The tables of drivers: what a driver says of its options is what it opens with.

use donjon_drivers::{
    drain::registry as drains,
    host::{Host, local::Local, registry as hosts},
    keyring::registry as keyrings,
    registry::{Driver, Table},
    service::{place::Place, registry as services},
    source::{Outside, environment::Environment, registry as sources},
    target::registry as targets,
};
use donjon_policies::deployment::{Deployment, Driven};
use std::sync::Arc;

/// The sample of a driver as it would stand in a deployment file, with nothing left commented out.
fn sampled<C, T>(driver: &Driver<C, T>) -> Driven {
    let whole = driver.sample().replace("# ", "#");
    let options: String = whole
        .lines()
        .map(|line| match line.trim_start().strip_prefix('#') {
            // A commented option is a name, a colon and a value; help is prose.
            Some(rest) if rest.split_once(": ").is_some_and(|(name, _)| is_name(name)) => {
                format!("    {}{rest}\n", &line[..line.len() - line.trim_start().len()])
            }
            Some(_) => String::new(),
            None => format!("    {line}\n"),
        })
        .collect();
    let text = format!("deployment: sample\ntargets:\n  sample:\n{options}");
    let deployment = Deployment::parse("sample", &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    deployment.targets.into_values().next().unwrap()
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn opens<C, T>(table: &Table<C, T>, context: impl Fn() -> C) {
    for driver in table.drivers {
        let sample = sampled(driver);
        assert_eq!(sample.driver, driver.name);
        assert_eq!(sample.options.len(), driver.options.len(), "{}", driver.name);
        if let Err(mistakes) = table.open(driver.name, &sample.options, "sample", context()) {
            panic!("{}: {mistakes:?}", driver.name);
        }
    }
    let unknown = table.open("no-such", &Default::default(), "sample", context()).map(|_| ()).unwrap_err();
    assert!(unknown[0].what.contains(table.drivers[0].name), "{unknown:?}");
}

#[test]
fn every_sample_opens() {
    let folder = tempfile::tempdir().unwrap();
    opens(&hosts::HOSTS, || hosts::Place { name: "h".into(), control: folder.path().into() });
    let place = || Place { service: "s".into(), host_name: "h".into(), host: Arc::new(Local::new("h", vec![])) };
    opens(&services::SERVICES, place);
    let local: Arc<dyn Host> = Arc::new(Local::new("h", vec![]));
    let hosts = Arc::new(["local", "text"].map(|name| (name.to_owned(), Arc::clone(&local))).into());
    opens(&drains::DRAINS, || drains::Place { host_name: "h".into(), hosts: Arc::clone(&hosts) });
    opens(&keyrings::KEYRINGS, || keyrings::Place { hosts: Arc::clone(&hosts) });
    let none = |name: &str| Err(format!("no host {name}"));
    opens(&targets::TARGETS, || targets::Place { name: "t".to_owned(), hosts: Arc::new(none) });
    let outside = || Outside {
        group: "g".to_owned(),
        environment: Environment::default(),
        broker: Arc::new(donjon_drivers::source::outside::NoBroker),
    };
    opens(&sources::SOURCES, outside);
}
