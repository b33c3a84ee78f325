//! The files of one service that are wired already: what a further one is read beside, and what is not to be taken from it.

use super::{
    Oslo,
    place::{hidden, names_of, read_whole},
    undo::{Kept, Left, remembered},
};
use crate::{
    cli::Context,
    failure::{Exit, Failure},
    socket::message::{Asked, Request},
    wire::oslo::{Driver, Moved, Wired, stem},
};
use donjon_drivers::{
    source::{OptionName, Text, ini::parse},
    store::secret::Part,
};
use donjon_policies::name::SecretName;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

impl Oslo {
    /// The mapping file to write, and the files of the same service that are wired already, the newest first.
    /// What was left of an earlier wiring is in nobody's way.
    pub(super) fn mapping_file(&self, left: Option<&Left>) -> Result<(PathBuf, Vec<Wired>), Failure> {
        let taken = |mapping: &Path| mapping.exists() && !left.is_some_and(|left| left.has(mapping));
        let there = |mapping: &Path, hint: &str| {
            Failure::new(Exit::Conflict, format!("{} is there already", mapping.display()))
                .cause("it is the mapping of a file that was wired, here or elsewhere, whose service would no longer start without it")
                .state("nothing was done")
                .hint(hint)
        };
        if let Some(mapping) = &self.mapping {
            return match taken(mapping) {
                true => Err(there(mapping, "name another --mapping")),
                false => Ok((mapping.clone(), Vec::new())),
            };
        }
        let mapping = self.first_mapping();
        if !taken(&mapping) {
            return Ok((mapping, Vec::new()));
        }
        let first = self.reads(&mapping, |_| true)?.ok_or_else(|| there(&mapping, UNNAMED))?;
        let own = self.mapping_of(&self.config);
        match taken(&own) {
            true => Err(there(&own, UNNAMED)),
            false => Ok((own, self.later()?.into_iter().chain([first]).collect())),
        }
    }

    /// Refuses where the source of this file is named by one that was wired later.
    pub(super) fn unnamed(&self, kept: &Kept) -> Result<(), Failure> {
        if kept.mapping != self.first_mapping() && kept.mapping != self.mapping_of(&self.config) {
            return Ok(());
        }
        let own = read_whole(&self.config).and_then(|text| Wired::of(&self.config, &text, &kept.mapping));
        let Some(own) = own else { return Ok(()) };
        let by: Vec<Wired> = self.later()?.into_iter().filter(|wired| wired.sources.contains(&own.group)).collect();
        if by.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(Exit::Conflict, format!("{} is read by others too", self.config.display()));
        let names = |wired: &Wired| format!("{} names its source `{}`", wired.file.display(), own.group);
        failure.causes = by.iter().map(names).collect();
        let undo = |wired: &Wired| {
            format!("`donjon wire oslo --service {} --config {} --undo`", self.service, wired.file.display())
        };
        let undone = by.iter().map(undo).collect::<Vec<_>>().join(", then ");
        Err(failure.state("nothing was done").hint(format!(
            "first {undone}; where that was confirmed, take `{}` out of its config_source by hand",
            own.group
        )))
    }

    /// What moved out of the other files, and is to be found still: the options that stand in none of the files.
    pub(super) fn moved_before(
        &self,
        context: &Context,
        text: &str,
        wired: &[Wired],
        driver: Driver<'_>,
    ) -> Result<Vec<Moved>, Failure> {
        let mut standing = options(text.as_bytes());
        for text in wired.iter().filter_map(|wired| read_whole(&wired.file)) {
            standing.append(&mut options(&text));
        }
        let mut mapped: BTreeMap<OptionName, SecretName> = BTreeMap::new();
        for mapping in wired.iter().filter_map(|wired| read_whole(&wired.mapping)) {
            for entry in parse(&mapping).unwrap_or_default() {
                let option = OptionName { group: entry.section, name: entry.key };
                // EXPOSE: the name of a secret
                let secret = driver.named(entry.value.expose());
                if let Some(secret) = secret.filter(|_| !standing.contains(&option)) {
                    mapped.entry(option).or_insert(secret);
                }
            }
        }
        if mapped.is_empty() {
            return Ok(Vec::new());
        }
        let names = mapped.values().map(|name| Asked { name: name.to_string(), part: Part::Whole }).collect();
        let read = context.client()?.ask_quietly(&Request::Read { names, version: None, epoch: None }, Vec::new())?;
        let values = read.materials.into_iter().map(|value| Text::from_bytes(value.expose())); // EXPOSE: compared
        let moved = mapped
            .into_iter()
            .zip(values)
            .filter_map(|((option, name), value)| Some(Moved { option, name, value: value?, line: 0, linked: true }));
        Ok(moved.collect())
    }

    /// Those that were wired beside the first, the newest first: each names those before it.
    fn later(&self) -> Result<Vec<Wired>, Failure> {
        let mut later: Vec<Wired> = Vec::new();
        for file in self.files().into_iter().filter(|file| *file != self.config) {
            let own = stem(&names_of(&file));
            let found = self.reads(&self.mapping_of(&file), |other| stem(&names_of(other)) == own)?;
            // The first file of a service `a-b` has the mapping that a file `b` of the service `a` would have.
            let found = found.filter(|wired| wired.group.ends_with(&format!("_{own}")));
            later.extend(found.filter(|wired| later.iter().all(|other| other.group != wired.group)));
        }
        later.sort_by_key(|wired| std::cmp::Reverse(wired.sources.len()));
        Ok(later)
    }

    /// The file beside this one, one of whose sources reads this mapping: the one that was wired, where that was not confirmed,
    /// and no copy of it.
    pub(super) fn reads(&self, mapping: &Path, among: impl Fn(&Path) -> bool) -> Result<Option<Wired>, Failure> {
        if !mapping.exists() {
            return Ok(None);
        }
        let mut files: Vec<PathBuf> = self.files().into_iter().filter(|file| among(file)).collect();
        let kept =
            |file: &PathBuf| remembered(&hidden(file, "donjon-undo")).is_some_and(|kept| kept.mapping == mapping);
        if let Some(file) = files.iter().find(|file| kept(file)).cloned() {
            files = vec![file];
        }
        let wired = |file: PathBuf| Wired::of(&file, &read_whole(&file)?, mapping);
        let mut found: Vec<Wired> = files.into_iter().filter_map(wired).collect();
        if found.len() < 2 {
            return Ok(found.pop());
        }
        let mut failure = Failure::new(Exit::Conflict, format!("several files read {}", mapping.display()));
        failure.causes = found.iter().map(|wired| format!("{} names it", wired.file.display())).collect();
        Err(failure
            .state("nothing was done")
            .hint("take the copies out of this folder, and leave the one that is read"))
    }

    /// The files of its folder that are not hidden.
    fn files(&self) -> Vec<PathBuf> {
        let entries = self.config.parent().and_then(|folder| std::fs::read_dir(folder).ok());
        let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files.filter(|file| file.is_file() && !names_of(file).starts_with('.')).collect();
        files.sort();
        files
    }

    fn first_mapping(&self) -> PathBuf {
        self.config.with_file_name(format!("donjon-{}.conf", self.service))
    }

    /// The mapping of a later file.
    fn mapping_of(&self, file: &Path) -> PathBuf {
        file.with_file_name(format!("donjon-{}-{}.conf", self.service, stem(&names_of(file))))
    }
}

/// The options that stand in a file.
fn options(text: &[u8]) -> BTreeSet<OptionName> {
    let entries = parse(text).unwrap_or_default().into_iter();
    entries.map(|entry| OptionName { group: entry.section, name: entry.key }).collect()
}

const UNNAMED: &str = "no file beside it names it: remove it if nothing reads it; for a process that reads this file alone, name another --mapping";
