//! A family's table: each driver's name, its options, and how it is opened with them.

use crate::options::{self, Description, Mistake};
use donjon_policies::{deployment::Setting, nearest::nearest};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One driver of a family. `C` is what a family gives its drivers beside their options, `T` what they open.
pub struct Driver<C, T> {
    /// Its name in the deployment file.
    pub name: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    /// Its options.
    pub options: &'static [Description],
    /// Opens it with options that have been checked; on error, what does not fit together.
    pub open: fn(C, Map<String, Value>) -> Result<T, String>,
}

/// A driver, and its options as they were checked.
type Checked<'a, C, T> = (&'a Driver<C, T>, Map<String, Value>);

/// All drivers of a family.
pub struct Table<C: 'static, T: 'static> {
    /// What its drivers are: "target".
    pub family: &'static str,
    /// The drivers.
    pub drivers: &'static [Driver<C, T>],
}

impl<C, T> Table<C, T> {
    /// Opens a driver by its name with settings as they stand in a file at `at`; on error, every mistake.
    pub fn open(
        &self,
        driver: &str,
        settings: &BTreeMap<String, Setting>,
        at: &str,
        context: C,
    ) -> Result<T, Vec<Mistake>> {
        let (found, checked) = self.checked(driver, settings, at)?;
        (found.open)(context, checked).map_err(|what| vec![Mistake::new(at, what)])
    }

    /// The settings of a driver as it would be opened with them, what was not given filled in; on error, every mistake.
    pub fn served(
        &self,
        driver: &str,
        settings: &BTreeMap<String, Setting>,
        at: &str,
    ) -> Result<Map<String, Value>, Vec<Mistake>> {
        self.checked(driver, settings, at).map(|(_, checked)| checked)
    }

    fn checked(
        &self,
        driver: &str,
        settings: &BTreeMap<String, Setting>,
        at: &str,
    ) -> Result<Checked<'_, C, T>, Vec<Mistake>> {
        let Some(found) = self.drivers.iter().find(|known| known.name == driver) else {
            let names: Vec<_> = self.drivers.iter().map(|known| known.name).collect();
            let hint = nearest(driver, names.iter().copied()).map_or_else(
                || format!("there are `{}`", names.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(vec![Mistake::new(at, format!("there is no {} driver `{driver}`; {hint}", self.family))]);
        };
        Ok((found, options::check(found.options, settings, at)?))
    }

    /// A sample of every driver, for the deployment file.
    pub fn sample(&self) -> String {
        self.drivers.iter().map(Driver::sample).collect::<Vec<_>>().join("\n")
    }
}

impl<C, T> Driver<C, T> {
    /// A sample of this driver, for the deployment file.
    pub fn sample(&self) -> String {
        format!("# {}\ndriver: {}\n{}", self.help, self.name, options::sample(self.options, 0))
    }
}

/// Checked options as a driver's own type. They can differ only where the driver's description and type do.
pub fn typed<O: DeserializeOwned>(checked: Map<String, Value>) -> Result<O, String> {
    serde_json::from_value(Value::Object(checked)).map_err(|error| error.to_string())
}
