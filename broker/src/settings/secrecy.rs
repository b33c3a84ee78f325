//! Which values are not shown: those that are secret by where they come from, by their option's name, or by what they are.
//!
//! A service declares which of its options are secret, and it is not asked here. So the rule is wide: a value too many that
//! is hidden costs a `--reveal`.

use donjon_drivers::source::{OptionName, Origin, Value, configuration::Found};

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// It is shown on request alone.
    Secret,
}

/// Whether what was found for an option may be shown: what refers to a secret holds it.
pub fn of_found(option: &OptionName, found: &Found) -> Secrecy {
    let referred = found.referred.iter().any(|referred| is_kept(&referred.origin) || is_named(&referred.option));
    if referred { Secrecy::Secret } else { of(option, &found.origin, &found.value) }
}

/// Whether the value of an option may be shown.
pub fn of(option: &OptionName, origin: &Origin, value: &Value) -> Secrecy {
    match is_kept(origin) || is_named(option) || has_credential(&value.text()) {
        true => Secrecy::Secret,
        false => Secrecy::Open,
    }
}

fn is_kept(origin: &Origin) -> bool {
    matches!(origin, Origin::Secret { .. })
}

fn is_named(option: &OptionName) -> bool {
    let name = option.name.to_lowercase();
    let named = WORDS.iter().any(|word| name.contains(word)) && !NAMES_OF_PLACES.iter().any(|end| name.ends_with(end));
    let whole = WHOLE.iter().any(|(group, whole)| name == *whole && group.is_none_or(|group| group == option.group));
    named || whole
}

/// Whether a text has a URL that says who asks: some servers take a token for a user.
pub(super) fn has_credential(text: &str) -> bool {
    users(text).any(|user| !user.is_empty())
}

/// Whether a text has a URL with a user and a password in it.
pub(crate) fn has_password(text: &str) -> bool {
    users(text).any(|user| user.contains(':'))
}

/// Who asks, in each URL of a text. A password may hold any character, also those that end a host.
fn users(text: &str) -> impl Iterator<Item = &str> {
    text.split("://").skip(1).filter_map(|rest| {
        let word = rest.split(char::is_whitespace).next().unwrap_or_default();
        word.rsplit_once('@').map(|(user, _)| user)
    })
}

/// Words in the names of options that OpenStack's services declare as secret.
const WORDS: [&str; 18] = [
    "password",
    "_pass",
    "hmac_key",
    "fixed_key",
    "temp_url_key",
    "store_key",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "connection",
    "transport_url",
    "private_key",
    "api_key",
    "encryption_key",
    "auth_key",
    "community",
];

/// Options that are secret under a name that says nothing of it; of one group alone where it is named.
const WHOLE: [(Option<&str>, &str); 5] = [
    (None, "kek"),
    (None, "pin"),
    (Some("p11_crypto_plugin"), "login"),
    (Some("cache"), "backend_argument"),
    (Some("vault"), "approle_role_id"),
];

/// Ends of names that say where something is, how long it lasts or how much work it is, and not what it is.
const NAMES_OF_PLACES: [&str; 10] = [
    "_file",
    "_dir",
    "_path",
    "_timeout",
    "_expiration",
    "_debug",
    "_trace",
    "_recycle_time",
    "_retry_interval",
    "_hash_rounds",
];

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::source::configuration::Referred;

    fn secrecy(name: &str, value: &str) -> Secrecy {
        of(&OptionName::new("x", name), &Origin::CommandLine, &Value::Text(value.into()))
    }

    #[test]
    fn what_may_be_secret_is_hidden() {
        for (name, value) in [
            ("connection", "sqlite://"),
            ("admin_password", "x"),
            ("transport_url", ""),
            ("memcache_secret_key", "k"),
            // What kolla's templates fill from osprofiler_secret, barbican_crypto_key and nova_keystone_password.
            ("hmac_keys", "k"),
            ("kek", "k"),
            ("nova_proxy_admin_pass", "k"),
            ("anything", "http://u:p@h/x"),
            ("anything", "rabbit://u:p@h1,u:p@h2//"),
            ("anything", "http://u:pa/ss@h/x"),
            ("anything", "http://u:p#?ss@h/x"),
            ("anything", "see http://h/ and http://tok3n@h/"),
        ] {
            assert_eq!(secrecy(name, value), Secrecy::Secret, "{name} {value}");
        }
        for (name, value) in [
            ("debug", "true"),
            ("auth_url", "http://h:5000/v3"),
            ("token_expiration", "3600"),
            ("password_hash_rounds", "12"),
            ("contact", "http://h/ or a@h"),
            ("anything", "http://@h/"),
        ] {
            assert_eq!(secrecy(name, value), Secrecy::Open, "{name} {value}");
        }
        let of_group = |group: &str| of(&OptionName::new(group, "login"), &Origin::Default, &Value::Text("x".into()));
        assert_eq!((of_group("p11_crypto_plugin"), of_group("x")), (Secrecy::Secret, Secrecy::Open));
        let stored = Origin::Secret { driver: "donjon", place: String::new(), name: String::new() };
        assert_eq!(of(&OptionName::new("x", "debug"), &stored, &Value::Switch(true)), Secrecy::Secret);
    }

    #[test]
    fn what_refers_to_a_secret_is_one() {
        let secret = Origin::Secret { driver: "donjon", place: String::new(), name: String::new() };
        let found = |option: &str, origin: &Origin| Found {
            value: Value::Text("v".into()),
            origin: Origin::CommandLine,
            referred: vec![
                Referred { option: OptionName::new("x", "debug"), origin: Origin::Default },
                Referred { option: OptionName::new("x", option), origin: origin.clone() },
            ],
        };
        let secrecy = |found: &Found| of_found(&OptionName::new("x", "debug"), found);
        assert_eq!(secrecy(&found("admin_password", &Origin::Default)), Secrecy::Secret);
        assert_eq!(secrecy(&found("debug", &secret)), Secrecy::Secret);
        assert_eq!(secrecy(&found("debug", &Origin::Default)), Secrecy::Open);
    }
}
