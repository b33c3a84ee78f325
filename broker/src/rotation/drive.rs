//! The loop that moves a rotation on: a step, its event, the transition, the journal.

use super::{Journal, Subject, begin, checkpoint, journal::Held, step};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{Layout, labels},
    socket::message::Event as Told,
};
use donjon_drivers::store::{Store, StoreError, secret::SecretValue};
use donjon_policies::transition::{self, Event, State};

/// A rotation that is being driven.
pub struct Rotation<'a> {
    /// Where the journal and the values are.
    pub store: &'a dyn Store,
    /// The paths of its records.
    pub layout: &'a Layout,
    /// What it touches.
    pub subject: &'a Subject,
    /// Makes the new value, where none is pending yet.
    pub make: &'a (dyn Fn() -> Result<SecretValue, Failure> + Send + Sync),
    /// The time, in microseconds since 1970.
    pub clock: &'a (dyn Fn() -> i64 + Send + Sync),
    /// Where steps are told.
    pub tell: &'a (dyn Fn(Told) + Send + Sync),
    /// Its journal.
    pub held: Held,
}

impl Rotation<'_> {
    /// Moves on until the rotation has ended or cannot go on. What it cannot do now, `resume` can do later.
    pub async fn drive(&mut self) -> Result<&Journal, Failure> {
        while !self.journal().state.ended() {
            let event = self.step().await.map_err(|failure| self.explain(failure))?;
            self.moved(event).await?;
        }
        Ok(self.journal())
    }

    /// Takes over a rotation that another process left. From now on that one can no longer move the journal.
    pub async fn take_over(&mut self, broker: &str) -> Result<(), Failure> {
        self.held.journal.broker = broker.to_owned();
        self.held.journal.waiting = None;
        self.save().await?;
        if self.journal().state != State::Planned {
            return Ok(());
        }
        match begin::claim(self.store, self.layout, self.journal()).await {
            // Killed before it held the secret, which another rotation has taken since.
            Err(failure) if failure.code == Exit::Conflict => {
                self.held.journal.undone = Some(failure.message);
                self.moved(Event::AbortAsked).await
            }
            other => other,
        }
    }

    /// Whether the secret's labels name this rotation. Where they do not, it was ended but for the last line of its
    /// journal, and the secret may be another's by now.
    async fn holds(&self) -> Result<bool, Failure> {
        let held = labels::read(self.store, self.layout, &self.subject.secret).await;
        let held = held.map_err(|error| {
            translate::store(format!("cannot read the labels of `{}`", self.subject.secret), &error)
        })?;
        Ok(held.labels.rotation.as_deref() == Some(self.journal().id.as_str()))
    }

    /// Goes back, if no consumer can have read the new value.
    pub async fn abort(&mut self) -> Result<&Journal, Failure> {
        let state = self.journal().state;
        // Killed between the record and the journal, it is published although the journal does not say so.
        let seen = state == State::Verified && step::publish::begun(self).await?;
        if seen || transition::next(state, Event::AbortAsked).is_err() {
            return Err(Failure::new(
                Exit::Conflict,
                format!("the rotation of `{}` cannot be aborted", self.subject.secret),
            )
            .cause(format!("it is {state}: consumers may have read the new value"))
            .state(state.meaning())
            .hint("`donjon rotate resume` goes on; a consumer that fails makes it go back by itself"));
        }
        self.moved(Event::AbortAsked).await?;
        self.drive().await
    }

    /// Where it stands.
    pub fn journal(&self) -> &Journal {
        &self.held.journal
    }

    /// Writes the journal as it is now.
    pub async fn save(&mut self) -> Result<(), Failure> {
        let secret = &self.subject.secret;
        self.held.save(self.store, self.layout).await.map_err(|error| {
            if matches!(error, StoreError::Conflict { .. }) {
                return Failure::new(
                    Exit::Conflict,
                    format!("another broker has taken over the rotation of `{secret}`"),
                )
                .state("this one has stopped")
                .hint("`donjon rotate status` shows how it stands");
            }
            translate::store(format!("cannot write the journal of the rotation of `{secret}`"), &error)
        })
    }

    /// Tells a step.
    pub fn told(&self, text: impl Into<String>) {
        (self.tell)(Told::text(text));
    }

    async fn step(&mut self) -> Result<Event, Failure> {
        let state = self.journal().state;
        if state != State::Planned && !self.holds().await? {
            return match state {
                State::Trial => Ok(Event::TrialPassed),
                State::Aborting | State::Restoring => Ok(Event::OldAlone),
                State::Planned
                | State::Staged
                | State::Added
                | State::Verified
                | State::Published
                | State::Rolling
                | State::Drained
                | State::Retired
                | State::Aborted
                | State::Restored => Err(Failure::new(
                    Exit::Ambiguous,
                    format!("the labels of `{}` no longer name this rotation ({})", self.subject.secret, self.journal().id),
                )
                .hint("someone changed records of Donjon's own: `donjon history` and a login with each version tell what is valid")),
            };
        }
        match state {
            State::Planned => step::stage::stage(self).await,
            State::Staged => step::declare::both(self).await,
            State::Added => step::verify::verify(self).await,
            State::Verified => step::publish::publish(self).await,
            State::Published => step::roll::prepare(self).await,
            State::Rolling => step::roll::roll(self).await,
            State::Drained => step::retire::remove_old(self).await,
            State::Trial => step::retire::retire(self).await,
            State::Aborting => step::undo::abort(self).await,
            State::Restoring => step::undo::restore(self).await,
            State::Retired | State::Aborted | State::Restored => {
                Err(Failure::new(Exit::Bug, "a rotation that has ended has no next step"))
            }
        }
    }

    async fn moved(&mut self, event: Event) -> Result<(), Failure> {
        let impossible = |error| Failure::new(Exit::Bug, "the rotation made an impossible move").because(&error);
        let state = transition::next(self.journal().state, event).map_err(impossible)?;
        self.held.journal.state = state;
        self.held.journal.waiting = None;
        self.held.journal.history.push((state, (self.clock)()));
        self.save().await?;
        checkpoint::reached(&format!("rotation.moved.{state}"));
        self.told(format!("{}: {state}", self.subject.secret));
        Ok(())
    }

    fn explain(&self, failure: Failure) -> Failure {
        let state = self.journal().state;
        // What a store's own error says of the state is about one write; what is valid where is what counts here.
        let store = matches!(failure.code, Exit::Unavailable | Exit::NotAllowed | Exit::Integrity);
        let failure = failure.state(format!("{state}: {}", state.meaning()));
        if failure.hint.is_none() || store {
            failure.hint("`donjon rotate resume` goes on once the cause is mended")
        } else {
            failure
        }
    }
}
