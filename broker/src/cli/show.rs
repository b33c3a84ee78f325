//! Showing answers: tables for people, JSON for programs, and the one way by which values leave.

use super::context::Output;
use crate::{
    failure::{Exit, Failure},
    printable,
};
use base64::Engine;
use donjon_drivers::material::Material;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, ErrorKind, Write},
};
use zeroize::Zeroizing;

/// Prints a line for people, or the JSON for programs.
pub fn answer(output: Output, json: &Value, people: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = match output {
        Output::Json => format!("{json}\n"),
        Output::Table => printable::lines(&people()).into_owned(),
    };
    write_out(text.as_bytes())
}

/// Prints a table: a head and rows, columns two spaces apart, and no decoration, so that `cut` and `awk` can read it.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| printable::line(cell)).collect()).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .chain([head[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let head = line(&mut head.iter().copied());
    rows.iter().fold(head, |text, row| text + &line(&mut row.iter().map(AsRef::as_ref)))
}

/// Prints a value and nothing else.
pub fn value(material: &Material) -> Result<(), Failure> {
    write_out(material.expose()) // EXPOSE: `get` was asked to print it
}

/// Prints a value in a JSON object, with its name: as text, or in base64 where it is none.
pub fn value_in_json(name: &str, material: &Material) -> Result<(), Failure> {
    let bytes = material.expose(); // EXPOSE: `get` was asked to print it
    let (key, text) = match std::str::from_utf8(bytes) {
        Ok(text) => ("value", Zeroizing::new(text.to_owned())),
        Err(_) => ("base64", Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(bytes))),
    };
    // No character takes more than six, so that it never moves.
    let mut line = Zeroizing::new(Vec::with_capacity(name.len() * 6 + text.len() * 6 + 64));
    let written = serde_json::to_writer(&mut *line, &BTreeMap::from([("name", name), (key, text.as_str())]));
    written.map_err(|error| Failure::new(Exit::Bug, "cannot write the value as JSON").because(&error))?;
    line.push(b'\n');
    write_out(&line)
}

/// A point in time, for people.
pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |t| t.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Writes to standard output. A reader that went away is no error of ours, but has its own exit code.
pub fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| {
        if error.kind() == ErrorKind::BrokenPipe {
            return Failure::new(Exit::ReaderGone, "the reader of the output went away");
        }
        Failure::new(Exit::Failed, "cannot write the output").because(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &rows), "NAME    N\na       1\nlonger  22\n");
        let forged = [vec!["a\nb  2".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["NAME", "N"], &forged), "NAME     N\na\\nb  2  1\n");
    }
}
