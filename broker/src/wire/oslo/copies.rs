//! Values that move, and stand in the file a second time: moved, they would lie there in clear all the same.

use super::Moved;
use crate::wire::assembled::passwords;
use donjon_drivers::source::OptionName;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// A value that moves, or the password of a URL that does, stands in the file a second time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} holds the value of {option}, or the password in it, outside of its place")]
pub struct Beside {
    /// The line, from 1.
    pub line: usize,
    /// Whose value.
    pub option: OptionName,
}

/// Those in the lines of a file. In the names of groups and options a value stands by chance: `password` is in many of them.
pub(super) fn beside(lines: &[&str], moved: &[Moved]) -> Vec<Beside> {
    let sought: Vec<(&Moved, Vec<Zeroizing<String>>)> = moved.iter().map(|moved| (moved, needles(moved))).collect();
    let mut found = Vec::new();
    for (line, text) in (1..).zip(lines) {
        // EXPOSE: taken out of the line
        let own = moved.iter().find(|moved| moved.line == line).and_then(|m| text.split_once(m.value.expose()));
        let (before, after) = own.unwrap_or((text, ""));
        let rest = [said(before), after];
        let holds = |needle: &Zeroizing<String>| rest.iter().any(|rest| rest.contains(needle.as_str()));
        let held = sought.iter().filter(|(_, needles)| needles.iter().any(holds));
        found.extend(held.map(|(moved, _)| Beside { line, option: moved.option.clone() }));
    }
    found
}

/// What a line says besides a name.
fn said(line: &str) -> &str {
    let is_header = line.starts_with('[') && line.trim_end().ends_with(']');
    let goes_on = line.starts_with([' ', '\t']);
    match line.find(['=', ':']) {
        _ if is_header => "",
        Some(end) if !goes_on && !line.starts_with(['#', ';']) => &line[end..],
        Some(_) | None => line,
    }
}

/// What is looked for: the value, and each password of a URL in it, as it is written and as it is meant.
fn needles(moved: &Moved) -> Vec<Zeroizing<String>> {
    let value = moved.value.expose(); // EXPOSE: looked for
    let urls = value.match_indices("://").map(|(at, _)| &value[at..]);
    let written = urls.flat_map(|url| passwords(url).into_iter().map(|place| &url[place]));
    let mut needles = vec![Zeroizing::new(value.to_owned())];
    for written in written {
        needles.push(Zeroizing::new(percent_decode_str(written).decode_utf8_lossy().into_owned()));
        needles.push(Zeroizing::new(written.to_owned()));
    }
    needles.retain(|needle| needle.len() >= SHORTEST);
    needles
}

/// A shorter one would be found in words.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use crate::wire::oslo::{Driver, Places, rewrite};

    const PLACES: Places<'_> =
        Places { mapping: "/m", driver: Driver::Donjon { socket: "/s" }, beside: &[], file: "", leave: &[] };

    fn of(text: &str) -> Vec<(usize, String)> {
        let done = rewrite(&"keystone".parse().unwrap(), text, PLACES, |_| Vec::new()).unwrap();
        done.copies.iter().map(|copy| (copy.line, copy.option.to_string())).collect()
    }

    #[test]
    fn a_value_that_moves_and_stands_a_second_time_is_told() {
        let moves =
            "[DEFAULT]\nadmin_token = canary-canary\n[database]\nconnection = mysql://u:canary%2Fdatabase@h/d\n";
        assert_eq!(of(moves), []);
        let (token, connection) = ("[DEFAULT] admin_token", "[database] connection");
        for (more, option) in [
            ("# admin_token = old, was canary-canary", token),
            ("; canary-canary", token),
            ("#connection = mysql://u:canary%2Fdatabase@other/d", connection),
            ("# it is canary/database", connection),
            ("backend_url = http://svc/?key=canary-canary", token),
            ("several = a,\n  canary-canary", token),
        ] {
            let line = 4 + more.lines().count();
            assert_eq!(of(&format!("{moves}{more}\n")), [(line, option.to_owned())], "{more}");
        }
        // Two that move with the same value are each other's copy in no line that stays.
        assert_eq!(of("[a]\npassword = canary-canary\n[b]\nconnection = mysql://u:canary-canary@h/d\n"), []);
    }

    #[test]
    fn what_is_short_or_a_part_of_a_name_stands_there_by_chance() {
        assert_eq!(of("[a]\npassword = short\n# short\n"), []);
        assert_eq!(of("[a]\nsecret = password\n[password]\nmy_password_file = /x\n"), []);
        assert_eq!(of("[a]\nsecret = password\nkind = password\n"), [(3, "[a] secret".to_owned())]);
    }
}
