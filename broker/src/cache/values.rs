//! Values in ordinary memory, each sealed for itself and bound to its name, part and version.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use donjon_drivers::{
    material::Material,
    memory::Slots,
    store::{Version, secret::Part},
};
use donjon_policies::name::SecretName;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Sealed values under a key that is made at start and lies in a page of its own.
pub(super) struct Values {
    slots: Arc<Slots>,
    kept: BTreeMap<SecretName, [Option<Arc<Sealed>>; PARTS]>,
    bytes: usize,
}

/// A value as it was read from the store.
#[derive(Debug)]
pub struct Read {
    /// It.
    pub value: Material,
    /// Which version it is.
    pub version: Version,
    /// When that was written, in seconds since 1970.
    pub created: i64,
}

/// One value, sealed.
pub(super) struct Sealed {
    version: Version,
    created: i64,
    kept: Instant,
    nonce: [u8; NONCE_LEN],
    bytes: Box<[u8]>,
}

impl Sealed {
    /// Which version it is.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// When it was written, in seconds since 1970.
    pub(super) fn created(&self) -> i64 {
        self.created
    }

    /// How much room it takes to open it.
    pub(super) fn room(&self) -> usize {
        self.bytes.len()
    }

    /// Opens it at the beginning of a place with that much room, and says how many bytes it has.
    pub(super) fn open(&self, slots: &Slots, name: &SecretName, part: Part, place: &mut [u8]) -> Option<usize> {
        let place = place.get_mut(..self.bytes.len())?;
        place.copy_from_slice(&self.bytes);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = cipher(slots)?.open_in_place(nonce, bound(name, part, self.version), place).ok()?;
        Some(opened.len())
    }
}

impl Values {
    /// No values; `None` where there are no pages, or no chance for a key.
    pub(super) fn new() -> Option<Self> {
        let slots = Slots::new(PLACES, |key| aws_lc_rs::rand::fill(key)).ok()?.ok()?;
        Some(Self { slots: Arc::new(slots), kept: BTreeMap::new(), bytes: 0 })
    }

    /// The pages that the key lies in, and places to open values in.
    pub(super) fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// A value that was kept less than half a minute ago.
    pub(super) fn find(&self, name: &SecretName, part: Part, now: Instant) -> Option<Arc<Sealed>> {
        let sealed = self.kept.get(name)?[index(part)].as_ref()?;
        (now.saturating_duration_since(sealed.kept) < KEPT_FOR).then(|| Arc::clone(sealed))
    }

    /// Seals a value and keeps it, while there is room.
    pub(super) fn keep(&mut self, name: &SecretName, part: Part, read: &Read, now: Instant) {
        let Read { value, version, created } = read;
        if self.bytes + value.len() > MOST_BYTES {
            return;
        }
        let mut nonce = [0; NONCE_LEN];
        let Some(cipher) = cipher(&self.slots).filter(|_| aws_lc_rs::rand::fill(&mut nonce).is_ok()) else { return };
        // Room for the tag, so that the plaintext never moves.
        let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        bytes.extend_from_slice(value.expose()); // EXPOSE: sealed in place
        let fresh = Nonce::assume_unique_for_key(nonce);
        if cipher.seal_in_place_append_tag(fresh, bound(name, part, *version), &mut *bytes).is_err() {
            return;
        }
        let sealed =
            Arc::new(Sealed { version: *version, created: *created, kept: now, nonce, bytes: bytes.as_slice().into() });
        let added = sealed.bytes.len();
        let place = &mut self.kept.entry(name.clone()).or_default()[index(part)];
        let replaced = place.replace(sealed).map_or(0, |old| old.bytes.len());
        self.bytes = self.bytes + added - replaced;
    }

    /// How many names it has values of.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Forgets all of one name.
    pub(super) fn forget(&mut self, name: &SecretName) {
        let gone = self.kept.remove(name).into_iter().flatten().flatten();
        self.bytes -= gone.map(|sealed| sealed.bytes.len()).sum::<usize>();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.kept = BTreeMap::new();
        self.bytes = 0;
    }
}

/// Set up for each value: an expanded key would lie in ordinary memory for as long as the daemon lives.
fn cipher(slots: &Slots) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, slots.key()).ok().map(LessSafeKey::new)
}

/// A value opens under its own name, part and version alone. Names hold no NUL.
fn bound(name: &SecretName, part: Part, version: Version) -> Aad<Vec<u8>> {
    let mut text = Vec::with_capacity(name.as_str().len() + 10);
    text.extend_from_slice(name.as_str().as_bytes());
    text.extend_from_slice(&[0, index(part) as u8]);
    text.extend_from_slice(&version.0.to_be_bytes());
    Aad::from(text)
}

fn index(part: Part) -> usize {
    match part {
        Part::Whole => 0,
        Part::PrivateKey => 1,
        Part::PublicKey => 2,
        Part::Record => 3,
    }
}

const PARTS: usize = 4;
/// With the key's page less than the 64 KB that RLIMIT_MEMLOCK was on older systems.
const PLACES: usize = 7;
const KEPT_FOR: Duration = Duration::from_secs(30);
/// All secrets of a large deployment, a thousand times over. What has no room is read from the store each time.
const MOST_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    fn value() -> Material {
        Material::from("canary-4711-canary".to_owned())
    }

    fn read(version: u64, value: Material) -> Read {
        Read { value, version: Version(version), created: 0 }
    }

    fn open(values: &Values, text: &str, part: Part, now: Instant) -> Option<(Vec<u8>, Version)> {
        let sealed = values.find(&name(text), part, now)?;
        let mut place = vec![0; sealed.room()];
        let length = sealed.open(&values.slots, &name(text), part, &mut place)?;
        Some((place[..length].to_vec(), sealed.version()))
    }

    #[test]
    fn a_value_opens_as_itself_and_as_nothing_else() {
        let (mut values, now) = (Values::new().unwrap(), Instant::now());
        values.keep(&name("a"), Part::Whole, &read(3, value()), now);
        let opened = open(&values, "a", Part::Whole, now);
        assert_eq!(opened, Some((value().expose().to_vec(), Version(3)))); // EXPOSE: a test value
        let sealed = values.find(&name("a"), Part::Whole, now).unwrap();
        let mut small = vec![0; sealed.room() - 1];
        assert!(sealed.open(&values.slots, &name("a"), Part::Whole, &mut small).is_none(), "there is no room");
        assert!(open(&values, "a", Part::PublicKey, now).is_none());
        assert!(open(&values, "a", Part::Whole, now + KEPT_FOR).is_none());

        let swapped = values.kept.remove(&name("a")).unwrap();
        values.kept.insert(name("b"), swapped);
        assert!(open(&values, "b", Part::Whole, now).is_none(), "under another name");
        let mut swapped = values.kept.remove(&name("b")).unwrap();
        drop(sealed);
        Arc::get_mut(swapped[0].as_mut().unwrap()).unwrap().version = Version(4);
        values.kept.insert(name("a"), swapped);
        assert!(open(&values, "a", Part::Whole, now).is_none(), "as another version");
    }

    #[test]
    fn what_lies_in_memory_is_not_the_value_and_never_twice_the_same() {
        let (mut values, now) = (Values::new().unwrap(), Instant::now());
        let seen = |values: &Values| values.kept[&name("a")][0].as_ref().unwrap().bytes.to_vec();
        values.keep(&name("a"), Part::Whole, &read(1, value()), now);
        let first = seen(&values);
        values.keep(&name("a"), Part::Whole, &read(1, value()), now);
        assert!(!first.windows(8).any(|w| value().expose().windows(8).any(|v| v == w))); // EXPOSE: a test value
        assert_ne!(first, seen(&values));
    }

    #[test]
    fn what_is_forgotten_is_gone_and_counted() {
        let (mut values, now) = (Values::new().unwrap(), Instant::now());
        for text in ["a", "b"] {
            values.keep(&name(text), Part::Whole, &read(1, value()), now);
            values.keep(&name(text), Part::Whole, &read(1, value()), now);
        }
        let both = values.bytes;
        values.forget(&name("a"));
        assert!(open(&values, "a", Part::Whole, now).is_none() && values.bytes * 2 == both);
        values.clear();
        assert!(open(&values, "b", Part::Whole, now).is_none() && values.bytes == 0);
        let large = Material::new(vec![7; MOST_BYTES]);
        values.keep(&name("a"), Part::Whole, &read(1, value()), now);
        values.keep(&name("b"), Part::Whole, &read(1, large), now);
        assert!(open(&values, "b", Part::Whole, now).is_none(), "there is no room for it");
    }
}
