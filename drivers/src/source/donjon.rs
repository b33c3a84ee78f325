//! The driver `donjon`: secrets from the broker's socket, all mapped options in one request.
//!
//! The Python package `donjon` is the same driver for services; this one tells what they would see.

use super::{
    Given, Many, OptionName, Origin, Outside, Raw, Source, SourceError, Text,
    mapping::{Mapping, Name, Twice},
};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};
use tokio::sync::OnceCell;

/// Secrets from the broker's socket.
pub const DRIVER: Driver<Outside, Box<dyn Source>> = Driver {
    name: "donjon",
    help: "Secrets from the broker: one request for all mapped options, and nothing on disk.",
    options: &[
        Description {
            name: "mapping_file",
            kind: Kind::Text,
            need: Need::Required,
            help: "A file of `[group]` and `option = secret`, as castellan's.",
        },
        Description {
            name: "socket",
            kind: Kind::Text,
            need: Need::Optional,
            help: "The broker's socket; where none is named, that of DONJON_SOCKET or DONJON_HOME.",
        },
        Description {
            name: "timeout",
            kind: Kind::Number(1, 3600),
            need: Need::Number(30),
            help: "How long the broker may take, in seconds.",
        },
        Description {
            name: "optional",
            kind: Kind::Switch,
            need: Need::Optional,
            help: "Whether the service may start on its defaults when the broker does not answer. It may not.",
        },
    ],
    open: |outside, options| Ok(Box::new(Donjon { outside, options: typed(options)?, values: OnceCell::new() })),
};

#[derive(Deserialize)]
struct Options {
    mapping_file: PathBuf,
    socket: Option<PathBuf>,
    #[serde(default)]
    optional: bool,
}

struct Donjon {
    outside: Outside,
    options: Options,
    values: OnceCell<BTreeMap<OptionName, (Name, Text)>>,
}

impl Donjon {
    async fn values(&self) -> Result<&BTreeMap<OptionName, (Name, Text)>, SourceError> {
        self.values.get_or_try_init(|| self.ask()).await
    }

    async fn ask(&self) -> Result<BTreeMap<OptionName, (Name, Text)>, SourceError> {
        let mapping = Mapping::read(&self.options.mapping_file, Twice::Refused)?;
        let mut asked: Vec<(OptionName, Name)> = Vec::new();
        for (option, _) in mapping.iter() {
            let name = mapping.name(option)?.unwrap_or_default().to_owned();
            asked.push((option.clone(), name));
        }
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<Name> = asked.iter().map(|(_, name)| name.clone()).collect();
        let asking = self.outside.broker.read(self.options.socket.as_deref(), &names);
        let materials = match asking.await {
            Ok(materials) => materials,
            Err(_) if self.options.optional => return Ok(BTreeMap::new()),
            Err(refusal) => return Err(SourceError::Broker { place: refusal.place, source: refusal.source }),
        };
        if materials.len() != asked.len() {
            return Err(self.unusable("the broker answered another number of values than was asked for".to_owned()));
        }
        let mut values = BTreeMap::new();
        for ((option, name), material) in asked.into_iter().zip(materials) {
            // EXPOSE: held as text that is wiped
            let text = Text::from_bytes(material.expose())
                .ok_or_else(|| self.unusable(format!("the secret `{name}` is not UTF-8 text")))?;
            // So that a `$` in a secret is no reference to another option. EXPOSE: as above
            let text = Text::from(text.expose().replace('$', "\\$"));
            values.insert(option, (name, text));
        }
        Ok(values)
    }

    fn unusable(&self, what: String) -> SourceError {
        SourceError::Unusable { place: self.outside.group.clone(), what }
    }
}

#[async_trait]
impl Source for Donjon {
    async fn ready(&self) -> Result<(), SourceError> {
        self.values().await.map(drop)
    }

    async fn value(&self, option: &OptionName, many: Many) -> Result<Option<Given>, SourceError> {
        Ok(self.values().await?.get(option).map(|(name, text)| Given {
            // For an option that takes several it is one value, where castellan's becomes its letters.
            raw: match many {
                Many::Last => Raw::One(text.duplicate()),
                Many::All => Raw::Several(vec![text.duplicate()]),
            },
            origin: Origin::Secret {
                driver: DRIVER.name,
                place: self
                    .options
                    .socket
                    .as_ref()
                    .map_or_else(|| "the broker".to_owned(), |p| p.display().to_string()),
                name: name.clone(),
            },
        }))
    }

    fn set(&self) -> Vec<OptionName> {
        self.values.get().map(|values| values.keys().cloned().collect()).unwrap_or_default()
    }
}
