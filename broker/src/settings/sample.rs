//! A commented sample of the deployment file, made from what its own options and the drivers say of themselves.

use super::described::{FILE, Own, Shape, Usual};
use donjon_drivers::{
    drain::registry::DRAINS, host::registry::HOSTS, keyring::registry::KEYRINGS, registry::Table,
    service::registry::SERVICES, target::registry::TARGETS,
};
use std::fmt::Write;

/// The sample. Every part that is not needed is commented out, so that it is a deployment file as it stands.
pub fn deployment() -> String {
    let mut text = String::from(HEAD);
    for option in FILE {
        text.push('\n');
        match option.name {
            "hosts" => family(&mut text, option, &HOSTS),
            "targets" => family(&mut text, option, &TARGETS),
            "services" => {
                family(&mut text, option, &SERVICES);
                let help = "# how clients are led away from an instance before it restarts\n# drain:\n";
                let drains: String = DRAINS.drivers.iter().map(|driver| indented(&driver.sample())).collect();
                commented(&mut text, &(help.to_owned() + &drains), 4);
            }
            "keyrings" => family(&mut text, option, &KEYRINGS),
            _ => own(&mut text, option),
        }
    }
    text
}

fn own(text: &mut String, option: &Own) {
    let off = if matches!(option.usual, Usual::Required) { "" } else { "# " };
    // A `String` takes all that is written.
    let _ = writeln!(text, "# {}", option.help);
    let lines = match &option.shape {
        Shape::Texts(lines) => lines,
        Shape::One(inner, lines) | Shape::Many(inner, lines) => {
            explained(text, inner, 2);
            lines
        }
        Shape::Text(example) | Shape::List(example) => return line(text, off, option, example),
        Shape::Number | Shape::Switch | Shape::Part(_) => return line(text, off, option, ""),
    };
    let _ = writeln!(text, "{off}{}:", option.name);
    for line in lines.lines() {
        let _ = writeln!(text, "{off}  {line}");
    }
}

fn line(text: &mut String, off: &str, option: &Own, example: &str) {
    let value = match option.usual {
        Usual::Number(number) => number.to_string(),
        Usual::Switch(switch) => switch.to_string(),
        Usual::Text(text) => text.to_owned(),
        Usual::Required | Usual::Nothing => example.to_owned(),
    };
    let _ = writeln!(text, "{off}{}: {value}", option.name);
}

/// What each option of a map is for, as comments above it.
fn explained(text: &mut String, options: &[Own], indent: usize) {
    for option in options {
        let _ = writeln!(text, "# {:indent$}{}: {}", "", option.name, option.help);
        if let Shape::One(inner, _) | Shape::Many(inner, _) = &option.shape {
            explained(text, inner, indent + 2);
        }
    }
}

fn family<C, T>(text: &mut String, option: &Own, table: &Table<C, T>) {
    let _ = writeln!(text, "# {}\n# {}:", option.help, option.name);
    let mut common = String::new();
    if let Shape::Part(all) = &option.shape {
        all.iter().for_each(|one| own(&mut common, one));
    }
    for driver in table.drivers {
        let _ = writeln!(text, "#   {}-{}:", table.family, driver.name);
        commented(text, &driver.sample(), 4);
        commented(text, &common, 4);
    }
}

fn commented(text: &mut String, sample: &str, margin: usize) {
    for line in sample.lines() {
        let _ = writeln!(text, "# {:margin$}{line}", "");
    }
}

/// A block that is commented out, one step in.
fn indented(sample: &str) -> String {
    sample.lines().map(|line| format!("#   {line}\n")).collect()
}

const HEAD: &str = "\
# donjon.yaml: this site. DONJON_CONFIG names the file; else it is donjon.yaml in DONJON_HOME.
# It holds no secret: secrets are named here.
";

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_policies::deployment::Deployment;

    #[test]
    fn the_sample_is_a_deployment_file_and_names_every_driver() {
        let sample = deployment();
        let read = Deployment::parse("sample", &sample).unwrap();
        assert_eq!(read.deployment.as_str(), "site1");
        let names = |name: &str| assert!(sample.contains(&format!("driver: {name}\n")), "{name}");
        HOSTS.drivers.iter().for_each(|driver| names(driver.name));
        TARGETS.drivers.iter().for_each(|driver| names(driver.name));
        SERVICES.drivers.iter().for_each(|driver| names(driver.name));
        DRAINS.drivers.iter().for_each(|driver| names(driver.name));
        KEYRINGS.drivers.iter().for_each(|driver| names(driver.name));
    }

    /// What a reader does with a sample: takes a part's comments off.
    #[test]
    fn a_part_without_its_comments_is_read() {
        let sample = deployment();
        let parts = FILE.iter().filter(|option| option.name != "deployment");
        for part in parts.map(|option| option.name) {
            let from = sample.find(&format!("\n# {part}:")).unwrap_or_else(|| panic!("{part}")) + 1;
            let lines: String = sample[from..]
                .lines()
                .take_while(|line| !line.is_empty())
                .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap()))
                .collect();
            let roles = if part == "sites" { "roles: {compute: {reads: []}}\n" } else { "" };
            let text = format!("deployment: a\n{roles}{lines}");
            let read = Deployment::parse("sample", &text);
            assert!(read.is_ok(), "{text}{read:?}");
        }
    }
}
