//! Which values are not shown: those that are secret by where they come from, by their option's name, or by what they are.
//!
//! A service declares which of its options are secret, and it is not asked here. So the rule is wide: a value too many that
//! is hidden costs a `--reveal`.

use donjon_drivers::source::{OptionName, Origin, Value};

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// It is shown on request alone.
    Secret,
}

/// Whether the value of an option may be shown.
pub fn of(option: &OptionName, origin: &Origin, value: &Value) -> Secrecy {
    let kept = matches!(origin, Origin::Secret { .. });
    let name = option.name.to_lowercase();
    let named = WORDS.iter().any(|word| name.contains(word)) && !NAMES_OF_PLACES.iter().any(|end| name.ends_with(end));
    let whole = WHOLE.iter().any(|(group, whole)| name == *whole && group.is_none_or(|group| group == option.group));
    match kept || named || whole || has_credential(&value.text()) {
        true => Secrecy::Secret,
        false => Secrecy::Open,
    }
}

/// Whether a text has a URL with a user and a password in it.
pub(crate) fn has_credential(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ', '\n']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
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
        ] {
            assert_eq!(secrecy(name, value), Secrecy::Secret, "{name} {value}");
        }
        for (name, value) in [
            ("debug", "true"),
            ("auth_url", "http://h:5000/v3"),
            ("token_expiration", "3600"),
            ("password_hash_rounds", "12"),
        ] {
            assert_eq!(secrecy(name, value), Secrecy::Open, "{name} {value}");
        }
        let of_group = |group: &str| of(&OptionName::new(group, "login"), &Origin::Default, &Value::Text("x".into()));
        assert_eq!((of_group("p11_crypto_plugin"), of_group("x")), (Secrecy::Secret, Secrecy::Open));
        let stored = Origin::Secret { driver: "donjon", place: String::new(), name: String::new() };
        assert_eq!(of(&OptionName::new("x", "debug"), &stored, &Value::Switch(true)), Secrecy::Secret);
    }
}
