//! The process at the other end of the socket, as the kernel knows it.

use crate::{audit::Actor, socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};
use tokio::net::UnixStream;

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its user, when it connected.
    pub uid: u32,
    /// Its group, when it connected.
    pub gid: u32,
    /// The groups that it had beside this one, when it connected.
    pub groups: Vec<u32>,
    /// Its process, when it connected.
    pub pid: i32,
    /// Its place among the control groups; empty where it cannot be told.
    pub cgroup: String,
}

impl Peer {
    /// Who is at the other end.
    ///
    /// The cgroup is looked up by the process id, which may be another's by now: it counts where the process that connected is
    /// still there after that. A kernel before 6.5 does not tell; there it is looked up all the same, and only narrows what the uid
    /// grants.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let known = stream.peer_cred()?;
        let pid = known.pid().unwrap_or(0);
        let process = socket::peer::process(stream.as_fd());
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let its_own = match process {
            Ok(Some(process)) => lives(process.as_fd()),
            Ok(None) => true,
            // There is no such process any more.
            Err(_) => false,
        };
        let cgroup = if its_own { cgroup } else { String::new() };
        // Where the kernel does not tell them, it has none.
        let groups = socket::peer::groups(stream.as_fd()).unwrap_or_default();
        Ok(Self { uid: known.uid(), gid: known.gid(), groups, pid, cgroup })
    }

    /// Whether it was in this group when it connected, as its own or beside it.
    pub fn in_group(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }

    /// Whether it runs in a unit, or in a container's scope, of this name.
    ///
    /// Only what the system's own manager made counts: slices, and the first group below them that is none. Whatever lies
    /// below may have been made by who runs there (a user's own manager gives its groups any name).
    pub fn runs_in(&self, unit: &str) -> bool {
        let of_systemd = self.cgroup.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            matches!(controllers, "" | "name=systemd").then_some(path)
        });
        let first = |path: &str| {
            let mut parts = path.split('/').filter(|part| !part.is_empty() && !above(part));
            parts.next() == Some(unit)
        };
        of_systemd.into_iter().any(first)
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        Actor { uid: self.uid, pid: self.pid }
    }
}

/// Whether a process has not ended. The kernel shows the end of one as something to read.
fn lives(process: BorrowedFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&now)) == Ok(0)
}

/// Whether a group only holds others: a slice, or what podman and docker put their containers in without systemd.
fn above(part: &str) -> bool {
    part.ends_with(".slice") || matches!(part, "libpod_parent" | "docker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_what_the_system_s_own_manager_made() {
        let peer = |cgroup: &str| Peer { uid: 1, gid: 1, groups: vec![], pid: 1, cgroup: cgroup.to_owned() };
        let unified = peer("0::/system.slice/system-web.slice/keystone.service\n");
        assert!(unified.runs_in("keystone.service"));
        assert!(!unified.runs_in("system.slice") && !unified.runs_in("keystone") && !unified.runs_in("stone.service"));
        let own = peer("0::/user.slice/user-7.slice/user@7.service/app.slice/keystone.service\n");
        assert!(own.runs_in("user@7.service") && !own.runs_in("keystone.service"));
        let inside = peer("0::/machine.slice/libpod-ab.scope/system.slice/keystone.service\n");
        assert!(inside.runs_in("libpod-ab.scope") && !inside.runs_in("keystone.service"));
        assert!(peer("0::/libpod_parent/libpod-ab\n").runs_in("libpod-ab"));
        let mixed = peer("5:memory:/evil.service\n1:name=systemd:/system.slice/a.service\n0::/\n");
        assert!(mixed.runs_in("a.service") && !mixed.runs_in("evil.service"));
        assert!(!peer("").runs_in(""));
    }

    /// Connects, leaves the connection to a child, and ends; the child waits for the other end to go.
    const LEAVES: &str = "import os, socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.connect(sys.argv[1])
if os.fork() == 0:
    stream.recv(1)
    os._exit(0)
";

    #[tokio::test]
    async fn a_process_that_has_ended_runs_in_no_unit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let own = UnixStream::connect(&path).await.unwrap();
        let alive = Peer::of(&listener.accept().await.unwrap().0).unwrap();
        assert!(!alive.cgroup.is_empty(), "the control");
        drop(own);
        let mut child = std::process::Command::new("python3").args(["-c", LEAVES]).arg(&path).spawn().unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        if socket::peer::process(stream.as_fd()).is_ok_and(|process| process.is_none()) {
            // The kernel does not tell.
            child.wait().unwrap();
            return;
        }
        // It has ended, and its number is still there: nobody has asked how.
        let place = format!("/proc/{}", child.id());
        let ended = || std::fs::read_to_string(format!("{place}/stat")).unwrap().contains(") Z ");
        let mut turns = tokio::time::interval(std::time::Duration::from_millis(5));
        while !ended() {
            turns.tick().await;
        }
        assert!(!std::fs::read_to_string(format!("{place}/cgroup")).unwrap().is_empty(), "the control");
        let peer = Peer::of(&stream).unwrap();
        assert_eq!((peer.uid, peer.cgroup.as_str()), (alive.uid, ""));
        child.wait().unwrap();
    }
}
