//! The needles of a scan: every form of every stored value, in one automaton.

use super::encoding::{Encoding, Form, SHORTEST, forms};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use donjon_drivers::material::Material;
use donjon_policies::name::SecretName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A stored value that is to be looked for.
#[derive(Debug)]
pub struct Wanted {
    /// Whose value.
    pub name: SecretName,
    /// Which of its values.
    pub standing: Standing,
    /// The value.
    pub material: Material,
}

/// Which value of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The one that consumers read.
    Current,
    /// An earlier one that is still stored.
    Previous,
    /// One that is not published yet.
    Pending,
}

/// A secret that was not looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotLookedFor {
    /// The secret.
    pub secret: SecretName,
    /// Why.
    pub why: Why,
}

/// Why a secret was not looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its value has fewer than 8 bytes and would be found everywhere.
    TooShort,
    /// The catalogue says that it is no secret: an identifier.
    NoSecret,
    /// It is assembled from other secrets, which are looked for themselves.
    Assembled,
}

/// All needles. The bytes are in the automaton alone.
pub struct Needles {
    pub(super) automaton: Option<AhoCorasick>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) owners: Vec<(SecretName, Standing)>,
    pub(super) longest: usize,
    /// The secrets that are looked for, each in at least one of its values.
    pub looked_for: BTreeSet<SecretName>,
    /// What is not looked for.
    pub not_looked_for: Vec<NotLookedFor>,
    /// Files that are meant to hold values, and whose.
    pub declared: BTreeMap<String, BTreeSet<SecretName>>,
}

/// One byte string of the automaton.
pub(super) struct Pattern {
    /// How long it is.
    pub length: usize,
    /// What it is a form of: an index into the owners, and how it is written.
    pub of: Vec<(usize, Encoding)>,
    /// How far beyond it other pieces of the same value may lie, in bytes of the file; 0 for a whole value.
    pub reach: u64,
}

/// The needles could not be made into an automaton.
#[derive(Debug, thiserror::Error)]
#[error("there are too many values to look for")]
pub struct TooMany;

impl Needles {
    /// Builds the automaton. The values and their forms are dropped and wiped on the way.
    pub fn new(wanted: Vec<Wanted>, mut not_looked_for: Vec<NotLookedFor>) -> Result<Self, TooMany> {
        let mut owners = Vec::new();
        let mut written: Vec<(Form, usize, Encoding, u64)> = Vec::new();
        for Wanted { name, standing, material } in wanted {
            let owner = owners.len();
            let mut long_enough = false;
            for value in inner(&material) {
                let bytes = value.expose(); // EXPOSE: encoded into forms that are wiped
                let pieces = pieces(bytes);
                let reach =
                    if pieces.len() == 1 && pieces[0].len() == bytes.len() { 0 } else { bytes.len() as u64 * 6 };
                for (encoding, form) in pieces.into_iter().flat_map(forms) {
                    long_enough = true;
                    written.push((form, owner, encoding, reach));
                }
            }
            if !long_enough {
                not_looked_for.push(NotLookedFor { secret: name.clone(), why: Why::TooShort });
            }
            owners.push((name, standing));
        }
        written.sort_by(|a, b| (&*a.0, a.1, a.2).cmp(&(&*b.0, b.1, b.2)));
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut distinct: Vec<&Form> = Vec::new();
        for (form, owner, encoding, reach) in &written {
            if distinct.last().is_none_or(|last| **last != *form) {
                distinct.push(form);
                patterns.push(Pattern { length: form.len(), of: Vec::new(), reach: *reach });
            }
            if let Some(pattern) = patterns.last_mut()
                && pattern.of.last().is_none_or(|(last, _)| last != owner)
            {
                pattern.of.push((*owner, *encoding));
            }
        }
        let longest = patterns.iter().map(|pattern| pattern.length).max().unwrap_or(0);
        let automaton = match distinct.is_empty() {
            true => None,
            false => Some(
                AhoCorasick::builder()
                    .kind(Some(AhoCorasickKind::ContiguousNFA))
                    .match_kind(MatchKind::Standard)
                    .prefilter(false)
                    .build(distinct.iter().map(|form| form.as_slice()))
                    .map_err(|_| TooMany)?,
            ),
        };
        not_looked_for.sort_unstable();
        not_looked_for.dedup();
        let looked_for =
            patterns.iter().flat_map(|pattern| &pattern.of).map(|(owner, _)| owners[*owner].0.clone()).collect();
        Ok(Self { looked_for, automaton, patterns, owners, longest, not_looked_for, declared: BTreeMap::new() })
    }

    /// Values in these files are where they are meant to be: counted, and no findings.
    #[must_use]
    pub fn with_declared(mut self, declared: BTreeMap<String, BTreeSet<SecretName>>) -> Self {
        self.declared = declared;
        self
    }
}

/// A JSON object of texts, such as a repository of keys, leaks text by text; anything else as it is.
pub(super) fn inner(material: &Material) -> Vec<Material> {
    // EXPOSE: parsed in place; the texts land in Material
    match serde_json::from_slice::<BTreeMap<String, Material>>(material.expose()) {
        Ok(parts) if !parts.is_empty() => parts.into_values().collect(),
        Ok(_) | Err(_) => vec![material.duplicate()],
    }
}

/// What of a value is looked for: a short one whole, of a long one three pieces from its second half.
///
/// A piece finds a key that was copied in part, indented or commented out, and the automaton stays small. A private
/// key begins with what all keys of its kind have in common and goes on with its public half, so the first half is
/// left alone.
pub(super) fn pieces(value: &[u8]) -> Vec<&[u8]> {
    if value.len() <= LONGEST_WHOLE {
        return if value.len() < SHORTEST { Vec::new() } else { vec![value] };
    }
    let lines = lines(value);
    let mut pieces = match lines.len() {
        0 => windows(value),
        count => vec![lines[0], lines[count / 2], lines[count - 1]],
    };
    pieces.dedup();
    pieces
}

/// The lines of the second half that are long enough to be told from others.
fn lines(value: &[u8]) -> Vec<&[u8]> {
    let (mut at, mut lines) = (0, Vec::new());
    for line in value.split(|byte| *byte == b'\n') {
        if at >= value.len() / 2 && (PIECE..=LONGEST_WHOLE).contains(&line.len()) {
            lines.push(line);
        }
        at += line.len() + 1;
    }
    lines
}

fn windows(value: &[u8]) -> Vec<&[u8]> {
    let last = value.len() - PIECE;
    let first = last.min(value.len() / 2);
    let text = std::str::from_utf8(value).ok();
    let whole_letters = |at: usize| text.map_or(at, |text| text.floor_char_boundary(at));
    [first, first.midpoint(last), last].map(|at| &value[whole_letters(at)..whole_letters(at + PIECE)]).to_vec()
}

/// Up to so many bytes a value is looked for whole.
const LONGEST_WHOLE: usize = 128;
/// The bytes of a piece.
const PIECE: usize = 48;
