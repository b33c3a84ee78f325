//! The types of oslo.config's options: how the text of a value is read, and when it is refused.
//!
//! They follow `oslo_config.types`: what that accepts is accepted, and what it makes of it is made of it. Two of its types
//! are left out, since they need Python's own regular expressions: a string with `regex`, and ranges.

mod host;
mod sequence;
mod uri;

use super::{Text, Value, python};

/// How the text of an option is read.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionType {
    /// Text as it stands.
    Text(TextRules),
    /// `true`, `1`, `on`, `yes` and their opposites.
    Switch,
    /// A whole number between bounds. Empty is nothing.
    Integer {
        /// The least.
        min: Option<i64>,
        /// The most.
        max: Option<i64>,
    },
    /// A floating-point number between bounds. Empty is nothing.
    Float {
        /// The least.
        min: Option<f64>,
        /// The most.
        max: Option<f64>,
    },
    /// Items between commas.
    List {
        /// The type of each.
        item: Box<OptionType>,
        /// Whether it stands in `[` and `]`.
        bounds: Bounds,
    },
    /// `key:value` between commas.
    Map {
        /// The type of each value.
        value: Box<OptionType>,
        /// Whether it stands in `{` and `}`.
        bounds: Bounds,
    },
    /// An IP address, of one version or either.
    Address(Option<Version>),
    /// A host name.
    Hostname,
    /// An IP address or a host name.
    Host,
    /// An IP address or a host name, which may hold `_`.
    Domain,
    /// A URI with a scheme and a host.
    Uri {
        /// The schemes it may have; any where there are none.
        schemes: Vec<String>,
        /// How many characters it may have.
        longest: Option<usize>,
    },
}

/// What a text must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextRules {
    /// One of these, where there are any.
    pub choices: Vec<String>,
    /// Whether capitals and small letters are the same to the choices.
    pub case: Case,
    /// Whether one pair of quotes around it goes.
    pub quotes: Quotes,
    /// How many characters it may have.
    pub longest: Option<usize>,
}

/// Whether capitals and small letters are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    #[default]
    Matters,
    /// They are the same.
    Ignored,
}

/// What becomes of quotes around a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quotes {
    /// They stay.
    #[default]
    Stay,
    /// One pair goes; one that is not closed is refused.
    Go,
}

/// Whether a list or map stands in brackets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bounds {
    /// It does not.
    #[default]
    Bare,
    /// It must.
    Bracketed,
}

/// The version of an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Four bytes.
    V4,
    /// Sixteen bytes.
    V6,
}

/// Why a text is not of an option's type. It does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub &'static str);

impl OptionType {
    /// Text without rules.
    pub fn text() -> Self {
        Self::Text(TextRules::default())
    }

    /// A whole number without bounds.
    pub fn integer() -> Self {
        Self::Integer { min: None, max: None }
    }

    /// A port number.
    pub fn port() -> Self {
        Self::Integer { min: Some(0), max: Some(65535) }
    }

    /// Texts between commas.
    pub fn list() -> Self {
        Self::List { item: Box::new(Self::text()), bounds: Bounds::Bare }
    }

    /// Keys and texts between commas.
    pub fn map() -> Self {
        Self::Map { value: Box::new(Self::text()), bounds: Bounds::Bare }
    }

    /// Reads a text.
    pub fn read(&self, text: &str) -> Result<Value, Invalid> {
        match self {
            Self::Text(rules) => rules.read(text).map(|text| Value::Text(text.into())),
            Self::Switch => switch(text),
            Self::Integer { min, max } => integer(text, *min, *max),
            Self::Float { min, max } => float(text, *min, *max),
            Self::List { item, bounds } => sequence::list(item, *bounds, text).map(Value::List),
            Self::Map { value, bounds } => sequence::map(value, *bounds, text).map(Value::Map),
            Self::Address(version) => host::address(text, *version).map(|()| Value::Text(text.into())),
            Self::Hostname => host::name(text, host::Underscore::No).map(|name| Value::Text(name.into())),
            Self::Host => host::host(text).map(|name| Value::Text(name.into())),
            Self::Domain => host::domain(text).map(|name| Value::Text(name.into())),
            Self::Uri { schemes, longest } => {
                uri::check(text, schemes)?;
                within(text, *longest)?;
                Ok(Value::Text(text.into()))
            }
        }
    }
}

impl TextRules {
    fn read<'a>(&self, text: &'a str) -> Result<&'a str, Invalid> {
        let text = match (self.quotes, text.chars().next()) {
            (Quotes::Go, Some(quote @ ('"' | '\''))) => text
                .strip_prefix(quote)
                .and_then(|rest| rest.strip_suffix(quote))
                .ok_or(Invalid("a quote is not closed"))?,
            (Quotes::Go | Quotes::Stay, _) => text,
        };
        within(text, self.longest.filter(|longest| *longest > 0))?;
        let same = |choice: &String| match self.case {
            Case::Matters => choice == text,
            Case::Ignored => choice.to_lowercase() == text.to_lowercase(),
        };
        match self.choices.is_empty() || self.choices.iter().any(same) {
            true => Ok(text),
            false => Err(Invalid("it is none of the words that may stand here")),
        }
    }
}

fn within(text: &str, longest: Option<usize>) -> Result<(), Invalid> {
    match longest.is_some_and(|longest| text.chars().count() > longest) {
        true => Err(Invalid("it is too long")),
        false => Ok(()),
    }
}

fn switch(text: &str) -> Result<Value, Invalid> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(Value::Switch(true)),
        "false" | "0" | "off" | "no" => Ok(Value::Switch(false)),
        _ => Err(Invalid("it is neither true nor false")),
    }
}

fn integer(text: &str, min: Option<i64>, max: Option<i64>) -> Result<Value, Invalid> {
    if python::strip(text).is_empty() {
        return Ok(Value::Nothing);
    }
    let digits = python::integer(text).ok_or(Invalid("it is no whole number"))?;
    // Beyond 64 bits only the sign counts against a bound.
    let number = digits.parse::<i64>().unwrap_or(if digits.starts_with('-') { i64::MIN } else { i64::MAX });
    if min.is_some_and(|min| number < min) {
        return Err(Invalid("it is too small"));
    }
    if max.is_some_and(|max| number > max) {
        return Err(Invalid("it is too large"));
    }
    Ok(Value::Integer(Text::from(digits)))
}

fn float(text: &str, min: Option<f64>, max: Option<f64>) -> Result<Value, Invalid> {
    if python::strip(text).is_empty() {
        return Ok(Value::Nothing);
    }
    let number = python::float(text).ok_or(Invalid("it is no number"))?;
    if min.is_some_and(|min| number < min) {
        return Err(Invalid("it is too small"));
    }
    if max.is_some_and(|max| number > max) {
        return Err(Invalid("it is too large"));
    }
    Ok(Value::Float(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(kind: &OptionType, text: &str) -> Option<String> {
        kind.read(text).ok().map(|value| value.text().to_string())
    }

    #[test]
    fn texts_follow_their_rules() {
        let quoted = OptionType::Text(TextRules { quotes: Quotes::Go, longest: Some(2), ..TextRules::default() });
        assert_eq!(read(&quoted, "\"ab\"").as_deref(), Some("ab"));
        for bad in ["\"ab", "\"", "abc"] {
            assert_eq!(read(&quoted, bad), None, "{bad}");
        }
        let choice = TextRules { choices: vec!["On".to_owned()], case: Case::Ignored, ..TextRules::default() };
        assert_eq!(read(&OptionType::Text(choice), "oN").as_deref(), Some("oN"));
    }

    #[test]
    fn numbers_have_bounds_and_an_empty_one_is_nothing() {
        assert!(matches!(OptionType::integer().read("  "), Ok(Value::Nothing)));
        assert_eq!(read(&OptionType::integer(), "99999999999999999999").as_deref(), Some("99999999999999999999"));
        assert_eq!(read(&OptionType::port(), "99999999999999999999"), None);
        assert_eq!(read(&OptionType::port(), "-1"), None);
        assert_eq!(read(&OptionType::port(), "8_0").as_deref(), Some("80"));
    }

    fn kinds() -> Vec<OptionType> {
        vec![
            OptionType::Switch,
            OptionType::port(),
            OptionType::Float { min: Some(0.0), max: None },
            OptionType::List { item: Box::new(OptionType::port()), bounds: Bounds::Bracketed },
            OptionType::Map { value: Box::new(OptionType::list()), bounds: Bounds::Bare },
            OptionType::Address(None),
            OptionType::Domain,
            OptionType::Uri { schemes: Vec::new(), longest: Some(9) },
        ]
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,./a-c1-3\"'%@ é\n-]{0,24}") {
            for kind in kinds() {
                let _ = kind.read(&text);
            }
        }
    }
}
