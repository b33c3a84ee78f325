//! The driver `donjon`: secrets from the broker's socket, or from the reader at an address, all mapped options in one request.
//!
//! The Python package `donjon` is the same driver for services; this one tells what they would see.

use super::{
    Given, Many, OptionName, Origin, Outside, Raw, Source, SourceError, Text,
    mapping::{Mapping, Name, Twice},
    option::DEFINED_IN,
    outside::Refusal,
    reader::{self, Reader},
};
use crate::{
    material::Material,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// Secrets from the broker's socket, or from a reader.
pub const DRIVER: Driver<Outside, Box<dyn Source>> = Driver {
    name: "donjon",
    help: "Secrets from the broker: one request for all mapped options, and nothing on disk.",
    options: &[
        Description {
            name: "mapping_file",
            kind: Kind::Text,
            need: Need::Optional,
            help: "A file of `[group]` and `option = secret`, as castellan's.",
        },
        SECRETS,
        Description {
            name: "address",
            kind: Kind::Text,
            need: Need::Optional,
            help: "The reader to ask instead of the broker: https://HOST:PORT, or unix:///PATH of its socket.",
        },
        Description {
            name: "mount",
            kind: Kind::Text,
            need: Need::Optional,
            help: "The mount that the reader serves: donjon.",
        },
        Description {
            name: "deployment",
            kind: Kind::Text,
            need: Need::Optional,
            help: "The deployment: the folder of the secrets' names at the reader.",
        },
        Description {
            name: "ca_file",
            kind: Kind::Text,
            need: Need::Optional,
            help: "The authority that the reader's certificate must be of; the system's where not given.",
        },
        Description {
            name: "cert_file",
            kind: Kind::Text,
            need: Need::Optional,
            help: "This client's certificate, where the reader knows it by its key.",
        },
        Description { name: "key_file", kind: Kind::Text, need: Need::Optional, help: "Its private key." },
        Description {
            name: "role_id_file",
            kind: Kind::Text,
            need: Need::Optional,
            help: "A file with the role-id of an AppRole.",
        },
        Description {
            name: "secret_id_file",
            kind: Kind::Text,
            need: Need::Optional,
            help: "A file with its secret-id.",
        },
        Description {
            name: "socket",
            kind: Kind::Text,
            need: Need::Optional,
            help: "The broker's socket; where none is named, that of DONJON_SOCKET or DONJON_HOME.",
        },
        Description {
            name: "timeout",
            kind: Kind::Fraction(0.1, 3600.0),
            need: Need::Number(30),
            help: "How long the broker may take, in seconds.",
        },
        Description {
            name: "optional",
            kind: Kind::Switch,
            need: Need::Optional,
            help: "Whether the service may start on its defaults when the broker does not answer; it may not. What refers to one of `secrets` has none.",
        },
    ],
    open: |outside, options| Ok(Box::new(Donjon { outside, options: typed(options)?, asked: OnceCell::new() })),
};

/// Options of this group that files refer to, and that a source before it gives.
pub const NAMES: Driver<Outside, Box<dyn Source>> = Driver {
    name: "donjon_names",
    help: "No values of its own: it lets files refer to options that a source before it gives, such as castellan's, and stands for no default.",
    options: &[Description { need: Need::Required, ..SECRETS }],
    open: |outside, options| {
        let NamesOptions { secrets } = typed(options)?;
        Ok(Box::new(Names { declared: declared(&outside.group, &secrets, NAMES.options) }))
    },
};

const SECRETS: Description = Description {
    name: "secrets",
    kind: Kind::Words,
    need: Need::Optional,
    help: "Secrets that options of files refer to, as `${GROUP.nova_database_password}` of this group.",
};

#[derive(Deserialize)]
struct NamesOptions {
    secrets: Vec<Name>,
}

#[derive(Deserialize)]
struct Options {
    mapping_file: Option<PathBuf>,
    #[serde(default)]
    secrets: Vec<Name>,
    socket: Option<PathBuf>,
    #[serde(default)]
    optional: bool,
    #[serde(flatten)]
    reader: reader::Options,
}

struct Donjon {
    outside: Outside,
    options: Options,
    asked: OnceCell<Asked>,
}

/// What came of asking.
enum Asked {
    /// The values, and each one's secret.
    Read(BTreeMap<OptionName, (Name, Text)>),
    /// Nothing, for a reason; and it is optional. What values refer to is still to be told.
    Unread { declared: Vec<(OptionName, Name)>, why: Arc<SourceError> },
}

impl Donjon {
    async fn asked(&self) -> Result<&Asked, SourceError> {
        self.asked.get_or_try_init(|| self.ask()).await
    }

    async fn ask(&self) -> Result<Asked, SourceError> {
        let reader = Reader::named(&self.options.reader, &self.outside.group)?;
        let mut mapped: Vec<(OptionName, Name)> = Vec::new();
        if let Some(path) = &self.options.mapping_file {
            let mapping = Mapping::read(path, Twice::Refused)?;
            for (option, _) in mapping.iter() {
                let name = mapping.name(option)?.unwrap_or_default().to_owned();
                mapped.push((option.clone(), name));
            }
        }
        let declared = declared(&self.outside.group, &self.options.secrets, DRIVER.options);
        let declared = declared.map_err(|what| self.unusable(what))?;
        mapped.extend(declared.iter().cloned());
        if mapped.is_empty() {
            return match self.options.mapping_file {
                Some(_) => Ok(Asked::Read(BTreeMap::new())),
                None => Err(self.unusable("neither mapping_file nor secrets is given".to_owned())),
            };
        }
        match self.read(reader, mapped).await {
            Ok(values) => Ok(Asked::Read(values)),
            Err(error) if self.options.optional => Ok(Asked::Unread { declared, why: Arc::new(error) }),
            Err(error) => Err(error),
        }
    }

    async fn read(
        &self,
        reader: Option<Reader<'_>>,
        asked: Vec<(OptionName, Name)>,
    ) -> Result<BTreeMap<OptionName, (Name, Text)>, SourceError> {
        let materials = match reader {
            Some(reader) => reader.read(&asked).await?,
            None => self.ask_broker(&asked).await?,
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

    async fn ask_broker(&self, asked: &[(OptionName, Name)]) -> Result<Vec<Material>, SourceError> {
        let names: Vec<Name> = asked.iter().map(|(_, name)| name.clone()).collect();
        let refused = |refusal: Refusal| SourceError::Broker { place: refusal.place, source: refusal.source };
        self.outside
            .broker
            .read(self.options.socket.as_deref(), &names, self.options.reader.within())
            .await
            .map_err(refused)
    }

    /// Where values come from.
    fn place(&self) -> String {
        let socket = || self.options.socket.as_ref().map(|path| path.display().to_string());
        self.options.reader.address.clone().or_else(socket).unwrap_or_else(|| "the broker".to_owned())
    }

    fn unusable(&self, what: String) -> SourceError {
        SourceError::Unusable { place: self.outside.group.clone(), what }
    }
}

/// Each of these secrets as an option of the group, by its name in letters, digits and `_`; `own` are the driver's there.
fn declared(group: &str, names: &[Name], own: &[Description]) -> Result<Vec<(OptionName, Name)>, String> {
    let taken = own.iter().map(|option| option.name).chain(["driver", DEFINED_IN]);
    let mut declared: Vec<(OptionName, Name)> = Vec::new();
    for name in names {
        let plain = |letter: char| if matches!(letter, 'a'..='z' | '0'..='9' | '_') { letter } else { '_' };
        let option = OptionName::new(group, name.to_lowercase().chars().map(plain).collect::<String>());
        if taken.clone().any(|own| own == option.name) {
            return Err(format!(
                "`{name}` is what the group has an option for: no value can refer to a secret of that name"
            ));
        }
        if let Some((_, other)) = declared.iter().find(|(known, _)| *known == option) {
            return Err(format!("`{name}` and `{other}` cannot be told apart"));
        }
        declared.push((option, name.clone()));
    }
    Ok(declared)
}

struct Names {
    declared: Result<Vec<(OptionName, Name)>, String>,
}

#[async_trait]
impl Source for Names {
    async fn ready(&self) -> Result<(), SourceError> {
        match &self.declared {
            Ok(declared) if declared.is_empty() => Err(names_unusable("secrets is empty".to_owned())),
            Ok(_) => Ok(()),
            Err(what) => Err(names_unusable(what.clone())),
        }
    }

    /// Whoever comes here has asked every source before: a reference to what none of them has would be empty text.
    async fn value(&self, option: &OptionName, _: Many) -> Result<Option<Given>, SourceError> {
        let declared = self.declared.iter().flatten();
        match declared.into_iter().find(|(known, _)| known == option) {
            Some((_, name)) => {
                Err(names_unusable(format!("{option}: no source before it in config_source has `{name}`")))
            }
            None => Ok(None),
        }
    }

    fn set(&self) -> Vec<OptionName> {
        Vec::new()
    }
}

fn names_unusable(what: String) -> SourceError {
    SourceError::Unusable { place: NAMES.name.to_owned(), what }
}

#[async_trait]
impl Source for Donjon {
    async fn ready(&self) -> Result<(), SourceError> {
        self.asked().await.map(drop)
    }

    async fn value(&self, option: &OptionName, many: Many) -> Result<Option<Given>, SourceError> {
        match self.asked().await? {
            Asked::Read(values) => Ok(values.get(option).map(|(name, text)| Given {
                // For an option that takes several it is one value, where castellan's becomes its letters.
                raw: match many {
                    Many::Last => Raw::One(text.duplicate()),
                    Many::All => Raw::Several(vec![text.duplicate()]),
                },
                origin: Origin::Secret { driver: DRIVER.name, place: self.place(), name: name.clone() },
            })),
            // An option that is mapped has a default of the service's; what a value refers to has none.
            Asked::Unread { declared, why } => match declared.iter().find(|(known, _)| known == option) {
                None => Ok(None),
                Some((option, name)) => {
                    Err(SourceError::Optional { option: option.clone(), name: name.clone(), source: Arc::clone(why) })
                }
            },
        }
    }

    fn set(&self) -> Vec<OptionName> {
        match self.asked.get() {
            Some(Asked::Read(values)) => values.keys().cloned().collect(),
            Some(Asked::Unread { .. }) | None => Vec::new(),
        }
    }
}
