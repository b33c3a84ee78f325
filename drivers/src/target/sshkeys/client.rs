//! The system's OpenSSH as one user with one key, which an agent of its own holds for one call.

use super::server::{Member, Settings};
use crate::{
    host::{Command, Host, HostError, local::Local},
    material::Material,
};

/// What came of a call.
pub(super) enum Answer {
    /// The user was let in; what the command said, and its exit code.
    In(Option<i32>, Material),
    /// The key was refused.
    Refused,
    /// The value is no key that OpenSSH reads.
    NoKey,
}

/// Runs words on a node as a user, with more for them to read after the key.
pub(super) async fn call(
    member: &Member,
    settings: &Settings,
    user: &str,
    key: &Material,
    words: &[&str],
    input: &[u8],
) -> Result<Answer, Silence> {
    // EXPOSE: into the pipe that the agent's own client reads; OpenSSH wants a line's end after the last line
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(key.len() + input.len() + 1));
    bytes.extend_from_slice(key.expose());
    bytes.push(b'\n');
    let length = bytes.len().to_string();
    bytes.extend_from_slice(input);
    let input = Material::new(bytes.to_vec());
    let arguments = arguments(member, settings, user, words);
    let mut line = vec!["ssh-agent", "sh", "-c", WITH_AGENT, "sh", &length];
    line.extend(arguments.iter().map(String::as_str));
    // Twice: once for connecting, once for the command.
    let command = Command { words: &line, input: Some(&input), within: settings.answer * 2 };
    let output = Local::new(&member.name, vec![]).run(command).await?;
    match output.code {
        Some(NO_KEY) => Ok(Answer::NoKey),
        Some(OWN_ERROR) if output.err.contains("Permission denied (") => Ok(Answer::Refused),
        Some(OWN_ERROR) => Err(Silence::Ssh(said(&output.err))),
        code => Ok(Answer::In(code, output.out)),
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// OpenSSH did not get there.
    #[error("{0}")]
    Ssh(String),
    /// It could not be run, or not to its end.
    #[error(transparent)]
    Run(#[from] HostError),
}

/// Gives the agent the key, which it forgets by itself too, then runs the rest, and ends the agent. The first argument is
/// how many bytes of the input are the key's.
const WITH_AGENT: &str = "length=$1; shift\n\
    export SSH_ASKPASS=/bin/false SSH_ASKPASS_REQUIRE=force\n\
    if head -c \"$length\" | ssh-add -q -t 300 - 2>/dev/null; then \"$@\"; code=$?; else code=254; fi\n\
    kill \"$SSH_AGENT_PID\"\n\
    exit \"$code\"";
const NO_KEY: i32 = 254;
/// OpenSSH's exit code for its own errors.
const OWN_ERROR: i32 = 255;

fn arguments(member: &Member, settings: &Settings, user: &str, words: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = ["ssh", "-T", "-x", "-a"].map(str::to_owned).into();
    let config = settings.config.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    arguments.extend(["-F".to_owned(), config]);
    let timeout = settings.answer.as_secs().max(1).to_string();
    let known_hosts = settings.known_hosts.as_ref().map(|path| format!("\"{}\"", path.display()));
    for (name, value) in [
        ("BatchMode", Some("yes")),
        ("StrictHostKeyChecking", Some("yes")),
        // Only the agent's one key may be what opens the door.
        ("PreferredAuthentications", Some("publickey")),
        ("IdentityFile", Some("none")),
        ("IdentityAgent", Some("SSH_AUTH_SOCK")),
        ("ControlMaster", Some("no")),
        ("ControlPath", Some("none")),
        ("ForwardAgent", Some("no")),
        ("LogLevel", Some("ERROR")),
        ("ConnectTimeout", Some(timeout.as_str())),
        ("UserKnownHostsFile", known_hosts.as_deref()),
    ] {
        arguments.extend(value.into_iter().flat_map(|value| ["-o".to_owned(), format!("{name}={value}")]));
    }
    arguments.extend(["-p".to_owned(), member.port.to_string(), "-l".to_owned(), user.to_owned()]);
    arguments.extend(["--".to_owned(), member.address.clone()]);
    // The far shell sees exactly these words.
    let line: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    arguments.push(line.join(" "));
    arguments
}

/// What OpenSSH says of its own error.
fn said(err: &str) -> String {
    err.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("ssh ended with 255")
        .chars()
        .take(200)
        .collect()
}
