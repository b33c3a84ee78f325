//! A heat environment of placeholders for TripleO.

use super::{
    placeholder::Placeholders,
    reference::{Numbers, Piece, Reference},
};
use donjon_policies::{catalogue::Catalogue, recipe::Shape};
use std::fmt::Write;

/// The environment: `parameter_defaults` with a placeholder for every secret that Donjon makes.
///
/// It replaces TripleO's own password file, which must then not be given to the deployment: the later file of two counts.
pub fn environment(catalogue: &Catalogue, numbers: &Numbers) -> String {
    let placeholders = Placeholders::of(catalogue, numbers);
    let mut file = HEADER.to_owned();
    for entry in catalogue.current() {
        let name = &entry.name;
        if entry.recipe.shape() == Shape::Operator {
            line(&mut file, format_args!("  # {name}{SUPPLIED}"));
            continue;
        }
        let references = Reference::of(entry, numbers);
        let text = |reference| placeholders.text(reference).unwrap_or_default();
        if let [Reference { piece: Piece::Whole, .. }] = references.as_slice() {
            line(&mut file, format_args!("  {name}: \"{}\"", text(&references[0])));
            continue;
        }
        line(&mut file, format_args!("  {name}:"));
        for reference in &references {
            match reference.piece {
                Piece::Whole => {}
                Piece::PrivateKey => line(&mut file, format_args!("    private_key: \"{}\"", text(reference))),
                Piece::PublicKey => line(&mut file, format_args!("    public_key: \"{}\"", text(reference))),
                Piece::Key(key) => {
                    line(&mut file, format_args!("    {FERNET_REPOSITORY}{key}:"));
                    line(&mut file, format_args!("      content: \"{}\"", text(reference)));
                }
            }
        }
    }
    file
}

fn line(file: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(file, "{text}");
}

/// What is said of a secret that an operator supplies.
pub const SUPPLIED: &str = ": supplied by an operator, in an environment of their own";
/// Where TripleO keeps Keystone's keys; its parameter maps paths to contents.
const FERNET_REPOSITORY: &str = "/etc/keystone/fernet-keys/";

const HEADER: &str = "\
# Placeholders, no values: written by `donjon wire tripleo`. Give it to `openstack overcloud deploy --stack-only -e`, in place of
# the password file; then turn the placeholders into lookups with `donjon wire tripleo CONFIG_DOWNLOAD_FOLDER` before Ansible runs.
parameter_defaults:
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_shapes_that_heats_parameters_want() {
        let catalogue = Catalogue::named("tripleo").unwrap();
        let file = environment(&catalogue, &Numbers::default());
        for expected in [
            "\n  MysqlRootPassword: \"DONJON_REF_MysqlRootPassword_END\"\n",
            "\n  MigrationSshKey:\n    private_key: \"DONJON_REF_MigrationSshKey_private_key_END\"\n    public_key: \"",
            "\n  KeystoneFernetKeys:\n    /etc/keystone/fernet-keys/0:\n      content: \"DONJON_REF_KeystoneFernetKeys_0_END\"\n",
        ] {
            assert!(file.contains(expected), "{expected:?} is not in:\n{file}");
        }
        assert!(!file.contains("\"\""), "every reference has a placeholder");
    }

    #[test]
    fn a_repository_that_has_rotated_is_there_with_the_numbers_that_its_keys_have() {
        let numbers = [("KeystoneFernetKeys".parse().unwrap(), [0, 2, 3].into())].into_iter().collect();
        let file = environment(&Catalogue::named("tripleo").unwrap(), &numbers);
        let paths: Vec<&str> = file.lines().filter_map(|line| line.trim().strip_prefix(FERNET_REPOSITORY)).collect();
        assert_eq!(paths, ["0:", "2:", "3:"]);
        assert!(!file.contains("\"\""), "every reference has a placeholder");
    }
}
