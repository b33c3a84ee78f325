//! One YAML file: which scalars change, and how they are written anew in their places. All else stays to the byte.

use super::{
    lookups,
    placeholder::Placeholders,
    weave::{Reading, weave, weave_unsafe},
};
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};
use std::ops::Range;

/// Who reads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Ansible itself: variables, tasks, plays.
    Ansible,
    /// `lookup('donjon.broker.file', …)`.
    File,
}

/// A file as it is to be.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The new text.
    pub text: String,
    /// How many placeholders became lookups.
    pub references: usize,
    /// How many lookups of files were given to our plugin.
    pub lookups: usize,
}

/// A placeholder in a mapping's key, which nothing evaluates: its line.
#[derive(Debug, PartialEq, Eq)]
pub struct InKey(pub usize);

/// Why a text could not be taken as YAML.
#[derive(Debug, thiserror::Error)]
#[error("it is no YAML")]
pub struct NoYaml;

/// Rewrites a YAML text. `turn` also gives lookups of files to our plugin.
///
/// Plain and quoted scalars are written anew in double quotes where they change; block scalars keep their lines.
pub fn rewritten(
    text: &str,
    placeholders: &Placeholders,
    reader: Reader,
    turn: bool,
) -> Result<Result<Rewritten, Vec<InKey>>, NoYaml> {
    let mut rewriting =
        Rewriting { text, placeholders, reader, turn, edits: Vec::new(), keys: Vec::new(), references: 0, lookups: 0 };
    let mut path = Path::default();
    for event in parser(text) {
        let (event, span) = event.map_err(|_| NoYaml)?;
        match event {
            Event::Scalar(value, style, _, tag) => {
                let scalar =
                    Scalar { value: &value, style, span: &span, not_evaluated: tag.as_deref().is_some_and(is_unsafe) };
                rewriting.scalar(&scalar, &path.scalar(&value)).ok_or(NoYaml)?;
            }
            Event::MappingStart(..) => path.open(Frame::Mapping { turn: Turn::Key, key: String::new() }),
            Event::SequenceStart(..) => path.open(Frame::Sequence),
            Event::MappingEnd | Event::SequenceEnd => path.close(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                path.scalar("");
            }
            Event::Comment(..) => rewriting.comment(&span).ok_or(NoYaml)?,
            // Starts and ends, and whatever a later parser tells besides.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | _ => {}
        }
    }
    Ok(rewriting.done())
}

/// The texts of all scalars that Ansible would evaluate.
pub fn scalars(text: &str) -> Result<Vec<String>, NoYaml> {
    let mut found = Vec::new();
    for event in parser(text) {
        if let (Event::Scalar(value, ..), _) = event.map_err(|_| NoYaml)? {
            found.push(value.into_owned());
        }
    }
    Ok(found)
}

struct Scalar<'a> {
    value: &'a str,
    style: ScalarStyle,
    span: &'a Span,
    /// `!unsafe`: Ansible hands it on as it is.
    not_evaluated: bool,
}

struct Rewriting<'a> {
    text: &'a str,
    placeholders: &'a Placeholders,
    reader: Reader,
    turn: bool,
    edits: Vec<(Range<usize>, String)>,
    keys: Vec<InKey>,
    references: usize,
    lookups: usize,
}

impl Rewriting<'_> {
    /// `None` when the parser does not say where the scalar stands.
    fn scalar(&mut self, scalar: &Scalar<'_>, place: &Place) -> Option<()> {
        let references = self.placeholders.find(scalar.value).filter(|found| found.reference.is_some()).count();
        let turns = self.turn && self.reader == Reader::Ansible && lookups::turned(scalar.value).1 > 0;
        if references == 0 && !turns {
            return Some(());
        }
        if place.is_key {
            self.keys.push(InKey(scalar.span.start.line()));
            return Some(());
        }
        self.references += references;
        let range = scalar.span.byte_range()?;
        let written = self.text.get(range.clone())?;
        let block = matches!(scalar.style, ScalarStyle::Literal | ScalarStyle::Folded);
        if self.reader == Reader::Ansible && scalar.not_evaluated {
            let tag = scalar.span.tag_span()?.byte_range()?;
            let replaced = double_quoted(&weave_unsafe(scalar.value, self.placeholders));
            // A block's span ends behind its last line break.
            let end = if written.ends_with('\n') { "\n" } else { "" };
            self.edits.push((tag.start..range.end, replaced + end));
            return Some(());
        }
        let reading = match self.reader {
            Reader::File => Reading::File,
            Reader::Ansible if place.is_condition => Reading::Expression,
            Reader::Ansible => Reading::Template,
        };
        let mut change = |text: &str| {
            let woven = weave(text, self.placeholders, reading);
            if !turns {
                return woven;
            }
            let (turned, count) = lookups::turned(&woven);
            self.lookups += count;
            turned
        };
        let replacement = if block { change(written) } else { double_quoted(&change(scalar.value)) };
        self.edits.push((range, replacement));
        Some(())
    }

    /// Nobody reads it; but nothing is to be left behind.
    fn comment(&mut self, span: &Span) -> Option<()> {
        let range = span.byte_range()?;
        let written = self.text.get(range.clone())?;
        let references = self.placeholders.find(written).filter(|found| found.reference.is_some()).count();
        if references > 0 {
            self.references += references;
            self.edits.push((range, weave(written, self.placeholders, Reading::File)));
        }
        Some(())
    }

    fn done(mut self) -> Result<Rewritten, Vec<InKey>> {
        if !self.keys.is_empty() {
            return Err(self.keys);
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut text = String::with_capacity(self.text.len() + 64 * self.edits.len());
        let mut at = 0;
        for (range, replacement) in &self.edits {
            text.push_str(&self.text[at..range.start]);
            text.push_str(replacement);
            at = range.end;
        }
        text.push_str(&self.text[at..]);
        Ok(Rewritten { text, references: self.references, lookups: self.lookups })
    }
}

/// Where the parser is.
#[derive(Default)]
struct Path(Vec<Frame>);

enum Frame {
    Mapping { turn: Turn, key: String },
    Sequence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Key,
    Value,
}

struct Place {
    is_key: bool,
    /// The value, or one of the values, of a keyword that Ansible takes as an expression.
    is_condition: bool,
}

impl Path {
    fn scalar(&mut self, value: &str) -> Place {
        let is_key = matches!(self.0.last(), Some(Frame::Mapping { turn: Turn::Key, .. }));
        let nearest = self.0.iter().rev().find_map(|frame| match frame {
            Frame::Mapping { key, .. } => Some(key.as_str()),
            Frame::Sequence => None,
        });
        let is_condition = !is_key && nearest.is_some_and(|key| CONDITIONS.contains(&key));
        self.passed(value);
        Place { is_key, is_condition }
    }

    fn open(&mut self, frame: Frame) {
        self.0.push(frame);
    }

    fn close(&mut self) {
        self.0.pop();
        self.passed("");
    }

    /// A node has ended: the next one of a mapping has the other turn.
    fn passed(&mut self, scalar: &str) {
        if let Some(Frame::Mapping { turn, key }) = self.0.last_mut() {
            if *turn == Turn::Key {
                scalar.clone_into(key);
            }
            *turn = if *turn == Turn::Key { Turn::Value } else { Turn::Key };
        }
    }
}

fn is_unsafe(tag: &Tag) -> bool {
    tag.suffix() == "unsafe"
}

fn parser(text: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), granit_parser::ScanError>> {
    // Generated files have long keys and many comments, and are ours to read whole.
    let mut options = Options::default();
    options.simple_key_max_lookahead = usize::MAX;
    options.max_buffered_comment_events = usize::MAX;
    Parser::new_from_str_with_options(text, options)
}

/// A double-quoted scalar on one line: JSON's escapes are YAML's, but for what YAML 1.1 does not print or takes as a line end.
fn double_quoted(value: &str) -> String {
    let json = serde_json::Value::from(value).to_string();
    let mut quoted = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}') {
            quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// Keywords, and arguments of `assert`, whose values are expressions without braces.
const CONDITIONS: [&str; 5] = ["when", "failed_when", "changed_when", "until", "that"];

#[cfg(test)]
mod tests {
    use super::{super::reference::Numbers, *};
    use donjon_policies::catalogue::Catalogue;

    const P: &str = "DONJON_REF_RedisPassword_END";

    fn through(text: &str, reader: Reader) -> Result<Result<Rewritten, Vec<InKey>>, NoYaml> {
        let placeholders = Placeholders::of(&Catalogue::named("tripleo").unwrap(), &Numbers::default());
        rewritten(&text.replace("PPP", P), &placeholders, reader, true)
    }

    fn done(text: &str, reader: Reader) -> String {
        let rewritten = through(text, reader).unwrap().unwrap();
        rewritten.text.replace("{{ lookup('donjon.broker.secret', 'RedisPassword') }}", "<P>")
    }

    #[test]
    fn each_style_keeps_its_value_and_all_else_its_bytes() {
        for (text, expected) in [
            ("a: PPP\nb: 1 # x\n", "a: \"<P>\"\nb: 1 # x\n"),
            ("a: 'PPP ''x'''  # c\n", "a: \"<P> 'x'\"  # c\n"),
            ("a: \"PPP \\\"x\\\"\"\n", "a: \"<P> \\\"x\\\"\"\n"),
            ("a: long PPP\n  folded\nb: 2\n", "a: \"long <P> folded\"\nb: 2\n"),
            ("a: |\n  x\n  k=PPP\n\n  y\nb: 2\n", "a: |\n  x\n  k=<P>\n\n  y\nb: 2\n"),
            ("a: >-\n  x PPP\n  y\nb: 2\n", "a: >-\n  x <P>\n  y\nb: 2\n"),
            ("[PPP, {k: PPP}]\n", "[\"<P>\", {k: \"<P>\"}]\n"),
            ("- PPP\n- &x PPP\n- *x\n", "- \"<P>\"\n- &x \"<P>\"\n- *x\n"),
            ("# PPP\na: 1\n", "# <P>\na: 1\n"),
            ("a: !unsafe '{{ x }} PPP'\nb: 1\n", "a: \"{% raw %}{{ x }} {% endraw %}<P>\"\nb: 1\n"),
            ("a: !unsafe |\n  PPP\nb: 1\n", "a: \"<P>\\n\"\nb: 1\n"),
            ("{\"a\": \"PPP\"}", "{\"a\": \"<P>\"}"),
            ("é: ü PPP é\n", "é: \"ü <P> é\"\n"),
        ] {
            assert_eq!(done(text, Reader::Ansible), expected, "{text}");
        }
    }

    #[test]
    fn conditions_are_expressions() {
        let call = "lookup('donjon.broker.secret', 'RedisPassword')";
        let text = done("- when: x == 'PPP'\n- when:\n  - a\n  - \"'PPP' != ''\"\n- k: 'PPP'\n", Reader::Ansible);
        assert_eq!(text, format!("- when: \"x == {call}\"\n- when:\n  - a\n  - \"{call} != ''\"\n- k: \"<P>\"\n"));
    }

    #[test]
    fn lookups_of_files_are_given_to_our_plugin() {
        let text = "- copy:\n    content: \"{{ lookup('file', role + '/a.pp') }}\"\n";
        let rewritten = through(text, Reader::Ansible).unwrap().unwrap();
        assert_eq!(rewritten.text, text.replace("'file'", "'donjon.broker.file'"));
        assert_eq!((rewritten.references, rewritten.lookups), (0, 1));
        assert_eq!(through(&rewritten.text, Reader::Ansible).unwrap().unwrap().lookups, 0);
        assert_eq!(scalars(text).unwrap().len(), 3);
    }

    #[test]
    fn a_key_is_refused_with_its_line() {
        assert_eq!(through("a: 1\nPPP: 2\n", Reader::Ansible).unwrap(), Err(vec![InKey(2)]));
    }

    #[test]
    fn what_is_no_yaml_is_said_to_be_none() {
        assert!(through("#!/bin/bash\nif [ a = \"PPP ]; then {\n\t:\n", Reader::Ansible).is_err());
    }
}
