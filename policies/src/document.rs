//! A YAML file as a tree in which every node knows its line, so that all mistakes of a file are told at once.
//!
//! [`read`] stops at the first fault of YAML itself; what a reader of the tree finds afterwards goes into [`Mistakes`].

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, options::DuplicateKeyPolicy};
use std::fmt;

/// One node and the line it starts on, counted from 1 (0: the file as a whole).
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line.
    pub line: u64,
    /// What stands there.
    pub value: Value,
}

/// What a node holds. Every scalar is its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Nothing,
    /// A scalar; numbers and booleans as they read.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in file order, repeated keys included.
    Map(Vec<Pair>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The line of the key.
    pub line: u64,
    /// The key.
    pub key: String,
    /// The value.
    pub node: Node,
}

/// One mistake: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake<F> {
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: u64,
    /// What is wrong there.
    pub fault: F,
}

/// Every mistake of one file, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes<F> {
    /// The file as the caller named it.
    pub file: String,
    /// What is wrong with it.
    pub list: Vec<Mistake<F>>,
}

/// YAML that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not valid YAML: {reason}")]
pub struct NotYaml {
    /// The line where the parser stopped; 0 when it cannot tell.
    pub line: u64,
    /// What the parser says, without the text it read.
    pub reason: String,
}

/// Reads one YAML document; an empty one is [`Value::Nothing`].
///
/// # Errors
/// The first fault of the YAML itself, limits on depth and size included.
pub fn read(text: &str) -> Result<Node, NotYaml> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        with_snippet: false,
        // A secret may be called `n`.
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| NotYaml {
        line: error.location().map_or(0, |at| at.line()),
        reason: error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter),
    })
}

impl Value {
    /// What the node is, for a message: `a list`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Text(_) => "a word",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl<F> Mistakes<F> {
    /// The error, when there is at least one mistake; otherwise `whole`.
    ///
    /// # Errors
    /// The mistakes of `list`, in the order of their lines.
    pub fn none_in<T>(file: &str, mut list: Vec<Mistake<F>>, whole: T) -> Result<T, Self> {
        if list.is_empty() {
            return Ok(whole);
        }
        list.sort_by_key(|mistake| mistake.line);
        Err(Mistakes { file: file.to_owned(), list })
    }
}

impl<F: fmt::Display> fmt::Display for Mistakes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.list.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            match mistake.line {
                0 => write!(f, "{end}{}: {}", self.file, mistake.fault)?,
                line => write!(f, "{end}{}:{line}: {}", self.file, mistake.fault)?,
            }
        }
        Ok(())
    }
}

impl<F: fmt::Display + fmt::Debug> std::error::Error for Mistakes<F> {}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let at = Spanned::<Value>::deserialize(from)?;
        Ok(Node { line: at.referenced.line(), value: at.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Node>()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = pairs.next_key::<Spanned<String>>()? {
            map.push(Pair { line: key.referenced.line(), key: key.value, node: pairs.next_value()? });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(line: u64, text: &str) -> Node {
        Node { line, value: Value::Text(text.to_owned()) }
    }

    #[test]
    fn every_node_knows_its_line() {
        let node = read("a: 1\nb:\n  - x\n  - {c: 0600, d: }\na: true\n").unwrap();
        let Value::Map(pairs) = node.value else { panic!("a mapping") };
        let keys: Vec<(u64, &str)> = pairs.iter().map(|pair| (pair.line, pair.key.as_str())).collect();
        assert_eq!(keys, [(1, "a"), (2, "b"), (5, "a")]);
        assert_eq!(pairs[0].node, text(1, "1"));
        let Value::List(list) = &pairs[1].node.value else { panic!("a list") };
        assert_eq!(list[0], text(3, "x"));
        let Value::Map(inner) = &list[1].value else { panic!("a mapping") };
        assert_eq!((inner[0].line, &inner[0].node), (4, &text(4, "600")));
        assert_eq!(inner[1].node.value, Value::Nothing);
        assert_eq!(pairs[2].node, text(5, "true"));
    }

    #[test]
    fn what_is_no_truth_value_reads_as_it_stands() {
        let node = read("[n, yes, On, true]").unwrap();
        assert_eq!(node.value, Value::List(["n", "yes", "On", "true"].map(|word| text(1, word)).into()));
    }

    #[test]
    fn broken_yaml_says_where() {
        let error = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        assert!(!error.reason.contains('\n'), "{error}");
    }

    #[test]
    fn an_empty_file_is_nothing() {
        for empty in ["", "\n", "# only a comment\n", "---\n"] {
            assert_eq!(read(empty).map(|node| node.value), Ok(Value::Nothing), "{empty:?}");
        }
    }

    #[test]
    fn a_tower_of_brackets_is_an_error_and_no_overflow() {
        assert!(read(&"[".repeat(200_000)).is_err());
        assert!(read(&"- ".repeat(200_000)).is_err());
        assert!(read(&"{a: ".repeat(20_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn anything_like_yaml_is_an_answer_and_never_a_panic(text in "([ \\-:{}\\[\\],&*!|>'\"%#?~<\na0-9]){0,120}") {
            let _ = read(&text);
        }
    }
}
