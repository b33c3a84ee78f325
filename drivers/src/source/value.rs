//! A value as the service would see it: what its option's type made of the text.

use super::{Text, python};
use zeroize::Zeroizing;

/// A value.
#[derive(Debug)]
pub enum Value {
    /// Nothing: an option that is set nowhere, or an empty number.
    Nothing,
    /// Text.
    Text(Text),
    /// A whole number of any size, in canonical decimal digits.
    Integer(Text),
    /// A floating-point number.
    Float(f64),
    /// True or false.
    Switch(bool),
    /// A list.
    List(Vec<Value>),
    /// Keys and values, in their order.
    Map(Vec<(Text, Value)>),
}

impl Value {
    /// How it reads inside another value that refers to it: Python's `str`, and nothing for nothing.
    pub fn inserted(&self) -> Zeroizing<String> {
        match self {
            Self::Nothing => Zeroizing::default(),
            Self::Text(_) | Self::Integer(_) | Self::Float(_) | Self::Switch(_) | Self::List(_) | Self::Map(_) => {
                self.text()
            }
        }
    }

    /// Python's `str` of it.
    pub fn text(&self) -> Zeroizing<String> {
        match self {
            // EXPOSE: copied into a text that is wiped
            Self::Text(text) => Zeroizing::new(text.expose().to_owned()),
            Self::Nothing | Self::Integer(_) | Self::Float(_) | Self::Switch(_) | Self::List(_) | Self::Map(_) => {
                self.repr()
            }
        }
    }

    fn repr(&self) -> Zeroizing<String> {
        let joined = |parts: Vec<Zeroizing<String>>, open: char, close: char| {
            let mut text = Zeroizing::new(String::from(open));
            for (index, part) in parts.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                text.push_str(part);
            }
            text.push(close);
            text
        };
        match self {
            Self::Nothing => Zeroizing::new("None".to_owned()),
            // EXPOSE: quoted into a text that is wiped
            Self::Text(text) => Zeroizing::new(python::repr(text.expose())),
            // EXPOSE: copied into a text that is wiped
            Self::Integer(digits) => Zeroizing::new(digits.expose().to_owned()),
            Self::Float(number) => Zeroizing::new(python::float_text(*number)),
            Self::Switch(true) => Zeroizing::new("True".to_owned()),
            Self::Switch(false) => Zeroizing::new("False".to_owned()),
            Self::List(items) => joined(items.iter().map(Self::repr).collect(), '[', ']'),
            Self::Map(entries) => {
                let entry = |(key, value): &(Text, Self)| {
                    // EXPOSE: quoted into a text that is wiped
                    Zeroizing::new(format!("{}: {}", python::repr(key.expose()), *value.repr()))
                };
                joined(entries.iter().map(entry).collect(), '{', '}')
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_inside_another_reads_as_python_writes_it() {
        let list = Value::List(vec![Value::Text("a".into()), Value::Nothing, Value::Switch(true)]);
        assert_eq!(*list.inserted(), "['a', None, True]");
        let map = Value::Map(vec![("k".into(), Value::Float(1.0)), ("l".into(), Value::Integer("7".into()))]);
        assert_eq!(*map.inserted(), "{'k': 1.0, 'l': 7}");
        assert_eq!(*Value::Nothing.inserted(), "");
        assert_eq!(*Value::Text("a'b".into()).inserted(), "a'b");
    }

    #[test]
    fn nothing_prints_a_value() {
        let value = Value::List(vec![Value::Text("canary".into()), Value::Integer("4711".into())]);
        let printed = format!("{value:?}");
        assert!(!printed.contains("canary") && !printed.contains("4711"), "{printed}");
        assert!(value.text().contains("canary"), "the control: it was there to be seen");
    }
}
