//! A user's file on one node, read and replaced whole as that user.

use super::{
    client::{self, Answer},
    server::SshKeys,
};
use crate::target::{Account, Admin, Node, TargetError};
use sha2::{Digest, Sha256};

/// The file of one user on one node, for one administrator.
pub(super) struct Place<'a> {
    pub(super) target: &'a SshKeys,
    pub(super) node: &'a Node,
    pub(super) admin: &'a Admin<'a>,
    pub(super) account: &'a Account,
}

/// What is there.
pub(super) enum Found {
    /// A file.
    File(Vec<u8>),
    /// A user without a file.
    Nothing,
    /// No user.
    Nobody,
}

impl Place<'_> {
    /// Reads it.
    pub(super) async fn read(&self) -> Result<Found, TargetError> {
        match self.run(READ, "", b"").await? {
            (Some(0), content) => Ok(Found::File(content)),
            (Some(NO_FILE), _) => Ok(Found::Nothing),
            (Some(NO_USER), _) => Ok(Found::Nobody),
            (code, _) => Err(self.unable(&format!("its file cannot be read (exit {code:?})"))),
        }
    }

    /// Replaces it where it is still what was read: written beside it, synced, renamed; owner and mode stay.
    pub(super) async fn replace(&self, before: Option<&[u8]>, content: &[u8]) -> Result<(), TargetError> {
        let sum = before.map_or("none".to_owned(), |before| hex::encode(Sha256::digest(before)));
        match self.run(REPLACE, &sum, content).await?.0 {
            Some(0) => Ok(()),
            Some(NOT_OWN) => Err(self.unable("its file is a link, or belongs to someone else")),
            Some(CHANGED) => Err(self.unable("its file was changed by someone else meanwhile")),
            code => Err(self.unable(&format!("its file cannot be written (exit {code:?})"))),
        }
    }

    async fn run(&self, script: &str, sum: &str, input: &[u8]) -> Result<(Option<i32>, Vec<u8>), TargetError> {
        let Self { target, node, admin, account } = self;
        let member = target.member(node)?;
        // The far system decides who is a user; these could not even be asked for.
        if account.user.is_empty() || account.user.starts_with('-') || account.user.contains(['/', ':', '\0']) {
            return Err(self.unable("no user is called so"));
        }
        if !account.host.is_empty() {
            return Err(self.unable("users have no host entries here"));
        }
        let file = target.settings.file.replace("%u", &account.user);
        let mut words: Vec<&str> = target.settings.before.iter().map(String::as_str).collect();
        words.extend(["sh", "-c", AS_USER, "sh", &account.user, script, &file, sum]);
        for value in admin.values.iter().take(MOST_DENIED) {
            match client::call(member, &target.settings, admin.user, value, &words, input).await {
                // EXPOSE: the content of `authorized_keys`, which is public
                Ok(Answer::In(code, out)) => return Ok((code, out.expose().to_vec())),
                Ok(Answer::Refused | Answer::NoKey) => {}
                Err(source) => {
                    return Err(TargetError::Unreachable {
                        node: node.name.clone(),
                        address: node.address.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
        Err(TargetError::AdminRefused {
            node: node.name.clone(),
            address: node.address.clone(),
            user: admin.user.to_owned(),
        })
    }

    /// The error that something is not possible here.
    pub(super) fn unable(&self, what: &str) -> TargetError {
        TargetError::Unable { node: self.node.name.clone(), what: format!("{}: {what}", self.account) }
    }
}

const MOST_DENIED: usize = 3;

const NO_USER: i32 = 40;
const NO_FILE: i32 = 41;
const NOT_OWN: i32 = 42;
const CHANGED: i32 = 43;

/// Arguments: the user, a script, the file (in the user's home where it is relative), the sum.
const AS_USER: &str = "home=$(getent passwd \"$1\" | cut -d: -f6); [ -n \"$home\" ] || exit 40\n\
    case $3 in /*) file=$3 ;; *) file=$home/$3 ;; esac\n\
    if [ \"$(id -un)\" = \"$1\" ]; then exec sh -c \"$2\" sh \"$file\" \"$4\"; fi\n\
    exec runuser -u \"$1\" -- sh -c \"$2\" sh \"$file\" \"$4\"";

const READ: &str = "if [ -e \"$1\" ]; then exec cat -- \"$1\"; else exit 41; fi";

const REPLACE: &str = "set -eu; umask 077; folder=${1%/*}\n\
    [ -d \"$folder\" ] || mkdir -m 700 -- \"$folder\"\n\
    if [ -L \"$1\" ] || { [ -e \"$1\" ] && [ ! -O \"$1\" ]; }; then exit 42; fi\n\
    new=$(mktemp -- \"$folder/.donjon.XXXXXXXX\"); trap 'rm -f -- \"$new\"' EXIT\n\
    cat > \"$new\"\n\
    sum=none\n\
    if [ -e \"$1\" ]; then sum=$(sha256sum < \"$1\" | cut -d' ' -f1); \
    chgrp --reference=\"$1\" -- \"$new\" 2>/dev/null || :; chmod --reference=\"$1\" -- \"$new\"; fi\n\
    [ \"$sum\" = \"$2\" ] || exit 43\n\
    sync -- \"$new\"; mv -f -- \"$new\" \"$1\"; sync -- \"$folder\"";
