//! Options as drivers describe them, and settings checked against the descriptions: every mistake at once.

use donjon_policies::{deployment::Setting, nearest::nearest};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt::Write};

/// One option of a driver.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its name in the deployment file.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be given, and what it is when it is not.
    pub need: Need,
    /// What it is for, in one line.
    pub help: &'static str,
}

/// What an option holds. No kind holds a secret: the deployment file has none, it names them.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Text.
    Text,
    /// Text such as this.
    Like(&'static str),
    /// The path of a file or folder, absolute.
    Path,
    /// A whole number between two bounds.
    Number(i64, i64),
    /// A number between two bounds, whole or not, as a text too: the deployment file has no such numbers.
    Fraction(f64, f64),
    /// `true` or `false`.
    Switch,
    /// A program and its arguments, word by word.
    Words,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of maps that have options of their own; at least one.
    Maps(&'static [Description]),
}

/// Whether an option must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It need not, and then it is not there.
    Optional,
    /// It need not, and then it is this number.
    Number(i64),
    /// It need not, and then it is this text.
    Text(&'static str),
}

/// A mistake in the settings of a driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct Mistake {
    /// Where: `targets.mariadb.nodes[0].port`.
    pub at: String,
    /// What is wrong.
    pub what: String,
}

impl Mistake {
    /// A mistake at a place.
    pub fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

/// Checks settings against descriptions and fills in what was not given; on error, every mistake.
pub fn check(
    described: &[Description],
    given: &BTreeMap<String, Setting>,
    at: &str,
) -> Result<Map<String, Value>, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut checked = Map::new();
    for name in given.keys().filter(|name| !described.iter().any(|option| option.name == *name)) {
        let hint = nearest(name, described.iter().map(|option| option.name))
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        mistakes.push(Mistake::new(at, format!("there is no option `{name}`{hint}")));
    }
    for option in described {
        let place = format!("{at}.{}", option.name);
        let value = match given.get(option.name) {
            Some(setting) => option.kind.read(setting, &place).map_err(|found| mistakes.extend(found)).ok(),
            None => match option.need {
                Need::Required => {
                    mistakes.push(Mistake::new(at, format!("`{}` is missing: {}", option.name, option.help)));
                    None
                }
                Need::Optional => None,
                Need::Number(number) => Some(number.into()),
                Need::Text(text) => Some(text.into()),
            },
        };
        if let Some(value) = value {
            checked.insert(option.name.to_owned(), value);
        }
    }
    if mistakes.is_empty() { Ok(checked) } else { Err(mistakes) }
}

impl Kind {
    fn read(self, setting: &Setting, at: &str) -> Result<Value, Vec<Mistake>> {
        let wrong = || Err(vec![Mistake::new(at, format!("{} is expected here", self.expected()))]);
        match (self, setting) {
            (Self::Text | Self::Like(_), Setting::Text(text)) if !text.is_empty() => Ok(text.as_str().into()),
            (Self::Path, Setting::Text(text)) if text.starts_with('/') => Ok(text.as_str().into()),
            (Self::Number(least, most), Setting::Number(number)) if (least..=most).contains(number) => {
                Ok((*number).into())
            }
            (Self::Fraction(least, most), Setting::Text(text)) => {
                fraction(text, least, most).map_or_else(wrong, |number| Ok(number.into()))
            }
            (Self::Fraction(least, most), Setting::Number(number)) => {
                fraction(&number.to_string(), least, most).map_or_else(wrong, |number| Ok(number.into()))
            }
            (Self::Switch, Setting::Switch(switch)) => Ok((*switch).into()),
            (Self::Words, Setting::List(list)) if !list.is_empty() => {
                let words: Option<Vec<Value>> = list
                    .iter()
                    .map(|word| match word {
                        Setting::Text(text) => Some(text.as_str().into()),
                        Setting::Number(number) => Some(number.to_string().into()),
                        Setting::Switch(_) | Setting::List(_) | Setting::Map(_) => None,
                    })
                    .collect();
                words.map_or_else(wrong, |words| Ok(words.into()))
            }
            (Self::Choice(words), Setting::Text(text)) => match words.contains(&text.as_str()) {
                true => Ok(text.as_str().into()),
                false => wrong(),
            },
            (Self::Maps(described), Setting::List(list)) if !list.is_empty() => maps(described, list, at),
            (
                Self::Text
                | Self::Like(_)
                | Self::Path
                | Self::Number(..)
                | Self::Fraction(..)
                | Self::Switch
                | Self::Words
                | Self::Choice(_)
                | Self::Maps(_),
                _,
            ) => wrong(),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Text | Self::Like(_) => "text".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Fraction(least, most) => format!("a number from {least} to {most}"),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Words => "a list of words, the program first".to_owned(),
            Self::Choice(words) => format!("one of `{}`", words.join("`, `")),
            Self::Maps(_) => "a list of maps".to_owned(),
        }
    }
}

fn fraction(text: &str, least: f64, most: f64) -> Option<f64> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

fn maps(described: &[Description], list: &[Setting], at: &str) -> Result<Value, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut values = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let at = format!("{at}[{index}]");
        match item {
            Setting::Map(map) => match check(described, map, &at) {
                Ok(checked) => values.push(Value::Object(checked)),
                Err(found) => mistakes.extend(found),
            },
            Setting::Switch(_) | Setting::Number(_) | Setting::Text(_) | Setting::List(_) => {
                mistakes.push(Mistake::new(at, "a map is expected here"));
            }
        }
    }
    if mistakes.is_empty() { Ok(values.into()) } else { Err(mistakes) }
}

/// A sample of the options, as they would stand in the deployment file; those that may be left out are commented.
pub fn sample(described: &[Description], indent: usize) -> String {
    let mut text = String::new();
    for option in described {
        let margin = " ".repeat(indent);
        let value = option.value();
        let off = if option.need == Need::Required { "" } else { "# " };
        // A `String` takes all that is written.
        let _ = writeln!(text, "{margin}# {}", option.help);
        match option.kind {
            Kind::Maps(inner) if option.need == Need::Required => {
                let _ = writeln!(text, "{margin}{}:", option.name);
                let inner = sample(inner, indent + 4);
                let _ = writeln!(text, "{margin}  -\n{}", inner.trim_end());
            }
            Kind::Text
            | Kind::Like(_)
            | Kind::Path
            | Kind::Number(..)
            | Kind::Fraction(..)
            | Kind::Switch
            | Kind::Words
            | Kind::Choice(_)
            | Kind::Maps(_) => {
                let _ = writeln!(text, "{margin}{off}{}: {value}", option.name);
            }
        }
    }
    text
}

impl Description {
    /// What stands in a sample: what holds where nothing is said, or an example.
    fn value(&self) -> String {
        match (self.need, self.kind) {
            (Need::Number(number), _) => number.to_string(),
            // A brace begins a map in YAML.
            (Need::Text(word), _) if word.starts_with('{') => format!("'{word}'"),
            (Need::Text(word), _) => word.to_owned(),
            (Need::Required | Need::Optional, Kind::Maps(inner)) => {
                let one: Vec<String> = inner.iter().map(|o| format!("{}: {}", o.name, o.value())).collect();
                format!("[{{{}}}]", one.join(", "))
            }
            (Need::Required | Need::Optional, kind) => kind.example().to_owned(),
        }
    }
}

impl Kind {
    fn example(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Like(example) => example,
            Self::Path => "/path",
            Self::Number(..) => "1",
            Self::Fraction(..) => "1.5",
            Self::Switch => "true",
            Self::Words => "[program, argument]",
            Self::Choice(words) => words.first().copied().unwrap_or_default(),
            Self::Maps(_) => "[]",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[Description] = &[
        Description { name: "unit", kind: Kind::Text, need: Need::Required, help: "the unit" },
        Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(3306), help: "the port" },
        Description { name: "wait", kind: Kind::Fraction(0.1, 2.0), need: Need::Number(1), help: "the wait" },
        Description { name: "check", kind: Kind::Words, need: Need::Optional, help: "the check" },
        Description {
            name: "engine",
            kind: Kind::Choice(&["podman", "docker"]),
            need: Need::Text("podman"),
            help: "x",
        },
        Description {
            name: "nodes",
            kind: Kind::Maps(&[Description { name: "name", kind: Kind::Text, need: Need::Required, help: "its name" }]),
            need: Need::Optional,
            help: "the nodes",
        },
    ];

    fn given(yaml: Value) -> BTreeMap<String, Setting> {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn what_is_not_given_is_filled_in() {
        let checked =
            check(OPTIONS, &given(serde_json::json!({"unit": "a", "wait": "0.1", "check": ["x", 1]})), "services.a")
                .unwrap();
        let expected =
            serde_json::json!({"unit": "a", "port": 3306, "wait": 0.1, "check": ["x", "1"], "engine": "podman"});
        assert_eq!(Value::Object(checked), expected);
    }

    #[test]
    fn a_sample_is_whole_and_what_may_be_left_out_is_commented() {
        let wanted = "  # the unit\n  unit: text\n  # the port\n  # port: 3306\n  # the wait\n  # wait: 1\n  # the check\n  \
                      # check: [program, argument]\n  # x\n  # engine: podman\n  # the nodes\n  # nodes: [{name: text}]\n";
        assert_eq!(sample(OPTIONS, 2), wanted);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let wrong = serde_json::json!({"prot": 1, "port": 70000, "wait": "nan", "check": "x y", "engine": "lxc", "nodes": [{}, 3]});
        let told: Vec<_> = check(OPTIONS, &given(wrong), "s").unwrap_err().iter().map(Mistake::to_string).collect();
        assert_eq!(
            told,
            [
                "s: there is no option `prot`; did you mean `port`?",
                "s: `unit` is missing: the unit",
                "s.port: a whole number from 1 to 65535 is expected here",
                "s.wait: a number from 0.1 to 2 is expected here",
                "s.check: a list of words, the program first is expected here",
                "s.engine: one of `podman`, `docker` is expected here",
                "s.nodes[0]: `name` is missing: its name",
                "s.nodes[1]: a map is expected here",
            ]
        );
    }
}
