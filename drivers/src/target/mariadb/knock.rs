//! Logins that a server has refused, with who knocked and from where: as its error log tells them.
//!
//! Without a plugin a server tells this nowhere else. `Access_denied_errors` is a number; `userstat` counts by user and by
//! client, but not the two together, and nothing of a client that was never let in; `performance_schema.host_cache` is off
//! by default and knows no user. The log has a line for each, from `log_warnings = 2` on, which is the default, before the
//! client hears of it. So the node's `log` must be named, and readable from here; else nothing is told.
//!
//! A line holds the user's name as the client has sent it. It may hold quotes and even line breaks, so only the end of a
//! record is believed for where it comes from, and a record that is cut anywhere spoils those that were read with it.

use super::server::Member;
use crate::target::{Knock, Knocks, Node, TargetError};
use std::{io, path::Path};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, SeekFrom},
};

/// The logins refused since a point in the log, or where its end is now.
pub(super) async fn knocks(member: &Member, node: &Node, since: Option<u64>) -> Result<Option<Knocks>, TargetError> {
    let Some(log) = &member.log else { return Ok(None) };
    let read = tail(log, since).await.map_err(|error| TargetError::Unable {
        node: node.name.clone(),
        what: format!("its log cannot be read ({}): {}", log.display(), error.kind()),
    })?;
    let (point, text) = read;
    Ok(Some(Knocks { point, refused: refused(&text) }))
}

/// What a log has had added since a point, in whole lines, and the point up to which that goes.
async fn tail(log: &Path, since: Option<u64>) -> io::Result<(u64, String)> {
    let mut file = File::open(log).await?;
    let end = file.metadata().await?.len();
    let Some(since) = since else { return Ok((end, String::new())) };
    // A shorter file is another one: the log was rotated.
    let since = if since > end { 0 } else { since };
    file.seek(SeekFrom::Start(since)).await?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).await?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(whole);
    Ok((since + whole as u64, String::from_utf8_lossy(&bytes).into_owned()))
}

/// How much is read at once.
const MOST: u64 = 1 << 20;

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
    use crate::fs;

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

    #[tokio::test]
    async fn a_log_is_read_on_from_where_it_was_left_and_anew_after_it_was_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("error.log");
        fs::replace(&log, "before\n".as_bytes()).unwrap();
        let (point, _) = tail(&log, None).await.unwrap();
        fs::replace(&log, "before\nafter\nhal".as_bytes()).unwrap();
        let (next, text) = tail(&log, Some(point)).await.unwrap();
        assert_eq!((text.as_str(), next), ("after\n", 13));
        fs::replace(&log, "new\n".as_bytes()).unwrap();
        assert_eq!(tail(&log, Some(next)).await.unwrap(), (4, "new\n".to_owned()));
    }
}
