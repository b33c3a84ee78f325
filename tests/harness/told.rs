//! The form that every error has, as DESIGN 6 has it: what happened, why, what state things are in, what to do.

use crate::donjon::Ran;
use serde_json::Value;

/// What the error of a command that failed lacks.
///
/// Each says what happened, and why or what to do. It says what state things are in, too, where the command could have changed
/// something: one that was refused as it was typed, or for what is not there or not allowed, has changed nothing.
pub fn form(ran: &Ran) -> Result<(), &'static str> {
    if ran.err.contains("panicked") {
        return Err("an end that is no panic");
    }
    // What it ran has said what it said, and ended as it ended.
    if command(&ran.asked) == "run" {
        return Ok(());
    }
    let (causes, state, hint) = match ran.err.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()) {
        Some(told) => {
            let error = &told["error"];
            if !error["message"].is_string() {
                return Err("what happened");
            }
            let causes = error["causes"].as_array().is_some_and(|causes| !causes.is_empty());
            (causes, error["state"].is_string(), error["hint"].is_string())
        }
        None => {
            let has = |start: &str| ran.err.lines().any(|line| line.starts_with(start));
            if !has("error: ") {
                return Err("what happened");
            }
            // Words that cannot be read as a command are answered with how it is used.
            if has("Usage: ") || has("For more information, try '--help'.") {
                return Ok(());
            }
            (has("caused by:"), has("state: "), has("hint:  "))
        }
    };
    if !causes && !hint {
        return Err("why, or what to do");
    }
    if !state && changes(&ran.asked) && !matches!(ran.code, 2..=4 | 12) {
        return Err("what state things are in");
    }
    Ok(())
}

fn command(asked: &[String]) -> &str {
    asked.first().map_or("", String::as_str)
}

/// Whether a command is one that changes something.
fn changes(asked: &[String]) -> bool {
    let shows = match command(asked) {
        "rotate" => asked.get(1).is_some_and(|what| what == "plan" || what == "status"),
        other => READS.contains(&other) || asked.iter().any(|word| word == "--plan"),
    };
    !shows
}

const READS: &[&str] =
    &["get", "list", "history", "status", "schedule", "doctor", "metrics", "config", "scan", "audit", "completion"];

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(command: &str, code: i32, err: &str) -> Ran {
        let asked = command.split(' ').map(str::to_owned).collect();
        Ran { asked, code, out: String::new(), err: err.to_owned() }
    }

    #[test]
    fn what_an_error_lacks_is_seen() {
        let whole = "error: m\ncaused by:\n  1: c\nstate: s\nhint:  h";
        assert_eq!(form(&ran("put x", 6, whole)), Ok(()));
        assert_eq!(form(&ran("put x", 6, &format!("warning: first\n{whole}"))), Ok(()));
        assert_eq!(form(&ran("put x", 6, "m\nstate: s\nhint:  h")), Err("what happened"));
        assert_eq!(form(&ran("put x", 6, "error: m\nstate: s")), Err("why, or what to do"));
        assert_eq!(form(&ran("put x", 6, "error: m\nhint:  h")), Err("what state things are in"));
        assert_eq!(form(&ran("rotate apply x", 8, "error: m\nhint:  h")), Err("what state things are in"));
        assert_eq!(form(&ran("put x", 2, "error: m\nhint:  h")), Ok(()), "it was refused as it was typed");
        assert_eq!(form(&ran("get x", 6, "error: m\nhint:  h")), Ok(()), "it changes nothing");
        assert_eq!(form(&ran("put x y", 2, "error: unexpected argument\n\nUsage: donjon put NAME")), Ok(()));
        assert!(form(&ran("put x", 101, &format!("panicked\n{whole}"))).is_err());
    }

    #[test]
    fn what_an_error_lacks_as_json_is_seen() {
        let json = |state: &str| format!(r#"{{"error":{{"message":"m","causes":["c"]{state}}}}}"#);
        assert_eq!(form(&ran("put x", 6, &json(r#","state":"s""#))), Ok(()));
        assert_eq!(form(&ran("put x", 6, &json(""))), Err("what state things are in"));
    }
}
