//! Where each option of the deployment file comes from: its line, an inventory, or the default of whoever reads it.

use super::{
    described::{FILE, Own, Shape, Usual},
    secrecy::{Secrecy, has_credential},
};
use donjon_drivers::{
    drain::registry::DRAINS, host::registry::HOSTS, keyring::registry::KEYRINGS, options::Mistake, registry::Table,
    service::registry::SERVICES, source::Origin, target::registry::TARGETS,
};
use donjon_policies::{
    deployment::{Deployment, Driven, Host, Setting},
    document::{self, Node},
    name::HostName,
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// One option as it holds.
#[derive(Debug, PartialEq)]
pub struct Told {
    /// Where it stands, or would: `targets.mariadb.nodes[0].port`.
    pub path: String,
    /// What it is.
    pub value: Value,
    /// Where that comes from.
    pub origin: Origin,
    /// Whether it may be shown.
    pub secrecy: Secrecy,
}

/// Every option of a deployment that was read from this text; on error, every mistake in what its drivers are given.
pub fn everything(deployment: &Deployment, text: &str, file: &Path) -> Result<Vec<Told>, Vec<Mistake>> {
    let tree = document::read(text).ok();
    let root = tree.as_ref().map(|node| Place { line: node.line, node });
    let mut telling = Telling { file, told: Vec::new(), mistakes: Vec::new() };
    for option in FILE {
        let place = root.and_then(|root| root.below(option.name));
        match (option.name, &option.shape) {
            ("hosts", Shape::Part(own)) => {
                for (name, host) in &deployment.hosts {
                    let (at, place) = entry("hosts", name.as_str(), place);
                    telling.driven(&HOSTS, own, &host.driver, &host.options, &at, place);
                }
            }
            ("targets", Shape::Part(own)) => {
                for (name, target) in &deployment.targets {
                    let (at, place) = entry("targets", name.as_str(), place);
                    telling.target(own, target, &at, place);
                }
            }
            ("keyrings", Shape::Part(own)) => {
                for (name, keyring) in &deployment.keyrings {
                    let (at, place) = entry("keyrings", name.as_str(), place);
                    telling.driven(&KEYRINGS, own, &keyring.driver, &keyring.options, &at, place);
                }
            }
            ("services", Shape::Part(own)) => {
                for (name, service) in &deployment.services {
                    let (at, place) = entry("services", name.as_str(), place);
                    telling.driven(&SERVICES, own, &service.driver, &service.options, &at, place);
                    if let Some(drain) = &service.drain {
                        let (at, place) = entry(&at, "drain", place);
                        telling.driven(&DRAINS, &[], &drain.driver, &drain.options, &at, place);
                    }
                }
            }
            // Where there is no file.
            ("deployment", _) if place.is_none() => {
                telling.tell("deployment".to_owned(), None, deployment.deployment.as_str().into(), &Origin::Broker);
            }
            _ => telling.own(option, option.name.to_owned(), place),
        }
    }
    if telling.mistakes.is_empty() { Ok(telling.told) } else { Err(telling.mistakes) }
}

/// A host that an inventory has; on error, what its driver does not understand.
pub fn of_inventory(name: &HostName, host: &Host, inventory: &Path) -> Result<Vec<Told>, Vec<Mistake>> {
    let served = HOSTS.served(&host.driver, &host.options, &format!("hosts.{name}"))?;
    let driver = std::iter::once((DRIVER.to_owned(), Value::from(host.driver.as_str())));
    let one = |(option, value): (String, Value)| {
        let given = option == DRIVER || host.options.contains_key(&option);
        let origin = match given {
            true => Origin::Inventory { path: inventory.to_path_buf() },
            false => Origin::Driver { driver: host.driver.clone() },
        };
        Told { path: format!("hosts.{name}.{option}"), value, origin, secrecy: Secrecy::Open }
    };
    Ok(driver.chain(served).map(one).collect())
}

fn entry<'a>(at: &str, name: &str, place: Option<Place<'a>>) -> (String, Option<Place<'a>>) {
    (format!("{at}.{name}"), place.and_then(|place| place.below(name)))
}

/// A node, and the line of what leads to it.
#[derive(Clone, Copy)]
struct Place<'a> {
    line: u64,
    node: &'a Node,
}

struct Telling<'a> {
    file: &'a Path,
    told: Vec<Told>,
    mistakes: Vec<Mistake>,
}

impl Telling<'_> {
    /// What a driver opens: the options that are not the driver's, and its own.
    fn driven<C, T>(
        &mut self,
        table: &Table<C, T>,
        own: &[Own],
        driver: &str,
        options: &BTreeMap<String, Setting>,
        at: &str,
        place: Option<Place<'_>>,
    ) {
        let below = |name: &str| place.and_then(|place| place.below(name));
        self.tell(format!("{at}.{DRIVER}"), below(DRIVER), driver.into(), &Origin::Broker);
        for option in own {
            self.own(option, format!("{at}.{}", option.name), below(option.name));
        }
        match table.served(driver, options, at) {
            Ok(served) => self.served(at, place, &served, &Origin::Driver { driver: driver.to_owned() }),
            Err(found) => self.mistakes.extend(found),
        }
    }

    /// A target: who changes accounts there is not for its driver to know.
    fn target(&mut self, own: &[Own], target: &Driven, at: &str, place: Option<Place<'_>>) {
        let mut options = target.options.clone();
        if let Some(given) = options.remove(ADMINISTRATOR) {
            let is_text = |(name, value): (&String, &Setting)| {
                ["user", "secret"].contains(&name.as_str()) && matches!(value, Setting::Text(_))
            };
            if !matches!(&given, Setting::Map(map) if map.len() == 2 && map.iter().all(is_text)) {
                let what = "a map is expected here: `{user: NAME, secret: SECRET}`";
                self.mistakes.push(Mistake::new(format!("{at}.{ADMINISTRATOR}"), what));
            }
        }
        self.driven(&TARGETS, own, &target.driver, &options, at, place);
    }

    /// One of the file's own options.
    fn own(&mut self, option: &Own, path: String, place: Option<Place<'_>>) {
        let place = place.filter(|place| place.node.value != document::Value::Nothing);
        match (&option.shape, place) {
            (Shape::One(inner, _), _) => {
                let whole = place.is_some() || !inner.iter().any(|option| matches!(option.usual, Usual::Required));
                for option in inner.iter().filter(|_| whole) {
                    let place = place.and_then(|place| place.below(option.name));
                    self.own(option, format!("{path}.{}", option.name), place);
                }
            }
            (Shape::Many(inner, _), Some(place)) => {
                for (at, place) in place.entries() {
                    for option in *inner {
                        self.own(option, format!("{path}{at}.{}", option.name), place.below(option.name));
                    }
                }
            }
            (Shape::Texts(_), Some(place)) => {
                for (at, place) in place.entries() {
                    self.tell(format!("{path}{at}"), Some(place), place.text().into(), &Origin::Broker);
                }
            }
            (Shape::List(_), Some(place)) => {
                let items = place.entries().map(|(_, item)| Value::from(item.text())).collect();
                self.tell(path, Some(place), Value::Array(items), &Origin::Broker);
            }
            (Shape::Text(_) | Shape::Number | Shape::Switch, Some(place)) => {
                let value = match (&option.shape, place.text()) {
                    (Shape::Number, text) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
                    (Shape::Switch, text) => TRUE.iter().any(|word| text.eq_ignore_ascii_case(word)).into(),
                    (_, text) => text.into(),
                };
                self.tell(path, Some(place), value, &Origin::Broker);
            }
            (Shape::Part(_), _) | (_, None) => {
                let value: Value = match option.usual {
                    Usual::Number(number) => number.into(),
                    Usual::Text(text) => text.into(),
                    Usual::Switch(switch) => switch.into(),
                    Usual::Required | Usual::Nothing => return,
                };
                self.tell(path, None, value, &Origin::Broker);
            }
        }
    }

    /// A driver's options, as it would be opened with them.
    fn served(&mut self, path: &str, place: Option<Place<'_>>, map: &Map<String, Value>, usual: &Origin) {
        for (name, value) in map {
            let (path, place) = entry(path, name, place);
            match value {
                Value::Array(list) if list.iter().any(Value::is_object) => {
                    let mut places = place.into_iter().flat_map(Place::entries);
                    for (index, value) in list.iter().enumerate() {
                        let place = places.next().map(|(_, place)| place);
                        if let Value::Object(map) = value {
                            self.served(&format!("{path}[{index}]"), place, map, usual);
                        }
                    }
                }
                Value::Object(map) => self.served(&path, place, map, usual),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    self.tell(path, place, value.clone(), usual);
                }
            }
        }
    }

    fn tell(&mut self, path: String, place: Option<Place<'_>>, value: Value, usual: &Origin) {
        let line = place.and_then(|place| usize::try_from(place.line).ok());
        let origin = line.map_or_else(|| usual.clone(), |line| Origin::File { path: self.file.into(), line });
        // A webhook's address is a credential to many; a view's template has names where its values will be.
        let credential = !path.starts_with("views.") && value.as_str().is_some_and(has_credential);
        let secrecy = if path.ends_with(".webhook") || credential { Secrecy::Secret } else { Secrecy::Open };
        self.told.push(Told { path, value, origin, secrecy });
    }
}

impl<'a> Place<'a> {
    fn below(self, name: &str) -> Option<Self> {
        match &self.node.value {
            document::Value::Map(pairs) => {
                let pair = pairs.iter().rfind(|pair| pair.key == name)?;
                Some(Self { line: pair.line, node: &pair.node })
            }
            // `inventory: FILE` is short for a map.
            document::Value::Text(_) if name == "file" => Some(self),
            document::Value::Text(_) | document::Value::List(_) | document::Value::Nothing => None,
        }
    }

    /// What is in a map or a list, with the end of its path.
    fn entries(self) -> impl Iterator<Item = (String, Self)> {
        let (pairs, items): (&[_], &[_]) = match &self.node.value {
            document::Value::Map(pairs) => (pairs, &[]),
            document::Value::List(items) => (&[], items),
            document::Value::Text(_) | document::Value::Nothing => (&[], &[]),
        };
        let pairs = pairs.iter().map(|pair| (format!(".{}", pair.key), Self { line: pair.line, node: &pair.node }));
        let items = items.iter().enumerate();
        pairs.chain(items.map(|(index, node)| (format!("[{index}]"), Self { line: node.line, node })))
    }

    fn text(self) -> &'a str {
        match &self.node.value {
            document::Value::Text(text) => text,
            document::Value::Map(_) | document::Value::List(_) | document::Value::Nothing => "",
        }
    }
}

/// What YAML 1.1 takes for true.
const TRUE: [&str; 4] = ["true", "yes", "on", "y"];
const DRIVER: &str = "driver";
const ADMINISTRATOR: &str = "administrator";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_told_with_its_line_or_whose_default_it_is() {
        let text = "
deployment: site1
inventory: /etc/kolla/multinode
targets:
  mariadb:
    driver: mariadb
    nodes:
      - {name: db1, address: 10.0.0.1}
      - name: db2
        address: 10.0.0.2
        port: 3307
services:
  api: {driver: container, container: api, uses: [database_password, other],
    drain: {driver: haproxy, backend: b, proxies: [{socket: /s}]}}
views:
  keystone.database.connection: 'mysql://k:{keystone_database_password}@h/k'
notifications:
  - {name: n, webhook: 'https://chat/canary'}
schedules: {automatic: yes}
";
        let all = everything(&Deployment::parse("f", text).unwrap(), text, Path::new("/d.yaml")).unwrap();
        let of = |path: &str| {
            let told = all.iter().find(|told| told.path == path);
            let told = told.unwrap_or_else(|| panic!("{path}: {all:#?}"));
            format!("{} {} {:?}", told.value, told.origin, told.secrecy)
        };
        for (path, wanted) in [
            ("deployment", "\"site1\" /d.yaml:2 Open"),
            ("inventory.file", "\"/etc/kolla/multinode\" /d.yaml:3 Open"),
            ("inventory.dynamic", "false donjon's default Open"),
            ("catalogue", "\"kolla-ansible\" donjon's default Open"),
            ("notifications[0].name", "\"n\" /d.yaml:18 Open"),
            ("schedules.automatic", "true /d.yaml:19 Open"),
            ("schedules.every", "\"10m\" donjon's default Open"),
            ("targets.mariadb.driver", "\"mariadb\" /d.yaml:6 Open"),
            ("targets.mariadb.nodes[0].port", "3306 the default of the driver `mariadb` Open"),
            ("targets.mariadb.nodes[0].address", "\"10.0.0.1\" /d.yaml:8 Open"),
            ("targets.mariadb.nodes[1].port", "3307 /d.yaml:11 Open"),
            ("targets.mariadb.connect_timeout", "5 the default of the driver `mariadb` Open"),
            ("services.api.uses", "[\"database_password\",\"other\"] /d.yaml:13 Open"),
            ("services.api.engine", "\"podman\" the default of the driver `container` Open"),
            ("services.api.batch", "1 donjon's default Open"),
            ("services.api.drain.backend", "\"b\" /d.yaml:14 Open"),
            ("services.api.drain.server", "\"{host}\" the default of the driver `haproxy` Open"),
            ("views.keystone.database.connection", "\"mysql://k:{keystone_database_password}@h/k\" /d.yaml:16 Open"),
            ("notifications[0].webhook", "\"https://chat/canary\" /d.yaml:18 Secret"),
        ] {
            assert_eq!(of(path), wanted, "{path}");
        }
        assert!(!all.iter().any(|told| told.path.contains("quorum_group")), "what is nowhere is not told");
    }

    /// The fields of what is read, as it prints itself.
    fn fields(printed: &str) -> Vec<&str> {
        let lines = printed.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        lines.filter_map(|line| Some(line.trim().split_once(": ")?.0)).collect()
    }

    #[test]
    fn what_is_read_and_what_is_described_are_the_same() {
        let text = "deployment: a\ninventory: /i\nroles: {a: {reads: [b]}}\nsites: {e: {roles: [a], recipients: [r]}}\n\
                    hosts: {h: {driver: local}}\nservices: {s: {driver: command}}\n\
                    notifications: [{name: x, webhook: 'https://x'}]\nschedules: {rules: [{max_age: 1d}]}\n";
        let full = Deployment::parse("f", text).unwrap();
        let inner = |part: &str| match FILE.iter().find(|option| option.name == part).unwrap().shape {
            Shape::One(inner, _) | Shape::Many(inner, _) | Shape::Part(inner) => inner,
            Shape::Text(_) | Shape::Number | Shape::Switch | Shape::List(_) | Shape::Texts(_) => panic!("{part}"),
        };
        let rule = inner("schedules").iter().find(|option| option.name == "rules").unwrap();
        let Shape::Many(rule, _) = rule.shape else { panic!("{rule:?}") };
        let cases: [(&[Own], String, &[&str]); 9] = [
            (FILE, format!("{full:#?}"), &[]),
            (inner("inventory"), format!("{:#?}", full.inventory.as_ref().unwrap()), &[]),
            (inner("roles"), format!("{:#?}", full.roles.values().next().unwrap()), &[]),
            (inner("sites"), format!("{:#?}", full.sites.values().next().unwrap()), &[]),
            (inner("schedules"), format!("{:#?}", full.schedules), &[]),
            (rule, format!("{:#?}", full.schedules.rules[0]), &[]),
            (inner("hosts"), format!("{:#?}", full.hosts.values().next().unwrap()), &["driver", "options"]),
            (
                inner("services"),
                format!("{:#?}", full.services.values().next().unwrap()),
                &["driver", "drain", "options"],
            ),
            // Two of its options are one field.
            (inner("notifications"), format!("{:#?}", full.notifications[0]), &["means"]),
        ];
        for (described, printed, other) in cases {
            let mut fields: Vec<_> = fields(&printed).into_iter().filter(|field| !other.contains(field)).collect();
            let names = described.iter().map(|option| option.name);
            let mut names: Vec<_> = names.filter(|name| !["webhook", "command"].contains(name)).collect();
            fields.sort_unstable();
            names.sort_unstable();
            assert!(!fields.is_empty(), "{printed}");
            assert_eq!(names, fields);
        }
    }

    #[test]
    fn what_is_usual_is_what_is_read_where_nothing_is_said() {
        fn written(options: &[Own]) -> Map<String, Value> {
            let mut all = Map::new();
            for option in options {
                let value = match (&option.usual, &option.shape) {
                    (Usual::Number(number), _) => (*number).into(),
                    (Usual::Text(text), _) => (*text).into(),
                    (Usual::Switch(switch), _) => (*switch).into(),
                    (Usual::Nothing, Shape::One(inner, _)) if option.name == "schedules" => written(inner).into(),
                    (Usual::Required | Usual::Nothing, _) => continue,
                };
                all.insert(option.name.to_owned(), value);
            }
            all
        }
        let part = |name: &str| {
            let option = FILE.iter().find(|option| option.name == name).unwrap();
            if let Shape::Part(own) = option.shape { written(own) } else { panic!("{option:?}") }
        };
        let with = |mut all: Map<String, Value>, more: &[(&str, Value)]| {
            all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            Value::Object(all)
        };
        let service = [("driver", Value::from("command"))];
        let said = with(
            written(FILE),
            &[("deployment", "a".into()), ("services", serde_json::json!({"s": with(part("services"), &service)}))],
        );
        assert!(
            said["schedules"]["every"].is_string() && said["services"]["s"]["canary"] == true,
            "the control: {said}"
        );
        let read = Deployment::parse("f", "deployment: a\nservices: {s: {driver: command}}\n").unwrap();
        assert_eq!(Deployment::parse("f", &said.to_string()).unwrap(), read);
    }

    #[test]
    fn every_mistake_of_a_driver_is_told_at_once() {
        let text = "deployment: a\nhosts: {h: {driver: shh}}\n\
                    targets: {t: {driver: mariadb, prot: 1, administrator: {usr: root}}}\n\
                    services: {s: {driver: systemd, drain: {driver: haproxy}}}\n";
        let told = everything(&Deployment::parse("f", text).unwrap(), text, Path::new("/d.yaml")).unwrap_err();
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        for wanted in [
            "hosts.h: there is no host driver `shh`",
            "targets.t: there is no option `prot`",
            "targets.t: `nodes` is missing",
            "targets.t.administrator: a map is expected here",
            "services.s: `unit` is missing",
            "services.s.drain: `backend` is missing",
        ] {
            assert!(told.iter().any(|told| told.contains(wanted)), "{wanted}: {told:#?}");
        }
    }
}
