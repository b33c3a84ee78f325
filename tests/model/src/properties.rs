//! What must hold in every state that can be reached: the invariants of the design, as far as such a model can refute them.

use crate::{
    action::Protocol,
    broker::{Asked, Broker},
    world::{Values, World, bit},
};
use donjon_policies::transition::State;
use stateright::Property;

/// All of them, and what must be reachable, so that none holds because nothing happens.
pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always("what the store serves is accepted everywhere", |_, world| accepted(world, served(world))),
        Property::always("what a consumer runs on is accepted everywhere", |_, world: &World| {
            world.consumers.iter().all(|consumer| accepted(world, bit(consumer.holds)))
        }),
        Property::always("whatever is accepted is stored", |_, world| stored_first(world)),
        Property::always("nobody acts for a rotation that does not hold the secret", |_, world: &World| {
            world.foul.is_none()
        }),
        Property::always("once all rotations have ended one value is left", |_, world| ended(world)),
        Property::always("resume ends whatever was left", recovers),
        Property::sometimes("every rotation retires", |_, world: &World| {
            world.store.journals.iter().all(|j| j.is_some_and(|j| j.state == State::Retired))
        }),
        Property::sometimes("one is aborted", |_, world| any(world, State::Aborted)),
        Property::sometimes("one is restored", |_, world| any(world, State::Restored)),
        Property::sometimes("one is retired after its old value came back", |_, world: &World| {
            world.store.journals.iter().flatten().any(|j| j.state == State::Retired && j.returned)
        }),
        Property::sometimes("two brokers drive the same rotation", |_, world: &World| {
            let [Some(one), Some(other)] = &world.brokers else { return false };
            one.rotation == other.rotation
        }),
    ]
}

fn any(world: &World, state: State) -> bool {
    world.store.journals.iter().flatten().any(|journal| journal.state == state)
}

fn served(world: &World) -> Values {
    bit(world.store.served().1)
}

fn accepted(world: &World, value: Values) -> bool {
    world.server.accounts.iter().all(|accepts| accepts & value != 0)
}

fn stored_first(world: &World) -> bool {
    let stored = world.store.record.iter().chain(world.store.pending.iter().flatten());
    let stored = stored.fold(0, |stored, value| stored | bit(*value));
    world.server.accounts.iter().all(|accepts| accepts & !stored == 0)
}

fn ended(world: &World) -> bool {
    if world.store.journals.iter().flatten().any(|journal| !journal.state.ended()) {
        return true;
    }
    // A broker that has only looked so far has written no journal.
    let labels = world.store.labels;
    world.server.accounts.iter().all(|accepts| *accepts == served(world))
        && labels.rotation.is_none()
        && labels.current.is_none_or(|current| current == world.store.served().0)
}

/// Where nobody is at work and nothing is under way, one broker alone ends everything that was begun.
fn recovers(protocol: &Protocol, world: &World) -> bool {
    if world.brokers.iter().any(Option::is_some) || !world.late.is_empty() || world.foul.is_some() {
        return true;
    }
    let mut world = world.clone();
    for rotation in 0..world.store.journals.len() {
        let Some(held) = world.store.journals[rotation].filter(|journal| !journal.state.ended()) else { continue };
        world.brokers[0] = Some(Broker::takes_over(0, rotation, held, Asked::Resume));
        let steps = (0..MOST_STEPS).take_while(|_| {
            protocol.go(&mut world, 0);
            world.brokers[0].is_some()
        });
        if steps.count() == MOST_STEPS {
            return false;
        }
    }
    let all = world.store.journals.iter().flatten().all(|journal| journal.state.ended());
    all && ended(&world) && world.foul.is_none() && consumers_work(&world)
}

fn consumers_work(world: &World) -> bool {
    world.consumers.iter().all(|consumer| accepted(world, bit(consumer.holds)))
}

/// More than a rotation takes from beginning to end.
const MOST_STEPS: usize = 200;
