//! The loop that moves a rotation on: a step, its event, the transition, the journal.

use super::{
    Journal, Subject, checkpoint, claim,
    journal::{Held, Item},
    probe, step,
    turn::Turn,
    values::Seen,
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::Layout,
    socket::message::Event as Told,
};
use donjon_drivers::store::{Store, StoreError, secret::SecretValue};
use donjon_policies::{
    name::SecretName,
    transition::{self, Event, Path, State},
};
use futures_util::future::join;
use std::collections::BTreeSet;

/// A rotation that is being driven.
pub struct Rotation<'a> {
    /// Where the journal and the values are.
    pub store: &'a dyn Store,
    /// The paths of its records.
    pub layout: &'a Layout,
    /// What it touches.
    pub subject: &'a Subject,
    /// Makes the new value of a secret, where none is pending yet.
    pub make: &'a (dyn Fn(&SecretName) -> Result<SecretValue, Failure> + Send + Sync),
    /// The time, in microseconds since 1970.
    pub clock: &'a (dyn Fn() -> i64 + Send + Sync),
    /// Where steps are told.
    pub tell: &'a (dyn Fn(Told) + Send + Sync),
    /// Consumers (`service@host`) that the operator goes on without: neither restarted nor proven.
    pub leave: BTreeSet<String>,
    /// Its journal.
    pub held: Held,
    /// Whether another process drove it before, which may have stalled.
    pub taken_over: bool,
    /// Which of its secrets it holds, as of its own claims or the last look at their labels.
    mine: BTreeSet<SecretName>,
    /// The values that were read so far.
    pub(super) seen: Seen,
}

/// What a rotation is driven with, beside its journal.
pub struct Means<'a> {
    /// See [`Rotation::store`].
    pub store: &'a dyn Store,
    /// See [`Rotation::layout`].
    pub layout: &'a Layout,
    /// See [`Rotation::subject`].
    pub subject: &'a Subject,
    /// See [`Rotation::make`].
    pub make: &'a (dyn Fn(&SecretName) -> Result<SecretValue, Failure> + Send + Sync),
    /// See [`Rotation::clock`].
    pub clock: &'a (dyn Fn() -> i64 + Send + Sync),
    /// See [`Rotation::tell`].
    pub tell: &'a (dyn Fn(Told) + Send + Sync),
    /// See [`Rotation::leave`].
    pub leave: BTreeSet<String>,
}

impl<'a> Rotation<'a> {
    /// A rotation as its journal says.
    pub fn new(means: Means<'a>, held: Held) -> Self {
        let Means { store, layout, subject, make, clock, tell, leave } = means;
        Self {
            store,
            layout,
            subject,
            make,
            clock,
            tell,
            leave,
            held,
            taken_over: false,
            mine: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    /// One that this process has just begun: it holds what it has claimed.
    pub fn begun(means: Means<'a>, held: Held) -> Self {
        let mine = held.journal.names().into_iter().collect();
        Self { mine, ..Self::new(means, held) }
    }
}

impl Rotation<'_> {
    /// Moves on until the rotation has ended or cannot go on. What it cannot do now, `resume` can do later.
    pub async fn drive(&mut self) -> Result<&Journal, Failure> {
        if self.mine.is_empty() {
            self.look().await.map_err(|failure| self.explain(failure))?;
        }
        while !self.journal().state.ended() {
            let event = self.step().await.map_err(|failure| self.explain(failure))?;
            self.moved(event).await?;
        }
        Ok(self.journal())
    }

    /// Takes over a rotation that another process left. From now on that one can no longer move the journal.
    pub async fn take_over(&mut self, broker: &str) -> Result<(), Failure> {
        let until = (self.clock)();
        self.held.journal.succeed(broker, until);
        self.held.journal.waiting = None;
        self.taken_over = true;
        self.save().await?;
        claim::renew(self.store, self.layout, self.journal()).await?;
        if self.journal().state != State::Planned {
            return Ok(());
        }
        match claim::claim(self.store, self.layout, &self.held).await {
            // Killed before it held its secrets, one of which another rotation has taken since.
            Err(failure) if failure.code == Exit::Conflict => {
                self.held.journal.undone = Some(failure.message);
                self.moved(Event::AbortAsked).await
            }
            other => other,
        }
    }

    /// Goes on once nobody was found in its way: from now on others see it move.
    pub async fn goes_on(&mut self) -> Result<(), Failure> {
        self.held.journal.looking = None;
        self.save().await
    }

    /// Does not go on after it was taken over: it waits for what it had waited for before, or else for this.
    pub async fn stands_back(&mut self, waited: Option<String>, failure: Failure) -> Failure {
        self.held.journal.looking = None;
        self.held.journal.waiting = waited.or_else(|| Some(failure.message.clone()));
        let state = self.journal().state;
        let stands = format!(
            "this broker has taken it over and has changed nothing else; {state}: {}",
            self.journal().meaning()
        );
        match self.save().await {
            Ok(()) => failure.state(stands),
            Err(unsaved) => failure.cause(unsaved.line()).state(stands),
        }
    }

    /// Goes back, if no consumer can have read the new value.
    pub async fn abort(&mut self) -> Result<&Journal, Failure> {
        let (state, path) = (self.journal().state, self.journal().path);
        // Killed between the record and the journal, it is published although the journal does not say so.
        let before_records = matches!(
            (path, state),
            (Path::Overlap, State::Verified)
                | (Path::Cutover | Path::Together, State::Staged)
                | (Path::Keyring, State::Added)
        );
        self.look().await?;
        let seen = before_records && step::publish::begun(self).await?;
        if seen || transition::next(path, state, Event::AbortAsked).is_err() {
            return Err(Failure::new(
                Exit::Conflict,
                format!("the rotation of {} cannot be aborted", self.subject.names()),
            )
            .cause(format!("it is {state}: consumers may have read the new value"))
            .state(self.journal().meaning())
            .hint("`donjon rotate resume` goes on; a consumer that fails makes it go back by itself"));
        }
        self.moved(Event::AbortAsked).await?;
        self.drive().await
    }

    /// Whether it is still this broker's to drive, for those that ask before a change.
    pub fn turn(&self) -> Turn<'_> {
        Turn { store: self.store, layout: self.layout, held: &self.held }
    }

    /// Where it stands.
    pub fn journal(&self) -> &Journal {
        &self.held.journal
    }

    /// Those of its secrets that it holds.
    pub fn items(&self) -> Vec<&Item> {
        self.journal().secrets.iter().filter(|item| self.mine.contains(&item.secret)).collect()
    }

    /// As [`Self::items`], to be changed.
    pub fn items_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        let mine = &self.mine;
        self.held.journal.secrets.iter_mut().filter(|item| mine.contains(&item.secret))
    }

    /// Writes the journal as it is now.
    pub async fn save(&mut self) -> Result<(), Failure> {
        let names = self.subject.names();
        self.held.save(self.store, self.layout).await.map_err(|error| {
            if matches!(error, StoreError::Conflict { .. }) {
                return probe::taken_over(&names);
            }
            translate::store(format!("cannot write the journal of the rotation of {names}"), &error)
        })
    }

    /// Remembers why it goes back.
    pub fn undone_by(&mut self, failure: &Failure) {
        self.held.journal.undone = Some(format!("{}: {}", failure.message, failure.causes.join(": ")));
    }

    /// Tells a step.
    pub fn told(&self, text: impl Into<String>) {
        (self.tell)(Told::text(text));
    }

    async fn look(&mut self) -> Result<(), Failure> {
        self.mine = claim::held(self.store, self.layout, self.journal()).await?;
        Ok(())
    }

    async fn step(&mut self) -> Result<Event, Failure> {
        let (path, state) = (self.journal().path, self.journal().state);
        if state != State::Planned && self.mine.len() < self.journal().secrets.len() {
            // Only the last step of a path lets secrets go, so some that are gone mean that it was begun.
            let Some(event) = last(path, state) else {
                let newest = self.held.is_newest(self.store, self.layout).await;
                // This one stalled, and another broker has ended the rotation meanwhile.
                if !newest.map_err(|error| translate::store("cannot read the journal", &error))? {
                    return Err(probe::taken_over(&self.subject.names()));
                }
                return Err(Failure::new(
                    Exit::Ambiguous,
                    format!(
                        "the labels of {} no longer name this rotation ({})",
                        self.subject.names(),
                        self.journal().id
                    ),
                )
                .hint(
                    "someone changed records of Donjon's own: `donjon doctor` tells which stored value logs in where",
                ));
            };
            if self.mine.is_empty() {
                return Ok(event);
            }
        }
        match (state, path) {
            (State::Planned, _) => step::stage::stage(self).await,
            (State::Staged, Path::Overlap) => step::declare::declare(self).await,
            (State::Added, Path::Overlap) => step::verify::verify(self).await,
            (State::Staged, Path::Keyring) => step::keys::add(self).await,
            (State::Added, Path::Keyring) => step::keys::promote(self).await,
            (State::Promoted, Path::Keyring) => step::keys::prune(self).await,
            (State::Verified, Path::Overlap) | (State::Staged, Path::Cutover | Path::Together) => {
                step::publish::publish(self).await
            }
            (State::Published, Path::Cutover) => step::switch::switch(self).await,
            (State::Staged, Path::Compromised) => step::switch::remove_first(self).await,
            (State::Published, Path::Overlap | Path::Together)
            | (State::Switched, Path::Cutover | Path::Compromised) => step::roll::prepare(self).await,
            (State::Rolling, Path::Overlap) => step::roll::roll(self).await,
            (State::Rolling, Path::Cutover | Path::Compromised) | (State::Wave, Path::Together) => {
                step::settle::settle(self).await
            }
            (State::Drained, Path::Overlap) => step::retire::remove_old(self).await,
            (State::Trial, Path::Overlap) => step::retire::retire(self).await,
            (State::Aborting, _) => step::undo::abort(self).await,
            (State::Restoring, _) => step::undo::restore(self).await,
            (
                State::Added
                | State::Verified
                | State::Published
                | State::Switched
                | State::Rolling
                | State::Wave
                | State::Promoted
                | State::Drained
                | State::Trial
                | State::Retired
                | State::Settled
                | State::Aborted
                | State::Restored,
                _,
            ) => Err(Failure::new(Exit::Bug, format!("a rotation by {path} has no step that follows {state}"))),
        }
    }

    async fn moved(&mut self, event: Event) -> Result<(), Failure> {
        let impossible = |error| Failure::new(Exit::Bug, "the rotation made an impossible move").because(&error);
        let state = transition::next(self.journal().path, self.journal().state, event).map_err(impossible)?;
        self.held.journal.state = state;
        self.held.journal.waiting = None;
        self.held.journal.looking = None;
        self.held.journal.history.push((state, (self.clock)()));
        checkpoint::reached(&format!("rotation.moving.{state}"));
        // The look is for the next step, and as good as one after the write: what a step changes is held back from a broker
        // that was overtaken by the journal's version, the records' versions and the targets' locks.
        let journal = self.journal().clone();
        let (store, layout) = (self.store, self.layout);
        let look = async {
            match state.ended() {
                true => Ok(None),
                false => claim::held(store, layout, &journal).await.map(Some),
            }
        };
        let (saved, mine) = join(self.save(), look).await;
        saved?;
        checkpoint::reached(&format!("rotation.moved.{state}"));
        if let Some(mine) = mine.map_err(|failure| self.explain(failure))? {
            self.mine = mine;
        }
        self.told(format!("{}: {state}", self.subject.names()));
        Ok(())
    }

    fn explain(&self, failure: Failure) -> Failure {
        let state = self.journal().state;
        // Another broker drives it by now, and knows how it stands.
        if failure.code == Exit::Conflict && failure.state.is_some() {
            return failure;
        }
        // What a store's own error says of the state is about one write; what is valid where is what counts here.
        let store = matches!(failure.code, Exit::Unavailable | Exit::NotAllowed | Exit::Integrity);
        let failure = failure.state(format!("{state}: {}", self.journal().meaning()));
        if failure.hint.is_none() || store {
            failure.hint(
                "`donjon rotate resume` goes on once the cause is mended; with `--leave SERVICE@HOST`, without a consumer that stays away",
            )
        } else {
            failure
        }
    }
}

/// The event of the step that lets the secrets go, where this state's step is the last of a path.
fn last(path: Path, state: State) -> Option<Event> {
    match (state, path) {
        (State::Trial, Path::Overlap) => Some(Event::TrialPassed),
        (State::Rolling, Path::Cutover | Path::Compromised) | (State::Wave, Path::Together) => {
            Some(Event::ConsumersProven)
        }
        (State::Promoted, Path::Keyring) => Some(Event::KeysPruned),
        (State::Aborting | State::Restoring, _) => Some(Event::OldAlone),
        (
            State::Planned
            | State::Staged
            | State::Added
            | State::Verified
            | State::Published
            | State::Switched
            | State::Rolling
            | State::Wave
            | State::Promoted
            | State::Drained
            | State::Trial
            | State::Retired
            | State::Settled
            | State::Aborted
            | State::Restored,
            _,
        ) => None,
    }
}
