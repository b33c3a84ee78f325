//! Claims: a secret's labels name the one rotation that may change it.

use super::{Journal, checkpoint, journal::Held, probe};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{
        Layout,
        labels::{self, Labels},
    },
};
use donjon_drivers::store::{Store, StoreError};
use donjon_policies::name::SecretName;
use futures_util::future::try_join_all;
use std::collections::BTreeSet;

/// Makes this rotation the one that holds its secrets, in the order of their names; does nothing where it is already.
pub async fn claim(store: &dyn Store, layout: &Layout, rotation: &Held) -> Result<(), Failure> {
    for secret in rotation.journal.names() {
        one(store, layout, rotation, &secret).await?;
    }
    Ok(())
}

/// As [`claim`], for a rotation that has just begun, over the labels as they were before it had. The journal needs no look:
/// whoever takes over claims every secret before anything else, so this one stops at the first that it finds written since,
/// or has written itself what the other one then finds.
pub async fn first(
    store: &dyn Store,
    layout: &Layout,
    rotation: &Held,
    before: &[labels::Held],
) -> Result<(), Failure> {
    for (secret, labels) in rotation.journal.names().iter().zip(before) {
        match over(store, layout, rotation, secret, labels).await {
            Ok(()) => {}
            // Also an earlier version that was destroyed meanwhile changes them.
            Err(StoreError::Conflict { .. }) => one(store, layout, rotation, secret).await?,
            Err(error) => return Err(unclaimed(secret, &error)),
        }
    }
    Ok(())
}

async fn one(store: &dyn Store, layout: &Layout, rotation: &Held, secret: &SecretName) -> Result<(), Failure> {
    let journal = &rotation.journal;
    for _ in 0..MOST_RACES {
        let held = labels::read(store, layout, secret).await.map_err(|error| unclaimed(secret, &error))?;
        match &held.labels.rotation {
            Some(id) if *id == journal.id => return Ok(()),
            Some(id) => return Err(taken(secret, id)),
            // Between the look and the claim: whoever has taken over claims it too, and that stops this one there.
            None => match rotation.is_newest(store, layout).await {
                Ok(true) => {}
                Ok(false) => return Err(probe::taken_over(&journal.named())),
                Err(error) => return Err(unclaimed(secret, &error)),
            },
        }
        match over(store, layout, rotation, secret, &held).await {
            // Whose it is by now is seen by another look: it may be this rotation's, by a broker that drove it before.
            Err(StoreError::Conflict { .. }) => {}
            claimed => return claimed.map_err(|error| unclaimed(secret, &error)),
        }
    }
    Err(Failure::new(Exit::Conflict, format!("the labels of `{secret}` change again and again"))
        .state("nothing was changed")
        .hint("`donjon rotate status` shows what is under way"))
}

/// Claims a secret over its labels as they were read.
async fn over(
    store: &dyn Store,
    layout: &Layout,
    rotation: &Held,
    secret: &SecretName,
    held: &labels::Held,
) -> Result<(), StoreError> {
    let claimed = Labels { rotation: Some(rotation.journal.id.clone()), ..held.labels.clone() };
    labels::write(store, layout, secret, held, &claimed).await?;
    checkpoint::reached("rotation.claimed");
    Ok(())
}

fn unclaimed(secret: &SecretName, error: &StoreError) -> Failure {
    translate::store(format!("cannot rotate `{secret}`"), error)
}

const MOST_RACES: usize = 8;

/// Which of its secrets a rotation holds. Where it does not hold one that it began with, it was ended for that one but for
/// the last line of its journal, and the secret may be another's by now.
pub async fn held(store: &dyn Store, layout: &Layout, journal: &Journal) -> Result<BTreeSet<SecretName>, Failure> {
    let looks = journal.secrets.iter().map(|item| holds(store, layout, journal, &item.secret));
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

async fn holds(
    store: &dyn Store,
    layout: &Layout,
    journal: &Journal,
    secret: &SecretName,
) -> Result<Option<SecretName>, Failure> {
    let read = labels::read(store, layout, secret).await;
    let read = read.map_err(|error| translate::store(format!("cannot read the labels of `{secret}`"), &error))?;
    Ok((read.labels.rotation.as_deref() == Some(journal.id.as_str())).then(|| secret.clone()))
}

/// Writes the labels of what a rotation holds once more, unchanged: whoever drove it before can no longer let a secret go.
pub async fn renew(store: &dyn Store, layout: &Layout, journal: &Journal) -> Result<(), Failure> {
    for secret in held(store, layout, journal).await? {
        let failed = |error: StoreError| translate::store(format!("cannot take over `{secret}`"), &error);
        let read = labels::read(store, layout, &secret).await.map_err(failed)?;
        if read.labels.rotation.as_deref() == Some(journal.id.as_str()) {
            match labels::write(store, layout, &secret, &read, &read.labels).await {
                // The former one was faster, in its last step; the next look at the labels tells.
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(())
}

/// Lets go of secrets that were claimed before another one turned out to be taken.
pub async fn let_go(store: &dyn Store, layout: &Layout, rotation: &Held) -> Result<(), Failure> {
    for secret in held(store, layout, &rotation.journal).await? {
        release(store, layout, rotation, &secret, |labels| labels).await?;
    }
    Ok(())
}

/// Lets one secret go for other rotations, with changed labels, and removes what is pending of it.
pub async fn release(
    store: &dyn Store,
    layout: &Layout,
    rotation: &Held,
    secret: &SecretName,
    change: impl FnOnce(Labels) -> Labels,
) -> Result<(), Failure> {
    match last_held(store, layout, rotation, secret).await? {
        Some(held) => let_one_go(store, layout, secret, &held, change).await,
        None => Ok(()),
    }
}

/// The first half of [`release`]: the labels of a secret that is still held, once nothing is pending of it.
pub async fn last_held(
    store: &dyn Store,
    layout: &Layout,
    rotation: &Held,
    secret: &SecretName,
) -> Result<Option<labels::Held>, Failure> {
    let journal = &rotation.journal;
    let failed = |error: StoreError| unended(secret, &error);
    let held = labels::read(store, layout, secret).await.map_err(failed)?;
    if held.labels.rotation.as_deref() != Some(journal.id.as_str()) {
        return Ok(None);
    }
    // Between the look and the change: whoever takes over from now on writes the labels anew, and stops this one there.
    if !rotation.is_newest(store, layout).await.map_err(failed)? {
        return Err(probe::taken_over(&journal.named()));
    }
    store.remove(&layout.pending(&journal.id, secret)).await.map_err(failed)?;
    checkpoint::reached("rotation.pending-removed");
    Ok(Some(held))
}

/// The second half of [`release`]: it lets go.
pub async fn let_one_go(
    store: &dyn Store,
    layout: &Layout,
    secret: &SecretName,
    held: &labels::Held,
    change: impl FnOnce(Labels) -> Labels,
) -> Result<(), Failure> {
    let labels = Labels { rotation: None, ..change(held.labels.clone()) };
    labels::write(store, layout, secret, held, &labels).await.map_err(|error| unended(secret, &error))?;
    checkpoint::reached("rotation.labels-written");
    Ok(())
}

fn unended(secret: &SecretName, error: &StoreError) -> Failure {
    translate::store(format!("cannot end the rotation of `{secret}`"), error)
}

/// A secret is another rotation's.
pub fn taken(secret: &SecretName, id: &str) -> Failure {
    Failure::new(Exit::Conflict, format!("`{secret}` is being rotated already ({id})"))
        .state("nothing was changed")
        .hint("`donjon rotate status` shows it; `donjon rotate resume` goes on with one that was interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::journal::Item;
    use donjon_drivers::store::{Version, memory::Memory};
    use donjon_policies::transition::{Path, State};

    fn journal(id: &str, secret: &SecretName, state: State) -> Journal {
        let item = Item { secret: secret.clone(), old: Version(1), new: None, credentials: Vec::new() };
        Journal { state, ..Journal::new(id.to_owned(), Path::Overlap, vec![item], "a", 0) }
    }

    #[tokio::test]
    async fn a_broker_that_was_overtaken_lets_nothing_go() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let secret: SecretName = "x".parse().unwrap();
        let journal = journal("x.1", &secret, State::Restoring);
        let first = Held::create(&store, &layout, journal).await.unwrap();
        claim(&store, &layout, &first).await.unwrap();
        // What it read of the labels before it was overtaken is no longer what they are.
        let seen = labels::read(&store, &layout, &secret).await.unwrap();
        let mut second = Held::read(&store, &layout, "x.1").await.unwrap().unwrap();
        second.journal.broker = "b".to_owned();
        second.save(&store, &layout).await.unwrap();
        renew(&store, &layout, &second.journal).await.unwrap();
        let free = Labels { rotation: None, ..seen.labels.clone() };
        let late = labels::write(&store, &layout, &secret, &seen, &free).await;
        assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
        // One that looks only now asks the journal.
        let refused = release(&store, &layout, &first, &secret, |labels| labels).await;
        assert_eq!(refused.unwrap_err().code, Exit::Conflict);
        assert!(held(&store, &layout, &second.journal).await.unwrap().contains(&secret));
        release(&store, &layout, &second, &secret, |labels| labels).await.unwrap();
        assert!(held(&store, &layout, &second.journal).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_first_claim_is_over_the_labels_of_before_or_after_a_look_at_the_journal() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let secret: SecretName = "x".parse().unwrap();
        let begun = async |id: &str| Held::create(&store, &layout, journal(id, &secret, State::Planned)).await.unwrap();
        let of = async || labels::read(&store, &layout, &secret).await.unwrap();
        let whose = async || of().await.labels.rotation;

        // An earlier version was destroyed between the look and the claim.
        let (before, one) = (of().await, begun("x.1").await);
        labels::write(&store, &layout, &secret, &before, &before.labels).await.unwrap();
        first(&store, &layout, &one, &[before]).await.unwrap();
        assert_eq!(whose().await.as_deref(), Some("x.1"));
        release(&store, &layout, &one, &secret, |labels| labels).await.unwrap();

        // Another rotation was faster.
        let (before, two, three) = (of().await, begun("x.2").await, begun("x.3").await);
        first(&store, &layout, &three, &[of().await]).await.unwrap();
        let taken = first(&store, &layout, &two, &[before]).await.unwrap_err();
        assert_eq!(taken.code, Exit::Conflict);
        assert_eq!(whose().await.as_deref(), Some("x.3"));
        release(&store, &layout, &three, &secret, |labels| labels).await.unwrap();

        // This one stalled after its journal; another broker took over and has ended it meanwhile.
        let (before, four) = (of().await, begun("x.4").await);
        let mut other = Held::read(&store, &layout, "x.4").await.unwrap().unwrap();
        other.save(&store, &layout).await.unwrap();
        claim(&store, &layout, &other).await.unwrap();
        release(&store, &layout, &other, &secret, |labels| labels).await.unwrap();
        let late = first(&store, &layout, &four, &[before]).await.unwrap_err();
        assert_eq!(late.code, Exit::Conflict);
        assert_eq!(whose().await, None, "nothing holds what nobody would let go");
    }

    #[tokio::test]
    async fn one_that_takes_over_while_the_former_one_claims_holds_all_of_them() {
        let (store, layout) = (Memory::default(), Layout::new("d".parse().unwrap()).unwrap());
        let secret: SecretName = "x".parse().unwrap();
        let former = Held::create(&store, &layout, journal("x.1", &secret, State::Planned)).await.unwrap();
        let before = labels::read(&store, &layout, &secret).await.unwrap();
        let mut other = Held::read(&store, &layout, "x.1").await.unwrap().unwrap();
        other.save(&store, &layout).await.unwrap();
        // It has looked at the labels, and the former one claims before it does.
        let late = labels::read(&store, &layout, &secret).await.unwrap();
        over(&store, &layout, &former, &secret, &before).await.unwrap();
        let conflict = over(&store, &layout, &other, &secret, &late).await;
        assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
        one(&store, &layout, &other, &secret).await.unwrap();
        assert!(held(&store, &layout, &other.journal).await.unwrap().contains(&secret));
    }
}
