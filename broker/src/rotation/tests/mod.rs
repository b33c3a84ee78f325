//! Every effect of a rotation fails, is lost, or waits for another broker, and what the store serves is accepted all the same.

mod world;

use donjon_policies::transition::State;
use world::{Fault, Seen, World};

/// More effects than any of the rotations here has.
const MOST: usize = 60;

const FAULTS: [Fault; 4] = [Fault::DeathBefore, Fault::DeathAfter, Fault::LostReply, Fault::LostRequest];

/// What follows a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Resume,
    Abort,
    ApplyAgain,
}

/// Ends what is under way, and shows that the next rotation works.
async fn mended(world: &std::sync::Arc<World>, when: &str) {
    let sound = Seen::sound(world);
    if let Err(failure) = sound.go(false).await {
        panic!("{when}: resume: {failure}");
    }
    world.check_ended(when).await;
}

async fn each_effect(fails_on_new: bool, faults: &[Fault], thens: &[Then]) -> usize {
    let mut hits = 0;
    for &fault in faults {
        for &then in thens {
            for at in 1..MOST {
                let world = World::new(fails_on_new).await;
                world.set(Some((at, fault)));
                let when = format!("{fault:?} at effect {at}, then {then:?}");
                let _ = Seen::faulty(&world).apply().await;
                if !world.hit() {
                    break;
                }
                hits += 1;
                world.check(&when).await;
                match then {
                    Then::Resume => {}
                    Then::Abort => drop(Seen::sound(&world).go(true).await),
                    Then::ApplyAgain => drop(Seen::sound(&world).apply().await),
                }
                world.check(&when).await;
                mended(&world, &when).await;
                if !fails_on_new {
                    let again = Seen::sound(&world).apply().await.unwrap_or_else(|failure| panic!("{when}: {failure}"));
                    assert_eq!(again, State::Retired, "{when}");
                    world.check_ended(&when).await;
                }
            }
        }
    }
    hits
}

#[tokio::test]
async fn an_undisturbed_rotation_ends_retired_or_restored() {
    for (fails, wanted) in [(false, State::Retired), (true, State::Restored)] {
        let world = World::new(fails).await;
        assert_eq!(Seen::faulty(&world).apply().await.unwrap(), wanted);
        world.check_ended("undisturbed").await;
    }
}

#[tokio::test]
async fn a_fault_at_any_effect_loses_nothing() {
    let hits = each_effect(false, &FAULTS, &[Then::Resume, Then::Abort, Then::ApplyAgain]).await;
    assert!(hits > 200, "{hits}");
}

#[tokio::test]
async fn a_fault_at_any_effect_of_a_rotation_that_goes_back_loses_nothing() {
    let hits = each_effect(true, &FAULTS, &[Then::Resume, Then::Abort, Then::ApplyAgain]).await;
    assert!(hits > 200, "{hits}");
}

#[tokio::test]
async fn a_fault_at_any_effect_of_an_abort_loses_nothing() {
    let mut hits = 0;
    for began in 1..MOST {
        for fault in FAULTS {
            for at in 1..MOST {
                let world = World::new(false).await;
                world.set(Some((began, Fault::DeathAfter)));
                let _ = Seen::faulty(&world).apply().await;
                world.set(Some((at, fault)));
                let _ = Seen::faulty(&world).go(true).await;
                if !world.hit() {
                    break;
                }
                hits += 1;
                let when = format!("killed at effect {began}, {fault:?} at effect {at} of the abort");
                world.check(&when).await;
                mended(&world, &when).await;
            }
        }
    }
    assert!(hits > 100, "{hits}");
}

/// A statement to the target that was held back cannot be fenced by the store, so only effects on the store stall here.
#[tokio::test]
async fn a_broker_that_stalls_while_another_ends_its_rotation_changes_nothing_served() {
    for fails in [false, true] {
        each_effect(fails, &[Fault::OtherResumes, Fault::OtherAborts], &[Then::Resume]).await;
    }
}
