//! The mark of the authority: which store rotates and signs. It is written with compare-and-set, and never travels.
//!
//! ```text
//! old store:  (none) = here ◀──▶ moving ──▶ moved      new store:  (none) ──▶ arriving ◀──▶ withdrawn
//!                                                                               └──▶ here
//! a site's:   (none) ──▶ following, which `up --from` makes one that is here, and a push one that is arriving
//! from a bundle:  (none) or following ──▶ restoring ──▶ here
//! ```
//!
//! A move that is taken back makes the old store `here` again, after the new one was `withdrawn`. That waits for the same push
//! again; it follows meanwhile where it did before.
//!
//! An empty store that takes a bundle in follows whoever signed it, from before its first record on: so a site's values are
//! changed where the authority is, and nowhere else.
//!
//! A store that comes up from a custodians' bundle is `restoring` from before its first record to after its last: what has a part
//! of the records would make those that are missing anew, and nothing would fit the servers any more.
//!
//! The new store is marked `arriving` before the old one is marked `moving`, and `here` only after that: at no time do
//! two stores rotate, and a move that was interrupted finds its other end again by the old authority's key and by the move's
//! own name: an address may be another one by then, and a store may wait for a move that has long been given up.

use super::{
    bundle::ManifestDigest,
    key::KeyId,
    private::{self, Places, Recorded},
};
use donjon_drivers::store::{Expected, Store, StoreError};
use serde::{Deserialize, Serialize};

/// What a store is to the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "authority", rename_all = "snake_case")]
pub enum Mark {
    /// This store rotates and signs. A store without a mark is one, too.
    Here {
        /// From which key the authority came, where it moved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<KeyId>,
        /// By which move.
        #[serde(rename = "move", default, skip_serializing_if = "Option::is_none")]
        id: Option<MoveId>,
    },
    /// It is on its way to another store: nothing is rotated or signed here.
    Moving(Move),
    /// Another store has it.
    Moved {
        /// Where.
        to: String,
        /// The key that signs there.
        key: KeyId,
    },
    /// It is on its way to this store: nothing is rotated or signed here yet.
    Arriving {
        /// The key of the store that it comes from.
        from: KeyId,
        /// By which move.
        #[serde(rename = "move", default, skip_serializing_if = "Option::is_none")]
        id: Option<MoveId>,
        /// Whether it follows another store as before where the authority stays there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        follows: bool,
    },
    /// It was on its way to this store, and was taken back: nothing is rotated or signed here, and the same may come again.
    Withdrawn {
        /// The key of the store that it stays with.
        from: KeyId,
        /// By which move.
        #[serde(rename = "move", default, skip_serializing_if = "Option::is_none")]
        id: Option<MoveId>,
        /// Whether it follows another store as before where the authority stays there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        follows: bool,
    },
    /// This store takes in what the authority signs, whose key is its pin: nothing is rotated or signed here.
    Following {},
    /// A custodians' bundle is going into this store, which has a part of it: nothing is rotated, made or signed here yet.
    Restoring {
        /// Which bundle.
        bundle: ManifestDigest,
    },
}

/// A move of the authority, as the store says that it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where to: the address of whoever led there then.
    pub to: String,
    /// Which one it is.
    #[serde(rename = "move", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MoveId>,
}

/// What tells a move from every other: a number made at random, in the marks of both ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MoveId(String);

/// A mark as read, and what to expect when it is written next.
#[derive(Debug)]
pub struct Marked {
    /// What the store says; `None` where it says nothing.
    pub mark: Option<Mark>,
    expected: Expected,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    #[serde(flatten)]
    mark: Mark,
    /// When it was written, in seconds since 1970.
    at: i64,
}

impl Recorded for Record {
    const FORMAT: u32 = 1;
}

impl Move {
    /// A new one.
    pub fn begin(to: impl Into<String>) -> Self {
        Self { to: to.into(), id: Some(MoveId::random()) }
    }

    /// Whether it is the move that the mark of a store at `place` names. Where an older donjon wrote one of the two, it has no
    /// name: then the address says it.
    pub fn goes_to(&self, place: &str, named: Option<&MoveId>) -> bool {
        match (&self.id, named) {
            (Some(own), Some(named)) => own == named,
            (None, _) | (_, None) => self.to == place,
        }
    }
}

impl MoveId {
    /// One that no other move has.
    pub fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 16]>()))
    }
}

impl Mark {
    /// Whether it is the mark of the store that rotates and signs.
    pub fn is_here(&self) -> bool {
        matches!(self, Self::Here { .. })
    }

    /// Whether it is the mark of a store that takes in what another one signs.
    pub fn is_following(&self) -> bool {
        self.refusal() == Some(Elsewhere::Following)
    }

    /// Why a store with this mark neither rotates nor signs; `None` where it does.
    pub fn refusal(&self) -> Option<Elsewhere> {
        match self {
            Self::Here { .. } => None,
            Self::Moving(Move { to, .. }) => Some(Elsewhere::Moving { to: to.clone() }),
            Self::Moved { to, key } => Some(Elsewhere::Moved { to: to.clone(), key: key.clone() }),
            Self::Arriving { .. } => Some(Elsewhere::Arriving),
            Self::Withdrawn { follows: false, .. } => Some(Elsewhere::Withdrawn),
            Self::Withdrawn { follows: true, .. } => Some(Elsewhere::Following),
            Self::Following {} => Some(Elsewhere::Following),
            Self::Restoring { .. } => Some(Elsewhere::Restoring),
        }
    }
}

/// Reads the mark of a store.
pub async fn read(store: &dyn Store, places: &Places) -> Result<Marked, StoreError> {
    let path = places.authority();
    let (record, expected) = private::read::<Record>(store, &path).await?;
    Ok(Marked { mark: record.map(|record| record.mark), expected })
}

/// Writes the next mark, if nobody wrote one since.
pub async fn write(
    store: &dyn Store,
    places: &Places,
    marked: &Marked,
    mark: Mark,
    now: i64,
) -> Result<(), StoreError> {
    private::write(store, &places.authority(), &Record { format: Record::FORMAT, mark, at: now }, marked.expected).await
}

/// Why this store neither rotates nor signs, if it does not.
pub async fn elsewhere(store: &dyn Store, places: &Places) -> Result<Option<Elsewhere>, StoreError> {
    let record = private::look::<Record>(store, &places.authority()).await?;
    Ok(record.and_then(|record| record.mark.refusal()))
}

/// This store neither rotates nor signs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// It is being moved away.
    #[error("the authority is on its way to {to}")]
    Moving {
        /// Where to.
        to: String,
    },
    /// It has been moved away.
    #[error("the authority is at {to} now, and signs there with the key {key}")]
    Moved {
        /// Where.
        to: String,
        /// The key that signs there.
        key: KeyId,
    },
    /// It is being moved here.
    #[error("the authority is on its way here and has not arrived")]
    Arriving,
    /// It was being moved here.
    #[error("the authority was on its way here, and was taken back")]
    Withdrawn,
    /// It is where the bundles come from.
    #[error("this store takes in the bundles of another one, which is the authority")]
    Following,
    /// It is to be here, and only a part of it is.
    #[error("a custodians' bundle is being restored into this store, and not all of it is there")]
    Restoring,
}

impl Elsewhere {
    /// What whoever looks at this store is told.
    pub fn warning(&self) -> String {
        let next = match self {
            Self::Restoring => "; the same `donjon up --from` again goes on with it",
            Self::Moving { .. } | Self::Moved { .. } | Self::Arriving | Self::Withdrawn | Self::Following => "",
        };
        format!("{self}: nothing is rotated or signed here{next}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    #[tokio::test]
    async fn a_store_without_a_mark_is_the_authority_and_a_mark_is_written_once() {
        let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
        assert_eq!(elsewhere(&store, &places).await.unwrap(), None);
        let (one, two) = (read(&store, &places).await.unwrap(), read(&store, &places).await.unwrap());
        let to = |to: &str| Mark::Moving(Move::begin(to));
        write(&store, &places, &one, to("a"), 1).await.unwrap();
        let second = write(&store, &places, &two, to("b"), 2).await;
        assert!(matches!(second, Err(StoreError::Conflict { .. })), "{second:?}");
        assert_eq!(elsewhere(&store, &places).await.unwrap(), Some(Elsewhere::Moving { to: "a".to_owned() }));
        let moving = read(&store, &places).await.unwrap();
        write(&store, &places, &moving, Mark::Here { from: None, id: None }, 3).await.unwrap();
        assert_eq!(elsewhere(&store, &places).await.unwrap(), None);
    }

    #[test]
    fn a_move_is_known_by_its_name_and_one_of_an_older_donjon_by_its_address() {
        let (one, other) = (Move::begin("a"), Move::begin("a"));
        assert!(one.goes_to("another leader", one.id.as_ref()));
        assert!(!one.goes_to("a", other.id.as_ref()) && !one.goes_to("b", None));
        let older: Mark = serde_json::from_str(r#"{"authority":"moving","to":"a"}"#).unwrap();
        let Mark::Moving(older) = older else { panic!("{older:?}") };
        assert!(older.goes_to("a", None));
        assert!(!older.goes_to("b", None) && !older.goes_to("b", one.id.as_ref()));
        // Two that share a store, or one that came back to an older version, write over each other's marks.
        assert!(older.goes_to("a", one.id.as_ref()) && one.goes_to("a", None));
        let waits: Mark = serde_json::from_str(r#"{"authority":"arriving","from":"shown"}"#).unwrap();
        assert!(matches!(waits, Mark::Arriving { id: None, .. }), "{waits:?}");
    }
}
