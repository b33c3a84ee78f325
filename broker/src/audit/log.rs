//! Writing the audit log: handed to the kernel before the answer, synced before an act.

use super::{
    head::{Beside, Head},
    line::{Act, FORMAT, Line, NOTHING_BEFORE, Outcome, Override},
    tail, verify,
};
use crate::reader::Key;
use donjon_drivers::fs;
use donjon_policies::name::{RoleName, SecretName};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub uid: u32,
    /// The process.
    pub pid: i32,
}

impl Actor {
    /// This process, for what it does by itself.
    pub fn own() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), pid: rustix::process::getpid().as_raw_nonzero().get() }
    }
}

/// The open log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    state: Mutex<State>,
    /// The same file, to be synced while lines are written.
    disk: File,
    head: Beside,
}

#[derive(Debug)]
struct State {
    file: File,
    /// In bytes, up to the last whole line.
    length: u64,
    sequence: u64,
    previous: String,
    /// What a crash had cut short before the next line.
    cut: Option<String>,
    /// Up to which line the head speaks of it.
    headed: u64,
    /// Whether there may be a part of a line at the end. Until it is taken back there is no other.
    torn: bool,
    /// Whether there are lines that the disk may not have.
    unsynced: bool,
    /// Whether the disk refused lines that the kernel had taken.
    refused: bool,
}

/// Why a line could not be written. Then nothing else is done either.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file failed.
    #[error("cannot write the audit log {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not private, or cannot be read.
    #[error("cannot open the audit log")]
    File(#[from] fs::FileError),
    /// What is in it does not hold together.
    #[error("the audit log {} does not hold together", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where.
        source: verify::Broken,
    },
}

/// How durable a line is before what it tells is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    Kernel,
    Disk,
}

/// What a line is about.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Where on the network it was asked from.
    pub from: Option<IpAddr>,
    /// The key that was proven in the TLS handshake.
    pub key: Option<Key>,
    /// The role that a reader answered.
    pub role: Option<RoleName>,
    /// The secrets and views.
    pub names: Vec<SecretName>,
    /// How many were asked for at once, where the first alone that was refused is named.
    pub asked: Option<u32>,
    /// What the operator took upon himself.
    pub overrides: Vec<Override>,
}

impl Log {
    /// Opens the log and goes on with its chain. A last line that was cut short by a crash is ended, and stays visible.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let io_error = |source| AuditError::Io { path: path.into(), source };
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(io_error)?;
        fs::require_private(path)?;
        // A log is longer than what its end is looked for in: only `audit verify` reads all of it.
        let (end, head) = (tail::last(path).map_err(io_error)?, Head::read(path)?);
        if !end.holds(head.as_ref()) {
            let source = verify::chain(&fs::read(path)?, head.as_ref()).err().unwrap_or(verify::NO_END);
            return Err(AuditError::Broken { path: path.into(), source });
        }
        let cut = (!end.cut.iter().all(|byte| *byte == b'\n')).then(|| verify::digest(&end.cut));
        if !end.ended {
            file.write_all(b"\n").map_err(io_error)?;
        }
        let (sequence, previous) =
            end.line.map_or((0, NOTHING_BEFORE.to_owned()), |sealed| (sealed.line.sequence, sealed.hash));
        file.sync_data().map_err(io_error)?;
        let head = Beside::open(path).map_err(io_error)?;
        head.write(&Head::new(sequence, previous.clone())).map_err(io_error)?;
        let disk = file.try_clone().map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let state = State {
            file,
            length,
            sequence,
            previous,
            cut,
            headed: sequence,
            torn: false,
            unsynced: false,
            refused: false,
        };
        Ok(Self { path: path.into(), state: Mutex::new(state), disk, head })
    }

    /// Writes a line; once this returns the kernel has it, and for acts that change something the disk has it.
    pub fn record(&self, actor: Actor, act: Act, names: Vec<SecretName>, outcome: Outcome) -> Result<(), AuditError> {
        self.record_about(actor, act, About { names, ..About::default() }, outcome)
    }

    /// As [`Log::record`], with all that a line can say.
    pub fn record_about(&self, actor: Actor, act: Act, about: About, outcome: Outcome) -> Result<(), AuditError> {
        let io_error = |source| AuditError::Io { path: self.path.clone(), source };
        let mut state = self.state();
        let mut line = Line {
            format: FORMAT,
            sequence: state.sequence + 1,
            at: jiff::Timestamp::now().as_microsecond(),
            uid: actor.uid,
            pid: actor.pid,
            from: about.from,
            key: about.key,
            role: about.role,
            act,
            names: about.names,
            asked: about.asked,
            overrides: about.overrides,
            outcome,
            cut: state.cut.clone(),
            previous: std::mem::take(&mut state.previous),
        };
        let written = line.write();
        state.previous = std::mem::take(&mut line.previous);
        let written = written.map_err(|e| io_error(e.into()))?;
        if state.torn {
            state.file.set_len(state.length).map_err(io_error)?;
            state.torn = false;
        }
        if state.refused {
            // What was lost is nothing that one more line mends.
            self.disk.sync_data().map_err(io_error)?;
            state.refused = false;
        }
        if let Err(error) = state.file.write_all(&written.text) {
            // A full disk may have taken a part of it, which would stand before the next line.
            state.torn = state.file.set_len(state.length).is_err();
            return Err(io_error(error));
        }
        state.cut = None;
        state.length += written.text.len() as u64;
        state.sequence += 1;
        state.previous = written.hash;
        state.unsynced = true;
        if durability(act, outcome) == Durability::Disk {
            state.file.sync_data().map_err(io_error)?;
            let (sequence, hash) = (state.sequence, state.previous.clone());
            self.note(&mut state, Head::new(sequence, hash)).map_err(io_error)?;
        }
        Ok(())
    }

    /// What is durable now is known to have been there.
    fn note(&self, state: &mut State, head: Head) -> io::Result<()> {
        if head.sequence > state.headed {
            self.head.write(&head)?;
            state.headed = head.sequence;
        }
        Ok(())
    }

    /// Makes all lines so far durable. Where the disk refuses, no line is taken until it no longer does.
    pub fn sync(&self) -> Result<(), AuditError> {
        let head = {
            let mut state = self.state();
            if !std::mem::take(&mut state.unsynced) {
                return Ok(());
            }
            Head::new(state.sequence, state.previous.clone())
        };
        // Others write meanwhile.
        let synced = self.disk.sync_data();
        let mut state = self.state();
        let synced = synced.and_then(|()| self.note(&mut state, head));
        if synced.is_err() {
            (state.unsynced, state.refused) = (true, true);
        }
        drop(state);
        synced.map_err(|source| AuditError::Io { path: self.path.clone(), source })
    }

    /// How many bytes its disk still takes; `None` where that cannot be told.
    pub fn room(&self) -> Option<u64> {
        fs::room(&self.disk).ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn durability(act: Act, outcome: Outcome) -> Durability {
    match act {
        // Nothing was done, and who is refused makes the disk wait for nobody.
        _ if outcome == Outcome::Denied => Durability::Kernel,
        // A view holds nothing that was not stored before, and its own line.
        Act::Read | Act::List | Act::History | Act::Login | Act::Token | Act::Assemble => Durability::Kernel,
        Act::Up
        | Act::Down
        | Act::Put
        | Act::Generate
        | Act::Adopt
        | Act::Unseal
        | Act::Deploy
        | Act::Rotate
        | Act::RenewBroker
        | Act::RenewSigningKey
        | Act::Doctor
        | Act::Scan
        | Act::Export
        | Act::Import
        | Act::Receipt
        | Act::Recipients
        | Act::Retire => Durability::Disk,
    }
}

/// What an audit log needs of a disk: a day of a busy deployment's lines, and more.
pub const LITTLE_ROOM: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const ACTOR: Actor = Actor { uid: 0, pid: 1 };

    fn write(log: &Log, times: usize) {
        for _ in 0..times {
            log.record(ACTOR, Act::Read, vec!["x".parse().unwrap()], Outcome::Done).unwrap();
        }
    }

    fn checked(path: &Path) -> Result<verify::End, verify::Broken> {
        verify::chain(&fs::read(path).unwrap(), Head::read(path).unwrap().as_ref())
    }

    #[test]
    fn the_chain_goes_on_after_a_restart_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        write(&Log::open(&path).unwrap(), 3);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"line\":{\"form");
        fs::replace(&path, &text).unwrap();
        write(&Log::open(&path).unwrap(), 2);
        let end = checked(&path).unwrap();
        assert_eq!((end.sequence, end.torn), (5, 1));
    }

    #[test]
    fn a_long_log_is_gone_on_with_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        write(&Log::open(&path).unwrap(), 700);
        let many = vec!["x".repeat(128).parse::<SecretName>().unwrap(); 1000];
        Log::open(&path).unwrap().record(ACTOR, Act::Generate, many, Outcome::Done).unwrap();
        assert!(fs::read(&path).unwrap().len() > 300_000, "longer than what is looked at first");
        write(&Log::open(&path).unwrap(), 2);
        assert_eq!(checked(&path).unwrap().sequence, 703);
        // What is wrong with the last line is seen, and with an earlier one by `audit verify` alone.
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        fs::replace(&path, format!("{}\n{rest}", first.replace("\"uid\":0", "\"uid\":7")).as_bytes()).unwrap();
        assert!(Log::open(&path).is_ok() && checked(&path).is_err());
        let at = text.rfind("\"uid\":0").unwrap();
        fs::replace(&path, format!("{}\"uid\":7{}", &text[..at], &text[at + 7..]).as_bytes()).unwrap();
        assert!(matches!(Log::open(&path), Err(AuditError::Broken { .. })));
    }

    #[test]
    fn a_changed_or_missing_line_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        write(&Log::open(&path).unwrap(), 4);
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert!(verify::chain(text.as_bytes(), None).is_ok());
        assert!(verify::chain(text.replacen("\"uid\":0", "\"uid\":7", 1).as_bytes(), None).is_err());
        let without_second: String =
            text.lines().enumerate().filter(|(i, _)| *i != 1).map(|(_, l)| format!("{l}\n")).collect();
        assert!(verify::chain(without_second.as_bytes(), None).is_err());
    }

    #[test]
    fn an_end_that_was_taken_away_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = Log::open(&path).unwrap();
        write(&log, 4);
        log.sync().unwrap();
        log.record(ACTOR, Act::Put, Vec::new(), Outcome::Done).unwrap();
        drop(log);
        let text = fs::read(&path).unwrap();
        assert_eq!(checked(&path).unwrap().sequence, 5, "the control");
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for kept in 0..5 {
            fs::replace(&path, &lines[..kept].concat()).unwrap();
            assert!(verify::chain(&lines[..kept].concat(), None).is_ok(), "it holds together");
            assert!(checked(&path).unwrap_err().to_string().contains("its end was taken away"), "{kept}");
            assert!(matches!(Log::open(&path), Err(AuditError::Broken { .. })), "{kept}");
        }
        // Lines that the head does not speak of yet are no fault: it is behind by a second at most.
        fs::replace(&path, &text).unwrap();
        let log = Log::open(&path).unwrap();
        write(&log, 1);
        drop(log);
        assert_eq!(checked(&path).unwrap().sequence, 6);
    }

    #[test]
    fn what_is_no_line_is_what_a_crash_left_and_a_start_has_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        write(&Log::open(&path).unwrap(), 2);
        let text = fs::read(&path).unwrap();
        let with = |behind: &[u8]| fs::replace(&path, &[&text, behind].concat()).unwrap();
        for junk in [&b"not json at all\n"[..], b"not json at all", b"{}\n", b"{\"line\":{\"sequence\":3"] {
            with(junk);
            assert!(checked(&path).is_err() && Log::open(&path).is_err(), "{}", junk.escape_ascii());
        }
        for cut in [
            &b"{"[..],
            b"{\"line\":{\"format\":2,\"se",
            b"{\"line\":{\"for\0\0\0",
            b"\0\0\0\0",
            b"{\"line\":{\"format\":2\n",
        ] {
            with(cut);
            assert_eq!(checked(&path).unwrap().torn, 1, "{}", cut.escape_ascii());
            // Two starts before there is a line again.
            drop(Log::open(&path).unwrap());
            write(&Log::open(&path).unwrap(), 2);
            let end = checked(&path).unwrap();
            assert_eq!((end.sequence, end.torn), (4, 1), "{}", cut.escape_ascii());
            let whole = fs::read(&path).unwrap();
            // The same in another place, and another in the same place.
            let later = whole.iter().rposition(|byte| *byte == b'\n').unwrap();
            let later = whole[..later].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
            let moved = [&whole[..later], b"{\"line\":{\"format\":2\n", &whole[later..]].concat();
            assert!(verify::chain(&moved, None).is_err(), "{}", cut.escape_ascii());
            let place = text.len();
            let other =
                [&whole[..place], b"{\"line\":{\"format\":2,\"other", &whole[place + cut.trim_ascii_end().len()..]]
                    .concat();
            assert!(verify::chain(&other, None).is_err(), "{}", cut.escape_ascii());
        }
    }
}
