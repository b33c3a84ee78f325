//! Switched: targets that hold one value get the new one at once; or, where the old one is known to others, it goes first.

use super::declare::{Strangers, look_again};
use crate::{
    failure::{Exit, Failure},
    rotation::{
        Rotation, accept, checkpoint,
        journal::Credential,
        place::places,
        probe,
        step::publish,
        subject::Way,
        values::{Side, Values, values},
    },
};
use donjon_policies::transition::Event;

/// Switches every target, and sees the new values accepted.
pub async fn switch(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    look_again(rotation, &values, Strangers::Taken).await?;
    let switched = match accept::switch(rotation, &values, Side::New, "rotation.switched").await {
        Ok(()) => accepted(rotation, &values).await,
        Err(failure) => Err(failure),
    };
    match switched {
        Ok(()) => {}
        // It answered, and will not have the value: waiting would not help, and consumers read it already.
        Err(failure) if failure.code == Exit::Failed => {
            rotation.told(failure.to_string());
            rotation.undone_by(&failure);
            return Ok(Event::ConsumerFailed);
        }
        Err(failure) => return Err(failure),
    }
    checkpoint::reached("rotation.new-accepted");
    Ok(Event::NewAlone)
}

/// Removes the old values, ends the sessions that were opened with them, and only then publishes the new ones: whoever
/// knows an old one is out before anything else happens.
pub async fn remove_first(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let before = values(rotation).await?;
    look_again(rotation, &before, Strangers::Taken).await?;
    twins(rotation, &before).await?;
    // Read again: an administrator that has a twin by now goes on as that.
    let values = values(rotation).await?;
    accept::make_alone(rotation, &values, Side::New, "rotation.old-removed").await?;
    checkpoint::reached("rotation.old-refused");
    let marks = super::roll::marks(rotation, &values).await?;
    accept::end_sessions(rotation, &values, &marks).await?;
    publish::records(rotation, &values).await?;
    Ok(Event::NewAlone)
}

/// While consumers restart, which may take days where one fails: is what others know still refused? A deployer's own run sets
/// what its files have. Where it did, the old values go again, and the sessions with them.
pub async fn still_removed(
    rotation: &Rotation<'_>,
    values: &Values,
    which: impl Fn(&Credential) -> bool,
) -> Result<(), Failure> {
    if accept::alone_again(rotation, values, Side::New, which).await? {
        let marks = super::roll::marks(rotation, values).await?;
        accept::end_sessions(rotation, values, &marks).await?;
    }
    Ok(())
}

/// Gives every account that is to go a twin, unless a former run of this step has done so and removed the account.
async fn twins(rotation: &Rotation<'_>, values: &Values) -> Result<(), Failure> {
    let twinned = |credential: &Credential| credential.way == Way::Twin;
    let missing = accept::logins(rotation, values, Side::New, twinned).await?.refused;
    for place in places(rotation, values) {
        let Some(twin) = &place.credential.twin else { continue };
        for account in &place.credential.accounts {
            let twin = accept::twin_of(twin, account);
            if missing.iter().any(|(_, refused)| *refused == twin) {
                place.twin(account, &twin).await?;
                checkpoint::reached("rotation.declared");
            }
        }
    }
    Ok(())
}

async fn accepted(rotation: &Rotation<'_>, values: &Values) -> Result<(), Failure> {
    let found = accept::logins(rotation, values, Side::New, |_| true).await?;
    if found.refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("cannot rotate {}", rotation.subject.names()))
        .cause(format!("the new value is refused after the switch: {}", probe::places(&found.refused))))
}
