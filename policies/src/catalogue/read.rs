//! From the tree to entries, every mistake noted on the way.

use super::{
    entry::{Class, Credential, Entry, Standing, TargetKind},
    fault::Fault,
    fields::{Fields, Given},
    lookup::Catalogue,
    read_entry::Accounts,
    sink::{Medium, Mode, Sink, Writer},
};
use crate::{
    document::{self, Mistakes, Node},
    name::{NameError, SecretName, ServiceName},
    recipe::Recipe,
};
use std::{collections::BTreeMap, str::FromStr};

pub(super) fn catalogue(file: &str, text: &str) -> Result<Catalogue, Mistakes<Fault>> {
    let mut reader = Reader::default();
    let whole = match document::read(text) {
        Ok(node) => reader.file(&node),
        Err(not_yaml) => {
            reader.fields.note(not_yaml.line, Fault::Yaml(not_yaml));
            Catalogue { deployer: String::new(), entries: BTreeMap::new(), aliases: BTreeMap::new() }
        }
    };
    Mistakes::none_in(file, reader.fields.mistakes, whole)
}

#[derive(Default)]
pub(super) struct Reader {
    pub(super) fields: Fields,
    pub(super) recipe: Option<Recipe>,
    /// `None` when the section itself is broken: then nothing that names a part of it is a mistake of its own.
    pub(super) services: Option<BTreeMap<ServiceName, Vec<ServiceName>>>,
    pub(super) sinks: Option<BTreeMap<String, Option<Sink>>>,
    pub(super) classes: BTreeMap<Class, Common>,
}

/// What the secrets of a class have in common.
#[derive(Default)]
pub(super) struct Common {
    pub(super) recipe: Option<Recipe>,
    /// `None` when it gives none; fewer than it gives when some are broken.
    pub(super) credentials: Option<Vec<Credential>>,
    pub(super) sinks: Vec<Sink>,
}

/// Alias, line and owner, to be checked when all names are known.
pub(super) struct Claim {
    pub(super) line: u64,
    pub(super) alias: SecretName,
    pub(super) owner: SecretName,
}

impl Reader {
    fn file(&mut self, node: &Node) -> Catalogue {
        let keys = ["deployer", "recipe", "services", "sinks", "classes", "secrets", "older"];
        let given = self.fields.given(node, "a catalogue", "the catalogue", keys);
        let Given([deployer, recipe, services, sinks, classes, secrets, older]) = given.unwrap_or(Given([None; 7]));
        if deployer.is_none() {
            self.fields.note(0, Fault::Missing { key: "deployer", of: "the catalogue".to_owned() });
        }
        if secrets.is_none() {
            self.fields.note(0, Fault::Missing { key: "secrets", of: "the catalogue".to_owned() });
        }
        let deployer = deployer.and_then(|node| self.fields.word(node, "deployer")).unwrap_or_default().to_owned();
        // A broken recipe is one mistake: a stand-in keeps it from being one of every secret that counts on it.
        self.recipe = recipe.map(|node| self.recipe(node).unwrap_or(Recipe::Operator));
        self.services = services.map_or(Some(BTreeMap::new()), |node| self.services(node));
        self.sinks = sinks.map_or(Some(BTreeMap::new()), |node| self.sinks(node));
        if let Some(node) = classes {
            self.classes(node);
        }
        let mut entries: BTreeMap<SecretName, (u64, Entry)> = BTreeMap::new();
        let mut claims = Vec::new();
        for (node, standing) in [(secrets, Standing::Current), (older, Standing::Older)] {
            let Some(node) = node else { continue };
            for pair in self.fields.pairs(node, "secret", "the secrets").unwrap_or_default() {
                let Some(name) = self.name::<SecretName>(pair.line, &pair.key) else { continue };
                if let Some((first, _)) = entries.get(&name) {
                    let twice = Fault::Twice { what: "secret", name: pair.key.clone(), first: *first };
                    self.fields.note(pair.line, twice);
                    continue;
                }
                if let Some(entry) = self.entry(pair.line, &name, &pair.node, standing, &mut claims) {
                    entries.insert(name, (pair.line, entry));
                }
            }
        }
        let entries: BTreeMap<SecretName, Entry> =
            entries.into_iter().map(|(name, (_, entry))| (name, entry)).collect();
        let aliases = self.aliases(&entries, claims);
        Catalogue { deployer, entries, aliases }
    }

    fn services(&mut self, node: &Node) -> Option<BTreeMap<ServiceName, Vec<ServiceName>>> {
        let mut services = BTreeMap::new();
        for pair in self.fields.pairs(node, "service", "services")? {
            let restart = self.names(&pair.node, &pair.key);
            if let Some(name) = self.name(pair.line, &pair.key) {
                services.insert(name, restart);
            }
        }
        Some(services)
    }

    fn sinks(&mut self, node: &Node) -> Option<BTreeMap<String, Option<Sink>>> {
        let mut sinks = BTreeMap::new();
        for pair in self.fields.pairs(node, "sink", "sinks")? {
            sinks.insert(pair.key.clone(), self.sink(pair.line, &pair.key, &pair.node));
        }
        Some(sinks)
    }

    fn sink(&mut self, line: u64, name: &str, node: &Node) -> Option<Sink> {
        let of = format!("the sink `{name}`");
        let keys = ["path", "mode", "medium", "writer", "option"];
        let Given([path, mode, medium, writer, option]) = self.fields.given(node, "a sink", name, keys)?;
        let path = self.required(line, "path", &of, path).and_then(|(line, word)| {
            let absolute = word.starts_with('/') && !word.split('/').any(|part| part == "..");
            self.read(line, "absolute path", word, absolute.then(|| word.to_owned()))
        });
        let mode = self
            .required(line, "mode", &of, mode)
            .and_then(|(line, word)| self.read(line, "mode (octal, at most 0777)", word, Mode::read(word)));
        let medium = self.required(line, "medium", &of, medium).and_then(|(line, word)| {
            self.fields.one_of(line, word, "medium", [("tmpfs", Medium::Tmpfs), ("disk", Medium::Disk)])
        });
        let writer = self.required(line, "writer", &of, writer).and_then(|(line, word)| {
            let known = [("deployer", Writer::Deployer), ("donjon", Writer::Donjon), ("service", Writer::Service)];
            self.fields.one_of(line, word, "writer", known)
        });
        let option = option.and_then(|node| self.fields.word(node, "`option`")).map(str::to_owned);
        Some(Sink { path: path?, mode: mode?, medium: medium?, writer: writer?, option })
    }

    pub(super) fn classes(&mut self, node: &Node) {
        for pair in self.fields.pairs(node, "class", "classes").unwrap_or_default() {
            let class = self.class(pair.line, &pair.key);
            let given = self.fields.given(&pair.node, "a class", &pair.key, ["recipe", "credentials", "sinks"]);
            let Some(Given([recipe, credentials, sinks])) = given else { continue };
            let recipe = recipe.map(|node| self.recipe(node).unwrap_or(Recipe::Operator));
            let credentials = credentials.map(|node| self.credentials(node, Accounts::Later));
            let sinks = sinks.map(|node| self.sinks_of(node)).unwrap_or_default();
            if let Some(class) = class {
                self.classes.insert(class, Common { recipe, credentials, sinks });
            }
        }
    }

    fn aliases(
        &mut self,
        entries: &BTreeMap<SecretName, Entry>,
        claims: Vec<Claim>,
    ) -> BTreeMap<SecretName, SecretName> {
        let mut aliases: BTreeMap<SecretName, SecretName> = BTreeMap::new();
        for Claim { line, alias, owner } in claims {
            let means = entries.get_key_value(&alias).map(|(name, _)| name).or_else(|| aliases.get(&alias));
            match means.map(ToString::to_string) {
                Some(means) => {
                    let fault = Fault::Alias { alias: alias.to_string(), owner: owner.to_string(), means };
                    self.fields.note(line, fault);
                }
                None => {
                    aliases.insert(alias, owner);
                }
            }
        }
        aliases
    }

    pub(super) fn recipe(&mut self, node: &Node) -> Option<Recipe> {
        let word = self.fields.word(node, "recipe")?;
        word.parse().map_err(|error| self.fields.note(node.line, Fault::Recipe(error))).ok()
    }

    pub(super) fn class(&mut self, line: u64, word: &str) -> Option<Class> {
        self.fields.one_of(line, word, "class", Class::ALL.iter().map(|class| (class.word(), *class)))
    }

    pub(super) fn target(&mut self, line: u64, word: &str) -> Option<TargetKind> {
        self.fields.one_of(line, word, "target", TargetKind::ALL.map(|target| (target.word(), target)))
    }

    pub(super) fn name<N: FromStr<Err = NameError>>(&mut self, line: u64, word: &str) -> Option<N> {
        word.parse().map_err(|error| self.fields.note(line, Fault::Name(error))).ok()
    }

    fn names(&mut self, node: &Node, of: &str) -> Vec<ServiceName> {
        self.names_at(node, of).into_iter().map(|(_, name)| name).collect()
    }

    pub(super) fn names_at(&mut self, node: &Node, of: &str) -> Vec<(u64, ServiceName)> {
        let words = self.fields.words(node, of);
        words.into_iter().filter_map(|(line, word)| Some((line, self.name(line, word)?))).collect()
    }

    /// The word under a key that must be there.
    pub(super) fn required<'a>(
        &mut self,
        line: u64,
        key: &'static str,
        of: &str,
        node: Option<&'a Node>,
    ) -> Option<(u64, &'a str)> {
        match node {
            Some(node) => Some((node.line, self.fields.word(node, key)?)),
            None => {
                self.fields.note(line, Fault::Missing { key, of: of.to_owned() });
                None
            }
        }
    }

    /// `value`, or a mistake about `word`.
    pub(super) fn read<T>(&mut self, line: u64, what: &'static str, word: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fields.note(line, Fault::Word { what, word: word.to_owned() });
        }
        value
    }
}
