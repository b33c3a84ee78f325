//! What a file gives: for each name its value and its places; what is left where it is; and every mistake at once.

use super::{
    ansible_vault,
    format::Format,
    scalar::{self, Plain},
    yaml::{Kind, Node, Scalar, Written},
};
use crate::wire::{Piece, placeholder};
use donjon_drivers::{material::Material, store::secret::SecretValue};
use donjon_policies::{catalogue::Catalogue, name::SecretName};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, ops::Range};
use zeroize::Zeroizing;

/// All that a file gives.
#[derive(Debug, Default)]
pub struct Taken {
    /// The values, in the order of the file.
    pub given: Vec<Given>,
    /// What stays where it is.
    pub left: Vec<Left>,
}

/// One value.
#[derive(Debug)]
pub struct Given {
    /// The secret that it becomes: the catalogue's name for it.
    pub name: SecretName,
    /// Its name in the file.
    pub written: String,
    /// Its line, from 1.
    pub line: usize,
    /// The value.
    pub value: SecretValue,
    /// Where it stands, and which piece of it.
    pub places: Vec<(Range<usize>, Piece)>,
}

/// A name whose value is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The name in the file.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// Why a value is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is none.
    Empty,
    /// It is an expression that Ansible evaluates.
    Expression,
    /// It is a list, a mapping or a number that the catalogue does not know.
    Structure,
    /// It is a parameter, other than a password.
    Parameter,
}

/// Why a file is not taken at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The name in the file.
    pub name: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Unquoted, YAML reads it as something else.
    Otherwise(&'static str),
    /// It stands twice, with two values.
    Twice(SecretName),
    /// No secret can have this name.
    Name,
    /// Its own ansible-vault does not open.
    Vault(ansible_vault::VaultError),
    /// It has a tag that nobody here knows.
    Tag,
    /// It is not what the catalogue says: a pair, a repository or a text.
    Shape,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}` ", self.line, self.name)?;
        match &self.fault {
            Fault::Otherwise(what) => write!(f, "is {what} to YAML and not what is written; put it in quotes"),
            Fault::Twice(name) => write!(f, "gives `{name}` a second value"),
            Fault::Name => f.write_str("can be no secret's name"),
            Fault::Vault(error) => write!(f, "is sealed: {error}"),
            Fault::Tag => f.write_str("has an unknown tag"),
            Fault::Shape => f.write_str("has not the shape that the catalogue gives it"),
        }
    }
}

/// Takes the values out of a document, or tells every mistake in it.
pub fn take(
    document: &Node,
    format: Format,
    catalogue: &Catalogue,
    passwords: &[Material],
) -> Result<Taken, Vec<Mistake>> {
    let taken = Taken::default();
    let mut taking = Taking { format, catalogue, passwords, taken, mistakes: Vec::new(), seen: BTreeMap::new() };
    let top = pairs(document);
    match format {
        Format::Kolla | Format::Osa => taking.all(top, Unknown::Taken),
        Format::Tripleo => {
            let passwords = top.iter().any(|(name, _)| name == "passwords");
            let parameters = if passwords { Unknown::Left } else { Unknown::Taken };
            for (part, unknown) in [("passwords", Unknown::Taken), ("parameter_defaults", parameters)] {
                let below = top.iter().filter(|(name, _)| name == part);
                taking.all(below.flat_map(|(_, node)| pairs(node)), unknown);
            }
        }
    }
    if taking.mistakes.is_empty() { Ok(taking.taken) } else { Err(taking.mistakes) }
}

/// Whether names that the catalogue does not know are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Taken,
    Left,
}

struct Taking<'a> {
    format: Format,
    catalogue: &'a Catalogue,
    passwords: &'a [Material],
    taken: Taken,
    mistakes: Vec<Mistake>,
    seen: BTreeMap<SecretName, usize>,
}

/// A value of several pieces, and where each stands.
type Parts = (SecretValue, Vec<(Range<usize>, Piece)>);

enum Read {
    Value(Material),
    Left(Why),
}

impl<'a> Taking<'a> {
    fn all(&mut self, pairs: impl IntoIterator<Item = &'a (String, Node)>, unknown: Unknown) {
        for (written, node) in pairs {
            if let Err(fault) = self.one(written, node, unknown) {
                self.mistakes.push(Mistake { line: node.line, name: written.clone(), fault });
            }
        }
    }

    fn one(&mut self, written: &str, node: &'a Node, unknown: Unknown) -> Result<(), Fault> {
        let name: Option<SecretName> = written.parse().ok();
        let entry = name.as_ref().and_then(|name| self.catalogue.entry(name));
        if entry.is_none() && unknown == Unknown::Left {
            self.left(written, node, Why::Parameter);
            return Ok(());
        }
        let (value, places) = match &node.kind {
            Kind::Sequence(_) => {
                self.left(written, node, Why::Structure);
                return entry.map_or(Ok(()), |_| Err(Fault::Shape));
            }
            // A number among the parameters of an environment is no password.
            Kind::Scalar(scalar) if entry.is_none() && self.format == Format::Tripleo && is_number(scalar) => {
                self.left(written, node, Why::Structure);
                return Ok(());
            }
            Kind::Scalar(scalar) => match self.scalar(scalar) {
                Ok(Read::Value(material)) => (SecretValue::Whole(material), vec![(scalar.place.clone(), Piece::Whole)]),
                Ok(Read::Left(why)) => {
                    self.left(written, node, why);
                    return Ok(());
                }
                Err(fault) => return Err(fault),
            },
            Kind::Mapping(parts) => match self.parts(parts)? {
                Some(read) => read,
                None => {
                    let why = if parts.iter().any(|(_, part)| self.is_expression(part)) {
                        Why::Expression
                    } else {
                        Why::Structure
                    };
                    let empty = parts.iter().all(|(_, part)| is_nothing(part));
                    self.left(written, node, if empty { Why::Empty } else { why });
                    return if entry.is_some() && !empty && why == Why::Structure { Err(Fault::Shape) } else { Ok(()) };
                }
            },
        };
        let name = entry.map(|entry| entry.name.clone()).or(name).ok_or(Fault::Name)?;
        self.given(Given { name, written: written.to_owned(), line: node.line, value, places })
    }

    fn given(&mut self, mut given: Given) -> Result<(), Fault> {
        if let Some(at) = self.seen.get(&given.name).copied() {
            let first = &mut self.taken.given[at];
            if first.value.matches(&given.value) {
                first.places.extend(given.places);
                return Ok(());
            }
            // A name of today and an older one with values of their own are two secrets, such as while Redis becomes Valkey.
            let of_its_own = if first.written == given.name.as_str() { &mut given } else { first };
            let own: SecretName = of_its_own.written.parse().map_err(|_| Fault::Name)?;
            if own == of_its_own.name {
                return Err(Fault::Twice(own));
            }
            if let Some(other) = self.seen.get(&own).copied() {
                return match self.taken.given[other].value.matches(&given.value) && given.written == own.as_str() {
                    true => {
                        self.taken.given[other].places.extend(given.places);
                        Ok(())
                    }
                    false => Err(Fault::Twice(own)),
                };
            }
            of_its_own.name = own.clone();
            if given.name != own {
                self.seen.insert(own, at);
            }
        }
        self.seen.insert(given.name.clone(), self.taken.given.len());
        self.taken.given.push(given);
        Ok(())
    }

    fn left(&mut self, written: &str, node: &Node, why: Why) {
        self.taken.left.push(Left { name: written.to_owned(), line: node.line, why });
    }

    fn scalar(&self, scalar: &Scalar) -> Result<Read, Fault> {
        let text = &scalar.text;
        let value = || Read::Value(Material::new(text.as_bytes().to_vec()));
        match scalar.written {
            Written::Vault => {
                ansible_vault::open(text.as_bytes(), self.passwords).map(Read::Value).map_err(Fault::Vault)
            }
            Written::Tagged => Err(Fault::Tag),
            Written::Unsafe => Ok(value()),
            Written::Text | Written::Plain if self.is_evaluated(text) => Ok(Read::Left(Why::Expression)),
            Written::Text => Ok(value()),
            Written::Plain => match scalar::plain(text) {
                Plain::Text | Plain::Number => Ok(value()),
                Plain::Nothing => Ok(Read::Left(Why::Empty)),
                Plain::Otherwise(what) => Err(Fault::Otherwise(what)),
            },
        }
    }

    /// A pair of keys, or a repository of them; `None` for any other mapping, and for one without values.
    fn parts(&self, parts: &'a [(String, Node)]) -> Result<Option<Parts>, Fault> {
        let part = |key: &str| parts.iter().find(|(name, _)| name == key).map(|(_, node)| &node.kind);
        if let (Some(Kind::Scalar(private)), Some(Kind::Scalar(public)), 2) =
            (part("private_key"), part("public_key"), parts.len())
        {
            let (Read::Value(key), Read::Value(open)) = (self.scalar(private)?, self.scalar(public)?) else {
                return Ok(None);
            };
            // EXPOSE: the public half is no secret
            let open = open.expose_text().map_err(|_| Fault::Shape)?.to_owned();
            let places = vec![(private.place.clone(), Piece::PrivateKey), (public.place.clone(), Piece::PublicKey)];
            return Ok(Some((SecretValue::Pair { private: key, public: open }, places)));
        }
        self.repository(parts)
    }

    fn is_expression(&self, node: &Node) -> bool {
        matches!(&node.kind, Kind::Scalar(scalar) if scalar.written != Written::Unsafe && self.is_evaluated(&scalar.text))
    }

    /// Whether what reads the file puts something else in place of a text: Ansible does, heat carries it on.
    fn is_evaluated(&self, text: &str) -> bool {
        let marks: &[&str] = match self.format {
            Format::Kolla | Format::Osa => &["{{", "{%", "{#"],
            Format::Tripleo => &[placeholder::BEGINNING],
        };
        marks.iter().any(|mark| text.contains(mark))
    }

    fn repository(&self, parts: &'a [(String, Node)]) -> Result<Option<Parts>, Fault> {
        let mut keys: BTreeMap<u32, &Scalar> = BTreeMap::new();
        for (path, node) in parts {
            let number = path.rsplit('/').next().and_then(|number| number.parse().ok());
            let content = pairs(node).iter().find(|(key, _)| key == "content");
            let (Some(number), Some((_, Node { kind: Kind::Scalar(content), .. }))) = (number, content) else {
                return Ok(None);
            };
            keys.insert(number, content);
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let mut json = Zeroizing::new(Vec::new());
        let mut places = Vec::new();
        for (number, scalar) in keys {
            let Read::Value(key) = self.scalar(scalar)? else { return Ok(None) };
            let before = if json.is_empty() { b"{" } else { b"," };
            json.extend_from_slice(before);
            json.extend_from_slice(format!("\"{number}\":").as_bytes());
            let text = key.expose_text().map_err(|_| Fault::Shape)?; // EXPOSE: copied into the repository, which becomes Material
            serde_json::to_writer(&mut *json, text).map_err(|_| Fault::Shape)?;
            places.push((scalar.place.clone(), Piece::Key(number)));
        }
        json.push(b'}');
        Ok(Some((SecretValue::Whole(Material::new(json.to_vec())), places)))
    }
}

fn pairs(node: &Node) -> &[(String, Node)] {
    node.pairs().unwrap_or_default()
}

/// A number, a boolean or the like.
fn is_number(scalar: &Scalar) -> bool {
    scalar.written == Written::Plain && matches!(scalar::plain(&scalar.text), Plain::Number | Plain::Otherwise(_))
}

/// Whether nothing stands there.
pub(super) fn is_nothing(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if scalar.written == Written::Plain && scalar::plain(&scalar.text) == Plain::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::yaml;

    fn of(text: &str, format: Format) -> Result<Taken, Vec<Mistake>> {
        let catalogue = Catalogue::named(format.catalogue()).unwrap();
        take(&yaml::read(text).unwrap().unwrap(), format, &catalogue, &[])
    }

    fn values(text: &str, format: Format) -> Vec<(String, String)> {
        let value = |given: &Given| given.value.material().expose_text().unwrap().to_owned(); // EXPOSE: a test value
        of(text, format).unwrap().given.iter().map(|given| (given.name.to_string(), value(given))).collect()
    }

    #[test]
    fn a_value_is_what_the_deployer_would_read() {
        let text = "database_password: 12345\nkeystone_admin_password: 'it''s #1'\nredis_master_password: \"a\\nb\"\nown_name: ''\n\
            nova_ssh_key:\n  private_key: |\n    A\n    B\n  public_key: ssh-rsa C\n";
        let expected = [
            ("database_password", "12345"),
            ("keystone_admin_password", "it's #1"),
            ("valkey_master_password", "a\nb"),
            ("own_name", ""),
            ("nova_ssh_key", "A\nB\n"),
        ];
        assert_eq!(values(text, Format::Kolla), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn tripleo_has_its_own_shapes() {
        let text = "parameter_defaults:\n  AdminToken: x{{y\n  ControllerCount: 3\n  RoleNames: [a]\n  KeystoneFernetKeys:\n    \
            /etc/keystone/fernet-keys/1: {content: b}\n    /etc/keystone/fernet-keys/0: {content: a}\n  NovaPassword: DONJON_REF_NovaPassword_END\n";
        let expected = [("KeystonePassword", "x{{y"), ("KeystoneFernetKeys", "{\"0\":\"a\",\"1\":\"b\"}")];
        assert_eq!(values(text, Format::Tripleo), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let left = of(text, Format::Tripleo).unwrap().left;
        let left: Vec<_> = left.iter().map(|left| (left.name.as_str(), left.why)).collect();
        let expected =
            [("ControllerCount", Why::Structure), ("RoleNames", Why::Structure), ("NovaPassword", Why::Expression)];
        assert_eq!(left, expected);
        // A plan has its generated passwords apart from parameters, which are none.
        let plan = "passwords: {NovaPassword: a, Other: b}\nparameter_defaults: {NeutronPassword: c, NtpServer: d}\n";
        let names: Vec<_> = values(plan, Format::Tripleo).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["NovaPassword", "Other", "NeutronPassword"]);
    }

    #[test]
    fn an_older_name_with_a_value_of_its_own_is_a_secret_of_its_own() {
        let (new, old) = ("valkey_master_password: a\n", "redis_master_password: b\n");
        for text in [[new, old].concat(), [old, new].concat()] {
            let mut found = values(&text, Format::Kolla);
            found.sort_unstable();
            let expected = [("redis_master_password", "b"), ("valkey_master_password", "a")];
            assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
            assert!(of(&[&text, old].concat(), Format::Kolla).is_ok(), "the same once more");
            assert!(of(&[&text, "redis_master_password: c\n"].concat(), Format::Kolla).is_err());
        }
    }

    #[test]
    fn every_mistake_is_told_at_once_and_none_holds_a_value() {
        let text = "database_password: 0123\nkeystone_admin_password: yes\nvalkey_master_password: one-canary\n\
            valkey_master_password: two-canary\na b: canary\nx: !other canary\nnova_ssh_key: {private_key: canary}\n";
        let mistakes = of(text, Format::Kolla).unwrap_err();
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), 6, "{told:#?}");
        assert!(told[0].starts_with("line 1: `database_password` is a number to YAML"), "{told:#?}");
        assert!(!format!("{mistakes:?}{told:?}").contains("canary"));
    }

    #[test]
    fn what_is_no_value_stays() {
        let left = of(
            "database_password:\nkeystone_admin_password: '{{ x }}'\nnova_ssh_key: {private_key: , public_key: }\n",
            Format::Kolla,
        )
        .unwrap();
        assert!(left.given.is_empty());
        assert_eq!(
            left.left.iter().map(|left| left.why).collect::<Vec<_>>(),
            [Why::Empty, Why::Expression, Why::Empty]
        );
    }
}
