//! Logins that a server has refused, with who knocked and from where: as its error log tells them.
//!
//! Without a plugin a server tells this nowhere else. `Access_denied_errors` is a number; `userstat` counts by user and by
//! client, but not the two together, and nothing of a client that was never let in; `performance_schema.host_cache` is off
//! by default and knows no user. The log has a line for each, from `log_warnings = 2` on, which is the default, before the
//! client hears of it. So the node's `log` must be named, and readable here or on its `log_host`; else nothing is told.
//!
//! A line holds the user's name as the client has sent it. It may hold quotes and even line breaks, so only the end of a
//! record is believed for where it comes from, and a record that is cut anywhere spoils those that were read with it.

use super::server::Member;
use crate::target::{Knock, Knocks, Node, TargetError};

/// The logins refused since a point in the log, or where its end is now.
pub(super) async fn knocks(member: &Member, node: &Node, since: Option<u64>) -> Result<Option<Knocks>, TargetError> {
    let Some(log) = &member.log else { return Ok(None) };
    let (point, text) = log.tail(since).await.map_err(|error| TargetError::Unable {
        node: node.name.clone(),
        what: format!("its log cannot be read ({log}): {error}"),
    })?;
    Ok(Some(Knocks { point, refused: refused(&text) }))
}

/// The refused logins among the records of a log.
fn refused(text: &str) -> Vec<Knock> {
    let mut knocks = Vec::new();
    for line in text.lines() {
        let Some((_, said)) = line.split_once(BEGINS) else {
            // The rest of a record that was cut by a name with a line break in it.
            if line.contains(ENDS) {
                return Vec::new();
            }
            continue;
        };
        let Some((account, _)) = said.rsplit_once(ENDS) else { return Vec::new() };
        let Some((user, from)) = account.rsplit_once("'@'") else { return Vec::new() };
        knocks.push(Knock { user: user.to_owned(), from: from.to_owned() });
    }
    knocks
}

const BEGINS: &str = " [Warning] Access denied for user '";
const ENDS: &str = "' (using password: ";

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, String)> {
        refused(text).into_iter().map(|knock| (knock.user, knock.from)).collect()
    }

    fn line(account: &str) -> String {
        format!("2026-11-28 14:09:15 5 [Warning] Access denied for user {account} (using password: YES)\n")
    }

    #[test]
    fn each_line_of_a_refused_login_is_told_and_no_other() {
        let text = format!(
            "2026-11-28 14:09:15 0 [Note] mariadbd: ready for connections.\n{}{}",
            line("'app'@'10.0.0.5'"),
            line("'o'brien'@'web1'")
        );
        let wanted = [("app", "10.0.0.5"), ("o'brien", "web1")].map(|(user, from)| (user.to_owned(), from.to_owned()));
        assert_eq!(told(&text), wanted);
        assert_eq!(told(""), []);
    }

    #[test]
    fn a_name_cannot_pretend_to_come_from_elsewhere() {
        let pretended = line("'root'@'10.0.0.5' (using password: YES)'@'6.6.6.6'");
        assert_eq!(told(&pretended)[0].1, "6.6.6.6");
        let broken = line(&format!("'x\n{}'@'6.6.6.6'", line("'root'@'10.0.0.5'").trim_end()));
        assert!(told(&broken).iter().all(|(_, from)| from != "10.0.0.5"), "{broken}");
        let twice = line(&format!("'x\n{}2026 5 [Note] '@'6.6.6.6'", line("'root'@'10.0.0.5'")));
        assert_eq!(told(&twice), [], "{twice}");
    }
}
