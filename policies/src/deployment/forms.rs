//! What cannot be read in a deployment file, every mistake at once: a reader stops at the first, so what holds it is left out
//! and the file is read again.

use super::Deployment;
use crate::document::{self, Node, Pair, Value};
use serde_saphyr::{Error, UserMessageFormatter};
use std::collections::BTreeSet;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// Each mistake, in the order of the lines.
    pub(super) mistakes: Vec<String>,
    /// What could be read without them, where that is a deployment.
    pub(super) rest: Option<Deployment>,
    /// The names of what was left out.
    left_out: BTreeSet<String>,
}

/// Reads a text whose reading ended in this error.
pub(super) fn read(text: &str, first: Error) -> Forms {
    let mut forms = Forms::default();
    let mut mistakes = Vec::new();
    let mut told = Vec::new();
    let mut lines: Vec<&str> = text.lines().collect();
    let mut error = first;
    for _ in 0..MOST {
        let line = error.location().map_or(0, |at| at.line());
        let missing =
            if let Error::SerdeMissingField { field, .. } = error.without_snippet() { Some(*field) } else { None };
        let entry = match missing {
            Some(REQUIRED) => Some(Entry { from: 0, to: lines.len(), key: None, names: Vec::new() }),
            _ => document::read(&lines.join("\n")).ok().and_then(|tree| around(&tree, line, missing.is_some(), &lines)),
        };
        // What is missing because it was left out as a mistake has been told.
        let known = entry.iter().any(|Entry { from, to, .. }| {
            told.iter().any(|(line, key)| (from..to).contains(&line) && missing == Some(String::as_str(key)))
        });
        if !known {
            mistakes.push((line, error.without_snippet().render_with_formatter(&UserMessageFormatter)));
        }
        match entry {
            None => break,
            Some(_) if missing == Some(REQUIRED) => lines.push(STAND_IN),
            Some(Entry { from, to, key, names }) => {
                told.extend(key.map(|key| (from, key)));
                forms.left_out.extend(names);
                lines[from..to].fill("");
            }
        }
        match serde_saphyr::from_str::<Deployment>(&lines.join("\n")) {
            Ok(rest) => {
                forms.rest = Some(rest);
                break;
            }
            Err(next) => error = next,
        }
    }
    mistakes.sort_by_key(|(line, _)| *line);
    forms.mistakes = mistakes.into_iter().map(|(_, what)| what).collect();
    forms
}

impl Forms {
    /// Whether a mistake in how things hang together may come from what was left out alone.
    pub(super) fn explain(&self, mistake: &str) -> bool {
        self.left_out.iter().any(|name| mistake.contains(&format!("`{name}`")))
    }
}

/// Lines that can be left out, counted from 0: under which key, and all names that go with them.
struct Entry {
    from: usize,
    to: usize,
    key: Option<String>,
    names: Vec<String>,
}

/// The smallest entry that has lines of its own and this line among them; where a mapping lacks something, that mapping.
fn around(tree: &Node, line: u64, lacks: bool, lines: &[&str]) -> Option<Entry> {
    let mut found = None;
    let mut node = tree;
    let (mut above, mut end) = (0, lines.len() + 1);
    loop {
        let inner: Vec<(u64, Option<&str>, &Node)> = match &node.value {
            Value::Map(pairs) => pairs.iter().map(|Pair { line, key, node }| (*line, Some(&**key), node)).collect(),
            Value::List(items) => items.iter().map(|item| (item.line, None, item)).collect(),
            Value::Nothing | Value::Text(_) => return found,
        };
        let Some(at) = inner.iter().rposition(|(from, ..)| *from <= line) else { return found };
        let (from, key, value) = inner[at];
        let (from, next) = (usize::try_from(from).ok()?, inner.get(at + 1).map(|(next, ..)| usize::try_from(*next)));
        end = next.and_then(Result::ok).unwrap_or(end);
        let dash = lines.get(from.checked_sub(1)?)?.trim_start().starts_with('-');
        // What stands on the line of what it is in has no line of its own, nor what shares one with what follows.
        let own = dash == key.is_none() && from > above && end > from;
        // A mapping of which nothing is left would be another mistake.
        let last = inner.len() == 1 && found.is_some();
        above = from;
        let is_lacking = matches!(value.value, Value::Map(_)) && value.line == line;
        if own && !last && (!lacks || is_lacking) {
            let key = key.map(str::to_owned);
            let mut names: Vec<String> = key.iter().cloned().collect();
            keys(value, &mut names);
            found = Some(Entry { from: from - 1, to: (end - 1).min(lines.len()), key, names });
        }
        node = value;
    }
}

fn keys(node: &Node, names: &mut Vec<String>) {
    match &node.value {
        Value::Map(pairs) => {
            for pair in pairs {
                names.push(pair.key.clone());
                keys(&pair.node, names);
            }
        }
        Value::List(items) => items.iter().for_each(|item| keys(item, names)),
        Value::Nothing | Value::Text(_) => {}
    }
}

/// The one thing that a file must have, and what stands for it where it has none.
const REQUIRED: &str = "deployment";
const STAND_IN: &str = "deployment: x";
/// More are told once these are mended.
const MOST: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        Deployment::parse("f.yaml", text).unwrap_err().into_iter().map(|mistake| mistake.what).collect()
    }

    #[test]
    fn what_cannot_be_read_is_told_at_once_and_with_what_does_not_hang_together() {
        let text = "
deployment: 7 up
read_lease: soon
nonsense: 1
hosts:
  a:
    address: a.example
  b: {driver: ssh, addresses: b}
  z: {driver: ssh, address: z}
services:
  web:
    hosts: [a, b, c]
    order: first
    driver: systemd
    batch: 0
  api:
    hosts: [c]
    driver: systemd
    driver: container
views:
  v: [a]
  w: '{v'
roles:
  viewer: {reads: x}
  other: {reads: [x]}
sites:
  edge: {roles: [viewer, none], recipients: []}
notifications:
  - name: night
    on: never
    webhook: https://x
metrics: figures
";
        let wanted = [
            "7 up\" may hold letters, digits,",
            "invalid u32 at line 3, column 13",
            "unknown field `nonsense`",
            "missing field `driver` at line 7, column 5",
            "expected sequence start at line 8, column 31",
            "invalid i32 at line 13, column 12",
            "duplicate mapping key `driver` is not allowed here at line 19, column 5",
            "expected string scalar at line 21, column 6",
            "expected sequence start at line 24, column 19",
            "expected sequence start at line 30, column 9",
            // Nothing of the hosts `a` and `b` and the role `viewer`, which are there and could not be read.
            "service `api` runs on `c`, which is not under `hosts`",
            "service `web` runs on `c`, which is not under `hosts`",
            "service `web` has batch 0; at least one host restarts at once",
            "view `w`: a `{` is not closed",
            "the file for metrics `figures` is no absolute path",
            "site `edge` has the role `none`, which is not under `roles`",
        ];
        let told = told(text);
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.contains(wanted), "{told}\ninstead of\n{wanted}");
        }
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
    }

    #[test]
    fn a_file_without_its_name_is_read_on() {
        let told = told("hosts:\n  a: {driver: [b]}\nmetrics: x\n");
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told.iter().any(|mistake| mistake.contains("missing field `deployment`")), "{told:#?}");
    }

    #[test]
    fn what_is_missing_is_told_where_nothing_was_left_out() {
        let text = "
deployment: x
hosts:
  a:
    driver: [ssh]
    address: a
  b:
    address: b
    driver: [ssh]
  c:
    address: c
  d:
    driver: [ssh]
services:
  web:
    unit: web
";
        let told = told(text);
        let wanted =
            ["line 5", "line 9", "missing field `driver` at line 11", "line 13", "missing field `driver` at line 16"];
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.contains(wanted), "{told}\ninstead of\n{wanted}");
        }
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
    }

    #[test]
    fn what_may_be_one_thing_or_another_says_which() {
        let told = told(
            "deployment: a\ninventory: {fil: x}\nroles: {r: {reads: [x], users: [y]}}\nhosts: {h: {driver: ssh, port: 1.5}}\n",
        );
        for wanted in ["the file of an inventory, or a map", "the name of a user or group, in quotes", "a whole number"]
        {
            assert!(told.iter().any(|told| told.contains(wanted)), "{wanted}: {told:#?}");
        }
    }

    #[test]
    fn what_is_not_yaml_is_one_mistake() {
        assert_eq!(told("deployment: a\nread_lease: soon\nhosts: [\n").len(), 1);
        let many: String = (0..2 * MOST).map(|n| format!("field{n}: 1\n")).collect();
        assert_eq!(told(&format!("deployment: a\n{many}")).len(), MOST);
    }
}
