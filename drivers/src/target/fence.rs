//! The fence: whether a broker may still change what it is about to change.
//!
//! A broker can stall between a look at its journal and a statement, while another one takes over and ends the rotation.
//! The store refuses the first one's next write, but a statement that comes late would still change the server, perhaps to
//! a value that nothing stores any more. A server that can hold a lock under the rotation's name closes this gap: the
//! broker takes the lock on the connection that makes the change, then asks, then changes; whoever takes over ends the
//! connection that holds the lock. Where a server has no such lock, asking right before the change makes the gap small.

use async_trait::async_trait;

/// Asked right before a change, or before the first of several that are made under one lock.
#[async_trait]
pub trait Fence: Send + Sync {
    /// Whose change it is: the same name for a broker and for whoever takes over from it.
    fn holder(&self) -> &str;

    /// Whether it is still the caller's to make.
    async fn holds(&self) -> Result<(), Fenced>;
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum Fenced {
    /// Another broker has taken over.
    #[error("another broker has taken over")]
    Lost,
    /// Nobody can tell.
    #[error("cannot tell whether another broker has taken over")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Who asks the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// The target itself, where nothing can come between the answer and the change.
    Target,
    /// Whoever calls it, right before.
    Caller,
}
