//! The table of source drivers, and how one is opened with settings that stand in a configuration file.

use super::{
    OptionType, Outside, Source, Value, castellan, donjon, environment, ini, option_type::Bounds, remote_file,
};
use crate::{
    options::{Kind, Mistake},
    registry::{Driver, Table},
};
use donjon_policies::{deployment::Setting, nearest::nearest};
use std::collections::BTreeMap;

/// Every source driver.
pub static SOURCES: Table<Outside, Box<dyn Source>> = Table {
    family: "source",
    drivers: &[ini::DRIVER, environment::DRIVER, remote_file::DRIVER, castellan::DRIVER, donjon::DRIVER, donjon::NAMES],
};

/// Those that `config_source` may name. As in oslo.config, files and the environment are read without being named, and are no
/// drivers there: a service that names one starts on its defaults.
const NAMED: [&str; 4] = [remote_file::DRIVER.name, castellan::DRIVER.name, donjon::DRIVER.name, donjon::NAMES.name];

fn named(driver: &str) -> Option<&'static Driver<Outside, Box<dyn Source>>> {
    SOURCES.drivers.iter().find(|known| known.name == driver && NAMED.contains(&known.name))
}

/// The options of a driver that `config_source` may name.
pub(super) fn options(driver: &str) -> impl Iterator<Item = &'static str> {
    named(driver).into_iter().flat_map(|driver| driver.options).map(|option| option.name)
}

/// Opens a source with what stands in its group; on error, every mistake.
pub(super) fn open(
    driver: &str,
    given: &BTreeMap<String, String>,
    outside: Outside,
) -> Result<(&'static str, Box<dyn Source>), Vec<Mistake>> {
    let at = format!("[{}]", outside.group);
    let Some(found) = named(driver) else {
        let words = NAMED.join("`, `");
        return Err(vec![match (driver, nearest(driver, NAMED)) {
            ("", _) => Mistake::new(at, format!("`driver` is missing; there are `{words}`")),
            (_, Some(near)) => {
                Mistake::new(at, format!("config_source takes no driver `{driver}`; did you mean `{near}`?"))
            }
            (_, None) => Mistake::new(at, format!("config_source takes no driver `{driver}`; there are `{words}`")),
        }]);
    };
    let mut settings = BTreeMap::new();
    let mut mistakes = Vec::new();
    for option in found.options {
        let Some(text) = given.get(option.name) else {
            continue;
        };
        match setting(option.kind, text) {
            Ok(Some(setting)) => drop(settings.insert(option.name.to_owned(), setting)),
            Ok(None) => {}
            Err(what) => mistakes.push(Mistake::new(format!("{at} {}", option.name), what)),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let source = SOURCES.open(found.name, &settings, &at, outside)?;
    Ok((found.name, source))
}

/// A text of a configuration file as a setting.
fn setting(kind: Kind, text: &str) -> Result<Option<Setting>, String> {
    let read = match kind {
        // What is given as nothing is not given, as to the original's drivers.
        Kind::Text | Kind::Like(_) | Kind::Path | Kind::Choice(_) => {
            return Ok(Some(text).filter(|text| !text.is_empty()).map(|text| Setting::Text(text.to_owned())));
        }
        Kind::Fraction(..) => OptionType::Float { min: None, max: None }.read(text),
        Kind::Number(..) => OptionType::integer().read(text),
        Kind::Switch => OptionType::Switch.read(text),
        Kind::Words => OptionType::List { item: Box::new(OptionType::text()), bounds: Bounds::Bare }.read(text),
        Kind::Maps(_) => return Err("a map cannot stand in a configuration file".to_owned()),
    };
    Ok(match read.map_err(|invalid| invalid.to_string())? {
        Value::Nothing => None,
        Value::List(items) if items.is_empty() => None,
        Value::Switch(switch) => Some(Setting::Switch(switch)),
        Value::List(items) => Some(Setting::List(items.iter().map(|i| Setting::Text(i.text().to_string())).collect())),
        value @ Value::Float(_) => Some(Setting::Text(value.text().to_string())),
        value @ (Value::Text(_) | Value::Integer(_) | Value::Map(_)) => value.text().parse().ok().map(Setting::Number),
    })
}
