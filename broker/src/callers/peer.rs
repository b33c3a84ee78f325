//! The process at the other end of the socket, as the kernel knows it.

use crate::audit::Actor;
use std::io;
use tokio::net::UnixStream;

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its user, when it connected.
    pub uid: u32,
    /// Its group, when it connected.
    pub gid: u32,
    /// Its process, when it connected.
    pub pid: i32,
    /// Its place among the control groups; empty where it cannot be told.
    pub cgroup: String,
}

impl Peer {
    /// Who is at the other end.
    ///
    /// The cgroup is looked up by the process id, which may be another's by now: so it only narrows what the uid grants.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let known = stream.peer_cred()?;
        let pid = known.pid().unwrap_or(0);
        let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Ok(Self { uid: known.uid(), gid: known.gid(), pid, cgroup })
    }

    /// Whether it runs in a unit, or in a container's scope, of this name.
    pub fn runs_in(&self, unit: &str) -> bool {
        let of_systemd = self.cgroup.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            matches!(controllers, "" | "name=systemd").then_some(path)
        });
        of_systemd.flat_map(|path| path.split('/')).any(|part| !part.is_empty() && part == unit)
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        Actor { uid: self.uid, pid: self.pid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_whole_part_of_the_path() {
        let peer = |cgroup: &str| Peer { uid: 1, gid: 1, pid: 1, cgroup: cgroup.to_owned() };
        let unified = peer("0::/system.slice/keystone.service\n");
        assert!(unified.runs_in("keystone.service") && unified.runs_in("system.slice"));
        assert!(!unified.runs_in("keystone") && !unified.runs_in("stone.service"));
        let mixed = peer("5:memory:/evil.service\n1:name=systemd:/system.slice/a.service\n0::/\n");
        assert!(mixed.runs_in("a.service") && !mixed.runs_in("evil.service"));
        assert!(!peer("").runs_in(""));
    }
}
