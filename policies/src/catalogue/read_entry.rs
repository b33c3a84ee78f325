//! Reading one entry: its credentials with their accounts, its consumers, what restarts and where it lies in clear.

use super::{
    entry::{Account, Class, Credential, Entry, Phase, Standing},
    fault::Fault,
    fields::Given,
    read::{Claim, Reader},
    sink::Sink,
};
use crate::{
    document::{Node, Value},
    name::{SecretName, ServiceName},
    nearest::nearest,
    strategy::Strategy,
};

impl Reader {
    pub(super) fn entry(
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
        let Some(common) = self.classes.get(&class).and_then(|common| common.credentials.clone()) else {
            self.fields.note(line, Fault::Credentials { name: name.to_string() });
            return Vec::new();
        };
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

    pub(super) fn credentials(&mut self, node: &Node, when: Accounts) -> Vec<Credential> {
        let items = self.fields.nodes(node, "credentials");
        if items.is_empty() && matches!(node.value, Value::Nothing | Value::List(_)) {
            self.fields
                .note(node.line, Fault::Missing { key: "target", of: "an empty list of credentials".to_owned() });
        }
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
                let nearest = nearest(name.as_str(), services.keys().map(ServiceName::as_str)).map(str::to_owned);
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
                let nearest = nearest(name.as_str(), known()).map(str::to_owned);
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

    pub(super) fn sinks_of(&mut self, node: &Node) -> Vec<Sink> {
        let words = self.fields.words(node, "sinks");
        let Some(sinks) = &self.sinks else { return Vec::new() };
        let mut found = Vec::new();
        for (line, word) in words {
            match sinks.get(word) {
                Some(sink) => found.extend(sink.clone()),
                None => {
                    let nearest = nearest(word, sinks.keys().map(String::as_str)).map(str::to_owned);
                    self.fields.note(line, Fault::Unknown { what: "sink", word: word.to_owned(), nearest });
                }
            }
        }
        found
    }
}

/// Whether a credential must have its accounts where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Accounts {
    /// Yes: it belongs to one secret.
    Now,
    /// No: it belongs to a class, and each secret adds its own.
    Later,
}
