//! How many files and connections this process may have open at once: as many as it is allowed to, and what is kept back.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for more, up to what the system allows and no more than is of use; says how many connections that is.
///
/// A soft limit of 1024 is an old default for programs that use `select`; nothing here and nothing that is started from
/// here does.
pub(crate) fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_some_and(|current| current < wanted) {
        // Where it is refused, fewer connections are let in.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
    let open = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH);
    usize::try_from(open.saturating_sub(KEPT_BACK)).unwrap_or(usize::MAX).max(FEWEST)
}

const ENOUGH: u64 = 16_384;
/// For the store, the log, children and the owner's own socket, whatever others do.
const KEPT_BACK: u64 = 256;
const FEWEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_connections_and_something_is_kept_back() {
        let connections = connections() as u64;
        let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(connections == FEWEST as u64 || connections + KEPT_BACK <= open, "{connections} of {open}");
    }
}
