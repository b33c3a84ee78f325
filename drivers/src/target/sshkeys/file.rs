//! The lines of `authorized_keys`: which are whose, and what they become.

use super::key::Public;

/// What the file shall be, so that of the lines marked `mark` exactly these keys are there.
pub(super) fn declared(content: &[u8], mark: &str, wanted: &[Public]) -> Vec<u8> {
    let lines: Vec<(&[u8], Option<Line<'_>>)> =
        content.split_inclusive(|b| *b == b'\n').map(|raw| (raw, Line::parse(raw))).collect();
    let ours = |line: &Line<'_>| line.comment == mark || wanted.iter().any(|key| line.holds(key));
    let options = lines.iter().filter_map(|(_, line)| line.as_ref()).find(|line| ours(line)).map(|line| line.options);
    let mut seen: Vec<&Public> = Vec::new();
    let mut out = Vec::new();
    for (raw, line) in &lines {
        let Some(line) = line.as_ref().filter(|line| ours(line)) else {
            out.extend_from_slice(raw);
            continue;
        };
        // A key that is not wanted any more goes, and so does the second line of one.
        if let Some(key) = wanted.iter().find(|key| line.holds(key)).filter(|key| !seen.contains(key)) {
            seen.push(key);
            out.extend(written(line.options, key, mark));
        }
    }
    for key in wanted {
        if !seen.contains(&key) {
            seen.push(key);
            if out.last().is_some_and(|last| *last != b'\n') {
                out.push(b'\n');
            }
            out.extend(written(options.unwrap_or_default(), key, mark));
        }
    }
    out
}

/// Whether a key is in the file, and the keys of marked lines that are not among the known ones.
pub(super) fn found(content: &[u8], mark: &str, known: &[Public]) -> (bool, usize) {
    let lines: Vec<Line<'_>> = content.split(|b| *b == b'\n').filter_map(Line::parse).collect();
    let any = lines.iter().any(|line| known.iter().any(|key| line.holds(key)));
    let foreign = lines.iter().filter(|line| line.comment == mark && !known.iter().any(|key| line.holds(key)));
    (any, foreign.count())
}

fn written(options: &str, key: &Public, mark: &str) -> Vec<u8> {
    let blank = if options.is_empty() { "" } else { " " };
    format!("{options}{blank}{} {} {mark}\n", key.kind, key.bytes).into_bytes()
}

/// A line that holds a key.
struct Line<'a> {
    options: &'a str,
    kind: &'a str,
    bytes: &'a str,
    comment: &'a str,
}

impl<'a> Line<'a> {
    fn parse(raw: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(raw).ok()?.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let (first, rest) = word(text);
        let (options, kind, rest) = match is_kind(first) {
            true => ("", first, rest),
            false => {
                let (kind, rest) = word(rest);
                (first, kind, rest)
            }
        };
        let (bytes, comment) = word(rest);
        (is_kind(kind) && !bytes.is_empty()).then_some(Self { options, kind, bytes, comment })
    }

    fn holds(&self, key: &Public) -> bool {
        self.kind == key.kind && self.bytes == key.bytes
    }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start)) && !word.contains(['=', ',', '"'])
}

/// The first word, in which blanks may stand between quotes, and what comes after it.
fn word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => return (&text[..at], text[at..].trim_start()),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(bytes: &str) -> Public {
        Public { kind: "ssh-ed25519".into(), bytes: bytes.into() }
    }

    fn text(content: &str, wanted: &[Public]) -> String {
        String::from_utf8(declared(content.as_bytes(), "donjon:t", wanted)).unwrap()
    }

    #[test]
    fn append_switch_and_prune() {
        let foreign = "# of a person\nssh-rsa AAAA me@home\n";
        let options = r#"from="10.0.0.0/8, 127.0.0.1",command="say \"a b\"""#;
        let before = format!("{foreign}{options} ssh-ed25519 ONE nova@deployer");
        let both = text(&before, &[key("TWO"), key("ONE")]);
        assert_eq!(both, format!("{foreign}{options} ssh-ed25519 ONE donjon:t\n{options} ssh-ed25519 TWO donjon:t\n"));
        assert_eq!(found(both.as_bytes(), "donjon:t", &[key("TWO")]), (true, 1));
        assert_eq!(found(foreign.as_bytes(), "donjon:t", &[key("TWO")]), (false, 0));
        assert_eq!(text(&both, &[key("TWO")]), format!("{foreign}{options} ssh-ed25519 TWO donjon:t\n"));
        assert_eq!(text("", &[key("TWO")]), "ssh-ed25519 TWO donjon:t\n");
    }

    proptest! {
        #[test]
        fn lines_of_others_stay_and_repeating_changes_nothing(
            lines in prop::collection::vec("(#.{0,8}|ssh-rsa [A-Z]{2} .{0,6}|x=\"a b\" ssh-rsa [A-Z]{2}|ssh-ed25519 (ONE|TWO|OLD) donjon:t|.{0,12})", 0..8),
            ends in any::<bool>(),
        ) {
            let mut before = lines.join("\n");
            if ends { before.push('\n'); }
            let after = text(&before, &[key("ONE"), key("TWO")]);
            prop_assert_eq!(text(&after, &[key("ONE"), key("TWO")]), after.clone());
            let ours = |line: &&str| line.contains("ssh-ed25519") || line.is_empty();
            let kept: Vec<_> = before.split('\n').filter(|line| !ours(line)).collect();
            prop_assert_eq!(after.split('\n').filter(|line| !ours(line)).collect::<Vec<_>>(), kept);
            prop_assert_eq!(found(after.as_bytes(), "donjon:t", &[key("ONE"), key("TWO")]), (true, 0));
            prop_assert!(!after.contains("OLD"));
        }
    }
}
