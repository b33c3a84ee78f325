//! Taking a push back: the authority stays here, as long as it has not arrived there.

use super::{Destination, PushError, Side};
use crate::transfer::{
    authority::Authority,
    fence::unfence,
    mark::{self, Mark},
    private::Places,
};
use donjon_drivers::store::Store;

/// What is known of the other end.
#[derive(Debug, Clone, Copy)]
pub enum OtherEnd<'a> {
    /// It can be asked.
    There(&'a Destination),
    /// Somebody says that it is gone for good.
    Lost,
}

/// Takes the fence away, of a store whose authority is on its way `to` a place. What was copied there stays there, and is no
/// authority: it waits for the same push again.
pub async fn cancel(here: &dyn Store, places: &Places, to: &str, end: OtherEnd<'_>, now: i64) -> Result<(), PushError> {
    if let OtherEnd::There(destination) = end {
        let mounted = destination.place() == to && destination.mounted().await?;
        let theirs = match mounted {
            true => mark::read(&destination.store(), places).await.map_err(Side::There.failed())?.mark,
            false => None,
        };
        let own = Authority::read(here, places).await?;
        let from_here = |from| own.as_ref().is_some_and(|own| own.has_signed_with(from));
        match theirs {
            Some(Mark::Arriving { from }) if from_here(&from) => {}
            Some(Mark::Here { from: Some(from) }) if from_here(&from) => return Err(PushError::Arrived),
            None | Some(_) => return Err(PushError::OtherDestination),
        }
    }
    unfence(here, places, now).await.map_err(Side::Here.failed())
}
