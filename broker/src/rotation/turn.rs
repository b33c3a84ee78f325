//! Whose turn it is: the journal's version tells a broker whether another one has taken over since it read it.

use super::journal::Held;
use crate::records::Layout;
use async_trait::async_trait;
use donjon_drivers::{
    store::Store,
    target::fence::{Fence, Fenced},
};

/// A rotation, as the broker that drives it knows it.
pub struct Turn<'a> {
    /// Where the journal is.
    pub store: &'a dyn Store,
    /// Its paths.
    pub layout: &'a Layout,
    /// The journal as this broker wrote it last.
    pub held: &'a Held,
}

#[async_trait]
impl Fence for Turn<'_> {
    fn holder(&self) -> &str {
        &self.held.journal.id
    }

    async fn holds(&self) -> Result<(), Fenced> {
        match self.held.is_newest(self.store, self.layout).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fenced::Lost),
            Err(error) => Err(Fenced::Unknown(Box::new(error))),
        }
    }
}
