//! Reading nodes of the tree into words, lists and mappings, noting what is wrong and going on.

use super::fault::Fault;
use crate::{
    document::{Mistake, Node, Pair, Value},
    nearest::nearest,
};
use std::collections::BTreeMap;

/// Collects mistakes while it reads.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) mistakes: Vec<Mistake<Fault>>,
}

/// The values of a mapping by its known keys, in the order of those.
pub(super) struct Given<'a, const N: usize>(pub(super) [Option<&'a Node>; N]);

impl Fields {
    pub(super) fn note(&mut self, line: u64, fault: Fault) {
        self.mistakes.push(Mistake { line, fault });
    }

    /// A mapping with free keys. A repeated key is noted and left out; nothing at all counts as empty.
    pub(super) fn pairs<'a>(&mut self, node: &'a Node, what: &'static str, of: &str) -> Option<Vec<&'a Pair>> {
        match &node.value {
            Value::Nothing => Some(Vec::new()),
            Value::Map(pairs) => {
                let mut kept: Vec<&Pair> = Vec::with_capacity(pairs.len());
                let mut seen = BTreeMap::new();
                for pair in pairs {
                    match seen.get(pair.key.as_str()) {
                        Some(&first) => self.note(pair.line, Fault::Twice { what, name: pair.key.clone(), first }),
                        None => {
                            seen.insert(pair.key.as_str(), pair.line);
                            kept.push(pair);
                        }
                    }
                }
                Some(kept)
            }
            Value::Text(_) | Value::List(_) => self.kind(node, of, "a mapping"),
        }
    }

    /// A mapping with these keys and no others.
    pub(super) fn given<'a, const N: usize>(
        &mut self,
        node: &'a Node,
        of: &'static str,
        name: &str,
        keys: [&'static str; N],
    ) -> Option<Given<'a, N>> {
        let mut given = [None; N];
        for pair in self.pairs(node, "key", name)? {
            match keys.iter().position(|key| *key == pair.key) {
                Some(at) => given[at] = Some(&pair.node),
                None => {
                    let nearest = nearest(&pair.key, keys).map(str::to_owned);
                    self.note(pair.line, Fault::Key { key: pair.key.clone(), of, nearest });
                }
            }
        }
        Some(Given(given))
    }

    /// One word.
    pub(super) fn word<'a>(&mut self, node: &'a Node, of: &str) -> Option<&'a str> {
        match &node.value {
            Value::Text(word) => Some(word),
            Value::Nothing | Value::List(_) | Value::Map(_) => self.kind(node, of, "a word"),
        }
    }

    /// A list of words with their lines; what is no word is noted and left out.
    pub(super) fn words<'a>(&mut self, node: &'a Node, of: &str) -> Vec<(u64, &'a str)> {
        self.nodes(node, of).into_iter().filter_map(|item| Some((item.line, self.word(item, of)?))).collect()
    }

    /// A list.
    pub(super) fn nodes<'a>(&mut self, node: &'a Node, of: &str) -> Vec<&'a Node> {
        match &node.value {
            Value::List(items) => items.iter().collect(),
            Value::Nothing => Vec::new(),
            Value::Text(_) | Value::Map(_) => self.kind(node, of, "a list").unwrap_or_default(),
        }
    }

    /// The one of `known` whose word this is.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        line: u64,
        word: &str,
        what: &'static str,
        known: impl IntoIterator<Item = (&'static str, T)>,
    ) -> Option<T> {
        let known: Vec<(&'static str, T)> = known.into_iter().collect();
        let found = known.iter().find(|(text, _)| *text == word).map(|(_, item)| *item);
        if found.is_none() {
            let nearest = nearest(word, known.iter().map(|(text, _)| *text)).map(str::to_owned);
            self.note(line, Fault::Unknown { what, word: word.to_owned(), nearest });
        }
        found
    }

    fn kind<T>(&mut self, node: &Node, of: &str, wanted: &'static str) -> Option<T> {
        self.note(node.line, Fault::Kind { what: of.to_owned(), wanted, found: node.value.kind() });
        None
    }
}
