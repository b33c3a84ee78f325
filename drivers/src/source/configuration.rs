//! A service's whole configuration: every place in order, and one option read from them.
//!
//! Two corners of the original are kept, because a service has them: an option given on the command line *and* in a file
//! loses to the environment (`_Namespace._get_value` takes the file's location for it), and a file named after an argument
//! overrides it. A text from the environment or a secret store for an option that takes several is taken letter by letter.

use super::{
    Declaration, Given, Known, Many, OpenError, OptionName, Origin, Outside, Raw, ReadError, Source, Text, Value,
    environment::Environment,
    error::At,
    ini::{Files, Ini},
    option::{Argued, DEFAULT, DEFINED_IN},
    option_type::{Invalid, OptionType},
    outside::Broker,
    registry,
    template::{Piece, pieces, unescaped},
};
use crate::fs;
use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};
use zeroize::Zeroizing;

/// What a service is started with.
pub struct Sought {
    /// Its command line, in order.
    pub arguments: Vec<Argument>,
    /// Its environment.
    pub environment: Environment,
    /// The options it has.
    pub known: Known,
    /// The way to the broker.
    pub broker: Arc<dyn Broker>,
}

/// One argument of a service.
#[derive(Debug)]
pub enum Argument {
    /// `--config-file`.
    File(PathBuf),
    /// `--config-dir`: its `*.conf`, by name.
    Folder(PathBuf),
    /// An option with its text; `True` and `False` for a switch.
    Option(OptionName, Text),
}

/// A configuration that was opened.
pub struct Configuration {
    /// Every text of an option of the command line, in its order: how many count is known when it is read.
    arguments: BTreeMap<OptionName, Vec<Text>>,
    environment: Environment,
    files: Files,
    sources: Vec<Opened>,
    known: Known,
}

struct Opened {
    group: String,
    driver: &'static str,
    source: Box<dyn Source>,
}

/// An option as the service would see it.
#[derive(Debug)]
pub struct Found {
    /// Its value.
    pub value: Value,
    /// Where that comes from.
    pub origin: Origin,
    /// What its text refers to, however far down: where that is secret, this is too.
    pub referred: Vec<Referred>,
}

/// An option that a value refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referred {
    /// The option.
    pub option: OptionName,
    /// Where its value comes from.
    pub origin: Origin,
}

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Found, ReadError>> + Send + 'a>>;

impl Configuration {
    /// Reads the files and opens the sources; on error, all that is wrong.
    pub async fn open(sought: Sought) -> Result<Self, Vec<OpenError>> {
        let Sought { arguments, environment, known, broker } = sought;
        let mut opened =
            Self { arguments: BTreeMap::new(), environment, files: Files::default(), sources: Vec::new(), known };
        let given: Vec<OptionName> = arguments
            .iter()
            .filter_map(|argument| match argument {
                Argument::Option(option, _) => Some(option.clone()),
                Argument::File(_) | Argument::Folder(_) => None,
            })
            .collect();
        let mut wrong = Vec::new();
        for argument in arguments {
            match argument {
                Argument::File(path) => wrong.extend(opened.add(path, &given).err()),
                Argument::Folder(path) => match configurations_in(&path) {
                    Ok(paths) => {
                        wrong.extend(paths.into_iter().filter_map(|path| opened.add(path, &given).err()));
                    }
                    Err(error) => wrong.push(error),
                },
                Argument::Option(option, text) => opened.take(option, Raw::One(text)),
            }
        }
        if wrong.is_empty() {
            wrong.extend(opened.check_arguments().await);
        }
        if wrong.is_empty() {
            wrong.extend(opened.open_sources(&broker).await);
        }
        if wrong.is_empty() { Ok(opened) } else { Err(wrong) }
    }

    /// An option, by its declaration. Where the options are not known, it is read as a text.
    pub async fn read(&self, option: &OptionName) -> Result<Found, ReadError> {
        let declaration = self.declaration(option)?;
        self.read_as(option, &declaration).await
    }

    /// An option, read in another way than it is declared.
    pub async fn read_as(&self, option: &OptionName, declaration: &Declaration) -> Result<Found, ReadError> {
        self.reading(option.clone(), declaration.clone(), Vec::new()).await
    }

    /// Every option that is set anywhere, as far as the places tell.
    pub fn set(&self) -> Vec<OptionName> {
        let mut all: Vec<OptionName> = self.arguments.keys().cloned().collect();
        all.extend(self.environment.set());
        all.extend(self.files.set());
        all.extend(self.sources.iter().flat_map(|opened| opened.source.set()));
        all.sort();
        all.dedup();
        all
    }

    /// The sources that were opened: the group of each, and its driver.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.sources.iter().map(|opened| (opened.group.as_str(), opened.driver))
    }

    /// The files that were read.
    pub fn files(&self) -> &Files {
        &self.files
    }

    fn add(&mut self, path: PathBuf, given: &[OptionName]) -> Result<(), OpenError> {
        let bytes = Zeroizing::new(fs::read(&path)?);
        let file = Ini::local(path.clone(), &bytes).map_err(|source| OpenError::Ini { path, source })?;
        // What may be given on the command line counts in the order of the command line, in a file too.
        let both: Vec<(OptionName, Declaration)> = match &self.known {
            Known::Only(declared) => declared
                .iter()
                .filter(|(_, declaration)| declaration.argument == Argued::Yes)
                .map(|(option, declaration)| (option.clone(), declaration.clone()))
                .collect(),
            Known::Any => given
                .iter()
                .map(|option| (option.clone(), Declaration { many: Many::All, ..Declaration::of(OptionType::text()) }))
                .collect(),
        };
        for (option, declaration) in both {
            if let Some(found) = file.find(&names(&option, &declaration), declaration.many) {
                self.take(option, found.raw);
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// Takes what stands for an option of the command line.
    fn take(&mut self, option: OptionName, raw: Raw) {
        let taken = self.arguments.entry(option).or_default();
        match raw {
            Raw::One(text) => taken.push(text),
            Raw::Several(texts) => taken.extend(texts),
        }
    }

    /// What stands for an option on the command line.
    fn argued(&self, option: &OptionName, many: Many) -> Option<Raw> {
        let texts = self.arguments.get(option)?;
        match many {
            Many::All => Some(Raw::Several(texts.iter().map(Text::duplicate).collect())),
            Many::Last => texts.last().map(|text| Raw::One(text.duplicate())),
        }
    }

    /// The original refuses to start where a value that it may take on its command line is wrong, wherever that stands.
    async fn check_arguments(&self) -> Vec<OpenError> {
        let mut wrong = Vec::new();
        for option in self.arguments.keys() {
            if let Err(source) = self.check_argument(option).await {
                wrong.push(OpenError::Value { option: option.clone(), source: Box::new(source) });
            }
        }
        wrong
    }

    async fn check_argument(&self, option: &OptionName) -> Result<(), ReadError> {
        let declaration = self.declaration(option)?;
        // A file may name an option and give it no text.
        let Some(raw) = self.argued(option, declaration.many) else { return Ok(()) };
        self.convert(option, &declaration, &raw, Origin::CommandLine, &[]).await.map(drop)
    }

    async fn open_sources(&mut self, broker: &Arc<dyn Broker>) -> Vec<OpenError> {
        let option = OptionName::new(DEFAULT, "config_source");
        let declaration = Declaration { default: Some(vec![String::new()]), ..Declaration::of(OptionType::list()) };
        let groups = match self.read_as(&option, &declaration).await {
            Ok(Found { value: Value::List(groups), .. }) => groups,
            Ok(_) => Vec::new(),
            Err(source) => return vec![OpenError::Value { option, source: Box::new(source) }],
        };
        let mut wrong = Vec::new();
        for group in groups {
            let group = group.text().to_string();
            let outside =
                Outside { group: group.clone(), environment: self.environment.clone(), broker: Arc::clone(broker) };
            match self.open_source(outside).await {
                Ok(Some((driver, source))) => self.sources.push(Opened { group, driver, source }),
                Ok(None) => {}
                Err(errors) => wrong.extend(errors),
            }
        }
        wrong
    }

    /// `None` where a file that is not read has it, as is said.
    async fn open_source(&self, outside: Outside) -> Result<Option<(&'static str, Box<dyn Source>)>, Vec<OpenError>> {
        let group = outside.group.clone();
        let mut settings = BTreeMap::new();
        let mut wrong = Vec::new();
        let read = async |name: &str| {
            let option = OptionName::new(group.as_str(), name);
            let found = self.read_as(&option, &Declaration::of(OptionType::text())).await;
            found.map_err(|source| OpenError::Value { option, source: Box::new(source) })
        };
        let driver = read("driver").await.map_err(|error| vec![error])?.value;
        let driver = driver.inserted();
        if driver.is_empty() {
            let elsewhere = read(DEFINED_IN).await.map_err(|error| vec![error])?.value;
            let elsewhere = elsewhere.inserted();
            if !elsewhere.is_empty() && !self.files.iter().any(|file| file.is(Path::new(&*elsewhere))) {
                return Ok(None);
            }
        }
        for name in registry::options(&driver) {
            match read(name).await {
                Ok(Found { value: Value::Nothing, .. }) => {}
                Ok(Found { value, .. }) => drop(settings.insert(name.to_owned(), value.inserted().to_string())),
                Err(error) => wrong.push(error),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let (driver, source) = registry::open(&driver, &settings, outside)
            .map_err(|mistakes| mistakes.into_iter().map(OpenError::Settings).collect::<Vec<_>>())?;
        source.ready().await.map_err(|source| vec![OpenError::Source { group, source: Box::new(source) }])?;
        Ok(Some((driver, source)))
    }

    fn declaration(&self, option: &OptionName) -> Result<Declaration, ReadError> {
        match &self.known {
            Known::Any => Ok(Declaration::of(OptionType::text())),
            Known::Only(declared) => {
                declared.declaration(option).cloned().ok_or_else(|| ReadError::Undeclared { option: option.clone() })
            }
        }
    }

    /// Reads an option that these others refer to.
    fn reading(&self, option: OptionName, declaration: Declaration, mut within: Vec<OptionName>) -> Reading<'_> {
        Box::pin(async move {
            if within.contains(&option) {
                return Err(ReadError::Circular { option });
            }
            let Given { raw, origin } = match self.given(&option, &declaration).await? {
                Some(given) => given,
                None => match &declaration.default {
                    Some(texts) => Given { raw: default(texts, declaration.many), origin: Origin::Default },
                    None => return Ok(Found { value: Value::Nothing, origin: Origin::Nowhere, referred: Vec::new() }),
                },
            };
            within.push(option.clone());
            self.convert(&option, &declaration, &raw, origin, &within).await
        })
    }

    /// What stands for an option, in the first place that has it.
    async fn given(&self, option: &OptionName, declaration: &Declaration) -> Result<Option<Given>, ReadError> {
        let filed = self.files.find(&names(option, declaration), declaration.many);
        let argued = self.argued(option, declaration.many);
        let here = match (argued, filed) {
            (Some(raw), None) => return Ok(Some(Given { raw, origin: Origin::CommandLine })),
            (Some(raw), Some(filed)) => {
                let overridden = !same(&raw, &filed.raw);
                let origin = if overridden { Origin::CommandLine } else { filed.origin };
                Some(Given { raw, origin })
            }
            (None, filed) => filed,
        };
        if let Some(given) = self.environment.find(option)? {
            return Ok(Some(given));
        }
        if here.is_some() {
            return Ok(here);
        }
        for opened in &self.sources {
            if let Some(given) = opened.source.value(option, declaration.many).await? {
                return Ok(Some(given));
            }
        }
        Ok(None)
    }

    /// Substitutes what is referred to, and reads the text by the option's type.
    async fn convert(
        &self,
        option: &OptionName,
        declaration: &Declaration,
        raw: &Raw,
        origin: Origin,
        within: &[OptionName],
    ) -> Result<Found, ReadError> {
        let at = || Box::new(At { option: option.clone(), origin: origin.clone() });
        let invalid = |source: Invalid| ReadError::Invalid { at: at(), source };
        let read = |text: &str| declaration.kind.read(text).map_err(invalid);
        let (mut texts, mut referred) = (Vec::new(), Vec::new());
        for text in match raw {
            Raw::One(text) => std::slice::from_ref(text),
            Raw::Several(texts) => texts,
        } {
            texts.push(self.substitute(option, text, &origin, within, &mut referred).await?);
        }
        let value = match (declaration.many, raw) {
            (Many::Last, _) => texts.last().map_or(Ok(Value::Nothing), |text| read(text))?,
            (Many::All, Raw::Several(_)) => {
                texts.iter().map(|text| read(text)).collect::<Result<_, _>>().map(Value::List)?
            }
            // As the original has it: a text is a sequence of letters.
            (Many::All, Raw::One(_)) => texts
                .iter()
                .flat_map(|text| text.chars())
                .map(|letter| read(letter.encode_utf8(&mut [0; 4])))
                .collect::<Result<_, _>>()
                .map(Value::List)?,
        };
        Ok(Found { value, origin, referred })
    }

    async fn substitute(
        &self,
        option: &OptionName,
        text: &Text,
        origin: &Origin,
        within: &[OptionName],
        referring: &mut Vec<Referred>,
    ) -> Result<Zeroizing<String>, ReadError> {
        // EXPOSE: copied into a text that is wiped, with what it refers to
        let text = Zeroizing::new(unescaped(text.expose()));
        let mut out = Zeroizing::new(String::with_capacity(text.len()));
        for piece in pieces(&text) {
            match piece {
                Piece::Literal(range) => out.push_str(&text[range]),
                Piece::Reference(range) => {
                    let reference = &text[range];
                    let wrong = |why| ReadError::Reference {
                        at: Box::new(At { option: option.clone(), origin: origin.clone() }),
                        reference: reference.to_owned(),
                        why,
                    };
                    let mut found = Err(wrong(NO_OPTION));
                    for (referred, declaration) in self.referred(option, reference).await?.map_err(wrong)? {
                        found = self
                            .reading(referred.clone(), declaration, within.to_vec())
                            .await
                            .map(|found| (referred, found));
                        // As in the original, a reference to an option that is not there, however far down, is
                        // one more reason to look in `DEFAULT`.
                        if !matches!(found, Err(ReadError::Reference { why: NO_OPTION, .. })) {
                            break;
                        }
                    }
                    let (referred, found) = found?;
                    if matches!((&found.origin, &self.known), (Origin::Nowhere, Known::Any)) {
                        return Err(wrong("which is not set here; its default is the service's own"));
                    }
                    out.push_str(&found.value.inserted());
                    referring.push(Referred { option: referred, origin: found.origin });
                    referring.extend(found.referred);
                }
            }
        }
        Ok(out)
    }

    /// The options that a name in a value may refer to: of the group it names, else of the same group, else of `DEFAULT`.
    async fn referred(
        &self,
        option: &OptionName,
        reference: &str,
    ) -> Result<Result<Vec<(OptionName, Declaration)>, &'static str>, ReadError> {
        let exact = |group: &str, name: &str| OptionName { group: group.to_owned(), name: name.to_owned() };
        let named = reference.split_once('.').map(|(group, name)| exact(group, name));
        let near = vec![exact(&option.group, reference), exact(DEFAULT, reference)];
        let declared = match &self.known {
            Known::Only(declared) => declared,
            Known::Any => {
                let declaration = Declaration::of(OptionType::text());
                return Ok(match named {
                    Some(named) if named.group == DEFAULT => Err(NO_GROUP),
                    Some(named) => Ok(vec![(named, declaration)]),
                    None => {
                        let is_near = self.given(&near[0], &declaration).await?.is_some();
                        let chosen = near.into_iter().nth(usize::from(!is_near));
                        Ok(chosen.into_iter().map(|chosen| (chosen, declaration.clone())).collect())
                    }
                });
            }
        };
        let candidates = match named {
            Some(named) if !declared.has_group(&named.group) => return Ok(Err(NO_GROUP)),
            Some(named) => vec![named],
            None => near,
        };
        let known = |candidate: OptionName| Some((candidate.clone(), declared.declaration(&candidate)?.clone()));
        Ok(Ok(candidates.into_iter().filter_map(known).collect()))
    }
}

const NO_OPTION: &str = "and there is no such option";
const NO_GROUP: &str = "and there is no such group";

/// The names that an option has in files, the present one first.
fn names(option: &OptionName, declaration: &Declaration) -> Vec<OptionName> {
    std::iter::once(option).chain(&declaration.former).cloned().collect()
}

fn default(texts: &[String], many: Many) -> Raw {
    let texts = || texts.iter().map(|text| Text::from(text.as_str()));
    match many {
        Many::Last => Raw::One(texts().next_back().unwrap_or_else(|| Text::from(""))),
        Many::All => Raw::Several(texts().collect()),
    }
}

fn same(one: &Raw, other: &Raw) -> bool {
    let texts = |raw: &Raw| match raw {
        Raw::One(text) => vec![text.duplicate()],
        Raw::Several(texts) => texts.iter().map(Text::duplicate).collect(),
    };
    let (one, other) = (texts(one), texts(other));
    // EXPOSE: compared
    one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| a.expose() == b.expose())
}

/// The `*.conf` of a folder, by name.
fn configurations_in(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let failed = |source| OpenError::File(fs::FileError::Io { act: "list", path: folder.into(), source });
    let entries: Vec<_> = std::fs::read_dir(folder).and_then(Iterator::collect).map_err(failed)?;
    let is_configuration =
        |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.'));
    let mut paths: Vec<PathBuf> =
        entries.iter().filter(|entry| is_configuration(&entry.file_name())).map(std::fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").finish_non_exhaustive()
    }
}
