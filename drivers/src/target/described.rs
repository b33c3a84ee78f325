//! What the nodes of every target have in the deployment file: one text and one rule for all.

use crate::options::{Description, Kind, Need};
use std::collections::BTreeSet;

/// What people call it.
pub(super) const NAME: Description =
    Description { name: "name", kind: Kind::Like("db1"), need: Need::Required, help: "its name" };

/// Where it is.
pub(super) const ADDRESS: Description = Description {
    name: "address",
    kind: Kind::Like("10.0.0.11"),
    need: Need::Required,
    help: "where it listens: a name or address",
};

/// How it is known, where one authority is all there is to say.
pub(super) const TLS_CA: Description = Description {
    name: "tls_ca",
    kind: Kind::Path,
    need: Need::Optional,
    help: "the authority that signed its certificate; without it, connections are in clear",
};

/// How long a connection may take, of drivers that speak MySQL's protocol.
pub(super) const CONNECT_TIMEOUT: Description = Description {
    name: "connect_timeout",
    kind: Kind::Number(1, 300),
    need: Need::Number(5),
    help: "how long connecting and logging in may take, in seconds",
};

/// How long a statement may take, of the same.
pub(super) const STATEMENT_TIMEOUT: Description = Description {
    name: "statement_timeout",
    kind: Kind::Number(1, 3600),
    need: Need::Number(15),
    help: "how long one statement may take, in seconds",
};

/// Refuses two of the same name; `what` they are, as people say it of several.
pub(super) fn each_once<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(format!("two {what} are called `{twice}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_a_name_is_told() {
        assert_eq!(each_once("nodes", ["a", "b"]), Ok(()));
        assert_eq!(each_once("nodes", ["a", "b", "a"]), Err("two nodes are called `a`".to_owned()));
    }
}
