//! What can happen next, as stateright asks it.

use crate::{
    broker::{Asked, At, Broker},
    drive::Doing,
    effect::{Answer, Effect},
    mistake::Mistake,
    properties,
    world::{Holder, Left, Rotation, World},
};
use stateright::{Model, Property};

/// The model: how large it is, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// How many accounts the server has.
    pub accounts: usize,
    /// How many consumers there are.
    pub consumers: usize,
    /// What may happen.
    pub left: Left,
    /// The mistake that is made in it.
    pub mistake: Option<Mistake>,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An operator tells a broker to rotate.
    Begin(usize),
    /// An operator tells a broker to take over a rotation.
    TakeOver(usize, Rotation, Asked),
    /// A broker does what it does next; other brokers may do much before that, which is how it stalls.
    Go(usize),
    /// The consumer that a broker looks at fails.
    Fail(usize),
    /// A broker is killed.
    Kill(usize),
    /// A broker is killed while its message is under way.
    Late(usize),
    /// A broker's message arrives, and is under way once more.
    Twice(usize),
    /// A message that was under way arrives.
    Arrive(usize),
    /// A message that was under way is lost.
    Lose(usize),
    /// A reader looks at the store.
    Refresh,
    /// A consumer is started by someone else.
    Start(usize),
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.accounts, self.consumers, self.left)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // What follows something that must never happen is of no interest.
        if world.foul.is_some() {
            return;
        }
        for (own, broker) in world.brokers.iter().enumerate() {
            match broker {
                None => idle(world, own, actions),
                Some(broker) => self.busy(world, broker, actions),
            }
        }
        for at in 0..world.late.len() {
            actions.extend([Action::Arrive(at), Action::Lose(at)]);
        }
        if world.cache != world.store.served().1 {
            actions.push(Action::Refresh);
        }
        actions.extend((0..world.consumers.len()).map(Action::Start));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Begin(own) => {
                let rotation = self.left.rotations - next.left.rotations;
                next.left.rotations -= 1;
                next.brokers[own] = Some(Broker::begins(own, usize::from(rotation)));
            }
            Action::TakeOver(own, rotation, asked) => {
                next.left.takeovers -= 1;
                let held = next.store.journals[rotation]?;
                next.brokers[own] = Some(Broker::takes_over(own, rotation, held, asked));
            }
            Action::Go(own) => self.go(&mut next, own),
            Action::Fail(own) => {
                next.left.failures -= 1;
                next.brokers[own] = next.brokers[own].as_ref()?.failed();
            }
            Action::Kill(own) => next.brokers[own] = None,
            Action::Late(own) => {
                next.left.late -= 1;
                let effect = self.message(&next, own)?;
                next.send_late(own, effect);
                next.brokers[own] = None;
            }
            Action::Twice(own) => {
                next.left.late -= 1;
                let effect = self.message(&next, own)?;
                self.go(&mut next, own);
                next.late.push(effect);
            }
            Action::Arrive(at) => {
                let effect = next.late.remove(at);
                next.apply(&effect, self.mistake);
            }
            Action::Lose(at) => {
                let effect = next.late.remove(at);
                next.let_go(&effect);
            }
            Action::Refresh => next.cache = next.store.served().1,
            Action::Start(consumer) => next.start(consumer),
        }
        next.close_connections();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

fn idle(world: &World, own: usize, actions: &mut Vec<Action>) {
    if world.left.rotations > 0 {
        actions.push(Action::Begin(own));
    }
    if world.left.takeovers == 0 {
        return;
    }
    for (rotation, journal) in world.store.journals.iter().enumerate() {
        if journal.is_some_and(|journal| !journal.state.ended()) {
            actions.push(Action::TakeOver(own, rotation, Asked::Resume));
            actions.push(Action::TakeOver(own, rotation, Asked::Abort));
        }
    }
}

impl Protocol {
    fn busy(&self, world: &World, broker: &Broker, actions: &mut Vec<Action>) {
        let own = broker.own;
        actions.extend([Action::Go(own), Action::Kill(own)]);
        if world.left.failures > 0 && broker.failed().is_some() {
            actions.push(Action::Fail(own));
        }
        if world.left.late > 0 && self.message(world, own).is_some() {
            actions.extend([Action::Late(own), Action::Twice(own)]);
        }
    }

    /// What a broker sends next, if that can be late.
    fn message(&self, world: &World, own: usize) -> Option<Effect> {
        match world.brokers[own].as_ref()?.doing(world, self.mistake) {
            Doing::Act(effect, ..) if effect.travels() => Some(effect),
            Doing::Act(..) | Doing::Look(_) | Doing::Take(_) | Doing::Stop | Doing::Foul(_) => None,
        }
    }

    /// A broker does what it does next.
    pub fn go(&self, world: &mut World, own: usize) {
        let Some(broker) = world.brokers[own].clone() else { return };
        world.brokers[own] = match broker.doing(world, self.mistake) {
            Doing::Look(next) => Some(next),
            Doing::Take(next) => {
                world.take_lock(&broker);
                Some(next)
            }
            Doing::Act(effect, done, refused) => match world.apply(&effect, self.mistake) {
                Answer::Done => done,
                Answer::Refused => refused,
            },
            Doing::Stop => None,
            Doing::Foul(what) => {
                world.foul(what);
                None
            }
        };
        world.close_connections();
    }
}

impl World {
    fn take_lock(&mut self, broker: &Broker) {
        self.server.locks[broker.rotation] = Some(Holder::Broker(broker.own));
        let killed = |effect: &Effect| matches!(effect, Effect::Statement(s) if s.rotation == broker.rotation);
        self.late.retain(|effect| !killed(effect));
    }

    fn send_late(&mut self, own: usize, mut effect: Effect) {
        if let Effect::Statement(statement) = &mut effect {
            if self.server.locks[statement.rotation] == Some(Holder::Broker(own)) {
                self.server.locks[statement.rotation] = Some(Holder::Late);
            }
            statement.by = Holder::Late;
        }
        self.late.push(effect);
    }

    fn let_go(&mut self, effect: &Effect) {
        if let Effect::Statement(statement) = effect
            && self.server.locks[statement.rotation] == Some(Holder::Late)
        {
            self.server.locks[statement.rotation] = None;
        }
    }

    /// A lock goes with its connection: that of a broker which is in no change, or is no more.
    fn close_connections(&mut self) {
        for (rotation, lock) in self.server.locks.iter_mut().enumerate() {
            if let Some(Holder::Broker(own)) = *lock {
                let broker = self.brokers[own].as_ref();
                let changes = |b: &&Broker| b.rotation == rotation && matches!(b.at, At::Ask(..) | At::Say(..));
                if broker.filter(changes).is_none() {
                    *lock = None;
                }
            }
        }
    }
}
