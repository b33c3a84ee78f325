//! The heir: a key that the authority's own has named before it is needed. A custodians' bundle holds it where that was
//! asked for, and who comes up from it makes a key of its own that the heir names: sites follow the links without a new pin.
//!
//! The authority's key never travels. An heir does, so each custodian of such a bundle could sign for every site that has
//! seen no newer key; without one, a custodian can open every value and sign none. It is left out unless it is asked for, it
//! is not copied to another store, and when the signing key is renewed it is destroyed here and worth nothing at sites that
//! have seen the new one.

use super::{
    authority::{Authority, AuthorityError},
    bundle::{OpenError, Opened},
    key::{PublicKey, SigningKey},
    private::{self, Places, Recorded},
    succession::{Link, Trust, trust},
};
use donjon_drivers::{material::Material, store::Store};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct HeirRecord {
    format: u32,
    #[serde(with = "private::secret_hex")]
    key: Material,
    /// How the authority's keys lead to it, oldest first.
    links: Vec<Link>,
}

impl Recorded for HeirRecord {
    const FORMAT: u32 = 1;
}

/// Makes an heir, where there is none that the present key has named.
pub async fn ensure(store: &dyn Store, places: &Places, own: &Authority, now: i64) -> Result<(), AuthorityError> {
    let path = places.heir();
    let (known, expected) = private::read::<HeirRecord>(store, &path).await?;
    if known.and_then(|known| Heir::named_by(places, own.public(), known)).is_some() {
        return Ok(());
    }
    let key = SigningKey::generate()?;
    let links = own.succeed(places, key.public(), now);
    let record = HeirRecord { format: HeirRecord::FORMAT, key: key.seed()?, links };
    Ok(private::write(store, &path, &record, expected).await?)
}

/// An heir that came in a bundle, and was named by who signed that.
pub(super) struct Heir {
    key: SigningKey,
    links: Vec<Link>,
}

impl Heir {
    /// The heir in a bundle, if it holds one.
    pub(super) fn of(places: &Places, opened: &Opened) -> Result<Option<Self>, OpenError> {
        let (path, signer) = (places.heir(), &opened.manifest().authority);
        let held = opened.records().iter().filter(|record| record.path == path);
        let Some(held) = held.max_by_key(|record| record.version) else { return Ok(None) };
        let record = held.document.parse().ok().filter(|record: &HeirRecord| record.format <= HeirRecord::FORMAT);
        let heir = record.and_then(|record| Self::named_by(places, signer, record));
        heir.map(Some).ok_or(OpenError::Damaged { what: "its heir was not named by who signed it" })
    }

    /// The links to a key that this heir names.
    pub(super) fn succeed(&self, places: &Places, successor: &PublicKey, now: i64) -> Vec<Link> {
        let link = Link::sign(places.deployment(), &self.key, successor, now);
        self.links.iter().cloned().chain([link]).collect()
    }

    fn named_by(places: &Places, signer: &PublicKey, HeirRecord { key, links, .. }: HeirRecord) -> Option<Self> {
        let key = SigningKey::from_seed(&key).ok()?;
        let trusted = trust(places.deployment(), Some(signer), &links, key.public());
        matches!(trusted, Some(Trust::Succeeded { .. })).then_some(Self { key, links })
    }
}
