//! From the tree to entries, every mistake noted on the way.

use super::{
    entry::{Account, Class, Credential, Entry, Phase, Standing, TargetKind},
    fault::Fault,
    fields::{Fields, Given, nearest},
    lookup::Catalogue,
    sink::{Medium, Mode, Sink, Writer},
};
use crate::{
    document::{self, Mistakes, Node, Value},
    name::{NameError, SecretName, ServiceName},
    recipe::Recipe,
    strategy::Strategy,
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
struct Reader {
    fields: Fields,
    recipe: Option<Recipe>,
    /// `None` when the section itself is broken: then nothing that names a part of it is a mistake of its own.
    services: Option<BTreeMap<ServiceName, Vec<ServiceName>>>,
    sinks: Option<BTreeMap<String, Option<Sink>>>,
    classes: BTreeMap<Class, Common>,
}

/// What the secrets of a class have in common.
#[derive(Default)]
struct Common {
    recipe: Option<Recipe>,
    credentials: Vec<Credential>,
    sinks: Vec<Sink>,
}

/// Alias, line and owner, to be checked when all names are known.
struct Claim {
    line: u64,
    alias: SecretName,
    owner: SecretName,
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
        self.recipe = recipe.and_then(|node| self.recipe(node));
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
        let keys = ["path", "mode", "medium", "writer"];
        let Given([path, mode, medium, writer]) = self.fields.given(node, "a sink", name, keys)?;
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
        Some(Sink { path: path?, mode: mode?, medium: medium?, writer: writer? })
    }

    fn classes(&mut self, node: &Node) {
        for pair in self.fields.pairs(node, "class", "classes").unwrap_or_default() {
            let class = self.class(pair.line, &pair.key);
            let given = self.fields.given(&pair.node, "a class", &pair.key, ["recipe", "credentials", "sinks"]);
            let Some(Given([recipe, credentials, sinks])) = given else { continue };
            let recipe = recipe.and_then(|node| self.recipe(node));
            let credentials = credentials.map(|node| self.credentials(node, Accounts::Later)).unwrap_or_default();
            let sinks = sinks.map(|node| self.sinks_of(node)).unwrap_or_default();
            if let Some(class) = class {
                self.classes.insert(class, Common { recipe, credentials, sinks });
            }
        }
    }

    fn entry(
        &mut self,
        line: u64,
        name: &SecretName,
        node: &Node,
        standing: Standing,
        claims: &mut Vec<Claim>,
    ) -> Option<Entry> {
        let keys = ["class", "recipe", "credentials", "accounts", "consumers", "restart", "sinks", "aliases", "notes"];
        let Given([class, recipe, credentials, accounts, consumers, restart, sinks, aliases, notes]) =
            self.fields.given(node, "a secret", name.as_str(), keys)?;
        let class =
            self.required(line, "class", &format!("`{name}`"), class).and_then(|(line, word)| self.class(line, word));
        let recipe = match recipe {
            Some(node) => self.recipe(node),
            None => {
                let common = class.and_then(|class| self.classes.get(&class)).and_then(|common| common.recipe);
                let found = common.or(self.recipe);
                if found.is_none() && class.is_some() {
                    self.fields.note(line, Fault::Missing { key: "recipe", of: format!("`{name}`") });
                }
                found
            }
        };
        if let (Some(_), Some(idle)) = (credentials, accounts) {
            self.fields.note(idle.line, Fault::Idle { key: "accounts", because: "credentials" });
        }
        let credentials = match (credentials, standing) {
            (Some(node), _) => self.credentials(node, Accounts::Now),
            (None, Standing::Older) => Vec::new(),
            (None, Standing::Current) => self.common_credentials(line, name, class, accounts),
        };
        let consumers = consumers.map(|node| self.consumers(node)).unwrap_or_default();
        let restart = match restart {
            Some(node) => self.restart(node),
            None => self.restart_of(&consumers),
        };
        let common = class.and_then(|class| self.classes.get(&class)).map(|common| common.sinks.clone());
        let mut all_sinks = common.unwrap_or_default();
        all_sinks.extend(sinks.map(|node| self.sinks_of(node)).unwrap_or_default());
        let mut own = Vec::new();
        for (line, alias) in aliases.map(|node| self.fields.words(node, "aliases")).unwrap_or_default() {
            if let Some(alias) = self.name::<SecretName>(line, alias) {
                claims.push(Claim { line, alias: alias.clone(), owner: name.clone() });
                own.push(alias);
            }
        }
        let notes = notes.and_then(|node| self.fields.word(node, "notes")).map(|text| text.trim().to_owned());
        Some(Entry {
            name: name.clone(),
            class: class?,
            recipe: recipe?,
            standing,
            credentials,
            consumers,
            restart,
            sinks: all_sinks,
            aliases: own,
            notes,
        })
    }

    /// The credentials of the class with this entry's accounts: one list for all of them, or a mapping by target
    /// that leaves out the others.
    fn common_credentials(
        &mut self,
        line: u64,
        name: &SecretName,
        class: Option<Class>,
        accounts: Option<&Node>,
    ) -> Vec<Credential> {
        let Some(class) = class else { return Vec::new() };
        let common: Vec<Credential> =
            self.classes.get(&class).map(|common| common.credentials.clone()).unwrap_or_default();
        if common.is_empty() {
            self.fields.note(line, Fault::Credentials { name: name.to_string() });
        }
        let mut made = Vec::new();
        match accounts.map(|node| (node, &node.value)) {
            Some((node, Value::Map(_))) => {
                for pair in self.fields.pairs(node, "target", "accounts").unwrap_or_default() {
                    let known: Vec<(&'static str, usize)> =
                        common.iter().enumerate().map(|(at, credential)| (credential.target.word(), at)).collect();
                    let at = self.fields.one_of(pair.line, &pair.key, "target of this class", known);
                    let accounts = self.accounts(&pair.node);
                    if let Some(credential) = at.and_then(|at| common.get(at)) {
                        made.push((pair.line, Credential { accounts, ..credential.clone() }));
                    }
                }
            }
            Some((node, _)) => {
                let accounts = self.accounts(node);
                made.extend(common.into_iter().map(|c| (node.line, Credential { accounts: accounts.clone(), ..c })));
            }
            None => made.extend(common.into_iter().map(|credential| (line, credential))),
        }
        for (line, credential) in &made {
            self.check_accounts(*line, credential);
        }
        made.into_iter().map(|(_, credential)| credential).collect()
    }

    fn credentials(&mut self, node: &Node, when: Accounts) -> Vec<Credential> {
        let items = self.fields.nodes(node, "credentials");
        items.into_iter().filter_map(|item| self.credential(item, when)).collect()
    }

    fn credential(&mut self, node: &Node, when: Accounts) -> Option<Credential> {
        let keys = ["target", "strategy", "accounts", "through", "phase"];
        let Given([target, strategy, accounts, through, phase]) =
            self.fields.given(node, "a credential", "credentials", keys)?;
        let of = "a credential";
        let target = self.required(node.line, "target", of, target).and_then(|(line, word)| self.target(line, word));
        let strategy = self.required(node.line, "strategy", of, strategy).and_then(|(line, word)| {
            self.fields.one_of(line, word, "strategy", Strategy::ALL.map(|strategy| (strategy.word(), strategy)))
        });
        let accounts = accounts.map(|node| self.accounts(node)).unwrap_or_default();
        let through = through.map(|node| self.fields.words(node, "through")).unwrap_or_default();
        let through = through.into_iter().filter_map(|(line, word)| self.target(line, word)).collect();
        let refused = strategy.is_some_and(|strategy| strategy.outage().is_none());
        let phase = match phase {
            None if refused => Some(Phase::Alone),
            phase => self.required(node.line, "phase", of, phase).and_then(|(line, word)| {
                let wave = word.parse().ok().filter(|wave| (1..=9).contains(wave)).map(Phase::Wave);
                let phase = if word == "alone" { Some(Phase::Alone) } else { wave };
                self.read(line, "phase (1 to 9, or `alone`)", word, phase)
            }),
        };
        let credential = Credential { target: target?, strategy: strategy?, accounts, through, phase: phase? };
        if when == Accounts::Now {
            self.check_accounts(node.line, &credential);
        }
        Some(credential)
    }

    fn check_accounts(&mut self, line: u64, credential: &Credential) {
        let Credential { target, strategy, .. } = *credential;
        let needed = target.has_accounts() || strategy == Strategy::DualUser;
        if needed && credential.accounts.is_empty() {
            self.fields.note(line, Fault::Account { strategy, target });
        }
    }

    fn accounts(&mut self, node: &Node) -> Vec<Account> {
        let words = self.fields.words(node, "accounts");
        words.into_iter().filter_map(|(line, word)| self.read(line, "account", word, Account::read(word))).collect()
    }

    fn consumers(&mut self, node: &Node) -> Vec<ServiceName> {
        let names = self.names_at(node, "consumers");
        let Some(services) = &self.services else { return Vec::new() };
        for (line, name) in &names {
            if !services.contains_key(name) {
                let nearest = nearest(name.as_str(), services.keys().map(ServiceName::as_str));
                self.fields.note(*line, Fault::Unknown { what: "consumer", word: name.to_string(), nearest });
            }
        }
        names.into_iter().map(|(_, name)| name).collect()
    }

    fn restart(&mut self, node: &Node) -> Vec<ServiceName> {
        let names = self.names_at(node, "restart");
        let Some(services) = &self.services else { return Vec::new() };
        for (line, name) in &names {
            let known = || services.values().flatten().map(ServiceName::as_str);
            if !known().any(|known| known == name.as_str()) {
                let nearest = nearest(name.as_str(), known());
                let what = "service to restart";
                self.fields.note(*line, Fault::Unknown { what, word: name.to_string(), nearest });
            }
        }
        names.into_iter().map(|(_, name)| name).collect()
    }

    fn restart_of(&self, consumers: &[ServiceName]) -> Vec<ServiceName> {
        let mut restart = Vec::new();
        for name in consumers.iter().filter_map(|name| self.services.as_ref()?.get(name)).flatten() {
            if !restart.contains(name) {
                restart.push(name.clone());
            }
        }
        restart
    }

    fn sinks_of(&mut self, node: &Node) -> Vec<Sink> {
        let words = self.fields.words(node, "sinks");
        let Some(sinks) = &self.sinks else { return Vec::new() };
        let mut found = Vec::new();
        for (line, word) in words {
            match sinks.get(word) {
                Some(sink) => found.extend(sink.clone()),
                None => {
                    let nearest = nearest(word, sinks.keys().map(String::as_str));
                    self.fields.note(line, Fault::Unknown { what: "sink", word: word.to_owned(), nearest });
                }
            }
        }
        found
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

    fn recipe(&mut self, node: &Node) -> Option<Recipe> {
        let word = self.fields.word(node, "recipe")?;
        word.parse().map_err(|error| self.fields.note(node.line, Fault::Recipe(error))).ok()
    }

    fn class(&mut self, line: u64, word: &str) -> Option<Class> {
        self.fields.one_of(line, word, "class", Class::ALL.iter().map(|class| (class.word(), *class)))
    }

    fn target(&mut self, line: u64, word: &str) -> Option<TargetKind> {
        self.fields.one_of(line, word, "target", TargetKind::ALL.map(|target| (target.word(), target)))
    }

    fn name<N: FromStr<Err = NameError>>(&mut self, line: u64, word: &str) -> Option<N> {
        word.parse().map_err(|error| self.fields.note(line, Fault::Name(error))).ok()
    }

    fn names(&mut self, node: &Node, of: &str) -> Vec<ServiceName> {
        self.names_at(node, of).into_iter().map(|(_, name)| name).collect()
    }

    fn names_at(&mut self, node: &Node, of: &str) -> Vec<(u64, ServiceName)> {
        let words = self.fields.words(node, of);
        words.into_iter().filter_map(|(line, word)| Some((line, self.name(line, word)?))).collect()
    }

    /// The word under a key that must be there.
    fn required<'a>(
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
    fn read<T>(&mut self, line: u64, what: &'static str, word: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fields.note(line, Fault::Word { what, word: word.to_owned() });
        }
        value
    }
}

/// Whether a credential must have its accounts where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accounts {
    /// Yes: it belongs to one secret.
    Now,
    /// No: it belongs to a class, and each secret adds its own.
    Later,
}
