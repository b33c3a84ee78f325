//! Whether a file may be written over: what is in it may be nowhere else, so only what Donjon wrote is, and what says nothing.

use crate::{
    adopt::{
        self, Format,
        yaml::{self, Kind, Node},
    },
    failure::{Exit, Failure},
    wire::environment::SUPPLIED,
};
use donjon_drivers::fs::{self, FileError, Standing};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
};
use std::{
    io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// What is to be written over a file.
pub(super) struct Over<'a> {
    pub(super) format: Format,
    pub(super) catalogue: &'a Catalogue,
    /// The text that is to be there.
    pub(super) written: &'a str,
    /// Whether a text is a reference of Donjon's to the secret that one of these is the name of, and nothing else.
    pub(super) is_reference: &'a dyn Fn(&[&str], &str) -> bool,
}

/// A file that may be written: where it is once links are followed, and whose it is where it is there.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    standing: Option<Standing>,
}

impl Place {
    /// Where a path leads, and what is there: a link that is named is followed, and what it leads to is replaced.
    pub(super) fn of(path: &Path) -> Result<(Self, Zeroizing<Vec<u8>>), Failure> {
        let found = match path.canonicalize() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                return Ok((Self { path: path.to_path_buf(), standing: None }, Zeroizing::default()));
            }
            Err(error) => return Err(unseen(path).because(&error)),
        };
        let (bytes, standing) = fs::read_standing(&found).map_err(|error| unseen(path).because(&error))?;
        Ok((Self { path: found, standing: Some(standing) }, Zeroizing::new(bytes)))
    }

    /// Replaces it; whose it was and who could read it stays.
    pub(super) fn replace(&self, content: &[u8]) -> Result<(), Failure> {
        let replaced: Result<(), FileError> = match &self.standing {
            Some(standing) => fs::replace_as(&self.path, content, standing),
            None => fs::replace_with_mode(&self.path, content, READABLE),
        };
        replaced.map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}", self.path.display()))
                .because(&error)
                .state("the file is as it was")
        })
    }
}

impl Over<'_> {
    /// The file, where nothing in it would be lost.
    pub(super) fn found(&self, path: &Path) -> Result<Place, Failure> {
        let (place, bytes) = Place::of(path)?;
        match place.standing {
            Some(_) => self.nothing_else_in(path, &bytes).map(|()| place),
            None => Ok(place),
        }
    }

    fn nothing_else_in(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let text = std::str::from_utf8(bytes).map_err(|error| unseen(path).because(&error))?;
        let adopted =
            format!("`donjon adopt {} --replace` stores them first; or write to another file", path.display());
        if adopt::is_sealed(bytes) {
            return Err(unseen(path).cause("it is an ansible-vault, whose values may be nowhere else").hint(adopted));
        }
        let Some(document) = yaml::read(text).map_err(|error| unseen(path).because(&error))? else { return Ok(()) };
        let Some(top) = document.pairs() else {
            return Err(unseen(path).cause("it is no mapping of names").hint("write to another file"));
        };
        let given = self.values(&document).map_err(|causes| {
            let mut failure = unseen(path).hint(adopted.clone());
            failure.causes = causes;
            failure
        })?;
        if given > 0 {
            return Err(unseen(path).cause(format!("it holds {given} values")).hint(adopted));
        }
        self.others(path, top, adopted)?;
        self.comments(path, text, top)
    }

    /// How many values it holds.
    fn values(&self, document: &Node) -> Result<usize, Vec<String>> {
        match self.format {
            Format::Kolla | Format::Osa => adopt::take(document, self.format, self.catalogue, &[])
                .map(|taken| taken.given.len())
                .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect()),
            // What is no placeholder is told by its name, below.
            Format::Tripleo => Ok(0),
        }
    }

    /// Refuses where it has names that Donjon does not know, or has written otherwise.
    fn others(&self, path: &Path, top: &[(String, Node)], adopted: String) -> Result<(), Failure> {
        let (parameters, beside): (Vec<_>, Vec<_>) =
            top.iter().partition(|(name, _)| self.format == Format::Tripleo && name == PARAMETERS);
        let parameters = parameters.iter().flat_map(|(_, node)| node.pairs().unwrap_or_default());
        let others: Vec<&(String, Node)> =
            beside.into_iter().chain(parameters).filter(|pair| !self.own(pair)).collect();
        if others.is_empty() {
            return Ok(());
        }
        let named: Vec<&str> = others.iter().take(MOST_NAMED).map(|(name, _)| name.as_str()).collect();
        let named = named.join(", ");
        if others.iter().all(|(name, node)| self.refers(&[name], node)) {
            return Err(unseen(path)
                .cause(format!(
                    "it holds references of Donjon's already, to {} secrets that the catalogue does not know, and these would be gone: {named}",
                    others.len()
                ))
                .hint("it is wired: `donjon run --deploy` uses it as it is; or write to another file"));
        }
        Err(unseen(path)
            .cause(format!("{} names in it are no references of Donjon's, and would be gone: {named}", others.len()))
            .hint(adopted))
    }

    /// Refuses where somebody has written comments beside references. A deployer's own file, whose names are all empty still, has some
    /// of the deployer's, which are in its package too.
    fn comments(&self, path: &Path, text: &str, top: &[(String, Node)]) -> Result<(), Failure> {
        if top.iter().all(|(_, node)| says_nothing(node)) {
            return Ok(());
        }
        let ours = |line: &str| self.written.lines().any(|own| own == line) || line.ends_with(SUPPLIED);
        // Neither a name nor a reference of ours has this sign in it.
        let lines = (1..).zip(text.lines()).filter(|(_, line)| line.contains('#') && !ours(line));
        let lines: Vec<usize> = lines.map(|(number, _)| number).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let first: Vec<String> = lines.iter().take(MOST_NAMED).map(ToString::to_string).collect();
        Err(unseen(path)
            .cause(format!(
                "{} lines in it have comments that are not of Donjon's, and would be gone: line {}",
                lines.len(),
                first.join(", ")
            ))
            .hint("it is wired: `donjon run --deploy` uses it as it is; else take them out, or write to another file"))
    }

    /// Whether the catalogue has the name, and what stands there is a reference to that secret, or nothing.
    fn own(&self, (name, node): &(String, Node)) -> bool {
        let entry: Option<&Entry> = name.parse::<SecretName>().ok().and_then(|name| self.catalogue.entry(&name));
        entry.is_some_and(|entry| self.refers(&[name, entry.name.as_str()], node) || is_empty(node))
    }

    /// Whether each text in it is such a reference: a pair, or a repository of keys, has several.
    fn refers(&self, names: &[&str], node: &Node) -> bool {
        match &node.kind {
            Kind::Scalar(scalar) => (self.is_reference)(names, &scalar.text),
            Kind::Mapping(pairs) => pairs.iter().all(|(_, node)| self.refers(names, node) || is_empty(node)),
            Kind::Sequence(_) => false,
        }
    }
}

fn is_empty(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if matches!(scalar.text.as_str(), "" | "null" | "~"))
}

/// Whether there is no text in it.
fn says_nothing(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(_) => is_empty(node),
        Kind::Mapping(pairs) => pairs.iter().all(|(_, node)| says_nothing(node)),
        Kind::Sequence(_) => false,
    }
}

fn unseen(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} is not replaced", path.display())).state("the file is as it was")
}

const PARAMETERS: &str = "parameter_defaults";
const MOST_NAMED: usize = 8;
/// References are no secrets; kolla warns about a file that others may write.
const READABLE: u32 = 0o644;
