//! The parser: bytes in, assignments out, each with its line.

use crate::source::{
    Text,
    python::{is_space, strip, strip_end, strip_start},
};
use zeroize::Zeroizing;

/// One assignment.
#[derive(Debug)]
pub struct Entry {
    /// The section it stands in, as it is written.
    pub section: String,
    /// Its key.
    pub key: String,
    /// Its value; lines are joined by line feeds.
    pub value: Text,
    /// The line it begins on; the first is 1.
    pub line: usize,
    /// The line it ends on.
    pub last: usize,
}

/// Why a text cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct IniError {
    /// The line; the first is 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its bytes are not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is indented, and there is no value that it could go on with.
    #[error("it is indented and goes on with nothing; a comment or an empty line ends a value")]
    Continuation,
    /// It is no assignment.
    #[error("there is neither `=` nor `:` in it")]
    NoAssignment,
    /// There is nothing before the `=`.
    #[error("nothing stands before the `=`")]
    NoKey,
    /// A section is not closed.
    #[error("a section must end with `]`")]
    OpenSection,
    /// A section has no name.
    #[error("a section has no name")]
    NamelessSection,
    /// An assignment stands before the first section.
    #[error("an assignment stands before the first section")]
    NoSection,
}

/// Reads a file's bytes.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, IniError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        IniError { line: lines(&before).split('\n').count(), fault: Fault::NotText }
    })?;
    let text = lines(text);
    let mut reading = Reading::default();
    for (index, line) in text.split('\n').enumerate() {
        reading.line(index + 1, strip_end(line))?;
    }
    reading.flush()?;
    Ok(reading.entries)
}

/// Python reads text with universal line ends.
fn lines(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"))
}

#[derive(Default)]
struct Reading {
    entries: Vec<Entry>,
    section: Option<String>,
    open: Option<Open>,
}

/// An assignment that more lines may go on with.
struct Open {
    key: String,
    value: Zeroizing<String>,
    line: usize,
    last: usize,
}

impl Reading {
    fn line(&mut self, number: usize, line: &str) -> Result<(), IniError> {
        let wrong = |fault| Err(IniError { line: number, fault });
        if line.is_empty() {
            return self.flush();
        }
        if line.starts_with([' ', '\t']) {
            let Some(open) = &mut self.open else {
                return wrong(Fault::Continuation);
            };
            open.value.push('\n');
            open.value.push_str(strip_start(line));
            open.last = number;
            return Ok(());
        }
        self.flush()?;
        if line.starts_with('[') {
            let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
                return wrong(Fault::OpenSection);
            };
            if name.is_empty() {
                return wrong(Fault::NamelessSection);
            }
            self.section = Some(name.to_owned());
        } else if !line.starts_with(['#', ';']) {
            let Some((key, value)) = line.split_once(['=', ':']) else {
                return wrong(Fault::NoAssignment);
            };
            let key = strip(key).to_owned();
            if key.is_empty() {
                return wrong(Fault::NoKey);
            }
            let value = Zeroizing::new(unquoted(strip(value)).to_owned());
            self.open = Some(Open { key, value, line: number, last: number });
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IniError> {
        let Some(Open { key, value, line, last }) = self.open.take() else {
            return Ok(());
        };
        let section = self.section.clone().ok_or(IniError { line, fault: Fault::NoSection })?;
        self.entries.push(Entry { section, key, value: Text::from(value.as_str()), line, last });
        Ok(())
    }
}

/// Without the quotes around it. A lone quote is both its first and its last character, and goes.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.starts_with(quote) && value.ends_with(quote) {
            return value.get(1..value.len().max(2) - 1).unwrap_or_default();
        }
    }
    value
}

/// Whether a line of a file is empty, a comment, or indented: what a rewriter may meet beside assignments and sections.
pub fn is_blank(line: &str) -> bool {
    line.chars().all(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String, String, usize)> {
        let entries = parse(text.as_bytes()).unwrap().into_iter();
        // EXPOSE: test values
        entries.map(|e| (e.section, e.key, e.value.expose().to_owned(), e.line)).collect()
    }

    fn fault(text: &str) -> (usize, Fault) {
        let error = parse(text.as_bytes()).unwrap_err();
        (error.line, error.fault)
    }

    fn entry(key: &str, value: &str, line: usize) -> (String, String, String, usize) {
        ("DEFAULT".to_owned(), key.to_owned(), value.to_owned(), line)
    }

    #[test]
    fn the_dialect() {
        let text = "[DEFAULT]\n# a comment\na = 1\n  2 \n\n; another\nb: x=y\nc =\nc = \"q\"\nd = '\n";
        let expected =
            [entry("a", "1\n2", 3), entry("b", "x=y", 7), entry("c", "", 8), entry("c", "q", 9), entry("d", "", 10)];
        assert_eq!(read(text), expected);
        assert_eq!(read("[DEFAULT]\r\na=1\rb=2"), [entry("a", "1", 2), entry("b", "2", 3)]);
        assert!(read("").is_empty());
    }

    #[test]
    fn every_fault_has_its_line() {
        assert_eq!(fault("[DEFAULT]\n  x"), (2, Fault::Continuation));
        assert_eq!(fault("[DEFAULT]\na=1\n# c\n x"), (4, Fault::Continuation));
        assert_eq!(fault("\n[DEFAULT]\nword"), (3, Fault::NoAssignment));
        assert_eq!(fault("[DEFAULT]\n= 1"), (2, Fault::NoKey));
        assert_eq!(fault("[x"), (1, Fault::OpenSection));
        assert_eq!(fault("[]"), (1, Fault::NamelessSection));
        assert_eq!(fault("["), (1, Fault::OpenSection));
        assert_eq!(fault("a = 1\n[x]"), (1, Fault::NoSection));
        for text in [&b"[a]\nb=\xff"[..], b"[a]\rb=\xff", b"[a]\r\nb=\xff"] {
            assert_eq!(parse(text).unwrap_err(), IniError { line: 2, fault: Fault::NotText });
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_lines_panic_and_errors_hold_none_of_them(text in "[\\[\\]=:#; \"'\n\tcanary\u{85}\r]{0,60}") {
            if let Err(error) = parse(text.as_bytes()) {
                prop_assert!(error.line <= text.split(['\n', '\r']).count());
            }
        }

        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec("[a-z$%#é]{1,8}( [a-z=:]{1,5})?", 1..6)) {
            let lines: String = values.iter().map(|value| format!("key = {value}\n")).collect();
            let read: Vec<String> = read(&format!("[DEFAULT]\n{lines}")).into_iter().map(|e| e.2).collect();
            prop_assert_eq!(read, values);
        }
    }
}
