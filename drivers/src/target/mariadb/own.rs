//! This process's own sessions: they prove nothing of anybody else, whoever they log in as and wherever from.
//!
//! A server numbers its sessions and tells each its number. A login is under way for a moment in which the server shows it
//! already and its number is not known here yet; so whoever lists sessions waits until no login is.

use crate::target::Node;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The own sessions at each node.
#[derive(Debug, Default)]
pub(super) struct Own(BTreeMap<String, At>);

/// The own sessions at one node.
#[derive(Debug, Default)]
struct At {
    entering: RwLock<()>,
    known: std::sync::Mutex<BTreeSet<u32>>,
}

/// A login that is under way.
pub(super) struct Entering<'a>(Option<(&'a At, RwLockReadGuard<'a, ()>)>);

/// Nobody logs in meanwhile.
pub(super) struct Quiet<'a>(Option<(&'a At, RwLockWriteGuard<'a, ()>)>);

impl Own {
    /// For these nodes.
    pub(super) fn at(nodes: &[Node]) -> Self {
        Self(nodes.iter().map(|node| (node.name.clone(), At::default())).collect())
    }

    /// A login begins.
    pub(super) async fn enter(&self, node: &Node) -> Entering<'_> {
        match self.0.get(&node.name) {
            Some(at) => Entering(Some((at, at.entering.read().await))),
            None => Entering(None),
        }
    }

    /// Waits until no login is under way.
    pub(super) async fn quiet(&self, node: &Node) -> Quiet<'_> {
        match self.0.get(&node.name) {
            Some(at) => Quiet(Some((at, at.entering.write().await))),
            None => Quiet(None),
        }
    }
}

impl Entering<'_> {
    /// The server has given it a number.
    pub(super) fn entered(self, number: u32) {
        if let Some((at, _guard)) = self.0 {
            at.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(number);
        }
    }
}

impl Quiet<'_> {
    /// Those of the sessions that a server lists which are not this process's own. Own ones that are no longer listed have
    /// ended, and are forgotten.
    pub(super) fn others(self, listed: &BTreeSet<u64>) -> BTreeSet<u64> {
        let Some((at, _guard)) = self.0 else { return listed.clone() };
        let mut known = at.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.retain(|own| listed.iter().any(|number| told(*number) == *own));
        listed.iter().copied().filter(|number| !known.contains(&told(*number))).collect()
    }
}

/// A session's number as it is told to it: the protocol has 32 bits for that.
fn told(number: u64) -> u32 {
    (number & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn own_sessions_are_left_out_and_forgotten_once_they_have_ended() {
        let node = Node { name: "db1".into(), address: String::new() };
        let own = Own::at(std::slice::from_ref(&node));
        own.enter(&node).await.entered(7);
        let long = (1 << 32) + 9;
        own.enter(&node).await.entered(9);
        let listed = BTreeSet::from([6, 7, long]);
        assert_eq!(own.quiet(&node).await.others(&listed), BTreeSet::from([6]));
        assert_eq!(own.quiet(&node).await.others(&BTreeSet::from([6])), BTreeSet::from([6]));
        assert_eq!(own.quiet(&node).await.others(&listed), listed, "another server's numbers may be the same");
    }

    #[tokio::test]
    async fn a_login_that_is_under_way_is_waited_for() {
        let node = Node { name: "db1".into(), address: String::new() };
        let own = Own::at(std::slice::from_ref(&node));
        let entering = own.enter(&node).await;
        let mut listing = Box::pin(own.quiet(&node));
        let listed = tokio::time::timeout(std::time::Duration::from_millis(20), &mut listing).await;
        assert!(listed.is_err(), "it waits");
        entering.entered(3);
        assert_eq!(listing.await.others(&BTreeSet::from([3])), BTreeSet::new());
    }
}
