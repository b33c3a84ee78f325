//! The text of the statements that change an account, with names that cannot end them early.

use super::privilege::{Conditions, Entry};
use crate::target::Account;

/// What each connection says first: without this mode a backslash in a string would mean something.
/// And without the setting some names would come unquoted.
pub(super) const PREPARE: &str = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', sql_quote_show_create = 1";

/// Makes an account accept exactly this chain.
pub(super) fn alter(account: &Account, chain: &[Entry]) -> Result<String, Unspeakable> {
    Ok(format!("ALTER USER {} {}", name(account)?, identified(chain)?))
}

/// As [`alter`], if the account's row is still the one with this digest. A statement may arrive long after it was made up:
/// its sender may have stood still, and another broker may have ended the rotation and begun the next.
pub(super) fn alter_unchanged(account: &Account, chain: &[Entry], mark: &str) -> Result<String, Unspeakable> {
    Ok(format!(
        "BEGIN NOT ATOMIC IF EXISTS (SELECT 1 FROM mysql.global_priv WHERE User = {} AND Host = {} \
         AND SHA2(Priv, 256) = {}) THEN {}; END IF; END",
        text(&account.user)?,
        text(&account.host)?,
        text(mark)?,
        alter(account, chain)?
    ))
}

/// Makes an account accept exactly this chain under exactly these conditions.
pub(super) fn alter_wholly(account: &Account, chain: &[Entry], under: &Conditions) -> Result<String, Unspeakable> {
    Ok(format!("ALTER USER {} {} {}", name(account)?, identified(chain)?, conditions(under)?))
}

/// Makes an account that is not there, without any right.
pub(super) fn create(account: &Account, chain: &[Entry], under: &Conditions) -> Result<String, Unspeakable> {
    Ok(format!("CREATE USER {} {} {}", name(account)?, identified(chain)?, conditions(under)?))
}

/// Removes an account with its rights.
pub(super) fn drop(account: &Account) -> Result<String, Unspeakable> {
    Ok(format!("DROP USER IF EXISTS {}", name(account)?))
}

/// Asks what an account may do.
pub(super) fn grants(account: &Account) -> Result<String, Unspeakable> {
    Ok(format!("SHOW GRANTS FOR {}", name(account)?))
}

/// Takes a lock by a name of letters, digits and dots, waiting for so many seconds. It goes with the connection.
pub(super) fn lock(name: &str, patience: u32) -> String {
    format!("SELECT GET_LOCK('{name}', {patience})")
}

/// Asks which connection holds a lock.
pub(super) fn lock_holder(name: &str) -> String {
    format!("SELECT IS_USED_LOCK('{name}')")
}

/// Ends a connection by the number that the server gave it.
pub(super) fn end(number: u64) -> String {
    format!("KILL CONNECTION {number}")
}

/// An account as statements name it.
pub(super) fn name(account: &Account) -> Result<String, Unspeakable> {
    Ok(format!("{}@{}", identifier(&account.user)?, identifier(&account.host)?))
}

fn identified(chain: &[Entry]) -> Result<String, Unspeakable> {
    let mut entries = Vec::new();
    for entry in chain {
        entries.push(match entry {
            Entry::Value(plugin, hash) => format!("{} USING {}", plugin.name(), text(&hash.0)?),
            Entry::Socket(None) => "unix_socket".to_owned(),
            Entry::Socket(Some(user)) => format!("unix_socket USING {}", text(user)?),
            Entry::Empty(_) | Entry::Never | Entry::Other(_) => return Err(Unspeakable),
        });
    }
    if entries.is_empty() {
        return Err(Unspeakable);
    }
    Ok(format!("IDENTIFIED VIA {}", entries.join(" OR ")))
}

/// Every condition is said, so that none of before stays.
fn conditions(under: &Conditions) -> Result<String, Unspeakable> {
    let described = [("CIPHER", &under.ssl_cipher), ("ISSUER", &under.x509_issuer), ("SUBJECT", &under.x509_subject)];
    let require = match under.ssl_type {
        0 => "NONE".to_owned(),
        1 => "SSL".to_owned(),
        2 => "X509".to_owned(),
        3 => {
            let mut parts = Vec::new();
            for (what, wanted) in described.into_iter().filter(|(_, wanted)| !wanted.is_empty()) {
                parts.push(format!("{what} {}", text(wanted)?));
            }
            parts.join(" AND ")
        }
        _ => return Err(Unspeakable),
    };
    let expire = match under.password_lifetime {
        0 => "NEVER".to_owned(),
        days @ 1.. => format!("INTERVAL {days} DAY"),
        _ => "DEFAULT".to_owned(),
    };
    Ok(format!(
        "REQUIRE {require} WITH MAX_QUERIES_PER_HOUR {} MAX_UPDATES_PER_HOUR {} MAX_CONNECTIONS_PER_HOUR {} \
         MAX_USER_CONNECTIONS {} MAX_STATEMENT_TIME {} ACCOUNT UNLOCK PASSWORD EXPIRE {expire}",
        under.max_questions,
        under.max_updates,
        under.max_connections,
        under.max_user_connections,
        under.max_statement_time,
    ))
}

/// Nothing that a statement could say: a NUL, an empty name or chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name or the chain cannot be written in a statement")]
pub(super) struct Unspeakable;

/// Quoted as a name is, in any SQL mode.
fn identifier(name: &str) -> Result<String, Unspeakable> {
    match name {
        "" => Err(Unspeakable),
        name if name.contains('\0') => Err(Unspeakable),
        name => Ok(format!("`{}`", name.replace('`', "``"))),
    }
}

/// Quoted as a string is where [`PREPARE`] was said.
fn text(string: &str) -> Result<String, Unspeakable> {
    if string.contains('\0') {
        return Err(Unspeakable);
    }
    Ok(format!("'{}'", string.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::mariadb::hash::{Hash, Plugin};
    use proptest::prelude::*;

    #[test]
    fn a_chain_of_two_and_the_socket() {
        let account = Account { user: "ro`ot".into(), host: "%".into() };
        let value = |hash: &str| Entry::Value(Plugin::Native, Hash(hash.into()));
        assert_eq!(
            alter(&account, &[value("*A"), value("*B"), Entry::Socket(Some("o'x".into()))]).unwrap(),
            "ALTER USER `ro``ot`@`%` IDENTIFIED VIA mysql_native_password USING '*A' OR mysql_native_password USING '*B' \
             OR unix_socket USING 'o''x'"
        );
    }

    #[test]
    fn what_would_lock_out_or_end_the_text_is_refused() {
        let account = Account { user: "u".into(), host: "%".into() };
        assert_eq!(alter(&account, &[]), Err(Unspeakable));
        assert_eq!(alter(&account, &[Entry::Empty(Plugin::Native)]), Err(Unspeakable));
        let nul = Account { user: "u\0".into(), host: "%".into() };
        assert_eq!(alter(&nul, &[Entry::Socket(None)]), Err(Unspeakable));
    }

    proptest! {
        #[test]
        fn a_name_is_one_quoted_word(name in "[^\0]{1,40}") {
            let quoted = identifier(&name).unwrap();
            let inner = quoted.strip_prefix('`').unwrap().strip_suffix('`').unwrap();
            // No lone backtick is left inside, and undoing the quotes gives the name again.
            prop_assert!(!inner.replace("``", "").contains('`'));
            prop_assert_eq!(inner.replace("``", "`"), name);
        }
    }
}
