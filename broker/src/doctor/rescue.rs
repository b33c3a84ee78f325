//! Break-glass: how an account is given the stored value on the node itself, where no stored value gets in any more.
//!
//! MariaDB lets the system's root in by its own socket. What is typed holds no value: the hash is made in a pipe.

use super::Try;
use donjon_drivers::store::Version;
use donjon_policies::{
    deployment::{Deployment, Setting},
    name::SecretName,
};

/// The commands that give accounts what is served, or else a sentence.
pub(super) fn commands(
    deployment: &Deployment,
    secret: &SecretName,
    current: Option<Version>,
    lost: &[Try],
) -> Vec<String> {
    let Some(first) = lost.first() else { return Vec::new() };
    let version = current.map_or_else(String::new, |version| format!(" --version {version}"));
    let mut lines = Vec::new();
    let (mut hashed, by_socket) = (false, lost.iter().any(by_socket));
    for tried in lost {
        let described = deployment.targets.get(&tried.target);
        match described.filter(|described| described.driver == "mariadb") {
            Some(described) => {
                if !hashed {
                    lines.push(NO_WAY_IN.to_owned());
                    lines.extend(by_socket.then(|| BY_SOCKET.to_owned()));
                    lines.push(format!(
                        "hash=$(donjon get {secret}{version} | openssl dgst -sha1 -binary | openssl dgst -sha1 -r | cut -c1-40 | tr a-f A-F)"
                    ));
                    hashed = true;
                }
                let socket = socket(described.options.get("nodes"), &tried.node);
                let socket = socket.map_or_else(String::new, |socket| format!(" --socket={}", word(&socket)));
                lines.push(format!(
                    "printf %s \"{} '*$hash'\" | mariadb --user=root{socket}   # as the system's root on {}",
                    statement(tried),
                    tried.node
                ));
            }
            None => lines.push(format!(
                "donjon get {secret}{version}   # and give it to {} with the server's own tools, on standard input",
                tried.named()
            )),
        }
    }
    lines.push(format!("donjon doctor {secret}   # again: {} was not let in", first.account));
    lines
}

/// The statement up to the hash. The way in by the socket stays where it is the usual one.
fn statement(tried: &Try) -> String {
    let quoted = |text: &str| format!("\\`{}\\`", text.replace('`', "\\`\\`").replace(['\\', '"', '$'], ""));
    let (user, host) = (quoted(&tried.account.user), quoted(&tried.account.host));
    let socket = if by_socket(tried) { "unix_socket OR " } else { "" };
    format!("ALTER USER {user}@{host} IDENTIFIED VIA {socket}mysql_native_password USING")
}

fn by_socket(tried: &Try) -> bool {
    tried.account.user == "root" && tried.account.host == "localhost"
}

/// Where a node's own socket lies, by the deployment file.
pub(super) fn socket(nodes: Option<&Setting>, name: &str) -> Option<String> {
    let Some(Setting::List(nodes)) = nodes else { return None };
    nodes.iter().find_map(|node| match node {
        Setting::Map(map) if map.get("name") == Some(&Setting::Text(name.to_owned())) => match map.get("socket") {
            Some(Setting::Text(socket)) => Some(socket.clone()),
            Some(Setting::Switch(_) | Setting::Number(_) | Setting::List(_) | Setting::Map(_)) | None => None,
        },
        Setting::Map(_) | Setting::Switch(_) | Setting::Number(_) | Setting::Text(_) | Setting::List(_) => None,
    })
}

/// A word of a shell line.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

const NO_WAY_IN: &str = "# where root is refused by the node's socket too: start that server once with --skip-grant-tables --skip-networking, and say FLUSH PRIVILEGES first";
const BY_SOCKET: &str = "# `unix_socket` lets the system's root in without a password, as Debian's servers do; leave it out where root@localhost had none";
