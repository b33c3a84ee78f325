//! What an account may do, as the server itself writes it down, said again for another account.
//!
//! The lines of SHOW GRANTS are taken apart at what stands outside quotes, so that no name in them is mistaken for a word;
//! the names themselves go on as the server quoted them.

use super::statement::{Unspeakable, name};
use crate::target::Account;
use std::collections::BTreeSet;

/// One line of SHOW GRANTS, without the account that it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grant {
    /// Privileges on something, the server-wide ones included; a column privilege names one column.
    Privileges {
        /// Such as ``SELECT (`x`)``.
        privileges: BTreeSet<String>,
        /// Such as `` `nova`.* ``.
        object: String,
        /// Whether they may be given on.
        onward: Onward,
    },
    /// A role, quoted.
    Role(String, Onward),
    /// The role that a session begins with, quoted.
    DefaultRole(String),
}

/// Whether what is granted may be given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Onward {
    /// It may.
    Yes,
    /// It may not.
    No,
}

impl Grant {
    /// Takes a line apart; `None` where it is not understood.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words = words(line)?;
        let is = |index: usize, text: &str| words.get(index).is_some_and(|word| word.text(line) == text);
        if is(0, "SET") && is(1, "DEFAULT") && is(2, "ROLE") {
            let role = words.get(3).map(|word| word.text(line))?;
            return Some(Self::DefaultRole(role.to_owned()));
        }
        let to = words.iter().position(|word| word.text(line) == "TO").filter(|_| is(0, "GRANT"))?;
        let onward = match words[to..]
            .windows(2)
            .any(|pair| matches!(pair[0].text(line), "GRANT" | "ADMIN") && pair[1].text(line) == "OPTION")
        {
            true => Onward::Yes,
            false => Onward::No,
        };
        let between = |from: usize, to: usize| Some(line.get(words.get(from)?.start..words.get(to)?.start)?.trim());
        match words[..to].iter().position(|word| word.text(line) == "ON") {
            None => Some(Self::Role(between(1, to)?.to_owned(), onward)),
            Some(on) => Some(Self::Privileges {
                privileges: privileges(line, &words[1..on]),
                object: between(on + 1, to)?.to_owned(),
                onward,
            }),
        }
    }

    /// The statements that grant this to an account.
    pub(super) fn give(&self, to: &Account) -> Result<String, Unspeakable> {
        let to = name(to)?;
        Ok(match self {
            Self::Privileges { privileges, object, onward } => {
                let onward = if *onward == Onward::Yes { " WITH GRANT OPTION" } else { "" };
                format!("GRANT {} ON {object} TO {to}{onward}", joined(privileges))
            }
            Self::Role(role, Onward::Yes) => format!("GRANT {role} TO {to} WITH ADMIN OPTION"),
            Self::Role(role, Onward::No) => format!("GRANT {role} TO {to}"),
            Self::DefaultRole(role) => format!("SET DEFAULT ROLE {role} FOR {to}"),
        })
    }

    /// The statements that take this from an account.
    pub(super) fn take(&self, from: &Account) -> Result<Vec<String>, Unspeakable> {
        let from = name(from)?;
        Ok(match self {
            Self::Privileges { privileges, object, onward } => {
                let mut taken = vec![format!("REVOKE {} ON {object} FROM {from}", joined(privileges))];
                if *onward == Onward::Yes && !privileges.contains("PROXY") {
                    taken.push(format!("REVOKE GRANT OPTION ON {object} FROM {from}"));
                }
                taken
            }
            Self::Role(role, _) => vec![format!("REVOKE {role} FROM {from}")],
            Self::DefaultRole(_) => vec![format!("SET DEFAULT ROLE NONE FOR {from}")],
        })
    }
}

fn joined(privileges: &BTreeSet<String>) -> String {
    privileges.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Privileges one by one; of those on columns one for each column, since the server lists columns in any order.
fn privileges(line: &str, words: &[Word]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let (mut plain, mut columns, mut inside) = (Vec::new(), Vec::new(), false);
    let mut end = |plain: &mut Vec<&str>, columns: &mut Vec<&str>| {
        let name = plain.join(" ");
        match columns.as_slice() {
            [] => drop(all.insert(name)),
            columns => all.extend(columns.iter().map(|column| format!("{name} ({column})"))),
        }
        plain.clear();
        columns.clear();
    };
    for word in words.iter().map(|word| word.text(line)) {
        match word {
            "(" => inside = true,
            ")" => inside = false,
            "," if inside => {}
            "," => end(&mut plain, &mut columns),
            column if inside => columns.push(column),
            word => plain.push(word),
        }
    }
    end(&mut plain, &mut columns);
    all
}

/// A word, a quoted name or string, or a mark.
struct Word {
    start: usize,
    end: usize,
}

impl Word {
    fn text<'a>(&self, line: &'a str) -> &'a str {
        &line[self.start..self.end]
    }
}

/// The words of a line; `None` where a quote does not end.
fn words(line: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = line.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        let mut end = start + first.len_utf8();
        match first {
            blank if blank.is_ascii_whitespace() => continue,
            '`' | '\'' | '"' => loop {
                let (_, next) = rest.next()?;
                end += next.len_utf8();
                // Twice the quote is the quote itself.
                if next == first && rest.next_if(|(_, after)| *after == first).is_none() {
                    break;
                } else if next == first {
                    end += first.len_utf8();
                }
            },
            letter if is_letter(letter) => {
                while let Some((_, next)) = rest.next_if(|(_, next)| is_letter(*next)) {
                    end += next.len_utf8();
                }
            }
            _ => {}
        }
        words.push(Word { start, end });
    }
    Some(words)
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn again(line: &str) -> String {
        Grant::parse(line).unwrap().give(&Account { user: "n`w".into(), host: "%".into() }).unwrap()
    }

    #[test]
    fn the_lines_of_the_server_are_said_for_another() {
        // What MariaDB 10.11 writes.
        for (line, expected) in [
            ("GRANT `ro``le` TO `u'1`@`%` WITH ADMIN OPTION", "GRANT `ro``le` TO `n``w`@`%` WITH ADMIN OPTION"),
            (
                "GRANT SELECT, CREATE USER ON *.* TO `u'1`@`%` IDENTIFIED VIA mysql_native_password USING '*B6' OR \
                 unix_socket REQUIRE ISSUER 'a''b TO `x` WITH GRANT OPTION' MAX_QUERIES_PER_HOUR 7",
                "GRANT CREATE USER, SELECT ON *.* TO `n``w`@`%`",
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` WITH GRANT OPTION MAX_STATEMENT_TIME 1.500000",
                "GRANT ALL PRIVILEGES ON *.* TO `n``w`@`%` WITH GRANT OPTION",
            ),
            (
                "GRANT SELECT (`y, ON z`, `x`), INSERT ON `a``b`.`t` TO `u'1`@`%`",
                "GRANT INSERT, SELECT (`x`), SELECT (`y, ON z`) ON `a``b`.`t` TO `n``w`@`%`",
            ),
            (
                "GRANT EXECUTE ON PROCEDURE `a``b`.`p` TO `u'1`@`%` WITH GRANT OPTION",
                "GRANT EXECUTE ON PROCEDURE `a``b`.`p` TO `n``w`@`%` WITH GRANT OPTION",
            ),
            (
                "GRANT PROXY ON `other`@`h'x` TO `u'1`@`%` WITH GRANT OPTION",
                "GRANT PROXY ON `other`@`h'x` TO `n``w`@`%` WITH GRANT OPTION",
            ),
            ("SET DEFAULT ROLE `ro``le` FOR `u'1`@`%`", "SET DEFAULT ROLE `ro``le` FOR `n``w`@`%`"),
        ] {
            assert_eq!(again(line), expected);
        }
        for wrong in ["", "GRANT", "GRANT `a TO b", "REVOKE x ON y FROM z", "SET DEFAULT ROLE"] {
            assert_eq!(Grant::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_given_can_be_taken() {
        let from = Account { user: "u".into(), host: "%".into() };
        let line = "GRANT SELECT ON `a`.* TO `x`@`%` WITH GRANT OPTION";
        let taken = Grant::parse(line).unwrap().take(&from).unwrap();
        assert_eq!(taken, ["REVOKE SELECT ON `a`.* FROM `u`@`%`", "REVOKE GRANT OPTION ON `a`.* FROM `u`@`%`"]);
    }

    proptest! {
        #[test]
        fn names_are_never_words(database in "[^\0]{1,20}", table in "(TO|ON|WITH GRANT OPTION|`|'|\"|\\\\|,|\\(| ){1,6}", user in "[^\0]{1,12}") {
            let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
            let object = format!("{}.{}", quoted(&database), quoted(&table));
            let line = format!("GRANT SELECT ({}) ON {object} TO {}@`%`", quoted(&table), quoted(&user));
            let Some(Grant::Privileges { privileges, object: found, onward }) = Grant::parse(&line) else { panic!("{line}") };
            prop_assert_eq!(found, object);
            prop_assert_eq!(privileges, BTreeSet::from([format!("SELECT ({})", quoted(&table))]));
            prop_assert_eq!(onward, Onward::No);
        }
    }
}
