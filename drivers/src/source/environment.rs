//! The driver `environment`: `OS_<GROUP>__<OPTION>`.

use super::{Given, Many, OptionName, Origin, Outside, Raw, Source, SourceError, Text};
use crate::registry::Driver;
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    sync::Arc,
};

/// The environment. oslo.config always looks there, and has no driver of this name.
pub const DRIVER: Driver<Outside, Box<dyn Source>> = Driver {
    name: "environment",
    help: "Environment variables OS_<GROUP>__<OPTION>; always looked at.",
    options: &[],
    open: |outside, _| Ok(Box::new(outside.environment)),
};

/// Environment variables.
#[derive(Debug, Clone, Default)]
pub struct Environment(Arc<BTreeMap<OsString, OsString>>);

impl Environment {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The variable of an option: its group and name in capitals.
    pub fn variable(option: &OptionName) -> String {
        format!("OS_{}__{}", option.group.to_uppercase(), option.name.to_uppercase())
    }

    /// What stands for an option. Bytes that are not UTF-8 are an error; Python would hand them on as lone surrogates.
    pub fn find(&self, option: &OptionName) -> Result<Option<Given>, SourceError> {
        let variable = Self::variable(option);
        let Some(value) = self.0.get(OsStr::new(&variable)) else {
            return Ok(None);
        };
        let unusable = || SourceError::Unusable {
            place: format!("the environment variable {variable}"),
            what: "it is not UTF-8 text".to_owned(),
        };
        let text = Text::from_bytes(value.as_bytes()).ok_or_else(unusable)?;
        Ok(Some(Given { raw: Raw::One(text), origin: Origin::Environment { variable } }))
    }

    /// The options that are set, as far as their variables' names tell: in small letters.
    pub fn set(&self) -> Vec<OptionName> {
        let option = |name: &OsString| {
            let (group, name) = name.to_str()?.strip_prefix("OS_")?.split_once("__")?;
            let group = if group == "DEFAULT" { group.to_owned() } else { group.to_lowercase() };
            Some(OptionName::new(group, name.to_lowercase()))
        };
        self.0.keys().filter_map(option).collect()
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(Arc::new(variables.into_iter().collect()))
    }
}

#[async_trait]
impl Source for Environment {
    async fn ready(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn value(&self, option: &OptionName, _many: Many) -> Result<Option<Given>, SourceError> {
        self.find(option)
    }

    fn set(&self) -> Vec<OptionName> {
        Self::set(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_variable_is_found_by_group_and_name() {
        let variables = [("OS_DEFAULT__DEBUG", b"1".to_vec()), ("OS_A__B_C", vec![0xff])];
        let environment: Environment =
            variables.into_iter().map(|(name, value)| (name.into(), OsString::from_vec(value))).collect();
        assert!(environment.find(&OptionName::new("DEFAULT", "debug")).unwrap().is_some());
        assert!(environment.find(&OptionName::new("DEFAULT", "other")).unwrap().is_none());
        assert!(matches!(environment.find(&OptionName::new("a", "b-c")), Err(SourceError::Unusable { .. })));
        let set = [OptionName::new("a", "b_c"), OptionName::new("DEFAULT", "debug")];
        assert_eq!(environment.set(), set);
    }
}
