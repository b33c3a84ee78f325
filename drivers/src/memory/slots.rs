//! One key and a few working places in pages of our own.

use super::pages::{Kind, Pages};
use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroize;

/// A key of 32 bytes, and working places for plaintext.
#[derive(Debug)]
pub struct Slots {
    pages: Pages,
    /// The places that nobody has.
    free: Mutex<Vec<usize>>,
}

impl Slots {
    /// Pages with this many places, and a key that `fill` makes.
    pub fn new<E>(places: usize, fill: impl FnOnce(&mut [u8; KEY]) -> Result<(), E>) -> io::Result<Result<Self, E>> {
        let pages = Pages::new(PAGE + places * SLOT)?;
        // SAFETY: the first page is mapped, zeroed, and nobody else knows of it yet.
        let key = unsafe { &mut *pages.at(0).cast::<[u8; KEY]>() };
        Ok(fill(key).map(|()| Self { pages, free: Mutex::new((0..places).collect()) }))
    }

    /// What keeps others from them.
    pub fn kind(&self) -> Kind {
        self.pages.kind()
    }

    /// The key.
    pub fn key(&self) -> &[u8; KEY] {
        // SAFETY: written once, before anyone had this value, and never again; places begin on the next page.
        unsafe { &*self.pages.at(0).cast::<[u8; KEY]>() }
    }

    /// A place of one's own, wiped and given back when dropped; `None` while all are taken.
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        let place = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Slot { slots: Arc::clone(self), place })
    }
}

/// A working place of [`SLOT`] bytes.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    place: usize,
}

impl Deref for Slot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.slots.pages.at(PAGE + self.place * SLOT);
        // SAFETY: the place is this value's alone until it is dropped, and lies within the pages, which it keeps.
        unsafe { std::slice::from_raw_parts(start, SLOT) }
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut [u8] {
        let start = self.slots.pages.at(PAGE + self.place * SLOT);
        // SAFETY: as above, and this value is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(start, SLOT) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.zeroize();
        self.slots.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.place);
    }
}

/// The bytes of a working place: the longest private key, and what goes around it.
pub const SLOT: usize = 8192;
const KEY: usize = 32;
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn slots(places: usize) -> Arc<Slots> {
        let Ok(slots) = Slots::new(places, |key| {
            key.fill(7);
            Ok::<_, Infallible>(())
        })
        .unwrap();
        Arc::new(slots)
    }

    #[test]
    fn each_has_a_place_of_its_own_and_leaves_nothing_in_it() {
        let slots = slots(2);
        let (mut one, mut two) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        one.fill(1);
        two.fill(2);
        assert!(one.iter().all(|b| *b == 1) && two.iter().all(|b| *b == 2) && one.len() == SLOT);
        assert_eq!(slots.key(), &[7; KEY], "the key lies apart");
        drop(two);
        let again = slots.take().unwrap();
        assert!(again.iter().all(|b| *b == 0) && one.iter().all(|b| *b == 1));
    }

    #[test]
    fn a_key_that_cannot_be_made_makes_nothing() {
        assert_eq!(Slots::new(1, |_| Err("no chance")).unwrap().err(), Some("no chance"));
    }
}
