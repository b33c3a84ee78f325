//! A `passwords.yml` of lookups for kolla-ansible.

use super::reference::{Encoding, Numbers, Piece, Reference};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::Shape,
};
use std::{collections::BTreeSet, fmt::Write};

/// The file, for every name that kolla-ansible knows.
///
/// What an operator supplies stays empty, as `kolla-genpwd` leaves it, unless it is among `supplied`. Key pairs are mappings of
/// two lookups: kolla reads them so, and `kolla-genpwd` fails on anything else.
pub fn passwords(catalogue: &Catalogue, supplied: &BTreeSet<SecretName>, numbers: &Numbers) -> String {
    let mut file = HEADER.to_owned();
    for (entry, name) in catalogue.current().flat_map(|entry| names(entry).map(move |name| (entry, name))) {
        if entry.recipe.shape() == Shape::Operator && !supplied.contains(&entry.name) {
            // The prechecks look for lines that end in a colon.
            line(&mut file, format_args!("{name}: null"));
            continue;
        }
        match Reference::of(entry, numbers).as_slice() {
            [whole] => line(&mut file, format_args!("{name}: \"{}\"", whole.expression(Encoding::Plain))),
            pieces => {
                line(&mut file, format_args!("{name}:"));
                for piece in pieces {
                    let key = match piece.piece {
                        Piece::Whole => continue,
                        Piece::PrivateKey => "private_key".to_owned(),
                        Piece::PublicKey => "public_key".to_owned(),
                        Piece::Key(key) => format!("\"{key}\""),
                    };
                    line(&mut file, format_args!("  {key}: \"{}\"", piece.expression(Encoding::Plain)));
                }
            }
        }
    }
    file
}

/// Its name, and the older ones that roles still read while they migrate.
fn names(entry: &Entry) -> impl Iterator<Item = &SecretName> {
    std::iter::once(&entry.name).chain(&entry.aliases)
}

fn line(file: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(file, "{text}");
}

const HEADER: &str = "\
---
# References, no values: written by `donjon wire kolla`. kolla-ansible loads this file unchanged and asks the broker on this
# host whenever it needs a value. It may be committed.
#
# Run the deployer through `donjon run --deploy -- kolla-ansible …`, so that its output is masked and rotations wait for it.
# Do not run kolla-writepwd on this file: it would store these lines as passwords.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(supplied: &[&str]) -> String {
        let supplied = supplied.iter().map(|name| name.parse().unwrap()).collect();
        passwords(&Catalogue::named("kolla-ansible").unwrap(), &supplied, &Numbers::default())
    }

    #[test]
    fn every_name_has_a_line_of_its_own() {
        let file = written(&[]);
        let names = file.lines().filter(|line| !line.starts_with(['#', ' ', '-'])).count();
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        assert_eq!(names, catalogue.current().map(|entry| 1 + entry.aliases.len()).sum::<usize>());
        assert!(
            file.contains(
                "\nredis_master_password: \"{{ lookup('donjon.broker.secret', 'valkey_master_password') }}\"\n"
            )
        );
        assert!(file.contains("\ndatabase_password: \"{{ lookup('donjon.broker.secret', 'database_password') }}\"\n"));
        assert!(file.contains(
            "\nnova_ssh_key:\n  private_key: \"{{ lookup('donjon.broker.secret', 'nova_ssh_key', part='private_key') }}\"\n  \
             public_key: \"{{ lookup('donjon.broker.secret', 'nova_ssh_key', part='public_key') }}\"\n"
        ));
    }

    #[test]
    fn what_an_operator_supplies_is_empty_until_it_is_there() {
        assert!(written(&[]).contains("\ndocker_registry_password: null\n"));
        assert!(written(&["docker_registry_password"]).contains("\ndocker_registry_password: \"{{ lookup("));
    }

    #[test]
    fn only_pairs_end_a_line_with_a_colon() {
        let ends = |line: &&str| line.trim_end().ends_with(':') && !line.starts_with('#');
        let file = written(&[]);
        for line in file.lines().filter(ends) {
            assert!(line.contains("ssh_key"), "kolla's precheck refuses {line:?}");
        }
    }
}
