//! Trial and Retired: the old values are removed and refused; then they are kept for a while, and destroyed.

use super::{
    declare::{Strangers, look_again},
    publish,
    roll::{self, fed::Distrusted},
    sites, watch,
};
use crate::{
    daemon::translate,
    failure::{self, Exit, Failure},
    records::{
        labels::{self, Labels},
        secrets,
    },
    rotation::{
        Instance, Rotation, accept, checkpoint, claim,
        journal::Item,
        probe,
        values::{Side, Values, values},
    },
};
use donjon_drivers::store::{StoreError, VersionState};
use donjon_policies::{name::SecretName, transition::Event};
use futures_util::future::{join, join_all, try_join};

/// Removes the old values and sees them refused everywhere.
pub async fn remove_old(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    // An account that was added meanwhile with the old value must not keep it, and one that was dropped cannot be told.
    look_again(rotation, &values, Strangers::Taken).await?;
    twins_are_safe(rotation, &values).await?;
    sites::answered(rotation).await?;
    accept::make_alone(rotation, &values, Side::New, "rotation.old-removed").await?;
    checkpoint::reached("rotation.old-refused");
    // After the broker's own proofs of refusal, which are knocks as well.
    rotation.held.journal.watched = watch::points(rotation).await?;
    Ok(Event::OldRefused)
}

/// Before an account goes whose twin stays: is every server in a state in which that can be? A node that is away, or parted
/// from the others, could come back with the one and without the other.
async fn twins_are_safe(rotation: &Rotation<'_>, values: &Values) -> Result<(), Failure> {
    for (item, credential) in accept::credentials(rotation) {
        let Some(twin) = &credential.twin else { continue };
        let pair = values.of(&item.secret);
        let known = [pair.side(Side::New), pair.side(Side::Old)];
        let (target, users) = (&credential.target, std::slice::from_ref(twin));
        let login = values.administrator(target);
        probe::survey(rotation.subject, &item.secret, target, users, login, &known).await?;
    }
    Ok(())
}

/// Labels the versions, removes what is pending, and lets the secrets go.
pub async fn retire(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    trial(rotation).await?;
    keep_old(rotation, kept_until(rotation)).await?;
    Ok(Event::TrialPassed)
}

/// Without the old values, every consumer is still well. Where one is not, they come back, once, until a person has looked.
async fn trial(rotation: &mut Rotation<'_>) -> Result<(), Failure> {
    // Who drove it before may have stalled where the old values come back: it is held off before the secrets are let go.
    if rotation.journal().returned || rotation.taken_over {
        let values = values(rotation).await?;
        accept::make_alone(rotation, &values, Side::New, "rotation.old-removed").await?;
        rotation.held.journal.watched = watch::points(rotation).await?;
    }
    let (mut unwell, mut unknown) = (Vec::new(), Vec::new());
    for instance in rotation.subject.instances.iter().filter(|i| !rotation.leave.contains(&i.place())) {
        match well(rotation, instance).await? {
            Well::Yes => {}
            Well::No(why) => unwell.push(format!("{}: {why}", instance.place())),
            Well::Unknown(why) => unknown.push(format!("{}: {why}", instance.place())),
        }
    }
    let names = rotation.subject.names();
    let stops = |code, what: &str| {
        let mut failure = Failure::new(code, what);
        failure.causes = unwell.iter().chain(&unknown).cloned().collect();
        failure
    };
    match (unwell.is_empty(), unknown.is_empty()) {
        (true, true) => {
            watch::watch(rotation).await?;
            return still_alone(rotation).await;
        }
        (true, false) => {
            return Err(stops(
                Exit::Unavailable,
                &format!("cannot tell whether consumers of {names} are well without the old value"),
            ));
        }
        (false, _) => {}
    }
    let what = format!("consumers of {names} fail without the old value");
    if rotation.journal().returned {
        return Err(stops(Exit::Failed, &what).hint(
            "the old value stays removed now: mend them, then `donjon rotate resume`, or `--leave SERVICE@HOST`",
        ));
    }
    // First, as at a knock: killed in between, it has come back at most once.
    let waits = format!("{what}: {}", unwell.join(", "));
    rotation.held.journal.returned = true;
    rotation.held.journal.waiting = Some(format!("{waits}; the old value may be valid once more, for this once"));
    rotation.save().await?;
    let values = values(rotation).await?;
    let now = match accept::old_again(rotation, &values).await?.as_slice() {
        [] => "the old value stays removed, with the account that had it".to_owned(),
        back => format!("the old value is valid for {} once more, for this once", back.join(", ")),
    };
    rotation.held.journal.waiting = Some(format!("{waits}; {now}"));
    rotation.save().await?;
    Err(stops(Exit::Waiting, &what).hint(format!("{now}: mend them, then `donjon rotate resume`")))
}

/// Whether a consumer is well.
enum Well {
    Yes,
    No(String),
    /// Its host cannot be reached.
    Unknown(String),
}

async fn well(rotation: &Rotation<'_>, instance: &Instance) -> Result<Well, Failure> {
    if let Err(error) = instance.driver.check().await {
        let why = failure::chain(&error);
        return Ok(if roll::silent(instance, &error).await { Well::Unknown(why) } else { Well::No(why) });
    }
    Ok(match roll::fed::distrusted(rotation.store, rotation.layout, instance).await? {
        None => Well::Yes,
        Some(Distrusted::Check(why)) => Well::No(why),
        Some(Distrusted::Host(why)) => Well::Unknown(why),
    })
}

/// A deployer may have set the old values again in the time that was watched.
async fn still_alone(rotation: &Rotation<'_>) -> Result<(), Failure> {
    if rotation.journal().watched.is_empty() {
        return Ok(());
    }
    let values = values(rotation).await?;
    accept::alone_again(rotation, &values, Side::New, |_| true).await.map(drop)
}

/// Until when the previous value is kept, in seconds since 1970.
pub fn kept_until(rotation: &Rotation<'_>) -> i64 {
    let kept = i64::try_from(rotation.subject.keep_previous.as_secs()).unwrap_or(i64::MAX / 2);
    (rotation.clock)() / 1_000_000 + kept
}

/// Keeps the old values until then, those in views too, and lets the secrets go for other rotations.
pub async fn keep_old(rotation: &Rotation<'_>, until: i64) -> Result<(), Failure> {
    let (store, layout, items) = (rotation.store, rotation.layout, rotation.items());
    let last = async {
        let mut last = Vec::with_capacity(items.len());
        for some in items.chunks(publish::AT_ONCE) {
            last.extend(
                join_all(some.iter().map(|item| claim::last_held(store, layout, &rotation.held, &item.secret))).await,
            );
        }
        last
    };
    // Both come to an end before anything is let go: whoever finds the secrets free finds nothing left to do.
    let (dated, last) = join(keep_views(rotation, until), last).await;
    dated?;
    for (item, last) in items.iter().zip(last) {
        if let Some(held) = last? {
            let kept = |labels: Labels| Labels { current: item.new, ..labels.keep(item.old, until) };
            claim::let_one_go(store, layout, &item.secret, &held, kept).await?;
        }
    }
    Ok(())
}

/// Gives the earlier versions of the views, which hold old values too, their date of destruction; several at once.
async fn keep_views(rotation: &Rotation<'_>, until: i64) -> Result<(), Failure> {
    for some in rotation.subject.views.chunks(publish::AT_ONCE) {
        for done in join_all(some.iter().map(|(view, _)| keep_view(rotation, view, until))).await {
            done?;
        }
    }
    Ok(())
}

async fn keep_view(rotation: &Rotation<'_>, view: &SecretName, until: i64) -> Result<(), Failure> {
    let (store, layout) = (rotation.store, rotation.layout);
    let failed = |error: StoreError| translate::store(format!("cannot date the old versions of `{view}`"), &error);
    let path = layout.secret(view);
    let (versions, held) = try_join(store.versions(&path), labels::read(store, layout, view)).await.map_err(failed)?;
    let newest = secrets::newest(&versions);
    let mut labels = Labels { current: newest, ..held.labels.clone() };
    for earlier in versions.iter().filter(|v| v.state == VersionState::Present && Some(v.version) != newest) {
        if !labels.kept.iter().any(|kept| kept.version == earlier.version && kept.until <= until) {
            labels = labels.keep(earlier.version, until);
        }
    }
    if labels != held.labels {
        labels::write(store, layout, view, &held, &labels).await.map_err(failed)?;
    }
    Ok(())
}

/// Lets the secrets go for other rotations, and removes what is pending.
pub async fn release(rotation: &Rotation<'_>, change: impl Fn(&Item, Labels) -> Labels) -> Result<(), Failure> {
    for item in rotation.items() {
        let change = |labels| change(item, labels);
        claim::release(rotation.store, rotation.layout, &rotation.held, &item.secret, change).await?;
    }
    Ok(())
}
