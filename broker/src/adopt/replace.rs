//! The same file with references where values stood. Order and everything else stay to the byte, comments too, unless they were
//! sealed.

use super::{
    format::Format,
    given::{Given, Taken},
    untaken::{self, Leaf},
    yaml::{self, Kind, Node, Written, YamlError},
};
use crate::wire::{Encoding, Numbers, Piece, Placeholders, Reference};
use donjon_policies::{catalogue::Catalogue, name::SecretName};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};
use zeroize::Zeroizing;

/// A file of references.
#[derive(Debug)]
pub struct Replaced {
    /// Its text.
    pub text: Zeroizing<String>,
    /// What still stands in it: heat takes placeholders alone, and has none for a name that no catalogue knows.
    pub stays: Vec<SecretName>,
    /// Copies of a value to which nothing in it refers: heat knows no placeholder of theirs, or the value has no line of its own.
    pub unreferred: Vec<SecretName>,
}

/// What becomes of the comments of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// They stay.
    Stay,
    /// They were sealed, and would lie in clear.
    Go,
}

/// Why no references are put into a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A value stands in the file a second time, outside of its place: its line in the new file, and whose.
    #[error("line {line} holds the value of `{name}` outside of its place")]
    Beside {
        /// The line, from 1.
        line: usize,
        /// Whose value.
        name: SecretName,
    },
    /// What was sealed may be a comment, or a part of a name.
    #[error("line {line} of the new file has a `#` that may begin a comment, and was sealed")]
    Comment {
        /// The line, from 1.
        line: usize,
    },
    /// It would be read otherwise than it is written.
    #[error(
        "`{name}` would not be what it is to be once references stand in the file; write it without anchor and alias"
    )]
    Otherwise {
        /// Its names, from the top.
        name: String,
    },
    /// With references in it, it is no YAML any more.
    #[error("once references stand in the file, it cannot be read")]
    Unread(#[from] YamlError),
}

/// Puts references where the values stood.
pub fn replaced(
    text: &str,
    taken: &Taken,
    format: Format,
    catalogue: &Catalogue,
    comments: Comments,
) -> Result<Replaced, Vec<Obstacle>> {
    let placeholders = (format == Format::Tripleo).then(|| Placeholders::of(catalogue, &numbers(taken)));
    let written = |name: &SecretName, piece: Piece| {
        let reference = Reference { name: name.clone(), piece };
        match &placeholders {
            None => Some(reference.expression(Encoding::Plain)),
            Some(known) => known.text(&reference).map(str::to_owned),
        }
    };
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let (mut stays, mut unreferred) = (Vec::new(), Vec::new());
    for given in &taken.given {
        for (place, piece) in &given.places {
            match written(&given.name, *piece) {
                Some(written) => {
                    let anchor = anchor(&text[place.clone()]).map_or_else(String::new, |anchor| format!("{anchor} "));
                    edits.push((place.clone(), format!("{anchor}\"{written}\"")));
                }
                None => stays.push(given.name.clone()),
            }
        }
        // A copy stands nowhere yet: it gets a line of its own, before that of the value. Another line of its name stays as it is.
        if given.places.is_empty() {
            let there = taken.left.iter().find(|left| left.name == given.name.as_str());
            match (there, line(text, taken, given), written(&given.name, Piece::Whole)) {
                (Some(there), _, Some(written)) if refers(text, there.line, &written) => {}
                (None, Some(line), Some(written)) => {
                    let indent = text[line..].len() - text[line..].trim_start_matches(' ').len();
                    edits.push((line..line, format!("{:indent$}{}: \"{written}\"\n", "", given.name)));
                }
                _ => unreferred.push(given.name.clone()),
            }
        }
    }
    if comments == Comments::Go {
        // What is within a value goes with it.
        let is_apart = |comment: &Range<usize>| !edits.iter().any(|(place, _)| place.contains(&comment.start));
        let gone = yaml::comments(text).map_err(|error| vec![error.into()])?.into_iter().filter(is_apart);
        let gone: Vec<_> = gone.map(|comment| (with_its_space(text, comment), String::new())).collect();
        edits.extend(gone);
    }
    edits.sort_by_key(|(place, _)| place.start);
    let mut new = Zeroizing::new(String::with_capacity(text.len() + 80 * edits.len()));
    let (mut at, mut own) = (0, Vec::with_capacity(edits.len()));
    for (place, written) in &edits {
        new.push_str(&text[at..place.start]);
        own.push(new.len()..new.len() + written.len());
        new.push_str(written);
        at = place.end;
    }
    new.push_str(&text[at..]);
    stays.dedup();
    let mut obstacles = beside(&new, &own, taken, &stays);
    if comments == Comments::Go {
        obstacles.extend(doubtful(&new, &own));
    }
    if obstacles.is_empty() {
        obstacles = misread(text, &new, taken, &written).unwrap_or_else(|error| vec![error.into()]);
    }
    if obstacles.is_empty() { Ok(Replaced { text: new, stays, unreferred }) } else { Err(obstacles) }
}

/// The anchor of a value whose place begins with its tag; before the tag, it is outside of that place.
fn anchor(place: &str) -> Option<&str> {
    let mut words = place.split_whitespace();
    words.next().filter(|word| word.starts_with('!'))?;
    words.next().filter(|word| word.starts_with('&'))
}

/// What the new text does not say as it should: each reference in the place of its value, and all else as it was.
fn misread(
    text: &str,
    new: &str,
    taken: &Taken,
    written: &dyn Fn(&SecretName, Piece) -> Option<String>,
) -> Result<Vec<Obstacle>, YamlError> {
    let (Some(document), Some(now)) = (yaml::read(text)?, yaml::read(new)?) else { return Ok(Vec::new()) };
    let mut expected: BTreeMap<usize, String> = BTreeMap::new();
    for given in &taken.given {
        let pieces =
            given.places.iter().filter_map(|(place, piece)| Some((place.start, written(&given.name, *piece)?)));
        expected.extend(pieces);
    }
    let is_read = |leaf: &Leaf<'_>| {
        let Kind::Scalar(scalar) = &leaf.node.kind else { return true };
        let Some(expected) = expected.get(&scalar.place.start) else { return true };
        let is_it = |node: &&Node| matches!(&node.kind, Kind::Scalar(now) if *now.text == *expected && now.written == Written::Text);
        untaken::at(&now, &leaf.path).iter().any(is_it)
    };
    let references = untaken::leaves(&document).into_iter().filter(|leaf| !is_read(leaf)).map(|leaf| leaf.name());
    let others = untaken::missing((text, &document), (new, &now), taken);
    Ok(references.chain(others).map(|name| Obstacle::Otherwise { name }).collect())
}

/// A comment with the space before it; its whole line, where nothing else is on it.
fn with_its_space(text: &str, comment: Range<usize>) -> Range<usize> {
    let before = text[..comment.start].trim_end_matches([' ', '\t']).len();
    match text[..before].ends_with('\n') || before == 0 {
        true => before..text[comment.end..].find('\n').map_or(text.len(), |end| comment.end + end + 1),
        false => before..comment.end,
    }
}

/// A comment that was not known as one would be left: so nothing may look like one.
fn doubtful(text: &str, own: &[Range<usize>]) -> Option<Obstacle> {
    let at = text.match_indices('#').map(|(at, _)| at).find(|at| !own.iter().any(|own| own.contains(at)))?;
    Some(Obstacle::Comment { line: line_of(text, at) })
}

/// The line of a place, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// The keys of the repositories in the file, which need not be those that one is made with.
fn numbers(taken: &Taken) -> Numbers {
    let keys = |given: &Given| given.places.iter().filter_map(|(_, piece)| piece.key()).collect::<BTreeSet<u32>>();
    let all = taken.given.iter().map(|given| (given.name.clone(), keys(given)));
    all.filter(|(_, keys)| !keys.is_empty()).collect()
}

/// Whether a line, counted from 1, has a reference.
fn refers(text: &str, line: usize, reference: &str) -> bool {
    text.lines().nth(line.saturating_sub(1)).is_some_and(|line| line.contains(reference))
}

/// Where the line begins that gives, by itself and whole, the value that this one is a copy of.
fn line(text: &str, taken: &Taken, copy: &Given) -> Option<usize> {
    let original = taken.given.iter().find(|given| given.written == copy.written && !given.places.is_empty())?;
    let (place, _) = original.places.first().filter(|(_, piece)| *piece == Piece::Whole)?;
    let start = text[..place.start].rfind('\n').map_or(0, |end| end + 1);
    let name = text[start..place.start].trim_start_matches(' ').trim_end().strip_suffix(':')?;
    (name == original.written).then_some(start)
}

/// Values that were copied into comments and the like. In the names of a file, and in the references that were written (`own`),
/// a value stands by chance: `password` is in most of them.
fn beside(text: &str, own: &[Range<usize>], taken: &Taken, stays: &[SecretName]) -> Vec<Obstacle> {
    let gone = taken.given.iter().filter(|given| !stays.contains(&given.name));
    let found = gone.filter_map(|given| {
        // EXPOSE: looked for
        let value = given.value.material().expose_text().ok()?;
        let needle =
            if given.places.iter().all(|(_, piece)| *piece == Piece::Whole) { value } else { longest_line(value) };
        if needle.len() < SHORTEST {
            return None;
        }
        let by_chance = |at: &usize| {
            let found = *at..*at + needle.len();
            own.iter().any(|own| own.start <= found.start && found.end <= own.end) || is_in_a_name(text, &found)
        };
        let at = text.match_indices(needle).map(|(at, _)| at).find(|at| !by_chance(at))?;
        Some(Obstacle::Beside { line: line_of(text, at), name: given.name.clone() })
    });
    found.collect()
}

/// Whether a place is within what stands before the first colon of its line, and that is a name.
fn is_in_a_name(text: &str, place: &Range<usize>) -> bool {
    let start = text[..place.start].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    line.split_once(':').is_some_and(|(name, _)| {
        let is_name = name.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        is_name && place.end <= start + name.len()
    })
}

fn longest_line(value: &str) -> &str {
    value.lines().max_by_key(|line| line.len()).unwrap_or_default()
}

/// A shorter one would be found in words.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::given::take;

    fn of(text: &str, format: Format) -> Result<Replaced, Vec<Obstacle>> {
        with(text, format, Comments::Stay)
    }

    fn with(text: &str, format: Format, comments: Comments) -> Result<Replaced, Vec<Obstacle>> {
        let catalogue = Catalogue::named(format.catalogue()).unwrap();
        let taken = take(&yaml::read(text).unwrap().unwrap(), format, &catalogue, &[]).unwrap();
        replaced(text, &taken, format, &catalogue, comments)
    }

    #[test]
    fn values_go_and_all_else_stays() {
        let text = "---\n# head\ndatabase_password: 'canary-1' # why\nown: canary-2\nredis_master_password: !unsafe \"canary-3\"\n\n\
            nova_ssh_key:\n  private_key: |\n    canary-4\n\n  public_key: >-\n    ssh-rsa X\ndocker_registry_password:\n# end\n";
        let expected = "---\n# head\ndatabase_password: \"{{ lookup('donjon.broker.secret', 'database_password') }}\" # why\n\
            own: \"{{ lookup('donjon.broker.secret', 'own') }}\"\n\
            redis_master_password: \"{{ lookup('donjon.broker.secret', 'valkey_master_password') }}\"\n\n\
            nova_ssh_key:\n  private_key: \"{{ lookup('donjon.broker.secret', 'nova_ssh_key', part='private_key') }}\"\n\n\
            \u{20}\u{20}public_key: \"{{ lookup('donjon.broker.secret', 'nova_ssh_key', part='public_key') }}\"\n\
            docker_registry_password:\n# end\n";
        assert_eq!(&**of(text, Format::Kolla).unwrap().text, expected);
    }

    #[test]
    fn a_value_that_is_a_part_of_names_is_in_no_second_place() {
        let text = "keystone_admin_password: password\ndatabase_password: canary-1\n";
        assert!(of(text, Format::Kolla).unwrap().text.starts_with("keystone_admin_password: \"{{ lookup("));
        for beside in ["# it is password\n", "# keystone_admin_password: password\n"] {
            let beside = of(&format!("{text}{beside}"), Format::Kolla).unwrap_err();
            let expected = Obstacle::Beside { line: 3, name: "keystone_admin_password".parse().unwrap() };
            assert_eq!(beside, [expected]);
        }
    }

    #[test]
    fn heat_gets_placeholders_and_an_unknown_name_stays() {
        let text = "parameter_defaults:\n  NovaPassword: canary-1\n  Mine: canary-2\n";
        let replaced = of(text, Format::Tripleo).unwrap();
        assert_eq!(
            &**replaced.text,
            "parameter_defaults:\n  NovaPassword: \"DONJON_REF_NovaPassword_END\"\n  Mine: canary-2\n"
        );
        assert_eq!(replaced.stays.iter().map(SecretName::as_str).collect::<Vec<_>>(), ["Mine"]);
    }

    #[test]
    fn a_repository_that_has_rotated_is_replaced_whole() {
        let keys = ["0", "2", "300"];
        let line = |key: &&str| format!("    /etc/keystone/fernet-keys/{key}:\n      content: canary-{key}\n");
        let text = format!("parameter_defaults:\n  KeystoneFernetKeys:\n{}", keys.iter().map(line).collect::<String>());
        let replaced = of(&text, Format::Tripleo).unwrap();
        assert!(replaced.stays.is_empty() && !replaced.text.contains("canary"), "{}", &**replaced.text);
        assert!(replaced.text.contains("content: \"DONJON_REF_KeystoneFernetKeys_300_END\"\n"), "{}", &**replaced.text);
    }

    /// The text, and the copies to which nothing in it refers, where a value has a copy.
    fn split(text: &str, format: Format, [name, copy]: [&str; 2]) -> (String, Vec<String>) {
        let catalogue = Catalogue::named(format.catalogue()).unwrap();
        let mut taken = take(&yaml::read(text).unwrap().unwrap(), format, &catalogue, &[]).unwrap();
        let given = taken.given.iter().find(|given| given.name.as_str() == name).unwrap();
        let (written, value) = (given.written.clone(), given.value.duplicate());
        let given = Given { name: copy.parse().unwrap(), written, line: given.line, value, places: Vec::new() };
        taken.given.push(given);
        let replaced = replaced(text, &taken, format, &catalogue, Comments::Stay).unwrap();
        (replaced.text.to_string(), replaced.unreferred.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_copy_gets_a_reference_before_the_value_or_is_told() {
        let names = ["keystone_admin_password", "copy"];
        let reference = |name: &str| format!("\"{{{{ lookup('donjon.broker.secret', '{name}') }}}}\"");
        let (own, copy) = (reference(names[0]), reference("copy"));
        for value in ["canary", "  'canary' # why", "|\n  canary"] {
            let (text, unreferred) =
                split(&format!("---\n# head\nkeystone_admin_password: {value}\n"), Format::Kolla, names);
            assert!(text.starts_with(&format!("---\n# head\ncopy: {copy}\nkeystone_admin_password:")), "{text}");
            assert!(text.contains(&own) && unreferred.is_empty(), "{text}");
            assert!(yaml::read(&text).is_ok(), "{text}");
        }
        for (text, expected) in [
            // On no line of its own, and on the next.
            ("{keystone_admin_password: canary}\n", format!("{{keystone_admin_password: {own}}}\n")),
            ("keystone_admin_password:\n  canary\n", format!("keystone_admin_password:\n  {own}\n")),
        ] {
            assert_eq!(split(text, Format::Kolla, names), (expected, vec!["copy".to_owned()]), "{text}");
        }
        // What is there already stays, and is not there twice.
        let there = format!("copy: {copy}\nkeystone_admin_password: ");
        let (text, unreferred) = split(&format!("{there}canary\n"), Format::Kolla, names);
        assert_eq!((text, unreferred), (format!("{there}{own}\n"), Vec::new()));
        // What stands under its name and is something else is not what was meant.
        for there in ["copy:\n", "copy: \"{{ keystone_admin_password }}\"\n"] {
            let (text, unreferred) = split(&format!("{there}keystone_admin_password: canary\n"), Format::Kolla, names);
            assert_eq!(text, format!("{there}keystone_admin_password: {own}\n"));
            assert_eq!(unreferred, ["copy"], "{there}");
        }
        // Heat's catalogue knows the one and not the other.
        let text = "parameter_defaults:\n  NovaPassword: canary\n";
        let expected = "parameter_defaults:\n  NovaPassword: \"DONJON_REF_NovaPassword_END\"\n";
        let told = split(text, Format::Tripleo, ["NovaPassword", "NovaDatabasePassword"]);
        assert_eq!(told, (expected.to_owned(), vec!["NovaDatabasePassword".to_owned()]));
        let (text, _) = split(text, Format::Tripleo, ["NovaPassword", "GlancePassword"]);
        assert!(
            text.starts_with("parameter_defaults:\n  GlancePassword: \"DONJON_REF_GlancePassword_END\"\n"),
            "{text}"
        );
    }

    #[test]
    fn a_value_in_a_comment_is_told() {
        let beside = of("# was canary-1\ndatabase_password: canary-1\n", Format::Kolla).unwrap_err();
        assert_eq!(beside, [Obstacle::Beside { line: 1, name: "database_password".parse().unwrap() }]);
    }

    #[test]
    fn an_anchor_stays_for_whoever_refers_to_it() {
        let reference = "\"{{ lookup('donjon.broker.secret', 'database_password') }}\"";
        for (value, expected) in [
            ("!unsafe &db \"canary\"", format!("&db {reference}")),
            ("!!str &db canary", format!("&db {reference}")),
            ("&db !unsafe 'canary'", format!("&db {reference}")),
            ("&db canary", format!("&db {reference}")),
            ("!unsafe |\n  canary", reference.to_owned()),
        ] {
            let extra = if value.contains("&db") { "extra: [*db]\n" } else { "" };
            let found = of(&format!("database_password: {value}\n{extra}"), Format::Kolla).unwrap();
            assert_eq!(*found.text, format!("database_password: {expected}\n{extra}"));
        }
    }

    #[test]
    fn a_file_that_would_be_read_otherwise_is_not_replaced() {
        let refused =
            of("database_password: !unsafe # why\n  &db 'canary'\nextra: [*db]\n", Format::Kolla).unwrap_err();
        assert_eq!(refused, [Obstacle::Unread(YamlError::Broken(2))]);
        // What is looked at is the new text, whatever has made it.
        let text = "database_password: canary\nextra: [a]\n";
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let taken = take(&yaml::read(text).unwrap().unwrap(), Format::Kolla, &catalogue, &[]).unwrap();
        let written = |_: &SecretName, _: Piece| Some("REF".to_owned());
        let misread = |new: &str| misread(text, new, &taken, &written);
        assert_eq!(misread("database_password: \"REF\"\nextra: [a]\n"), Ok(Vec::new()));
        let otherwise = |name: &str| Ok(vec![Obstacle::Otherwise { name: name.to_owned() }]);
        assert_eq!(misread("database_password: \"REF\"\nextra: [b]\n"), otherwise("extra"));
        assert_eq!(misread("database_password: \"REF\" # \nextra: [a]\ndatabase_passwort: canary\n"), Ok(Vec::new()));
        assert_eq!(misread("database_password: canary\nextra: [a]\n"), otherwise("database_password"));
    }

    #[test]
    fn comments_that_were_sealed_go() {
        let text = "# root was canary-0\n---\ndatabase_password: 'canary # 1'  # was canary-9\n\n  # and canary-8\nown: |  # canary-7\n  canary-2\n  # 3\n\
            nova_ssh_key: # canary-6\n  private_key: canary-4\n  public_key: ssh-rsa X#Y\ndocker_registry_password:\n# end: canary-5";
        let expected = "---\ndatabase_password: \"{{ lookup('donjon.broker.secret', 'database_password') }}\"\n\n\
            own: \"{{ lookup('donjon.broker.secret', 'own') }}\"\n\
            nova_ssh_key:\n  private_key: \"{{ lookup('donjon.broker.secret', 'nova_ssh_key', part='private_key') }}\"\n\
            \u{20}\u{20}public_key: \"{{ lookup('donjon.broker.secret', 'nova_ssh_key', part='public_key') }}\"\n\
            docker_registry_password:\n";
        assert_eq!(&**with(text, Format::Kolla, Comments::Go).unwrap().text, expected);
        // What is no comment here, and could be one to another reader.
        let refused = with("own: canary-1\n'a#b':\n", Format::Kolla, Comments::Go).unwrap_err();
        assert_eq!(refused, [Obstacle::Comment { line: 2 }]);
    }
}
