//! A service's own configuration file without its secrets: what moves into the store, and what stands in its place.
//!
//! Nothing of the original is kept in clear: what can put it back is the file's text with the *names* of the secrets where
//! their values stood. Undone after a rotation, the file has the values that are valid then.

mod copies;
mod moving;
mod original;

pub use copies::Beside;
pub use original::original as put_together;

use self::moving::{Judged, judged};
use donjon_drivers::source::{
    OptionName, Text,
    ini::{Entry, IniError, parse},
    option::{DEFAULT, DEFINED_IN},
};
use donjon_policies::{
    name::{SecretName, ServiceName},
    nearest::nearest,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What becomes of a file.
#[derive(Debug)]
pub struct Rewrite {
    /// The file as it will be.
    pub text: Zeroizing<String>,
    /// The mapping file.
    pub mapping: String,
    /// What puts the original back.
    pub original: Vec<Piece>,
    /// What is added to it, a line each.
    pub added: Vec<(OptionName, String)>,
    /// What moves.
    pub moved: Vec<Moved>,
    /// What looks secret and stays, and why.
    pub stays: Vec<(OptionName, &'static str)>,
    /// Where what moves stands a second time; it would stay there in clear.
    pub copies: Vec<Beside>,
}

/// An option that moves into the store.
#[derive(Debug)]
pub struct Moved {
    /// The option.
    pub option: OptionName,
    /// The secret that it becomes.
    pub name: SecretName,
    /// Its value.
    pub value: Text,
    /// The line it stood on.
    pub line: usize,
    /// Whether it is one that the store has already, which the option follows when it changes.
    pub linked: bool,
}

/// A part of the original: its text, or the secret that stood there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Text.
    Text(String),
    /// The value of this secret.
    Secret(String),
}

/// Where the source's own settings point.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The mapping file.
    pub mapping: &'a str,
    /// What reads it.
    pub driver: Driver<'a>,
    /// The files of the same service that are wired already, the newest first.
    pub beside: &'a [Wired],
    /// The name of this one.
    pub file: &'a str,
    /// What is to stay in it.
    pub leave: &'a [OptionName],
}

/// A file of a service that is wired, beside which another one is read.
///
/// What the last file says of sources takes the place of what those before it have said, and in one group its settings would, too.
/// So each later file has a group of its own, and names all: its own first, as it was read over the others before. Which of them
/// a process reads is not known. One that does not read a file is not to have its values either, so a group is written in its own
/// file alone; a service goes on where a source that is named has none, and our own reader where it is said which file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wired {
    /// Where it is.
    pub file: PathBuf,
    /// Its mapping file.
    pub mapping: PathBuf,
    /// The group of its own source.
    pub group: String,
    /// The sources that it names, in their order.
    pub sources: Vec<String>,
}

impl Wired {
    /// It, of the text of a file: where one of its sources reads this mapping.
    pub fn of(file: &Path, text: &[u8], mapping: &Path) -> Option<Self> {
        let entries = parse(text).ok()?;
        let told = |group: &str, key: &str| {
            let mut found = entries.iter().filter(|entry| entry.section == group && entry.key == key);
            // EXPOSE: settings of the sources
            found.next_back().map(|entry| entry.value.expose().to_owned())
        };
        let named = told(DEFAULT, SOURCE)?;
        let sources: Vec<String> = named.split(',').map(|group| group.trim().to_owned()).collect();
        let reads = |group: &&String| told(group, MAPPING).is_some_and(|read| Path::new(&read) == mapping);
        let group = sources.iter().find(reads)?.clone();
        Some(Self { file: file.to_owned(), mapping: mapping.to_owned(), group, sources })
    }
}

impl Places<'_> {
    /// The group of the source.
    fn group(self) -> String {
        match self.beside {
            [] => self.driver.name().to_owned(),
            [..] => format!("{}_{}", self.driver.name(), stem(self.file)),
        }
    }

    /// All sources in their order.
    fn sources(self) -> String {
        let groups = self.beside.iter().map(|wired| &wired.group);
        let mut sources = vec![self.group()];
        for source in groups.chain(self.beside.iter().flat_map(|wired| &wired.sources)) {
            if !sources.contains(source) {
                sources.push(source.clone());
            }
        }
        sources.join(",")
    }
}

/// What tells a file from others of its service, in the name of a group and of a mapping: `metadata_agent`.
pub fn stem(file: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    stem.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// The driver of the source.
#[derive(Debug, Clone, Copy)]
pub enum Driver<'a> {
    /// Donjon's own.
    Donjon {
        /// The broker's socket.
        socket: &'a str,
    },
    /// castellan's.
    Castellan {
        /// Its own file, which says where the reader is and as whom it is asked.
        settings: &'a str,
        /// The folder of the secrets at the reader.
        deployment: &'a str,
    },
}

impl Driver<'_> {
    /// Its name, and that of its group.
    pub fn name(self) -> &'static str {
        match self {
            Self::Donjon { .. } => "donjon",
            Self::Castellan { .. } => "castellan",
        }
    }

    /// The secret that a mapping file names so.
    pub fn named(self, name: &str) -> Option<SecretName> {
        let name = match self {
            Self::Donjon { .. } => name,
            Self::Castellan { deployment, .. } => name.strip_prefix(deployment)?.strip_prefix('/')?,
        };
        name.parse().ok()
    }

    /// A secret as the mapping file names it.
    pub fn names(self, secret: &SecretName) -> String {
        match self {
            Self::Donjon { .. } => secret.to_string(),
            Self::Castellan { deployment, .. } => format!("{deployment}/{secret}"),
        }
    }
}

/// Why a file is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwired {
    /// It cannot be understood.
    #[error(transparent)]
    Ini(#[from] IniError),
    /// It has sources already.
    #[error("line {line} names a config_source already")]
    Sourced {
        /// The line.
        line: usize,
    },
    /// The group that would be added is there.
    #[error("there is a group [{group}] already")]
    Taken {
        /// The group.
        group: String,
    },
    /// What is to stay is not there.
    #[error("{option} is to be left, and does not stand in it{}", meant(near))]
    NoOption {
        /// The option.
        option: OptionName,
        /// What may be meant.
        near: Option<String>,
    },
    /// Lines end in another way.
    #[error("its lines end with carriage returns")]
    LineEnds,
}

/// Plans the rewriting of a service's file. `held` tells which secrets of the store have a value.
pub fn rewrite(
    service: &ServiceName,
    text: &str,
    places: Places<'_>,
    held: impl Fn(&str) -> Vec<SecretName>,
) -> Result<Rewrite, Unwired> {
    let entries = parse(text.as_bytes())?;
    if text.contains('\r') {
        return Err(Unwired::LineEnds);
    }
    if let Some(entry) = entries.iter().find(|e| e.section == DEFAULT && e.key == SOURCE) {
        return Err(Unwired::Sourced { line: entry.line });
    }
    if let Some(option) = places.leave.iter().find(|left| !entries.iter().any(|entry| stands(left, entry))) {
        return Err(Unwired::NoOption { option: option.clone(), near: near(option, &entries) });
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let group = places.group();
    if lines.iter().any(|line| line.trim_end().eq_ignore_ascii_case(&format!("[{group}]"))) {
        return Err(Unwired::Taken { group });
    }
    let (mut moved, mut stays) = (Vec::new(), Vec::new());
    for entry in &entries {
        let option = OptionName { group: entry.section.clone(), name: entry.key.clone() };
        if places.leave.iter().any(|left| stands(left, entry)) {
            stays.push((option, LEFT));
            continue;
        }
        let held = held(entry.value.expose()); // EXPOSE: compared
        match judged(&option, &entry.value) {
            Judged::Moves => {}
            Judged::Open | Judged::Stays(_) if !held.is_empty() => {}
            Judged::Open => continue,
            Judged::Stays(why) => {
                stays.push((option, why));
                continue;
            }
        }
        let found = chosen(service, held).map_err(|_| SEVERAL).and_then(|stored| match stored {
            Some(stored) => Ok((stored, true)),
            None => name(service, &option).ok_or(NO_NAME).map(|name| (name, false)),
        });
        match found.and_then(|found| movable(&option, places.driver, entry, &entries, &lines).map(|()| found)) {
            Ok((name, linked)) => {
                moved.push(Moved { option, name, value: entry.value.duplicate(), line: entry.line, linked });
            }
            Err(why) => stays.push((option, why)),
        }
    }
    let original = original(&lines, &moved);
    let line = |m: &Moved| format!("[{}]\n{} = {}\n", m.option.group, m.option.name, places.driver.names(&m.name));
    let mapping = moved.iter().map(line).collect();
    let added = added(places);
    let (text, copies) = (replaced(&lines, &moved, &added), copies::beside(&lines, &moved));
    Ok(Rewrite { text, mapping, original, added, moved, stays, copies })
}

/// Whether this line gives the option. Groups compare without regard to case, but for `DEFAULT`.
fn stands(option: &OptionName, entry: &Entry) -> bool {
    let same = match option.group == DEFAULT || entry.section == DEFAULT {
        true => option.group == entry.section,
        false => option.group.eq_ignore_ascii_case(&entry.section),
    };
    same && option.name == OptionName::new("", &entry.key).name
}

/// The option of the file that may be meant, as it would be named.
fn near(option: &OptionName, entries: &[Entry]) -> Option<String> {
    let named: Vec<String> = entries.iter().map(|entry| format!("{}.{}", entry.section, entry.key)).collect();
    nearest(&format!("{}.{}", option.group, option.name), named.iter().map(String::as_str)).map(str::to_owned)
}

fn meant(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Which of the secrets that have a value an option of a service follows: the only one, or the only one of that service.
///
/// # Errors
/// Those that it may be.
pub fn chosen(service: &ServiceName, mut held: Vec<SecretName>) -> Result<Option<SecretName>, Vec<SecretName>> {
    // What an earlier wiring stored of this service's own is what this one would store.
    held.retain(|name| !name.as_str().starts_with(&format!("{service}.")));
    let bare = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let begins = bare(service.as_str());
    let mut own = held.iter().filter(|name| bare(name.as_str()).starts_with(&begins));
    match (held.as_slice(), own.next(), own.next()) {
        ([], ..) => Ok(None),
        ([one], ..) => Ok(Some(one.clone())),
        (_, Some(one), None) => Ok(Some(one.clone())),
        (_, Some(_), Some(_)) | (_, None, _) => Err(held),
    }
}

/// The secret that an option of a service becomes: `keystone.database.connection`.
fn name(service: &ServiceName, option: &OptionName) -> Option<SecretName> {
    match option.group.as_str() {
        DEFAULT => format!("{service}.{}", option.name).parse().ok(),
        group => format!("{service}.{group}.{}", option.name).parse().ok(),
    }
}

/// Whether a value is wholly what stands on its one line, and the source hands it on as it is.
fn movable(
    option: &OptionName,
    driver: Driver<'_>,
    entry: &Entry,
    all: &[Entry],
    lines: &[&str],
) -> Result<(), &'static str> {
    let value = entry.value.expose(); // EXPOSE: looked at
    let same = |other: &&Entry| other.section.eq_ignore_ascii_case(&entry.section) && other.key == entry.key;
    if value.is_empty() {
        return Err("it is empty");
    }
    if all.iter().filter(same).count() > 1 {
        return Err("it stands more than once, and a source gives one value");
    }
    if entry.last != entry.line {
        return Err("it goes on over several lines");
    }
    if value.contains('$') {
        return Err("it refers to other options");
    }
    if lines[entry.line - 1].matches(value).count() != 1 {
        return Err("its value cannot be told from the rest of its line");
    }
    let takes_several = TAKE_SEVERAL.contains(&(option.group.as_str(), option.name.as_str()));
    match driver {
        Driver::Castellan { .. } if takes_several => Err(LETTERS),
        Driver::Castellan { .. } | Driver::Donjon { .. } => Ok(()),
    }
}

fn original(lines: &[&str], moved: &[Moved]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        // EXPOSE: taken out of the line
        let found =
            moved.iter().find(|m| m.line == index + 1).and_then(|m| Some((m, line.split_once(m.value.expose())?)));
        match found {
            None => text.push_str(line),
            Some((moved, (before, after))) => {
                text.push_str(before);
                pieces.extend([Piece::Text(std::mem::take(&mut text)), Piece::Secret(moved.name.to_string())]);
                text.push_str(after);
            }
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// The naming of the source, and its own group.
fn added(places: Places<'_>) -> Vec<(OptionName, String)> {
    let (group, sources) = (places.group(), places.sources());
    let (own, place) = match places.driver {
        Driver::Donjon { socket } => ("socket", socket),
        Driver::Castellan { settings, .. } => ("config_file", settings),
    };
    let (group, driver) = (group.as_str(), places.driver.name());
    let lines = [
        (DEFAULT, SOURCE, sources.as_str()),
        (group, "driver", driver),
        (group, MAPPING, places.mapping),
        (group, own, place),
    ];
    let lines = lines.map(|(group, name, value)| (OptionName::new(group, name), value.to_owned()));
    let elsewhere =
        |wired: &Wired| (OptionName::new(wired.group.as_str(), DEFINED_IN), wired.file.display().to_string());
    lines.into_iter().chain(places.beside.iter().map(elsewhere)).collect()
}

fn replaced(lines: &[&str], moved: &[Moved], added: &[(OptionName, String)]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    let (mut named, mut sections, mut within) = (String::new(), String::new(), DEFAULT);
    for (option, value) in added {
        match option.group == DEFAULT {
            true => named += &format!("{} = {value}\n", option.name),
            false => {
                if within != option.group {
                    sections += &format!("\n[{}]\n", option.group);
                    within = &option.group;
                }
                sections += &format!("{} = {value}\n", option.name);
            }
        }
    }
    let header = lines.iter().position(|line| line.trim_end() == format!("[{DEFAULT}]"));
    if header.is_none() {
        text.push_str(&format!("[{DEFAULT}]\n{named}\n"));
    }
    for (index, line) in lines.iter().enumerate() {
        if moved.iter().any(|m| m.line == index + 1) {
            continue;
        }
        text.push_str(line);
        if header == Some(index) {
            if !line.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&named);
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&sections);
    text
}

const SOURCE: &str = "config_source";
const MAPPING: &str = "mapping_file";
/// Options with secrets in them that may stand several times.
const TAKE_SEVERAL: [(&str, &str); 2] = [("cache", "backend_argument"), ("simple_crypto_plugin", "kek")];
const LETTERS: &str =
    "castellan gives an option of several values letter by letter; the driver `donjon` reads it whole";
const SEVERAL: &str =
    "several secrets of the store have its value, and which of them it follows is not known: rotate all but one";
const LEFT: &str = "it is to be left";
const NO_NAME: &str = "no secret can have a name like this";

#[cfg(test)]
mod tests;
