//! Which options are to move. What is hidden is judged by names alone, widely: a value too many that is hidden costs a `--reveal`.
//! One that moves must be the same in every file of its service, and becomes a secret that nobody rotates.

use crate::settings::secrecy::{self, Secrecy, has_password};
use donjon_drivers::source::{OptionName, Origin, Text, Value};
use regex::Regex;
use std::{net::IpAddr, sync::LazyLock};

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Nothing says that it is secret.
    Open,
    /// It moves.
    Moves,
    /// Its name says that it is secret, and its value that it is not.
    Stays(&'static str),
}

/// What becomes of an option with this value.
pub(super) fn judged(option: &OptionName, value: &Text) -> Judged {
    // The line itself says where it comes from, which makes nothing secret.
    if secrecy::of(option, &Origin::Default, &Value::Text(value.duplicate())) == Secrecy::Open {
        return Judged::Open;
    }
    let name = option.name.to_lowercase();
    let value = value.expose(); // EXPOSE: looked at
    let is_secret_itself = SECRETS.iter().any(|end| name.ends_with(end));
    match () {
        () if has_password(value) => Judged::Moves,
        () if SWITCHES.iter().any(|word| value.eq_ignore_ascii_case(word)) => Judged::Stays(SWITCH),
        // A password may be of digits, or look like an address.
        () if is_secret_itself => Judged::Moves,
        () if is_number(value) => Judged::Stays(NUMBER),
        () if is_place(value) => Judged::Stays(PLACE),
        () => Judged::Moves,
    }
}

fn is_number(value: &str) -> bool {
    // Infinity and the like are words.
    value.parse::<f64>().is_ok() && !value.contains(|c: char| c.is_ascii_alphabetic())
}

/// A URL without a query, in which there may be a credential too, or addresses.
fn is_place(value: &str) -> bool {
    let is_address = |text: &str| {
        let text = text.trim();
        text.parse::<IpAddr>().is_ok() || ADDRESS.is_match(text)
    };
    match value.contains("://") {
        true => !value.contains(['?', '#']) && !value.contains(char::is_whitespace),
        false => value.split(',').all(is_address),
    }
}

/// As OVN writes them (`tcp:10.0.0.1:6641`, `unix:/run/x.sock`), and plainly.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^(?:p?unix:/\S+|(?:p?(?:tcp|ssl|udp):)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})$";
    Regex::new(pattern).expect("a literal that the tests use")
});

/// Ends of names that are the secret itself, and not something about it.
const SECRETS: [&str; 13] = [
    "password",
    "_pass",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "pin",
    "kek",
    "key",
    "keys",
    "credential",
    "credentials",
    "community",
];
const SWITCHES: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];
const SWITCH: &str = "it is a switch";
const NUMBER: &str = "it is a number";
const PLACE: &str = "it is an address, and no password is in it";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Judged {
        judged(&OptionName::new("x", name), &Text::from(value))
    }

    #[test]
    fn what_is_called_secret_and_is_none_stays() {
        for (name, value, why) in [
            ("password_expires_days", "90", NUMBER),
            ("token_ttl", "3600", NUMBER),
            ("token_rate", "-1.5", NUMBER),
            ("service_token_roles_required", "True", SWITCH),
            ("inject_password", "false", SWITCH),
            ("connection_uri", "qemu+ssh://nova@10.0.0.1/system", PLACE),
            ("connection", "sqlite:////var/lib/x.db", PLACE),
            ("ovn_nb_connection", "tcp:10.0.0.1:6641,ssl:[::1]:6641, ssl:ovn-1.example:6641", PLACE),
            ("ovn_sb_connection", "unix:/run/ovn/sb.sock", PLACE),
            ("token_server", "10.0.0.1", PLACE),
        ] {
            assert_eq!(of(name, value), Judged::Stays(why), "{name} {value}");
        }
        assert_eq!(of("debug", "true"), Judged::Open);
    }

    #[test]
    fn what_may_be_secret_moves() {
        for (name, value) in [
            ("password", "12345678"),
            ("pin", "1234"),
            ("admin_token", "abc:1234"),
            ("metadata_proxy_shared_secret", "10.0.0.1"),
            ("hmac_keys", "7"),
            ("connection", "mysql://u:p@h/d"),
            ("connection", "postgresql:///d?user=u&password=p"),
            ("connection_uri", "anything"),
            ("transport_url", "rabbit://u:p@h1,u:p@h2//"),
            ("anything", "http://u:p@h/x"),
            ("token_words", "one two"),
        ] {
            assert_eq!(of(name, value), Judged::Moves, "{name} {value}");
        }
    }
}
