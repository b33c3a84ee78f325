//! A YAML document as a tree of scalars that know their places, so that a file can be changed there and nowhere else.

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Span, Tag};
use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::LazyLock,
};
use zeroize::Zeroizing;

/// A node of the document.
#[derive(Debug)]
pub struct Node {
    /// Its line, from 1.
    pub line: usize,
    /// What stands there.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A scalar.
    Scalar(Scalar),
    /// A mapping, in the order of the file, repeated keys included.
    Mapping(Vec<(String, Node)>),
    /// A sequence; nothing in one is a password. An alias of anything but a scalar is one, too, with itself alone in it.
    Sequence(Vec<Node>),
}

impl Node {
    /// What a mapping has; `None` of anything else.
    pub fn pairs(&self) -> Option<&[(String, Self)]> {
        match &self.kind {
            Kind::Mapping(pairs) => Some(pairs),
            Kind::Scalar(_) | Kind::Sequence(_) => None,
        }
    }
}

/// A scalar and where it stands.
#[derive(Clone)]
pub struct Scalar {
    /// Its text.
    pub text: Zeroizing<String>,
    /// How it is written.
    pub written: Written,
    /// Its bytes in the document, tag and quotes included.
    pub place: Range<usize>,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Without quotes: YAML decides what it means.
    Plain,
    /// As text: quoted, in a block, or `!!str`.
    Text,
    /// `!unsafe`: text that Ansible does not evaluate.
    Unsafe,
    /// `!vault`: an ansible-vault of its own.
    Vault,
    /// With another tag.
    Tagged,
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scalar").field("written", &self.written).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Why a document was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It is no YAML.
    #[error("line {0}: this is no YAML")]
    Broken(usize),
    /// There is a second document.
    #[error("line {0}: a second document begins")]
    Second(usize),
    /// It goes too deep.
    #[error("line {0}: it is nested too deep")]
    Deep(usize),
    /// YAML 1.1 ends a line where YAML 1.2 does not.
    #[error("line {0}: a character that some readers take for a line's end; write it as an escape in double quotes")]
    LineEnd(usize),
    /// A key is no scalar.
    #[error("line {0}: a key is no word")]
    Key(usize),
}

/// Reads the one document of a text; `None` for one that is empty.
pub fn read(text: &str) -> Result<Option<Node>, YamlError> {
    let ends: BTreeSet<usize> = text.match_indices(LINE_ENDS).map(|(at, _)| at).collect();
    let mut reading = Reading { text, ends, open: Vec::new(), anchors: BTreeMap::new(), root: None };
    let read = Parser::new_from_str_with_options(text, options()).try_for_each(|event| {
        // The parser's own words may quote the text.
        let (event, span) = event.map_err(|error| YamlError::Broken(error.marker().line()))?;
        reading.event(event, &span)
    });
    // Where one is left, lines are not what they seem: that is to be told first.
    if let Some(at) = reading.ends.first() {
        return Err(YamlError::LineEnd(1 + text[..*at].matches('\n').count()));
    }
    read.map(|()| reading.root)
}

/// Where the comments of a text stand, each from its `#` to the end of its line; not what looks like one within a value.
pub fn comments(text: &str) -> Result<Vec<Range<usize>>, YamlError> {
    let events = Parser::new_from_str_with_options(text, options());
    let comment = |event: Result<(Event<'_>, Span), ScanError>| {
        let (event, span) = match event {
            Ok(told) => told,
            Err(error) => return Some(Err(YamlError::Broken(error.marker().line()))),
        };
        let place = || span.byte_range().ok_or(YamlError::Broken(span.start.line()));
        matches!(event, Event::Comment(..)).then(place)
    };
    events.filter_map(comment).collect()
}

fn options() -> Options {
    let mut options = Options::default();
    options.simple_key_max_lookahead = usize::MAX;
    options.max_buffered_comment_events = usize::MAX;
    options
}

struct Reading<'a> {
    text: &'a str,
    /// Where YAML 1.1 ends a line and this parser does not, unless it has been seen to.
    ends: BTreeSet<usize>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Scalar>,
    root: Option<Node>,
}

struct Open {
    line: usize,
    within: Within,
}

enum Within {
    Mapping { pairs: Vec<(String, Node)>, key: Option<String> },
    Sequence(Vec<Node>),
}

impl Reading<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlError> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) if self.root.is_some() => return Err(YamlError::Second(line)),
            Event::Scalar(value, style, anchor, tag) => {
                let scalar = self.scalar(&value, style, tag.as_deref(), span).ok_or(YamlError::Broken(line))?;
                if anchor > 0 {
                    self.anchors.insert(anchor, scalar.clone());
                }
                self.node(Node { line, kind: Kind::Scalar(scalar) })?;
            }
            Event::Alias(anchor) => {
                let place = span.byte_range().ok_or(YamlError::Broken(line))?;
                let kind = match self.anchors.get(&anchor) {
                    Some(scalar) => Kind::Scalar(Scalar { place, ..scalar.clone() }),
                    None => {
                        let text = Zeroizing::new(self.text.get(place.clone()).unwrap_or_default().to_owned());
                        let alias = Scalar { text, written: Written::Tagged, place };
                        Kind::Sequence(vec![Node { line, kind: Kind::Scalar(alias) }])
                    }
                };
                self.node(Node { line, kind })?;
            }
            Event::MappingStart(..) => self.enter(line, Within::Mapping { pairs: Vec::new(), key: None })?,
            Event::SequenceStart(..) => self.enter(line, Within::Sequence(Vec::new()))?,
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Open { line, within }) = self.open.pop() {
                    let kind = match within {
                        Within::Mapping { pairs, .. } => Kind::Mapping(pairs),
                        Within::Sequence(items) => Kind::Sequence(items),
                    };
                    self.node(Node { line, kind })?;
                }
            }
            // Starts, ends and comments, and whatever a later parser tells besides.
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd | _ => {}
        }
        Ok(())
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Option<Scalar> {
        let mut place = span.byte_range()?;
        let written = match (tag.map(Tag::suffix), style) {
            (None, ScalarStyle::Plain) => Written::Plain,
            (None | Some("str"), _) => Written::Text,
            (Some("unsafe"), _) => Written::Unsafe,
            (Some("vault" | "vault-encrypted"), _) => Written::Vault,
            (Some(_), _) => Written::Tagged,
        };
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            place = block(self.text, place)?;
        }
        if tag.is_some() {
            place.start = span.tag_span()?.byte_range()?.start;
        }
        let source = self.text.get(place.clone())?;
        let text = match style == ScalarStyle::SingleQuoted && source.contains(LINE_ENDS) {
            true => self.quoted(place.clone())?,
            false => Zeroizing::new(value.to_owned()),
        };
        Some(Scalar { text, written, place })
    }

    /// A text in single quotes as YAML 1.1 has it: there a line also ends at [`LINE_ENDS`], which PyYAML writes as they are.
    ///
    /// One of them stays what it is, and the indentation after it goes. It reads a next-line character as a line feed, and so
    /// loses it: a text with one is left to be refused.
    fn quoted(&mut self, place: Range<usize>) -> Option<Zeroizing<String>> {
        let source = &self.text[place.clone()];
        let inner = source.get(source.find('\'')? + 1..)?.strip_suffix('\'')?;
        let mut text = Zeroizing::new(String::with_capacity(inner.len()));
        let mut rest = inner;
        while let Some(at) = rest.find(FOLDED) {
            let (before, space) = rest.split_at(at);
            let after = space.trim_start_matches(FOLDED);
            let space = &space[..space.len() - after.len()];
            unpaired(before, &mut text);
            rest = after;
            let space = space.replace("\r\n", "\n").replace('\r', "\n");
            let mut ends = space.chars().filter(|c| !matches!(c, ' ' | '\t')).peekable();
            match (ends.next(), ends.peek()) {
                (None, _) => text.push_str(&space),
                (Some('\n'), None) => text.push(' '),
                (Some('\n'), Some(_)) => {}
                (Some(end), _) => text.push(end),
            }
            text.extend(ends);
        }
        unpaired(rest, &mut text);
        self.ends.retain(|at| !place.contains(at) || self.text[*at..].starts_with('\u{85}'));
        Some(text)
    }

    fn enter(&mut self, line: usize, within: Within) -> Result<(), YamlError> {
        if self.open.len() == DEEPEST {
            return Err(YamlError::Deep(line));
        }
        self.open.push(Open { line, within });
        Ok(())
    }

    fn node(&mut self, node: Node) -> Result<(), YamlError> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.within {
            Within::Sequence(items) => items.push(node),
            Within::Mapping { pairs, key } => match (key.take(), node.kind) {
                (Some(key), kind) => pairs.push((key, Node { line: node.line, kind })),
                (None, Kind::Scalar(scalar)) => *key = Some(scalar.text.to_string()),
                (None, Kind::Mapping(_) | Kind::Sequence(_)) => return Err(YamlError::Key(node.line)),
            },
        }
        Ok(())
    }
}

/// Two quotes within quotes are one.
fn unpaired(quoted: &str, text: &mut String) {
    for (at, part) in quoted.split("''").enumerate() {
        text.push_str(if at == 0 { "" } else { "'" });
        text.push_str(part);
    }
}

/// A block from its `|` or `>` to its last character. The parser gives its content, and the indentation of what follows.
fn block(text: &str, content: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..content.start)?.trim_end();
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let header = line + HEADER.find(&before[line..])?.start();
    let end = content.start + text.get(content.clone())?.trim_end().len();
    Some(header..if end > content.start { end } else { before.len() })
}

/// Where YAML 1.1 ends a line and YAML 1.2 does not.
const LINE_ENDS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
/// What is folded within quotes.
const FOLDED: [char; 7] = [' ', '\t', '\r', '\n', '\u{85}', '\u{2028}', '\u{2029}'];
/// The indicator of a block at the end of its line, with a comment perhaps.
static HEADER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[|>][-+1-9]{0,2}(?:[ \t]+#.*)?$").expect("a literal that the tests use"));
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scalars(text: &str) -> Vec<(String, Written, String)> {
        let Some(Node { kind: Kind::Mapping(pairs), .. }) = read(text).unwrap() else { panic!("a mapping") };
        let scalar = |(key, node): (String, Node)| match node.kind {
            Kind::Scalar(found) => Some((key, found.written, text[found.place].to_owned())),
            Kind::Mapping(_) | Kind::Sequence(_) => None,
        };
        pairs.into_iter().filter_map(scalar).collect()
    }

    #[test]
    fn every_scalar_knows_its_whole_place() {
        let text = "a: x # not this\nb: 'y'\nc: !unsafe \"z\"\nd: | # a|b\n\n  1\n  2\n\n# then\ne: !vault |\n  $A\n  00\nf:\ng: &k v\nh: *k\n";
        let found = scalars(text);
        let expected = [
            ("a", Written::Plain, "x"),
            ("b", Written::Text, "'y'"),
            ("c", Written::Unsafe, "!unsafe \"z\""),
            ("d", Written::Text, "| # a|b\n\n  1\n  2"),
            ("e", Written::Vault, "!vault |\n  $A\n  00"),
            ("f", Written::Plain, ""),
            ("g", Written::Plain, "v"),
            ("h", Written::Plain, "*k"),
        ];
        let expected: Vec<_> = expected.map(|(key, how, place)| (key.to_owned(), how, place.to_owned())).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comment_is_what_the_parser_takes_for_one() {
        let text = "# head\na: 'x # y' # why\nb: |  # of a block\n  # its text\n\n# then\nc: [1, # one\n  2]\nd: e#f\ng: # later\n  h\n... # end\n";
        let found: Vec<&str> = comments(text).unwrap().into_iter().map(|place| &text[place]).collect();
        assert_eq!(found, ["# head", "# why", "# of a block", "# then", "# one", "# later", "# end"]);
    }

    #[test]
    fn a_line_of_yaml_1_1_ends_within_quotes_and_nowhere_else() {
        let text = |of: &str| scalars(of).into_iter().map(|(key, _, place)| (key, place)).collect::<Vec<_>>();
        let source = "k: 'it''s \u{2028}\u{2029}  b\n\n   c\n  d '\n";
        assert_eq!(text(source), [("k".to_owned(), source[3..source.len() - 1].to_owned())], "its whole place");
        let Some(Node { kind: Kind::Mapping(pairs), .. }) = read(source).unwrap() else { panic!("a mapping") };
        let Kind::Scalar(found) = &pairs[0].1.kind else { panic!("a scalar") };
        assert_eq!(&**found.text, "it's\u{2028}\u{2029}b\nc d ");
        for (refused, line) in [
            ("a: b\nk: 'a\u{85}  b'\n", 2),
            ("k: a\u{2028}b\n", 1),
            ("k: \"a\u{2028}b\"\n", 1),
            ("k: |\n  a\u{2028}  b\n", 2),
            ("# a\u{2028}k: b\n", 1),
        ] {
            assert_eq!(read(refused).unwrap_err(), YamlError::LineEnd(line), "{refused:?}");
        }
    }

    #[test]
    fn what_is_no_single_document_of_words_is_refused() {
        assert_eq!(read("a: 1\n---\nb: 2\n").unwrap_err(), YamlError::Second(2));
        assert!(matches!(read("a: [1\nb: 2"), Err(YamlError::Broken(_))));
        assert!(matches!(read("? [a]\n: b\n"), Err(YamlError::Key(_))));
        assert!(read(&"[".repeat(2000)).is_err());
        assert!(read("# nothing\n").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([ \\-:{}\\[\\],&*!|>'\"%#?~\na0]){0,120}") {
            let _ = read(&text);
        }
    }
}
