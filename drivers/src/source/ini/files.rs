//! Files that were read, and what they give for an option: the last file counts, and in it the last line.

use super::parse::{Entry, IniError, parse};
use crate::source::{Given, Many, OptionName, Origin, Raw, option::DEFAULT};
use std::path::{Path, PathBuf};

/// A file that was read.
#[derive(Debug)]
pub struct Ini {
    place: Place,
    entries: Vec<Entry>,
}

#[derive(Debug)]
enum Place {
    Local(PathBuf),
    Remote(String),
}

impl Ini {
    /// A file of this host.
    pub fn local(path: PathBuf, bytes: &[u8]) -> Result<Self, IniError> {
        Ok(Self { place: Place::Local(path), entries: parse(bytes)? })
    }

    /// A file that was fetched.
    pub fn remote(url: String, bytes: &[u8]) -> Result<Self, IniError> {
        Ok(Self { place: Place::Remote(url), entries: parse(bytes)? })
    }

    /// Its assignments, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether it is this file of this host.
    pub fn is(&self, path: &Path) -> bool {
        match &self.place {
            Place::Local(read) => {
                path.canonicalize().is_ok_and(|path| read.canonicalize().is_ok_and(|read| read == path))
            }
            Place::Remote(_) => false,
        }
    }

    fn origin(&self, line: usize) -> Origin {
        match &self.place {
            Place::Local(path) => Origin::File { path: path.clone(), line },
            Place::Remote(url) => Origin::Remote { url: url.clone(), line },
        }
    }

    fn under<'a>(&'a self, name: &'a OptionName) -> impl DoubleEndedIterator<Item = &'a Entry> {
        let section = normal(&name.group);
        self.entries.iter().filter(move |entry| entry.key == name.name && normal(&entry.section) == section)
    }

    /// What it gives for the first of these names that it has; where all count, for all of them.
    pub fn find(&self, names: &[OptionName], many: Many) -> Option<Given> {
        Files::find_in(std::iter::once(self), names, many)
    }
}

/// Files in the order in which they were named.
#[derive(Debug, Default)]
pub struct Files(Vec<Ini>);

impl Files {
    /// Adds a file, which counts before those that are there.
    pub fn push(&mut self, file: Ini) {
        self.0.push(file);
    }

    /// The files.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Ini> {
        self.0.iter()
    }

    /// What they give for an option that has these names, the present one first.
    pub fn find(&self, names: &[OptionName], many: Many) -> Option<Given> {
        Self::find_in(self.0.iter().rev(), names, many)
    }

    fn find_in<'a>(newest_first: impl Iterator<Item = &'a Ini>, names: &[OptionName], many: Many) -> Option<Given> {
        let mut origin = None;
        let mut all = Vec::new();
        for (file, name) in newest_first.flat_map(|file| names.iter().map(move |name| (file, name))) {
            let Some(last) = file.under(name).next_back() else {
                continue;
            };
            if many == Many::Last {
                return Some(Given { raw: Raw::One(last.value.duplicate()), origin: file.origin(last.line) });
            }
            origin.get_or_insert_with(|| file.origin(last.line));
            // What is found later stands before what was found.
            let mut found: Vec<_> = file.under(name).map(|entry| entry.value.duplicate()).collect();
            found.append(&mut all);
            all = found;
        }
        origin.map(|origin| Given { raw: Raw::Several(all), origin })
    }

    /// Every option that stands in them.
    pub fn set(&self) -> Vec<OptionName> {
        let entries = self.0.iter().flat_map(Ini::entries);
        let mut names: Vec<_> = entries.map(|entry| OptionName::new(normal(&entry.section), &entry.key)).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Groups compare without regard to case, but for `DEFAULT`.
fn normal(group: &str) -> String {
    match group {
        DEFAULT => group.to_owned(),
        _ => group.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> Files {
        let file = |(index, text): (usize, &&str)| Ini::local(format!("/{index}").into(), text.as_bytes()).unwrap();
        Files(texts.iter().enumerate().map(file).collect())
    }

    fn found(files: &Files, name: &str, many: Many) -> Option<(Vec<String>, Origin)> {
        let given = files.find(&[OptionName::new("a", name), OptionName::new("old", name)], many)?;
        let texts = match given.raw {
            Raw::One(text) => vec![text],
            Raw::Several(texts) => texts,
        };
        // EXPOSE: test values
        Some((texts.iter().map(|text| text.expose().to_owned()).collect(), given.origin))
    }

    #[test]
    fn the_last_file_and_its_last_line_count() {
        let files = files(&["[a]\nx=1\nx=2\n[A]\nx=3\n", "[old]\nx=4\n[b]\nx=5\n"]);
        let origin = |path: &str, line| Origin::File { path: path.into(), line };
        assert_eq!(found(&files, "x", Many::Last), Some((vec!["4".to_owned()], origin("/1", 2))));
        let all = ["1", "2", "3", "4"].map(str::to_owned).to_vec();
        assert_eq!(found(&files, "x", Many::All), Some((all, origin("/1", 2))));
        assert_eq!(found(&files, "y", Many::All), None);
    }

    #[test]
    fn default_is_spelt_in_capitals() {
        let files = files(&["[default]\nx=1\n"]);
        assert!(files.find(&[OptionName::new(DEFAULT, "x")], Many::Last).is_none());
    }
}
