//! Going back: aborted before a consumer could read anything new, or restored after one failed on it.

use super::{
    declare::{Strangers, look_again},
    keys, publish, retire,
    roll::{self, Proven},
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{labels::Labels, secrets},
    rotation::{
        Instance, Rotation, accept, checkpoint,
        journal::Restarted,
        values::{Side, Values, same, values},
    },
};
use donjon_drivers::{
    service::age,
    store::{Version, Which, secret::Origin},
};
use donjon_policies::{
    name::SecretName,
    restart,
    transition::{Event, Path, State},
};
use futures_util::future::join_all;
use std::collections::BTreeMap;

/// Takes the new values away again.
pub async fn abort(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    // Before Staged the targets know of nothing; and pending values are removed only once the targets have forgotten them.
    let was =
        |rotation: &Rotation<'_>, wanted: State| rotation.journal().history.iter().any(|(state, _)| *state == wanted);
    if was(rotation, State::Staged) && pending(rotation).await? {
        let both = values(rotation).await?;
        let keyring = rotation.journal().path == Path::Keyring;
        let shared = matches!(rotation.journal().path, Path::Cutover | Path::Together);
        if was(rotation, State::Verified) || shared && !keyring || keyring && was(rotation, State::Added) {
            let published = fence(rotation, &both).await?;
            if published {
                back(rotation, &both).await?;
            }
        }
        if keyring {
            keys::back(rotation, &both).await?;
        } else if !shared {
            look_again(rotation, &both, Strangers::Taken).await?;
            accept::make_alone(rotation, &both, Side::Old, "rotation.declared").await?;
        }
        checkpoint::reached("rotation.old-alone");
    }
    let mut current: BTreeMap<SecretName, Version> = BTreeMap::new();
    for item in rotation.items() {
        if let Some(held) = publish::newest(rotation, &item.secret).await?.filter(|held| held.version != item.old) {
            current.insert(item.secret.clone(), held.version);
        }
    }
    retire::release(rotation, |item, labels| Labels {
        current: current.get(&item.secret).copied().or(labels.current),
        ..labels
    })
    .await?;
    Ok(Event::OldAlone)
}

/// Whether the new values of all that is still held are pending: they are removed one by one as secrets are let go.
async fn pending(rotation: &Rotation<'_>) -> Result<bool, Failure> {
    for item in rotation.items() {
        let path = rotation.layout.pending(&rotation.journal().id, &item.secret);
        let there = rotation.store.read(&path, Which::Latest).await;
        if there.map_err(|error| translate::store("cannot read the pending value", &error))?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A broker that stalled just before it published would publish what is about to be removed. It writes only over the
/// version that was current when the rotation began, so a new version of the old value stops it. Says whether it was faster
/// all the same, now or before a former run of this: then consumers that started meanwhile can have read the new value.
async fn fence(rotation: &Rotation<'_>, both: &Values) -> Result<bool, Failure> {
    let mut published = false;
    for item in rotation.items() {
        let pair = both.of(&item.secret);
        let is_new = |held: &secrets::Held| same(&held.record, &pair.new.value, pair.new.user.as_deref());
        match publish::newest(rotation, &item.secret).await? {
            Some(held) if held.version == item.old => {
                publish::write(rotation, &pair.old, Origin::Restored, item.old).await?;
            }
            Some(held) if is_new(&held) => {
                publish::record(rotation, both, item, Side::Old, Origin::Restored, held.version).await?;
                published = true;
            }
            // Stopped already, or changed by someone else.
            Some(_) | None => {
                let after = Which::Number(Version(item.old.0 + 1));
                let first = secrets::read(rotation.store, rotation.layout, &item.secret, after).await;
                let first =
                    first.map_err(|error| translate::store(format!("cannot read `{}`", item.secret), &error))?;
                published |= first.is_some_and(|held| is_new(&held));
            }
        }
    }
    if published {
        publish::assemble(rotation).await?;
        publish::tell_readers(rotation).await?;
    }
    checkpoint::reached("rotation.fenced");
    Ok(published)
}

/// Publishes the old values again, returns every touched consumer to them, and removes the new ones.
pub async fn restore(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    look_again(rotation, &both, Strangers::Taken).await?;
    if rotation.journal().path == Path::Overlap {
        // Publishing a value that the target does not accept is the fault this project is for, also on the way back.
        accept::still_both(rotation, &both).await?;
    }
    if rotation.journal().path == Path::Cutover {
        // Targets that hold one value: consumers that come back shall find the old one.
        accept::switch(rotation, &both, Side::Old, "rotation.switched-back").await?;
    }
    let mut current: BTreeMap<SecretName, Version> = BTreeMap::new();
    for item in rotation.items() {
        // Over its own publication alone: a broker that stalled must not write over the next rotation's.
        let new = &both.of(&item.secret).new;
        let published = |held: &secrets::Held| same(&held.record, &new.value, new.user.as_deref());
        let newest = publish::newest(rotation, &item.secret).await?;
        let expected = newest.filter(published).map_or(item.old, |held| held.version);
        let version = publish::record(rotation, &both, item, Side::Old, Origin::Restored, expected).await?;
        current.insert(item.secret.clone(), version);
    }
    publish::assemble(rotation).await?;
    // Always: killed between the two, the first run of this has told nobody.
    publish::tell_readers(rotation).await?;
    back(rotation, &both).await?;
    accept::make_alone(rotation, &both, Side::Old, "rotation.declared").await?;
    checkpoint::reached("rotation.old-alone");
    retire::release(rotation, |item, labels| Labels {
        current: current.get(&item.secret).copied().or(labels.current),
        ..labels
    })
    .await?;
    Ok(Event::OldAlone)
}

/// Returns every consumer that can have read the new values to the old ones.
async fn back(rotation: &mut Rotation<'_>, both: &Values) -> Result<(), Failure> {
    let subject = rotation.subject;
    let touched = touched(rotation).await;
    for instance in &subject.instances {
        if rotation.leave.contains(&instance.place()) {
            roll::away::forgo(rotation, instance).await?;
        }
    }
    let mut stuck = Vec::new();
    for group in (subject.back)(&touched) {
        let group = described(rotation, &group)?;
        let before = roll::marks(rotation, both).await?;
        let restarts = group.iter().map(|instance| roll::restart(rotation, both, instance, Side::Old, &before));
        for (instance, proven) in group.iter().zip(join_all(restarts).await) {
            let place = instance.place();
            match proven {
                Ok(Proven::Yes) => rotation.told(format!("{place}: back on the old value")),
                // The others shall not wait for it, nor for one that cannot be reached.
                Ok(Proven::No(failure)) => stuck.push((place, failure)),
                Err(failure) if failure.code == Exit::Unavailable => stuck.push((place, failure)),
                Err(failure) => return Err(failure),
            }
        }
    }
    if let Some((place, failure)) = stuck.into_iter().next() {
        return Err(failure.hint(format!(
            "mend it, then `donjon rotate resume`; or go on without it: `donjon rotate resume --leave {place}`"
        )));
    }
    Ok(())
}

/// The consumers that were touched or have started by themselves since the new value could be read, without those that the
/// operator leaves.
async fn touched(rotation: &Rotation<'_>) -> Vec<restart::Instance> {
    let mut touched = Vec::new();
    for Restarted { service, host, .. } in &rotation.journal().restarted {
        touched.push(restart::Instance { service: service.clone(), host: host.clone() });
    }
    // The last state before the records were written.
    let before = if rotation.journal().path == Path::Overlap { State::Verified } else { State::Staged };
    let readable = rotation.journal().history.iter().find(|(state, _)| *state == before).map_or(0, |(_, at)| *at);
    for instance in &rotation.subject.instances {
        let place = restart::Instance { service: instance.service.clone(), host: instance.host.clone() };
        if !touched.contains(&place) && started_since(rotation, instance, readable).await {
            rotation.told(format!("{} on {}: started by itself meanwhile", instance.service, instance.host));
            touched.push(place);
        }
    }
    touched.retain(|restart::Instance { service, host }| {
        let left = rotation.leave.contains(&format!("{service}@{host}"));
        if left {
            rotation.told(format!("{service}@{host}: left as it is, as asked"));
        }
        !left
    });
    touched
}

/// Whether a consumer that runs has started since a time, of which it is passed over only where that is certain. When it
/// started is told by its own host's clock, the time by a broker's: so it is told by how long it runs.
async fn started_since(rotation: &Rotation<'_>, instance: &Instance, time: i64) -> bool {
    match age(&*instance.driver).await {
        Ok(Some(age)) => (rotation.clock)() - age >= time - CLOCKS_DIFFER,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// By how much the clocks of the hosts of brokers may differ, in microseconds: another one may have written the journal.
const CLOCKS_DIFFER: i64 = 5_000_000;

/// The consumers of a group, as they were opened.
fn described<'a>(rotation: &'a Rotation<'_>, group: &restart::Step) -> Result<Vec<&'a Instance>, Failure> {
    let one = |touched: &restart::Instance| {
        let same = |i: &&Instance| i.service == touched.service && i.host == touched.host;
        rotation.subject.instances.iter().find(same).ok_or_else(|| {
            let what = format!(
                "`{}` on {} has the new value, but is no longer in the deployment file",
                touched.service, touched.host
            );
            Failure::new(Exit::Usage, what)
                .hint("put it back into donjon.yaml until `donjon rotate resume` has returned it to the old value")
        })
    };
    group.instances.iter().map(one).collect()
}
