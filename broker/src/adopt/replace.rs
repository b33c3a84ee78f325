//! The same file with references where values stood. Comments, order and everything else stay to the byte.

use super::{format::Format, given::Taken};
use crate::wire::{Encoding, Piece, Placeholders, Reference};
use donjon_policies::{catalogue::Catalogue, name::SecretName};
use std::ops::Range;
use zeroize::Zeroizing;

/// A file of references.
#[derive(Debug)]
pub struct Replaced {
    /// Its text.
    pub text: Zeroizing<String>,
    /// What still stands in it: heat takes placeholders alone, and has none for a name that no catalogue knows.
    pub stays: Vec<SecretName>,
}

/// A value stands in the file a second time, outside of its place: its line in the new file, and whose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} holds the value of `{name}` outside of its place")]
pub struct Beside {
    /// The line, from 1.
    pub line: usize,
    /// Whose value.
    pub name: SecretName,
}

/// Puts references where the values stood.
pub fn replaced(text: &str, taken: &Taken, format: Format, catalogue: &Catalogue) -> Result<Replaced, Vec<Beside>> {
    let placeholders = (format == Format::Tripleo).then(|| Placeholders::of(catalogue));
    let mut edits: Vec<(&Range<usize>, String)> = Vec::new();
    let mut stays = Vec::new();
    for given in &taken.given {
        for (place, piece) in &given.places {
            let reference = Reference { name: given.name.clone(), piece: *piece };
            let written = match &placeholders {
                None => Some(reference.expression(Encoding::Plain)),
                Some(known) => known.text(&reference).map(str::to_owned),
            };
            match written {
                Some(written) => edits.push((place, format!("\"{written}\""))),
                None => stays.push(given.name.clone()),
            }
        }
    }
    edits.sort_by_key(|(place, _)| place.start);
    let mut new = Zeroizing::new(String::with_capacity(text.len() + 80 * edits.len()));
    let mut at = 0;
    for (place, written) in &edits {
        new.push_str(&text[at..place.start]);
        new.push_str(written);
        at = place.end;
    }
    new.push_str(&text[at..]);
    stays.dedup();
    match beside(&new, taken, &stays) {
        beside if beside.is_empty() => Ok(Replaced { text: new, stays }),
        beside => Err(beside),
    }
}

/// Values that were copied into comments and the like.
fn beside(text: &str, taken: &Taken, stays: &[SecretName]) -> Vec<Beside> {
    let gone = taken.given.iter().filter(|given| !stays.contains(&given.name));
    let found = gone.filter_map(|given| {
        // EXPOSE: looked for
        let value = given.value.material().expose_text().ok()?;
        let needle =
            if given.places.iter().all(|(_, piece)| *piece == Piece::Whole) { value } else { longest_line(value) };
        let at = (needle.len() >= SHORTEST).then(|| text.find(needle)).flatten()?;
        Some(Beside { line: 1 + text[..at].matches('\n').count(), name: given.name.clone() })
    });
    found.collect()
}

fn longest_line(value: &str) -> &str {
    value.lines().max_by_key(|line| line.len()).unwrap_or_default()
}

/// A shorter one would be found in words.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::{given::take, yaml};

    fn of(text: &str, format: Format) -> Result<Replaced, Vec<Beside>> {
        let catalogue = Catalogue::named(format.catalogue()).unwrap();
        let taken = take(&yaml::read(text).unwrap().unwrap(), format, &catalogue, &[]).unwrap();
        replaced(text, &taken, format, &catalogue)
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
    fn a_value_in_a_comment_is_told() {
        let beside = of("# was canary-1\ndatabase_password: canary-1\n", Format::Kolla).unwrap_err();
        assert_eq!(beside, [Beside { line: 1, name: "database_password".parse().unwrap() }]);
    }
}
