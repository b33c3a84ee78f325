//! From Planned to Retired: `step/stage.rs`, `publish.rs`, `roll.rs`, `retire.rs`.

use super::Doing;
use crate::{
    broker::{At, Broker, Change, Told, What},
    effect::Effect,
    mistake::Mistake,
    world::{Journal, Labels, World},
};
use donjon_policies::transition::{Event, State};

impl Broker {
    pub(super) fn stage(&self, world: &World) -> Doing {
        let unchanged = world.store.served().0 == self.held.old;
        self.look(if unchanged { At::StageWrite } else { At::Move(Event::AbortAsked) })
    }

    pub(super) fn stage_write(&self, world: &World) -> Doing {
        if let Some(new) = world.store.pending[self.rotation] {
            return Doing::Look(Self { new, at: At::Move(Event::Stored), ..self.clone() });
        }
        // Each broker makes a value of its own.
        let new = (1 + 2 * self.rotation + self.own) as u8;
        let next = Self { new, at: At::Move(Event::Stored), ..self.clone() };
        Doing::Act(Effect::Pending(self.rotation, new), Some(next), None)
    }

    /// Writes the record, unless it is written.
    pub(super) fn record(&self, world: &World) -> Doing {
        let (version, served) = world.store.served();
        let published = |version| {
            let held = Journal { new: Some(version), ..self.held };
            Self { held, at: At::Tell(Told::Published), ..self.clone() }
        };
        if served == self.new {
            return Doing::Look(published(version));
        }
        if version != self.held.old {
            return self.changed_meanwhile(world);
        }
        Doing::Act(Effect::Record(self.rotation, version, self.new), Some(published(version + 1)), None)
    }

    pub(super) fn changed_meanwhile(&self, world: &World) -> Doing {
        match self.newest(world) {
            true => Doing::Foul("the record is neither old nor new, and nobody else drives the rotation"),
            false => Doing::Stop,
        }
    }

    pub(super) fn tell(&self, told: Told) -> Doing {
        let at = match told {
            Told::Published => At::Move(Event::RecordsWritten),
            Told::Return => At::Return(0),
        };
        Doing::Act(Effect::Epoch, self.at(at), None)
    }

    /// The next consumer that is not proven, once every account is seen to accept both.
    pub(super) fn roll(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        let unproven = |consumer: &usize| self.held.proven & (1 << consumer) == 0;
        match (0..world.consumers.len()).find(unproven) {
            Some(consumer) if mistake != Some(Mistake::RetiredBeforeDrained) => {
                self.if_both(world, What::Roll, At::Touch(consumer))
            }
            Some(_) | None => self.look(At::Move(Event::ConsumersProven)),
        }
    }

    pub(super) fn touch(&self, consumer: usize) -> Doing {
        let journal = Journal { touched: self.held.touched | 1 << consumer, ..self.held };
        self.saved(journal, At::Restart(consumer))
    }

    pub(super) fn prove(&self, consumer: usize) -> Doing {
        let held = Journal { proven: self.held.proven | 1 << consumer, ..self.held };
        Doing::Look(Self { held, at: At::Proven, ..self.clone() })
    }

    /// What a broker does whose consumer fails; `None` where none can fail now.
    pub fn failed(&self) -> Option<Self> {
        if matches!(self.at, At::Prove(_)) {
            return self.at(At::Move(Event::ConsumerFailed));
        }
        let comes_back = self.at == At::Trial && !self.held.returned;
        comes_back.then(|| Self { at: At::Change(Change { account: 0, what: What::Return }), ..self.clone() })
    }

    pub(super) fn release(&self, world: &World, mistake: Option<Mistake>) -> Doing {
        let labels = world.store.labels;
        self.look(match labels.rotation == Some(self.rotation) {
            false => At::Move(self.ends()),
            true if mistake == Some(Mistake::LetGoUnasked) => At::ReleasePending(labels.version),
            true => At::ReleaseAsk(labels.version),
        })
    }

    pub(super) fn release_write(&self, world: &World, seen: u8) -> Doing {
        let labels = Labels { rotation: None, current: Some(self.current(world)), ..world.store.labels };
        Doing::Act(Effect::Labels(self.rotation, seen, labels), self.at(At::Move(self.ends())), None)
    }

    /// The event of the last step.
    fn ends(&self) -> Event {
        if self.held.state == State::Trial { Event::TrialPassed } else { Event::OldAlone }
    }
}
