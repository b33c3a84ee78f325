//! A file of lookups, a name a line: kolla-ansible's `passwords.yml`, and openstack-ansible's `user_secrets.yml`.

use super::reference::{Encoding, Numbers, Piece, Reference};
use donjon_policies::{
    catalogue::{Catalogue, Entry},
    name::SecretName,
    recipe::Shape,
};
use std::{collections::BTreeSet, fmt::Write};

/// Who reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// kolla-ansible.
    Kolla,
    /// openstack-ansible.
    Osa,
}

/// The file, for every name that the deployer knows.
///
/// What an operator supplies stays empty, as the deployers' own programs leave it, unless it is among `supplied`. Key pairs are
/// mappings of two lookups: kolla reads them so, and `kolla-genpwd` fails on anything else.
pub fn passwords(reader: Reader, catalogue: &Catalogue, supplied: &BTreeSet<SecretName>, numbers: &Numbers) -> String {
    let mut file = match reader {
        Reader::Kolla => OF_KOLLA.to_owned(),
        Reader::Osa => OF_OSA.to_owned(),
    };
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

const OF_KOLLA: &str = "\
---
# References, no values: written by `donjon wire kolla`. kolla-ansible loads this file unchanged and asks the broker on this
# host whenever it needs a value. It may be committed.
#
# Run the deployer through `donjon run --deploy -- kolla-ansible …`, so that its output is masked and rotations wait for it.
# Do not run kolla-writepwd on this file: it would store these lines as passwords.
";

const OF_OSA: &str = "\
---
# References, no values: written by `donjon wire osa`. openstack-ansible loads this file unchanged and asks the broker on this
# host whenever it needs a value. It may be committed.
#
# Run the deployer through `donjon run --deploy -- openstack-ansible …`, so that its output is masked and rotations wait for it.
# Do not run pw-token-gen.py on this file: it would make values for what is empty.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn written(supplied: &[&str]) -> String {
        let supplied = supplied.iter().map(|name| name.parse().unwrap()).collect();
        passwords(Reader::Kolla, &Catalogue::named("kolla-ansible").unwrap(), &supplied, &Numbers::default())
    }

    #[test]
    fn openstack_ansible_has_a_line_for_each_of_its_names() {
        let catalogue = Catalogue::named("openstack-ansible").unwrap();
        let file = passwords(Reader::Osa, &catalogue, &BTreeSet::new(), &Numbers::default());
        let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with(['#', '-'])).collect();
        assert_eq!(lines.len(), catalogue.current().map(|entry| 1 + entry.aliases.len()).sum::<usize>());
        assert!(
            lines.iter().all(|line| line.ends_with(": null") || line.contains("{{ lookup('donjon.broker.secret', "))
        );
        assert!(
            file.contains(
                "\nrabbitmq_cookie_token: \"{{ lookup('donjon.broker.secret', 'rabbitmq_cookie_token') }}\"\n"
            )
        );
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
