//! kolla-ansible's services reading their secrets themselves: overrides that leave values out of what `genconfig` writes.
//!
//! kolla merges a role's template with the operator's files, and a merge cannot leave an option out; what stands in a file
//! hides every `config_source`. But an option may refer to another, and a source may have that one. So the override is a
//! template itself: it renders the role's own once more, takes the lines that hold a value, and gives them with a reference in
//! the value's place. Nothing of kolla's is copied, so what kolla changes in its templates is followed at each `reconfigure`.
//!
//! ```text
//! roles' tasks ──▶ Merged (template, override) ─┐
//! catalogue ────▶ names that a role consumes ───┴─▶ Override: config/<service>.conf, globals.d/donjon.yml, mapping.conf
//!           └───▶ sinks ─▶ Clear: what kolla writes in clear all the same
//! ```

mod clear;
mod merged;
mod needs;

pub use clear::{Clear, clear};
pub use merged::{Merged, Reading, Role, reading, role};
pub use needs::{Need, needs};

use super::reference::{Numbers, Reference};
use donjon_policies::{
    catalogue::Catalogue,
    name::{DeploymentName, SecretName},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a service reads its secrets with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    /// castellan's driver, unchanged, beside `donjon_names`, which lets files refer to what it gives.
    Castellan,
    /// Donjon's own driver.
    Donjon,
}

/// Where things are, as a container sees them.
#[derive(Debug, Clone)]
pub struct Inside {
    /// What is asked: the reader's socket or address.
    pub address: String,
    /// The mount that it serves.
    pub mount: String,
    /// The folder of castellan's files.
    pub folder: String,
}

/// A file below the folder of kolla's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its path there.
    pub path: String,
    /// Its text. No value is in it.
    pub text: String,
}

/// The files that make kolla's services read their secrets themselves.
pub fn overrides(
    catalogue: &Catalogue,
    roles: &[Role],
    runtime: Runtime,
    deployment: &DeploymentName,
    inside: &Inside,
) -> Vec<Override> {
    let mut by_path = BTreeMap::<(&str, Reading), (BTreeSet<&str>, BTreeSet<&SecretName>)>::new();
    let (mut mapped, mut variables) = (BTreeMap::<String, BTreeSet<&SecretName>>::new(), BTreeSet::new());
    for role in roles {
        let names = consumed(catalogue, &role.name);
        for merged in role.merged.iter().filter(|_| !names.is_empty()) {
            let (templates, reads) = by_path.entry((&merged.path, merged.read)).or_default();
            templates.insert(&merged.template);
            reads.extend(names.iter().copied());
            mapped.entry(group(&merged.path, merged.read)).or_default().extend(names.iter().copied());
            variables.extend(role.volumes.iter().map(|variable| (variable.as_str(), role.name.as_str())));
        }
    }
    let mut files: Vec<Override> = by_path
        .into_iter()
        .map(|((path, read), (templates, names))| {
            let group = group(path, read);
            let source = source(&group, read, runtime, deployment, inside);
            let text = conf(&templates, &names, &group, &source);
            Override { path: format!("config/{path}"), text }
        })
        .collect();
    if runtime == Runtime::Castellan {
        let section = |(group, names): (&String, &BTreeSet<&SecretName>)| {
            let lines: String = names.iter().map(|name| format!("{} = {deployment}/{name}\n", option(name))).collect();
            format!("[{group}]\n{lines}")
        };
        let sections: String = mapped.iter().map(section).collect();
        files.push(Override { path: "donjon/mapping.conf".to_owned(), text: format!("{MARK}{sections}") });
    }
    files.push(Override { path: "globals.d/donjon.yml".to_owned(), text: globals(&variables, runtime, inside) });
    files
}

/// Whether a file is one of these, and may be replaced.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(MARK) || text.starts_with(TEMPLATE_MARK)
}

/// The secrets that the services of a role read; pairs and repositories of keys are files of their own.
fn consumed<'a>(catalogue: &'a Catalogue, role: &str) -> BTreeSet<&'a SecretName> {
    let of_role =
        |service: &str| service.strip_prefix(role).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let entries = catalogue.current().filter(|entry| entry.consumers.iter().any(|s| of_role(s.as_str())));
    entries.filter(|entry| Reference::of(entry, &Numbers::default()).len() == 1).map(|entry| &entry.name).collect()
}

/// The option that stands for a secret: its name, as a reference can have it.
fn option(name: &SecretName) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.as_str().chars().map(letter).collect()
}

/// The group that stands for the secrets of a file. One that is read second has its own: in one group, what it lists would take
/// the place of what the first does.
fn group(path: &str, read: Reading) -> String {
    let stem = path.rsplit('/').next().and_then(|file| file.split('.').next()).unwrap_or_default();
    match read {
        Reading::First => GROUP.to_owned(),
        Reading::Second => format!("{GROUP}_{}", stem.replace('-', "_")),
    }
}

/// What makes a service read the secrets of a group; the line that names them follows.
fn source(group: &str, read: Reading, runtime: Runtime, deployment: &DeploymentName, inside: &Inside) -> String {
    let Inside { address, mount, folder } = inside;
    let (all, driven) = match runtime {
        Runtime::Donjon => (
            GROUP.to_owned(),
            format!("driver = donjon\naddress = {address}\nmount = {mount}\ndeployment = {deployment}\n"),
        ),
        // castellan says nothing of what it cannot read, and whoever is asked after it does.
        Runtime::Castellan => (format!("castellan,{GROUP}"), "driver = donjon_names\n".to_owned()),
    };
    let all = if read == Reading::Second { format!("{all},{group}") } else { all };
    let castellan = match (runtime, read) {
        (Runtime::Castellan, Reading::First) => format!(
            "[castellan]\ndriver = castellan\nconfig_file = {folder}/castellan.conf\nmapping_file = {folder}/mapping.conf\n"
        ),
        (Runtime::Castellan, Reading::Second) | (Runtime::Donjon, _) => String::new(),
    };
    format!("config_source = {all}\n{castellan}[{group}]\n{driven}")
}

fn conf(templates: &BTreeSet<&str>, names: &BTreeSet<&SecretName>, group: &str, source: &str) -> String {
    let listed =
        |texts: &mut dyn Iterator<Item = String>| texts.map(|t| format!("'{t}'")).collect::<Vec<_>>().join(", ");
    let options = names.iter().map(|name| format!("'{name}': '{}'", option(name))).collect::<Vec<_>>().join(", ");
    CONF.replace("@MARK@", TEMPLATE_MARK)
        .replace("@TEMPLATES@", &listed(&mut templates.iter().map(|t| (*t).to_owned())))
        .replace("@NAMES@", &options)
        .replace("@GROUP@", group)
        .replace("@SOURCE@", source)
}

fn globals(variables: &BTreeSet<(&str, &str)>, runtime: Runtime, inside: &Inside) -> String {
    let mut text = format!("{MARK}---\n{GLOBALS}");
    if let Some(socket) = inside.address.strip_prefix("unix://")
        && let Some((folder, _)) = socket.rsplit_once('/')
        && runtime == Runtime::Donjon
    {
        text.push_str(&format!("  - \"{folder}:{folder}\"\n"));
    }
    let mut seen = BTreeSet::new();
    for (variable, role) in variables.iter().filter(|(variable, _)| seen.insert(*variable)) {
        let own = match runtime {
            Runtime::Donjon => String::new(),
            Runtime::Castellan => format!(" + ['/etc/donjon/{role}:{}:ro']", inside.folder),
        };
        text.push_str(&format!("{variable}: \"{{{{ default_extra_volumes + donjon_volumes{own} }}}}\"\n"));
    }
    text
}

const GROUP: &str = "donjon";
const MARK: &str = "# Written by `donjon wire kolla --runtime`, which replaces it. No value is in it.\n";
const TEMPLATE_MARK: &str = "{# Written by `donjon wire kolla --runtime`, which replaces it. No value is in it. #}\n";

const CONF: &str = "@MARK@\
{# Below, the lines of the role's own template that hold a value, with a reference to the option of [@GROUP@] in its place. #}
{% set secrets = namespace(used=[]) %}
{% for template in [@TEMPLATES@] if ('roles/' ~ role_name ~ '/') in template %}
{% set rendered %}{% include template %}{% endset %}
{% for given in rendered.split('\\n') %}
{% set line = namespace(text=given) %}
{% for name, option in {@NAMES@}.items() %}
{% set value = lookup('vars', name, default='') | string %}
{% set reference = '${@GROUP@.' ~ option ~ '}' %}
{# A short one may be a part of anything: it is replaced where it is the whole value of a secret option, or a URL's password. #}
{% if value | length > 7 and value in given %}
{% set line.text = line.text | replace(value, reference) %}
{% set secrets.used = secrets.used + [name] %}
{% elif value and line.text.endswith('= ' ~ value) and line.text is search('^[^=]*(password|secret|key)') %}
{% set line.text = line.text[:-(value | length)] ~ reference %}
{% set secrets.used = secrets.used + [name] %}
{% elif value and (':' ~ value ~ '@') in line.text %}
{% set line.text = line.text | replace(':' ~ value ~ '@', ':' ~ reference ~ '@') %}
{% set secrets.used = secrets.used + [name] %}
{% endif %}
{% endfor %}
{% if given.startswith('[') or line.text != given %}
{{ line.text }}
{% endif %}
{% endfor %}
{% endfor %}
{% if secrets.used %}
[DEFAULT]
@SOURCE@secrets = {{ secrets.used | unique | sort | join(',') }}
{% endif %}
";

const GLOBALS: &str = "\
# What `pip install --target /usr/share/donjon/python drivers/python` made must be on each host. An image that has the package
# needs no such volume.
donjon_python: \"python{{ {'debian': '3.13', 'ubuntu': '3.12', 'rocky': '3.12'}[kolla_base_distro] }}\"
donjon_packages: \"/var/lib/kolla/venv/lib/{{ donjon_python }}/site-packages\"
donjon_volumes:
  - \"/usr/share/donjon/python/donjon:{{ donjon_packages }}/donjon:ro\"
  - \"/usr/share/donjon/python/donjon-0.1.0.dist-info:{{ donjon_packages }}/donjon-0.1.0.dist-info:ro\"
";

#[cfg(test)]
mod tests {
    use super::*;

    fn inside() -> Inside {
        Inside { address: "unix:///run/x/s".to_owned(), mount: "donjon".to_owned(), folder: "/etc/donjon".to_owned() }
    }

    fn written(runtime: Runtime) -> BTreeMap<String, String> {
        let merged = |role: &str| Merged {
            template: format!("roles/{role}/templates/nova.conf.j2"),
            path: "nova.conf".to_owned(),
            read: Reading::First,
        };
        let named = |name: &str| Role {
            name: name.to_owned(),
            merged: vec![merged(name)],
            volumes: vec!["nova_extra_volumes".to_owned()],
        };
        let roles = [named("nova"), named("nova-cell"), named("nothing")];
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let files = overrides(&catalogue, &roles, runtime, &"d".parse().unwrap(), &inside());
        files.into_iter().map(|file| (file.path, file.text)).collect()
    }

    #[test]
    fn roles_that_share_a_file_share_its_override() {
        let files = written(Runtime::Donjon);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["config/nova.conf", "globals.d/donjon.yml"]);
        let conf = &files["config/nova.conf"];
        assert!(
            conf.contains("['roles/nova-cell/templates/nova.conf.j2', 'roles/nova/templates/nova.conf.j2']"),
            "{conf}"
        );
        assert!(
            conf.contains("'nova_database_password': 'nova_database_password'")
                && !conf.contains("database_password': 'database")
        );
        let open = ["@MARK@", "@TEMPLATES@", "@NAMES@", "@GROUP@", "@SOURCE@"];
        assert!(open.iter().all(|place| !conf.contains(place)) && files.values().all(|text| is_ours(text)));
        let globals = &files["globals.d/donjon.yml"];
        assert_eq!(globals.matches("nova_extra_volumes:").count(), 1);
        assert!(globals.contains("  - \"/run/x:/run/x\"\n"), "{globals}");
    }

    #[test]
    fn castellan_gets_a_mapping_of_the_same_names() {
        let files = written(Runtime::Castellan);
        let mapping = &files["donjon/mapping.conf"];
        assert!(
            mapping.contains("[donjon]\n") && mapping.contains("nova_database_password = d/nova_database_password\n")
        );
        assert!(files["config/nova.conf"].contains("config_source = castellan,donjon\n"));
        assert!(files["globals.d/donjon.yml"].contains("+ ['/etc/donjon/nova:/etc/donjon:ro']"));
    }

    #[test]
    fn a_file_that_is_read_second_keeps_the_sources_of_the_first() {
        let merged = |file: &str, read| Merged {
            template: format!("roles/neutron/templates/{file}.j2"),
            path: file.to_owned(),
            read,
        };
        let neutron = Role {
            name: "neutron".to_owned(),
            merged: vec![merged("neutron.conf", Reading::First), merged("metadata_agent.ini", Reading::Second)],
            volumes: Vec::new(),
        };
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        for (runtime, all) in [
            (
                Runtime::Donjon,
                "config_source = donjon,donjon_metadata_agent\n[donjon_metadata_agent]\ndriver = donjon\n",
            ),
            (
                Runtime::Castellan,
                "config_source = castellan,donjon,donjon_metadata_agent\n[donjon_metadata_agent]\ndriver = donjon_names\n",
            ),
        ] {
            let files =
                overrides(&catalogue, std::slice::from_ref(&neutron), runtime, &"d".parse().unwrap(), &inside());
            let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap().text;
            let second = text("config/metadata_agent.ini");
            assert!(second.contains(all) && second.contains("${donjon_metadata_agent.' ~ option"), "{second}");
            assert!(!text("config/neutron.conf").contains("donjon_metadata_agent"));
            if runtime == Runtime::Castellan {
                let mapping = text("donjon/mapping.conf");
                assert!(mapping.contains("[donjon]\n") && mapping.contains("[donjon_metadata_agent]\n"), "{mapping}");
            }
        }
    }
}
