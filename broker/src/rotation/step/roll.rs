//! Rolling and Drained: consumers restart in order and are proven on the new value by their own logins.

use crate::{
    failure::{Exit, Failure},
    rotation::{
        Instance, Rotation,
        begin::{Values, values},
        checkpoint,
        journal::Restarted,
        probe,
        step::declare,
        subject::Proof,
    },
};
use donjon_drivers::{
    service::ServiceError,
    target::{Admin, Mark, Session},
};
use donjon_policies::transition::Event;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Marks where the sessions of consumers that still have the old value end.
pub async fn prepare(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    rotation.held.journal.marks = marks(rotation, &both).await?;
    Ok(Event::RestartsBegun)
}

/// Restarts every consumer that is not proven yet, then waits until no session from before is left.
pub async fn roll(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    declare::still_both(rotation, &both).await?;
    for instance in rotation.subject.instances.clone() {
        let known = rotation
            .journal()
            .restarted
            .iter()
            .any(|r| r.service == instance.service && r.host == instance.host && r.acknowledged);
        if known {
            continue;
        }
        // Known as touched before it is: whoever goes back after a crash must return it too.
        remember(rotation, &instance, false);
        rotation.save().await?;
        if let Proven::No(failure) = restart(rotation, &both, &instance).await? {
            rotation.told(failure.to_string());
            rotation.held.journal.undone = Some(format!("{}: {}", failure.message, failure.causes.join(": ")));
            return Ok(Event::ConsumerFailed);
        }
        remember(rotation, &instance, true);
        rotation.told(format!("{} on {}: proven on the new value", instance.service, instance.host));
        rotation.save().await?;
        checkpoint::reached("rotation.acknowledged");
    }
    drained(rotation, &both).await?;
    checkpoint::reached("rotation.drained");
    Ok(Event::ConsumersProven)
}

/// Whether a consumer that was restarted runs on what the store serves. That nobody can tell is an error instead.
pub enum Proven {
    /// It does.
    Yes,
    /// It does not, and why.
    No(Failure),
}

/// Restarts one consumer and waits until it is proven on what the store serves.
pub async fn restart(rotation: &Rotation<'_>, both: &Values, instance: &Instance) -> Result<Proven, Failure> {
    let (service, host) = (&instance.service, &instance.host);
    let failed =
        |code, error: &ServiceError| Failure::new(code, format!("cannot restart `{service}` on {host}")).because(error);
    let before = marks(rotation, both).await?;
    let since = instance.driver.now().await.map_err(|error| failed(Exit::Unavailable, &error))?;
    match instance.driver.restart().await {
        Ok(()) => {}
        Err(error @ ServiceError::Host { .. }) => return Err(failed(Exit::Unavailable, &error)),
        Err(error @ ServiceError::Failed { .. }) => return Ok(Proven::No(failed(Exit::Failed, &error))),
    }
    checkpoint::reached("rotation.restarted");
    let deadline = Instant::now() + instance.settle;
    loop {
        let lacking = match (started(instance, since).await, instance.driver.check().await) {
            (Some(lacking), _) => lacking,
            (None, Err(error)) => error.to_string(),
            (None, Ok(())) if instance.proof == Proof::Check => return Ok(Proven::Yes),
            (None, Ok(())) if logged_in(rotation, both, &before).await? => return Ok(Proven::Yes),
            (None, Ok(())) => format!("no login of `{}` came after its restart", rotation.subject.users.join(", ")),
        };
        if Instant::now() >= deadline {
            let late = format!("`{service}` on {host} was not proven within {} s", instance.settle.as_secs());
            return Ok(Proven::No(Failure::new(Exit::Failed, late).cause(lacking)));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn started(instance: &Instance, since: i64) -> Option<String> {
    match instance.driver.started().await {
        Ok(Some(at)) if at >= since => None,
        Ok(Some(_)) => Some("the service manager's start time is older than the publication".to_owned()),
        Ok(None) => Some("it does not run".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

async fn logged_in(rotation: &Rotation<'_>, both: &Values, before: &BTreeMap<String, Mark>) -> Result<bool, Failure> {
    // Only sessions up to a mark are told, so the mark is one of now.
    let now = marks(rotation, both).await?;
    let sessions = sessions(rotation, both, &now).await?;
    // The session that took the mark is this broker's own: the server may not have noticed yet that it has left.
    let own = |node: &String, session: &Session| now.get(node) == Some(&session.mark);
    Ok(sessions
        .iter()
        .any(|(node, session)| !own(node, session) && before.get(node).is_some_and(|mark| session.mark > *mark)))
}

async fn drained(rotation: &mut Rotation<'_>, both: &Values) -> Result<(), Failure> {
    let deadline = Instant::now() + rotation.subject.drain;
    let marks = rotation.journal().marks.clone();
    loop {
        let left = sessions(rotation, both, &marks).await?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let named: Vec<_> = left
                .iter()
                .map(|(node, session)| format!("{} (session {} on {node})", session.from, session.mark.0))
                .collect();
            let failure = Failure::new(
                Exit::Waiting,
                format!("sessions of `{}` from before the rotation are still open", rotation.subject.users.join(", ")),
            );
            let failure = failure.cause(named.join(", ")).hint("restart what holds them, then `donjon rotate resume`");
            rotation.held.journal.waiting = Some(format!("sessions from before are open: {}", named.join(", ")));
            rotation.save().await?;
            return Err(failure);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn sessions(
    rotation: &Rotation<'_>,
    both: &Values,
    until: &BTreeMap<String, Mark>,
) -> Result<Vec<(String, Session)>, Failure> {
    let (known, subject) = (both.administrator.values(), rotation.subject);
    let admin = Admin { user: &subject.administrator.user, values: &known };
    let mut found = Vec::new();
    for node in subject.target.nodes() {
        let Some(mark) = until.get(&node.name) else { continue };
        for user in &subject.users {
            let sessions = subject.target.sessions(&admin, node, user, *mark).await;
            let sessions = sessions.map_err(|error| probe::failed(subject, &error))?;
            found.extend(sessions.into_iter().map(|session| (node.name.clone(), session)));
        }
    }
    Ok(found)
}

async fn marks(rotation: &Rotation<'_>, both: &Values) -> Result<BTreeMap<String, Mark>, Failure> {
    let (known, subject) = (both.administrator.values(), rotation.subject);
    let admin = Admin { user: &subject.administrator.user, values: &known };
    let mut marks = BTreeMap::new();
    for node in subject.target.nodes() {
        let mark = subject.target.mark(&admin, node).await.map_err(|error| probe::failed(subject, &error))?;
        marks.insert(node.name.clone(), mark);
    }
    Ok(marks)
}

fn remember(rotation: &mut Rotation<'_>, instance: &Instance, acknowledged: bool) {
    let restarted = Restarted { service: instance.service.clone(), host: instance.host.clone(), acknowledged };
    let known = &mut rotation.held.journal.restarted;
    match known.iter_mut().find(|r| r.service == restarted.service && r.host == restarted.host) {
        Some(same) => *same = restarted,
        None => known.push(restarted),
    }
}

const POLL: Duration = Duration::from_millis(25);
