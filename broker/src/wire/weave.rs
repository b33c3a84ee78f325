//! Putting expressions where placeholders stand, by what Jinja would make of that place.

use super::{
    placeholder::{Found, Placeholders},
    reference::{Encoding, Reference},
};

/// What reads a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Jinja, as a template.
    Template,
    /// Jinja, as one expression (`when` and its like).
    Expression,
    /// `lookup('donjon.broker.file', …)`, which knows our expressions alone.
    File,
}

/// The text with an expression for every placeholder of a known secret. Unknown ones stay, for the caller to report.
///
/// In plain text that is `{{ lookup(…) }}`, in the user part of a URL with percent-encoding, in a JSON text with JSON's. Within an
/// expression it is the bare call, and a string literal around it is taken apart: `'a' ~ lookup(…) ~ 'b'`. A raw block is closed
/// before it and opened after it.
pub fn weave(text: &str, placeholders: &Placeholders, reading: Reading) -> String {
    let found: Vec<Found<'_>> = placeholders.find(text).collect();
    let json = is_json(text);
    let weaver = Weaver { text, found: &found, json, at: 0, next: 0, woven: String::with_capacity(text.len() + 64) };
    match reading {
        Reading::File => weaver.plain(),
        Reading::Expression => {
            let mut weaver = weaver;
            weaver.code(None);
            weaver.woven
        }
        Reading::Template => weaver.template(),
    }
}

/// As [`weave`], for a text that Ansible was told not to evaluate: everything but our expressions stays literal.
pub fn weave_unsafe(text: &str, placeholders: &Placeholders) -> String {
    let mut woven = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for found in placeholders.find(text) {
        let Some(reference) = found.reference else { continue };
        literal(&mut woven, &text[at..found.place.start]);
        let encoding = encoding(text, &found, is_json(text));
        woven.push_str(&reference.expression(encoding));
        at = found.place.end;
    }
    literal(&mut woven, &text[at..]);
    woven
}

fn literal(woven: &mut String, text: &str) {
    if ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
        woven.push_str("{% raw %}");
        woven.push_str(text);
        woven.push_str("{% endraw %}");
    } else {
        woven.push_str(text);
    }
}

struct Weaver<'a> {
    text: &'a str,
    found: &'a [Found<'a>],
    json: bool,
    at: usize,
    next: usize,
    woven: String,
}

impl<'a> Weaver<'a> {
    fn plain(mut self) -> String {
        while self.at < self.text.len() {
            match self.here() {
                Some((reference, encoding)) => self.woven.push_str(&reference.expression(encoding)),
                None => self.copy(1),
            }
        }
        self.woven
    }

    fn template(mut self) -> String {
        while self.at < self.text.len() {
            if let Some((reference, encoding)) = self.here() {
                self.woven.push_str(&reference.expression(encoding));
            } else if self.starts("{{") {
                self.copy(2);
                self.code(Some("}}"));
            } else if self.starts("{%") {
                let raw = tag(&self.text[self.at..]) == Some("raw");
                self.copy(2);
                self.code(Some("%}"));
                if raw {
                    self.raw();
                }
            } else if self.starts("{#") {
                self.comment();
            } else {
                self.copy(1);
            }
        }
        self.woven
    }

    /// Up to and with the closing mark; to the end where there is none.
    fn code(&mut self, close: Option<&str>) {
        while self.at < self.text.len() {
            if let Some((reference, _)) = self.here() {
                self.woven.push_str(&reference.call(Encoding::Plain));
            } else if let Some(close) = close.filter(|close| self.starts(close)) {
                return self.copy(close.len());
            } else if self.starts("'") || self.starts("\"") {
                self.string();
            } else {
                self.copy(1);
            }
        }
    }

    /// A string literal, taken apart around the placeholders in it.
    fn string(&mut self) {
        let quote = &self.text[self.at..=self.at];
        let mut parts: Vec<String> = Vec::new();
        let mut part = String::new();
        self.at += 1;
        loop {
            if self.at >= self.text.len() {
                // Not closed, so not a string: leave it as it was found, but for the calls.
                self.woven.push_str(quote);
                return self.woven.push_str(&(parts.concat() + &part));
            }
            if let Some((reference, encoding)) = self.here() {
                if !part.is_empty() {
                    parts.push(format!("{quote}{part}{quote}"));
                    part.clear();
                }
                parts.push(reference.call(if encoding == Encoding::Url { encoding } else { Encoding::Plain }));
            } else if self.starts("\\")
                && self.found.get(self.next).is_some_and(|found| found.place.start == self.at + 1)
            {
                // It escapes nothing, and now it would escape the quote.
                part.push_str("\\\\");
                self.at += 1;
            } else if self.starts("\\") {
                let escaped = self.text[self.at + 1..].chars().next().map_or(1, |c| 1 + c.len_utf8());
                part.push_str(&self.text[self.at..self.at + escaped]);
                self.at += escaped;
            } else if self.starts(quote) {
                self.at += 1;
                break;
            } else {
                let width = self.text[self.at..].chars().next().map_or(1, char::len_utf8);
                part.push_str(&self.text[self.at..self.at + width]);
                self.at += width;
            }
        }
        if parts.is_empty() || !part.is_empty() {
            parts.push(format!("{quote}{part}{quote}"));
        }
        match parts.as_slice() {
            [one] => self.woven.push_str(one),
            _ => self.woven.push_str(&format!("({})", parts.join(" ~ "))),
        }
    }

    fn comment(&mut self) {
        while self.at < self.text.len() {
            if let Some((reference, _)) = self.here() {
                self.woven.push_str(&reference.call(Encoding::Plain));
            } else if self.starts("#}") {
                return self.copy(2);
            } else {
                self.copy(1);
            }
        }
    }

    fn raw(&mut self) {
        while self.at < self.text.len() {
            if let Some((reference, encoding)) = self.here() {
                self.woven.push_str(&format!("{{% endraw %}}{}{{% raw %}}", reference.expression(encoding)));
            } else if tag(&self.text[self.at..]) == Some("endraw") {
                self.copy(2);
                return self.code(Some("%}"));
            } else {
                self.copy(1);
            }
        }
    }

    fn starts(&self, with: &str) -> bool {
        self.text[self.at..].starts_with(with)
    }

    /// Copies so many characters.
    fn copy(&mut self, characters: usize) {
        for _ in 0..characters {
            let Some(c) = self.text[self.at..].chars().next() else { return };
            self.woven.push(c);
            self.at += c.len_utf8();
        }
    }

    /// The known placeholder that begins here, passed over.
    fn here(&mut self) -> Option<(&'a Reference, Encoding)> {
        while self.found.get(self.next).is_some_and(|found| found.place.start < self.at) {
            self.next += 1;
        }
        let found = self.found.get(self.next).filter(|found| found.place.start == self.at)?;
        let reference = found.reference?;
        self.at = found.place.end;
        Some((reference, encoding(self.text, found, self.json)))
    }
}

/// The word of a statement that begins here: `raw` of `{%- raw %}`.
fn tag(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    let (word, _) = inside.split_once("%}")?;
    Some(word.trim_end_matches(['-', '+']).trim_end())
}

/// How a value must be written at a place: heat itself percent-encodes what it puts into the user part of a URL, and escapes what it
/// puts into JSON.
fn encoding(text: &str, found: &Found<'_>, json: bool) -> Encoding {
    let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '\'' | '"' | '<' | '>' | '|' | '\\');
    let before = &text[..found.place.start];
    let after = &text[found.place.end..];
    // Message brokers have lists of hosts, each with its own user part.
    let opened = before.rfind("://").is_some_and(|at| {
        let hosts = &before[at + 3..];
        !hosts.contains(ends) && !hosts.rsplit(',').next().unwrap_or_default().contains('@')
    });
    let closed = after.find('@').is_some_and(|at| !after[..at].contains(|c| ends(c) || c == ','));
    match (opened && closed, json) {
        (true, _) => Encoding::Url,
        (false, true) => Encoding::Json,
        (false, false) => Encoding::Plain,
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{super::reference::Numbers, *};
    use donjon_policies::catalogue::Catalogue;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const P: &str = "DONJON_REF_RedisPassword_END";
    const CALL: &str = "lookup('donjon.broker.secret', 'RedisPassword')";

    static TRIPLEO: LazyLock<Placeholders> =
        LazyLock::new(|| Placeholders::of(&Catalogue::named("tripleo").unwrap(), &Numbers::default()));

    fn woven(text: &str, reading: Reading) -> String {
        weave(&text.replace('P', P), &TRIPLEO, reading)
            .replace(CALL, "CALL")
            .replace("lookup('donjon.broker.secret', 'RedisPassword', encoding='url')", "URL")
            .replace("lookup('donjon.broker.secret', 'RedisPassword', encoding='json')", "JSON")
    }

    #[test]
    fn each_place_gets_what_jinja_wants_there() {
        for (text, expected) in [
            ("P", "{{ CALL }}"),
            ("aPPb", "a{{ CALL }}{{ CALL }}b"),
            ("mysql+pymysql://root:P@h/db", "mysql+pymysql://root:{{ URL }}@h/db"),
            ("redis://:P@h:6379/?x=P", "redis://:{{ URL }}@h:6379/?x={{ CALL }}"),
            ("rabbit://u:P@one:5672,u:P@two,P/v", "rabbit://u:{{ URL }}@one:5672,u:{{ URL }}@two,{{ CALL }}/v"),
            ("http://h/P me@x", "http://h/{{ CALL }} me@x"),
            ("{\"k\": \"P\", \"u\": \"http://a:P@h\"}", "{\"k\": \"{{ JSON }}\", \"u\": \"http://a:{{ URL }}@h\"}"),
            ("{{ 'P' | b64encode }}", "{{ CALL | b64encode }}"),
            ("{{ 'aPb' | b64encode }}", "{{ ('a' ~ CALL ~ 'b') | b64encode }}"),
            ("{{ \"it's P\" }} P", "{{ (\"it's \" ~ CALL) }} {{ CALL }}"),
            ("{{ 'don\\'t P' }}", "{{ ('don\\'t ' ~ CALL) }}"),
            ("{{ 'http://a:P@h' }}", "{{ ('http://a:' ~ URL ~ '@h') }}"),
            ("{{ '}}P' }}P", "{{ ('}}' ~ CALL) }}{{ CALL }}"),
            ("{% if x == 'P' %}P{% endif %}", "{% if x == CALL %}{{ CALL }}{% endif %}"),
            (
                "{%- raw -%}{{ P }}{% endraw %}P",
                "{%- raw -%}{{ {% endraw %}{{ CALL }}{% raw %} }}{% endraw %}{{ CALL }}",
            ),
            ("{# P #}P", "{# CALL #}{{ CALL }}"),
            ("{{ x }} plain {{ y }}", "{{ x }} plain {{ y }}"),
            ("unended {{ 'P", "unended {{ 'CALL"),
            ("é{{ 'éP' }}é", "é{{ ('é' ~ CALL) }}é"),
        ] {
            assert_eq!(woven(text, Reading::Template), expected, "{text}");
        }
    }

    #[test]
    fn a_condition_is_all_expression() {
        assert_eq!(woven("'P' != '' and x", Reading::Expression), "CALL != '' and x");
        assert_eq!(woven("P == y", Reading::Expression), "CALL == y");
    }

    #[test]
    fn a_file_that_is_no_template_is_left_alone_but_for_placeholders() {
        assert_eq!(
            woven("${#a[@]} {{.Names}} 'P' {# P", Reading::File),
            "${#a[@]} {{.Names}} '{{ CALL }}' {# {{ CALL }}"
        );
    }

    #[test]
    fn what_is_unsafe_stays_literal() {
        let woven = weave_unsafe(&format!("{{{{ x }}}} {P} y"), &TRIPLEO);
        assert_eq!(woven, format!("{{% raw %}}{{{{ x }}}} {{% endraw %}}{{{{ {CALL} }}}} y"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_placeholder_is_left(pieces in proptest::collection::vec(
            prop_oneof![Just("P"), Just("{{"), Just("}}"), Just("{%"), Just("%}"), Just("'"), Just("\""), Just("\\"), Just("é"),
                Just("raw"), Just("endraw"), Just("{#"), Just("#}"), Just("://"), Just("@"), Just(" "), Just("\n")], 0..24)) {
            let text = pieces.concat();
            for reading in [Reading::Template, Reading::Expression, Reading::File] {
                prop_assert!(!woven(&text, reading).contains("DONJON_REF_"));
            }
        }

        #[test]
        fn what_holds_no_placeholder_is_unchanged(text in "\\PC{0,60}") {
            for reading in [Reading::Template, Reading::Expression, Reading::File] {
                prop_assert_eq!(weave(&text, &TRIPLEO, reading), text.clone());
            }
        }
    }
}
