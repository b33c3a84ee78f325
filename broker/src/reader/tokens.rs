//! Tokens: random, kept as digests, good until their time is over, and known again after a restart of the server.
//!
//! The file is a log of JSON lines, one for each token given, renewed or given up; it is written anew when it is
//! read. A last line that was cut short by a crash is a token that nobody got, or an end that nobody was told of. Any other
//! that cannot be read may have been a token's end, so then none of them is believed.

use super::{
    grants::Decision,
    peer::{Key, Peer},
    roles::{Role, Roles},
};
use crate::absence;
use aws_lc_rs::digest::{SHA256, digest};
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
};
use donjon_policies::name::RoleName;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// The tokens of a node.
#[derive(Debug)]
pub struct Tokens {
    known: Known,
    log: Option<Log>,
}

/// Those that are good, with what is counted and looked up of them.
#[derive(Debug, Default)]
struct Known {
    all: BTreeMap<Digest, Token>,
    /// The same, by when they end.
    ends: BTreeSet<(i64, Digest)>,
    /// How many each role has.
    of_role: BTreeMap<RoleName, usize>,
}

/// Makes durable what was written of tokens, without anybody waiting for it who asks for something else.
#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<(File, PathBuf)>);

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    /// In bytes, up to the last whole line.
    length: u64,
    /// Whether there may be a part of a line behind it.
    torn: bool,
    disk: Disk,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    digest: Digest,
    pub(super) role: RoleName,
    /// Of which credential of the role.
    credential: Digest,
    pub(super) accessor: String,
    /// In seconds since 1970.
    pub(super) issued: i64,
    /// From this second on it is refused.
    pub(super) expires: i64,
    pub(super) ttl: u32,
    /// Of which epoch of the role.
    #[serde(default)]
    epoch: u64,
    /// The key that it was given for; with another it is good for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Key>,
    /// It was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
struct Digest(#[serde(with = "crate::transfer::bundle::hexadecimal")] [u8; 32]);

impl Tokens {
    /// Tokens that are forgotten with the process.
    pub fn in_memory() -> Self {
        Self { known: Known::default(), log: None }
    }

    /// Reads a node's tokens, and goes on writing to the same file.
    pub fn open(path: &Path, now: i64) -> Result<Self, TokensError> {
        let mut known = Known::default();
        read(path)?
            .into_values()
            .filter(|token| !token.ended && now < token.expires)
            .for_each(|token| known.set(token));
        let text: Vec<u8> = known.all.values().flat_map(line).collect();
        fs::replace(path, &text)?;
        let io = |source| FileError::Io { act: "open", path: path.into(), source };
        let file = OpenOptions::new().append(true).open(path).map_err(io)?;
        let disk = Disk(Arc::new((file.try_clone().map_err(io)?, path.into())));
        let log = Log { path: path.into(), file, length: text.len() as u64, torn: false, disk };
        Ok(Self { known, log: Some(log) })
    }

    /// A new token for a role. It is for nobody before [`Disk::sync`] has made it durable.
    pub(super) fn issue(&mut self, role: &Role, key: Option<Key>, now: i64) -> Result<(Material, Token), TokensError> {
        let secret = Material::new(format!("s.{}", &*random_hex()?).into_bytes());
        let token = Token {
            digest: digest_of(&secret),
            role: role.name.clone(),
            credential: Digest(*role.credential()),
            accessor: random_hex()?[..24].to_owned(),
            issued: now,
            expires: now + i64::from(role.token_ttl.min(role.token_max_ttl)),
            ttl: role.token_ttl,
            epoch: role.epoch,
            key,
            ended: false,
        };
        self.known.end_by(now);
        if self.known.all.len() >= MOST_TOKENS || self.known.of(&role.name) >= MOST_OF_ROLE {
            return Err(TokensError::TooMany);
        }
        self.keep(&token)?;
        self.known.set(token.clone());
        Ok((secret, token))
    }

    /// The token, if it is still good for a role that is still there with the same credential, and shown by one who may.
    pub(super) fn check(&self, shown: &Material, roles: &Roles, peer: &Peer, now: i64) -> Option<&Token> {
        let token = self.known.all.get(&digest_of(shown)).filter(|token| now < token.expires)?;
        let role = roles.named(&token.role)?;
        let same = token.credential.0 == *role.credential() && token.epoch >= role.epoch;
        let held = token.key.is_none() || token.key == peer.key;
        (same && held && role.callers.admit(peer) == Decision::Granted).then_some(token)
    }

    /// Lets a token live longer, up to its role's bound. One that ended since it was checked stays ended.
    pub(super) fn renew(&mut self, token: &Token, role: &Role, now: i64) -> Result<Token, TokensError> {
        let token = self.known.all.get(&token.digest).filter(|known| now < known.expires).ok_or(TokensError::Ended)?;
        let end = token.issued + i64::from(role.token_max_ttl);
        let expires = (now + i64::from(role.token_ttl)).min(end).max(token.expires);
        let renewed = Token { expires, ..token.clone() };
        self.keep(&renewed)?;
        self.known.set(renewed.clone());
        Ok(renewed)
    }

    /// Ends a token, whatever else is being done with it.
    pub(super) fn end(&mut self, token: &Token) -> Result<(), TokensError> {
        match self.known.remove(&token.digest) {
            Some(known) => self.keep(&Token { ended: true, ..known }),
            None => Ok(()),
        }
    }

    fn keep(&mut self, token: &Token) -> Result<(), TokensError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        Ok(log.append(&line(token)).map_err(|source| FileError::Io { act: "write", path: log.path.clone(), source })?)
    }

    /// Where they are kept; nowhere for those that are forgotten with the process.
    pub(super) fn disk(&self) -> Option<Disk> {
        self.log.as_ref().map(|log| log.disk.clone())
    }
}

impl Disk {
    /// All that was written before is durable once this returns.
    pub(super) fn sync(&self) -> Result<(), TokensError> {
        let (file, path) = &*self.0;
        Ok(file.sync_data().map_err(|source| FileError::Io { act: "sync", path: path.clone(), source })?)
    }
}

impl Known {
    fn set(&mut self, token: Token) {
        self.remove(&token.digest);
        self.ends.insert((token.expires, token.digest));
        *self.of_role.entry(token.role.clone()).or_default() += 1;
        self.all.insert(token.digest, token);
    }

    fn remove(&mut self, digest: &Digest) -> Option<Token> {
        let token = self.all.remove(digest)?;
        self.ends.remove(&(token.expires, token.digest));
        if let Some(count) = self.of_role.get_mut(&token.role) {
            *count -= 1;
            if *count == 0 {
                self.of_role.remove(&token.role);
            }
        }
        Some(token)
    }

    /// Forgets those whose time is over.
    fn end_by(&mut self, now: i64) {
        while let Some((_, digest)) = self.ends.first().filter(|(end, _)| *end <= now).copied() {
            self.remove(&digest);
        }
    }

    fn of(&self, role: &RoleName) -> usize {
        self.of_role.get(role).copied().unwrap_or_default()
    }
}

impl Log {
    /// A line, whole; where that fails nothing of it stays, and until nothing of it does, no other is taken.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
        }
        self.torn = true;
        match self.file.write_all(line) {
            Ok(()) => {
                self.length += line.len() as u64;
                self.torn = false;
                Ok(())
            }
            Err(error) => {
                self.torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }
}

fn read(path: &Path) -> Result<BTreeMap<Digest, Token>, TokensError> {
    let mut known = BTreeMap::new();
    let Some(text) = absence::read_private(path)? else { return Ok(known) };
    let (whole, _cut_short) = text.split_at(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
    let lines = whole.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    for (number, line) in lines {
        let damaged = |_| TokensError::Damaged { file: path.into(), line: number + 1 };
        let token = serde_json::from_slice::<Token>(line).map_err(damaged)?;
        known.insert(token.digest, token);
    }
    Ok(known)
}

fn line(token: &Token) -> Vec<u8> {
    let mut line = serde_json::to_vec(token).expect("strings and numbers always have a JSON text");
    line.push(b'\n');
    line
}

fn digest_of(token: &Material) -> Digest {
    let mut out = [0; 32];
    // EXPOSE: digested; tokens have 192 random bits
    out.copy_from_slice(digest(&SHA256, token.expose()).as_ref());
    Digest(out)
}

fn random_hex() -> Result<Zeroizing<String>, TokensError> {
    let mut bytes = Zeroizing::new([0; 24]);
    aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|_| TokensError::Chance)?;
    Ok(Zeroizing::new(hex::encode(bytes.as_slice())))
}

/// Why a token could not be given, renewed or ended.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file failed.
    #[error("cannot keep the tokens")]
    File(#[from] FileError),
    /// A line cannot be read, and it may have been a token's end.
    #[error("line {line} of {} is damaged, and may have been the end of a token", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Its place in the file, from 1.
        line: usize,
    },
    /// It has ended since it was checked.
    #[error("the token has ended")]
    Ended,
    /// There are too many at once.
    #[error("there are {MOST_TOKENS} live tokens already, or {MOST_OF_ROLE} of the role")]
    TooMany,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Chance,
}

const MOST_TOKENS: usize = 100_000;
/// No role takes the room of the others.
const MOST_OF_ROLE: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{callers::Callers, peer::Place};
    const HERE: Peer = Peer { place: Place::Machine { uid: Some(7) }, key: None };

    fn role(name: &str) -> Role {
        Role::generate(name.parse().unwrap(), &BTreeSet::new()).unwrap().0
    }

    #[test]
    fn a_token_outlives_the_server_and_not_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let role = role("a");
        let roles = Roles::new([role.clone()]);
        let (secret, token) = Tokens::open(&file, 1000).unwrap().issue(&role, None, 1000).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&token.accessor), "the control");
        assert!(!text.contains(&secret.expose_text().unwrap()[2..])); // EXPOSE: searched for
        let end = 1000 + i64::from(role.token_ttl);
        let tokens = Tokens::open(&file, 1001).unwrap();
        assert!(tokens.check(&secret, &roles, &HERE, end - 1).is_some());
        assert!(tokens.check(&secret, &roles, &HERE, end).is_none(), "the last second is not its own");
        assert!(Tokens::open(&file, end).unwrap().check(&secret, &roles, &HERE, 1001).is_none());
    }

    #[test]
    fn a_torn_line_is_nobodys_token_and_hurts_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let role = role("a");
        let roles = Roles::new([role.clone()]);
        let (secret, _) = Tokens::open(&file, 0).unwrap().issue(&role, None, 0).unwrap();
        let mut text = std::fs::read(&file).unwrap();
        text.extend_from_slice(b"{\"digest\":\"00");
        fs::replace(&file, &text).unwrap();
        let mut tokens = Tokens::open(&file, 0).unwrap();
        assert!(tokens.check(&secret, &roles, &HERE, 1).is_some());
        let (second, _) = tokens.issue(&role, None, 1).unwrap();
        assert!(Tokens::open(&file, 1).unwrap().check(&second, &roles, &HERE, 1).is_some());
    }

    #[test]
    fn a_line_that_may_have_been_an_end_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let role = role("a");
        let mut tokens = Tokens::open(&file, 0).unwrap();
        let (_, token) = tokens.issue(&role, None, 0).unwrap();
        tokens.end(&token).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let glued = text.replacen('\n', "\n{\"digest\":\"00", 1);
        assert_eq!(glued.lines().count(), 2, "the end is part of a line that cannot be read");
        fs::replace(&file, glued.as_bytes()).unwrap();
        assert!(matches!(Tokens::open(&file, 0), Err(TokensError::Damaged { line: 2, .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), glued, "and the file stays as it is");
    }

    #[test]
    fn what_a_full_disk_took_of_a_line_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let role = role("a");
        let mut tokens = Tokens::open(&file, 0).unwrap();
        let (secret, token) = tokens.issue(&role, None, 0).unwrap();
        let whole = std::fs::read(&file).unwrap();
        // A disk that takes half of a line and then refuses; it is the line that is written next.
        let half = |file: &Path| {
            let mut other = OpenOptions::new().append(true).open(file).unwrap();
            other.write_all(b"{\"digest\":\"00").unwrap();
        };
        let log = tokens.log.as_mut().unwrap();
        log.file = File::open(&file).unwrap();
        half(&file);
        assert!(tokens.end(&token).is_err(), "nothing can be written through this");
        let log = tokens.log.as_mut().unwrap();
        assert!(log.torn, "and nothing taken back");
        log.file = OpenOptions::new().append(true).open(&file).unwrap();
        let (other, _) = tokens.issue(&role, None, 0).unwrap();
        let text = std::fs::read(&file).unwrap();
        assert_eq!(text[..whole.len()], whole, "the half line is gone");
        let (roles, opened) = (Roles::new([role]), Tokens::open(&file, 1).unwrap());
        assert!(opened.check(&other, &roles, &HERE, 1).is_some() && opened.check(&secret, &roles, &HERE, 1).is_some());
    }

    #[test]
    fn a_renewal_that_comes_after_the_end_brings_nothing_back() {
        let mut tokens = Tokens::in_memory();
        let role = role("a");
        let roles = Roles::new([role.clone()]);
        let (secret, _) = tokens.issue(&role, None, 0).unwrap();
        let checked = tokens.check(&secret, &roles, &HERE, 1).unwrap().clone();
        tokens.end(&checked).unwrap();
        assert!(matches!(tokens.renew(&checked, &role, 1), Err(TokensError::Ended)));
        assert!(tokens.check(&secret, &roles, &HERE, 1).is_none());
    }

    #[test]
    fn no_role_takes_the_room_of_the_others() {
        let mut tokens = Tokens::in_memory();
        let (one, other) = (role("a"), role("b"));
        for _ in 0..MOST_OF_ROLE {
            tokens.issue(&one, None, 0).unwrap();
        }
        assert!(matches!(tokens.issue(&one, None, 1), Err(TokensError::TooMany)));
        assert!(tokens.issue(&other, None, 1).is_ok());
        let end = i64::from(one.token_ttl);
        tokens.issue(&one, None, end).unwrap();
        assert_eq!((tokens.known.all.len(), tokens.known.of(&one.name)), (2, 1), "what has ended makes room");
        assert_eq!(tokens.known.ends.len(), 2);
    }

    #[test]
    fn a_new_credential_a_lost_role_and_giving_up_end_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let old = role("a");
        let roles = Roles::new([old.clone()]);
        let mut tokens = Tokens::open(&file, 0).unwrap();
        let (secret, token) = tokens.issue(&old, None, 0).unwrap();
        assert!(tokens.check(&secret, &Roles::new([role("a")]), &HERE, 1).is_none());
        assert!(tokens.check(&secret, &Roles::default(), &HERE, 1).is_none());
        assert!(tokens.check(&secret, &roles, &HERE, 1).is_some());
        tokens.end(&token).unwrap();
        assert!(tokens.check(&secret, &roles, &HERE, 1).is_none());
        assert!(Tokens::open(&file, 0).unwrap().check(&secret, &roles, &HERE, 1).is_none());
    }

    #[test]
    fn a_revocation_ends_all_tokens_before_it_and_none_after() {
        let mut tokens = Tokens::in_memory();
        let old = role("a");
        let new = old.revoked();
        let roles = Roles::new([new.clone()]);
        let (before, _) = tokens.issue(&old, None, 0).unwrap();
        let (after, _) = tokens.issue(&new, None, 0).unwrap();
        assert!(tokens.check(&before, &Roles::new([old]), &HERE, 1).is_some(), "the control");
        assert!(tokens.check(&before, &roles, &HERE, 1).is_none());
        assert!(tokens.check(&after, &roles, &HERE, 1).is_some());
    }

    #[test]
    fn a_stolen_token_is_good_for_nobody_else() {
        let mut tokens = Tokens::in_memory();
        let role = role("a").of(Callers { uids: [7].into(), ..Callers::default() });
        let roles = Roles::new([role.clone()]);
        let (secret, _) = tokens.issue(&role, None, 0).unwrap();
        let peer = |place| Peer { place, key: None };
        for (place, good) in [
            (Place::Machine { uid: Some(7) }, true),
            (Place::Socket { uid: 7, pid: 1 }, true),
            (Place::Machine { uid: Some(0) }, false),
            (Place::Machine { uid: None }, false),
            (Place::Socket { uid: 8, pid: 1 }, false),
            (Place::Network("192.0.2.1".parse().unwrap()), false),
        ] {
            assert_eq!(tokens.check(&secret, &roles, &peer(place), 1).is_some(), good, "{place:?}");
        }
    }

    #[test]
    fn a_renewal_ends_where_the_role_says() {
        let role = role("a");
        let mut tokens = Tokens::in_memory();
        let (_, token) = tokens.issue(&role, None, 0).unwrap();
        let most = i64::from(role.token_max_ttl);
        let first = tokens.renew(&token, &role, -100).unwrap();
        assert_eq!(first.expires, token.expires, "a clock that jumps back shortens nothing");
        let mut renewed = tokens.renew(&token, &role, 10).unwrap();
        assert_eq!(renewed.expires, 10 + i64::from(role.token_ttl));
        while renewed.expires < most {
            renewed = tokens.renew(&token, &role, renewed.expires - 1).unwrap();
        }
        assert_eq!(renewed.expires, most);
        assert!(matches!(tokens.renew(&token, &role, most), Err(TokensError::Ended)), "the last second is not its own");
    }
}
