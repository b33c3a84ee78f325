//! The needles of a scan: every form of every stored value, in one automaton.

use super::{
    encoding::{Encoding, Form, SHORTEST, forms},
    window::{Between, Gaps, Window, is_escaping},
};
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
    /// So much of its value is white space that it is looked for encoded alone.
    Spaces,
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
    /// What it is a form of.
    pub of: Vec<Meaning>,
    /// How far beyond it other pieces of the same value may lie, in bytes of the file; 0 for a whole value.
    pub reach: u64,
}

/// What a byte string is where it is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meaning {
    /// Whose value: an index into the owners.
    pub owner: usize,
    /// How it is written.
    pub encoding: Encoding,
    shape: Shape,
}

/// What has to be around the bytes of a needle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// A long one may be wrapped anywhere.
    Any,
    /// A few letters with spaces between them are chance, not a leak. So white space is where the value has it.
    Spaced(Gaps),
    /// A form that ends with a backslash, without it: a line ends there, which it seems to fold.
    Folded(Gaps),
}

impl Meaning {
    /// Whether it depends on what comes behind it.
    pub(super) fn ends_folded(&self) -> bool {
        matches!(self.shape, Shape::Folded(_))
    }

    /// Whether it is what was found in a window.
    pub(super) fn is_at(&self, window: &Window, start: usize, end: usize) -> bool {
        let between = if self.encoding == Encoding::Base64 { Between::Lines } else { Between::Nothing };
        let spaced = |gaps| end - start >= LONG_ENOUGH_TO_WRAP || window.has((start, end), gaps, between);
        match &self.shape {
            Shape::Any => true,
            Shape::Spaced(gaps) => spaced(gaps),
            Shape::Folded(gaps) => window.is_folded(end) && spaced(gaps),
        }
    }
}

/// A byte string and one meaning of it.
struct Needle {
    text: Form,
    meaning: Meaning,
    reach: u64,
}

/// A form as it is in a window, and what has to be around it. None where too little is left of it.
fn shaped(form: &[u8]) -> Vec<(Form, Shape)> {
    let mut window = Window::new();
    window.take_in(form, 0);
    let (gaps, length) = window.shape();
    let ends_folded = window.is_folded(window.text.len());
    let text = Form::new(window.text);
    let enough = text.len() >= SHORTEST || (text.len() >= FEWEST_BESIDE_SPACES && !gaps.is_empty());
    if length < SHORTEST as u64 || !enough {
        return Vec::new();
    }
    let mut shapes = Vec::new();
    if is_escaping(form) {
        shapes.push((Form::new(text[..text.len() - 1].to_vec()), Shape::Folded(gaps.clone())));
    }
    // At the beginning of a line these two seem to go on with one that was folded.
    if let Some(rest) = form.strip_prefix(b"\\ ") {
        shapes.extend(shaped(rest));
    }
    let whole = match text.len() {
        _ if ends_folded => Shape::Folded(gaps),
        LONG_ENOUGH_TO_WRAP.. => Shape::Any,
        _ => Shape::Spaced(gaps),
    };
    shapes.push((text, whole));
    shapes
}

/// The needles could not be made into an automaton.
#[derive(Debug, thiserror::Error)]
#[error("there are too many values to look for")]
pub struct TooMany;

impl Needles {
    /// Builds the automaton. The values and their forms are dropped and wiped on the way.
    pub fn new(wanted: Vec<Wanted>, mut not_looked_for: Vec<NotLookedFor>) -> Result<Self, TooMany> {
        let mut owners = Vec::new();
        let mut written: Vec<Needle> = Vec::new();
        for Wanted { name, standing, material } in wanted {
            let owner = owners.len();
            let (mut long_enough, mut as_it_is) = (false, false);
            for value in inner(&material) {
                let bytes = value.expose(); // EXPOSE: encoded into forms that are wiped
                let pieces = pieces(bytes);
                let reach =
                    if pieces.len() == 1 && pieces[0].len() == bytes.len() { 0 } else { bytes.len() as u64 * 6 };
                for (encoding, form) in pieces.into_iter().flat_map(forms) {
                    long_enough = true;
                    for (text, shape) in shaped(&form) {
                        as_it_is |= encoding == Encoding::Raw;
                        written.push(Needle { text, meaning: Meaning { owner, encoding, shape }, reach });
                    }
                }
            }
            match (long_enough, as_it_is) {
                (true, true) => {}
                (true, false) => not_looked_for.push(NotLookedFor { secret: name.clone(), why: Why::Spaces }),
                (false, _) => not_looked_for.push(NotLookedFor { secret: name.clone(), why: Why::TooShort }),
            }
            owners.push((name, standing));
        }
        written.sort_by(|a, b| (&*a.text, &a.meaning).cmp(&(&*b.text, &b.meaning)));
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut distinct: Vec<Form> = Vec::new();
        for Needle { text, meaning, reach } in written {
            if distinct.last().is_none_or(|last| **last != *text) {
                patterns.push(Pattern { length: text.len(), of: Vec::new(), reach });
                distinct.push(text);
            }
            // The plainest of what reads the same tells how it is written.
            if let Some(pattern) = patterns.last_mut()
                && pattern.of.iter().all(|other| (other.owner, &other.shape) != (meaning.owner, &meaning.shape))
            {
                pattern.of.push(meaning);
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
        let looked_for = patterns.iter().flat_map(|pattern| &pattern.of).map(|of| owners[of.owner].0.clone()).collect();
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
/// A needle of so many characters is found with white space inside it, too.
const LONG_ENOUGH_TO_WRAP: usize = 16;
/// With fewer characters beside its white space a value would be found everywhere.
const FEWEST_BESIDE_SPACES: usize = 4;
/// The bytes of a piece.
const PIECE: usize = 48;
