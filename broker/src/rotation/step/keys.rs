//! Added, Promoted and Retired of repositories of keys: the next key is on every node before any node signs with it, and
//! old keys go once nothing that they signed is alive.

use super::{publish, retire};
use crate::{
    failure::{Exit, Failure},
    records::labels::Labels,
    rotation::{
        Rotation, checkpoint,
        journal::Item,
        values::{Side, Values, values},
    },
};
use donjon_drivers::{
    keyring::{Haste, Keyring, KeyringError, acts, document::Repository},
    material::Material,
    store::secret::SecretValue,
};
use donjon_policies::{
    keyring::{Act, Refusal},
    name::SecretName,
    transition::Event,
};

/// The next value of a repository: its staged key is promoted, and the staged key of a fresh one takes its place.
pub fn next(
    keyring: &dyn Keyring,
    secret: &SecretName,
    old: &Material,
    fresh: &Material,
) -> Result<SecretValue, Failure> {
    let unread = |error| Failure::new(Exit::Failed, format!("cannot rotate the keys of `{secret}`")).because(&error);
    let (old, fresh) = (Repository::parse(old).map_err(unread)?, Repository::parse(fresh).map_err(unread)?);
    let staged = fresh.key(0).ok_or_else(|| Failure::new(Exit::Bug, "a fresh repository has no staged key"))?;
    let rotated = old.rotated(staged, keyring.most()).map_err(unread)?;
    Ok(SecretValue::Whole(rotated.material()))
}

/// Brings the next primary to every node.
pub async fn add(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    act(rotation, &values, Act::Add).await?;
    checkpoint::reached("rotation.keys-added");
    Ok(Event::BothDeclared)
}

/// Publishes the new repositories and lets every node sign with their primaries.
pub async fn promote(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    // First, so that nobody goes back once a node may sign with the new key.
    publish::records(rotation, &values).await?;
    act(rotation, &values, Act::Promote).await?;
    checkpoint::reached("rotation.keys-promoted");
    Ok(Event::KeysPromoted)
}

/// Leaves every node with the new repositories alone, and lets the secrets go.
pub async fn prune(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    if let Err(failure) = act(rotation, &values, Act::Prune).await {
        if failure.code == Exit::Waiting {
            rotation.held.journal.waiting = Some(failure.causes.join(": "));
            rotation.save().await?;
        }
        return Err(failure);
    }
    checkpoint::reached("rotation.keys-pruned");
    let until = retire::kept_until(rotation);
    retire::release(rotation, |item, labels| Labels { current: item.new, ..labels.keep(item.old, until) }).await?;
    Ok(Event::KeysPruned)
}

/// Leaves every node with the old repositories alone, before any of them signs with a new key.
pub async fn back(rotation: &Rotation<'_>, values: &Values) -> Result<(), Failure> {
    everywhere(rotation, values, Act::Prune, Side::Old).await
}

async fn act(rotation: &Rotation<'_>, values: &Values, act: Act) -> Result<(), Failure> {
    everywhere(rotation, values, act, Side::New).await
}

async fn everywhere(rotation: &Rotation<'_>, values: &Values, act: Act, wanted: Side) -> Result<(), Failure> {
    for Item { secret, .. } in rotation.items() {
        let pair = values.of(secret);
        let read = |side| {
            Repository::parse(pair.side(side)).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot rotate the keys of `{secret}`")).because(&error)
            })
        };
        let (wanted, other) = (read(wanted)?, read(wanted.other())?);
        let keyring = rotation.subject.keyrings.get(secret);
        let keyring = keyring.ok_or_else(|| Failure::new(Exit::Bug, format!("`{secret}` has no nodes")))?;
        let done = acts::everywhere(&**keyring, act, Haste::Outlived, &wanted, &[&other]).await;
        done.map_err(|error| failed(secret, &error))?;
    }
    Ok(())
}

fn failed(secret: &SecretName, error: &KeyringError) -> Failure {
    let (code, hint) = match error {
        KeyringError::Host { .. } => (Exit::Unavailable, "`donjon rotate resume` goes on when the node is back"),
        KeyringError::Refused { source: Refusal::Young { .. }, .. } => (
            Exit::Waiting,
            "`donjon rotate resume` goes on once that has run out; until then every key opens what it signed",
        ),
        KeyringError::Refused { .. } | KeyringError::Changed { .. } => {
            (Exit::Conflict, "see what the node holds; `donjon put` takes what is there where that is to stay")
        }
        KeyringError::Failed { .. } | KeyringError::Unknown { .. } => {
            (Exit::Failed, "`donjon rotate resume` tries again")
        }
    };
    Failure::new(code, format!("cannot rotate the keys of `{secret}`")).because(error).hint(hint)
}
