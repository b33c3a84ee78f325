//! Every effect of a rotation fails, is lost, or waits for another broker, and what the store serves is accepted all the same.

mod world;

use super::subject::Way;
use crate::failure::Exit;
use donjon_policies::transition::{Path, State};
use world::{DAY, Fails, Fault, ROOT, Scenario, Seen, World};

/// More effects than any of the rotations here has.
const MOST: usize = 60;

const FAULTS: [Fault; 4] = [Fault::DeathBefore, Fault::DeathAfter, Fault::LostReply, Fault::LostRequest];

const NOVA: &str = "nova_database_password";

/// MySQL root, as it was from the first day.
const ROOT_ALONE: Scenario =
    Scenario { path: Path::Overlap, secrets: &[(ROOT, "root", Way::Both)], fails: Fails::Never };

/// Every other way to rotate.
const WAYS: [Scenario; 11] = [
    Scenario {
        path: Path::Overlap,
        secrets: &[(ROOT, "root", Way::Both), (NOVA, "nova", Way::Both)],
        fails: Fails::Never,
    },
    Scenario { path: Path::Overlap, secrets: &[(NOVA, "nova", Way::Twin)], fails: Fails::Never },
    // An administrator whose own name changes, beside one that does not.
    Scenario {
        path: Path::Overlap,
        secrets: &[(ROOT, "root", Way::Twin), (NOVA, "nova", Way::Both)],
        fails: Fails::Never,
    },
    Scenario { path: Path::Cutover, secrets: &[(NOVA, "nova", Way::Switch)], fails: Fails::Never },
    Scenario { path: Path::Cutover, secrets: &[(ROOT, "root", Way::Switch)], fails: Fails::Never },
    Scenario {
        path: Path::Cutover,
        secrets: &[(ROOT, "root", Way::Both), (NOVA, "nova", Way::Switch)],
        fails: Fails::Never,
    },
    Scenario { path: Path::Together, secrets: &[(NOVA, "nova", Way::Both)], fails: Fails::Never },
    Scenario {
        path: Path::Compromised,
        secrets: &[(ROOT, "root", Way::Both), (NOVA, "nova", Way::Both)],
        fails: Fails::Never,
    },
    Scenario { path: Path::Compromised, secrets: &[(NOVA, "nova", Way::Twin)], fails: Fails::Never },
    Scenario { path: Path::Compromised, secrets: &[(ROOT, "root", Way::Twin)], fails: Fails::Never },
    Scenario {
        path: Path::Cutover,
        secrets: &[(ROOT, "root", Way::Twin), (NOVA, "nova", Way::Switch)],
        fails: Fails::Never,
    },
];

/// Where a rotation ends that nothing stops.
fn end(scenario: Scenario) -> State {
    match (scenario.fails, scenario.path) {
        (Fails::OnNew | Fails::Unlike, _) => State::Restored,
        (_, Path::Overlap | Path::Keyring) => State::Retired,
        (_, Path::Cutover | Path::Together | Path::Compromised) => State::Settled,
    }
}

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

async fn each_effect(scenario: Scenario, faults: &[Fault], thens: &[Then]) -> usize {
    let mut hits = 0;
    for &fault in faults {
        for &then in thens {
            for at in 1..MOST {
                let world = World::new(scenario).await;
                world.set(Some((at, fault)));
                let when = format!("{scenario:?}: {fault:?} at effect {at}, then {then:?}");
                let _ = Seen::faulty(&world).apply().await;
                if !world.hit() {
                    break;
                }
                hits += 1;
                assert!(at + 1 < MOST, "{when}: there are more");
                // Who changes accounts by hand may lock out whoever has another value, until it is noticed.
                if fault != Fault::Collapsed {
                    world.check(&when).await;
                }
                match then {
                    Then::Resume => {}
                    Then::Abort => drop(Seen::sound(&world).go(true).await),
                    Then::ApplyAgain => drop(Seen::sound(&world).apply().await),
                }
                if fault != Fault::Collapsed {
                    world.check(&when).await;
                }
                mended(&world, &when).await;
                if scenario.fails != Fails::OnNew {
                    let again = Seen::sound(&world).apply().await.unwrap_or_else(|failure| panic!("{when}: {failure}"));
                    assert_eq!(again, end(scenario), "{when}");
                    world.check_ended(&when).await;
                }
            }
        }
    }
    hits
}

fn failing(scenario: Scenario) -> Scenario {
    Scenario { fails: Fails::OnNew, ..scenario }
}

#[tokio::test]
async fn an_undisturbed_rotation_ends_with_the_new_values_or_restored() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]) {
        let world = World::new(scenario).await;
        assert_eq!(Seen::faulty(&world).apply().await.unwrap(), end(scenario), "{scenario:?}");
        world.check_ended("undisturbed").await;
        assert!(world.told("api@local: restarting") && world.told("api@local: waiting for its"), "{scenario:?}");
        // What is known to others does not come back.
        if scenario.path != Path::Compromised {
            let world = World::new(failing(scenario)).await;
            assert_eq!(Seen::faulty(&world).apply().await.unwrap(), State::Restored, "{scenario:?}");
            world.check_ended("restored").await;
        }
    }
}

/// Whoever restarted: somebody who is no consumer, or whom nobody restarted, still holds a session of the old value.
#[tokio::test]
async fn a_session_from_before_keeps_the_old_value_alive_until_it_is_closed() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        for (name, user, _) in scenario.secrets {
            let world = World::new(scenario).await;
            let first = format!("first-{name}");
            world.pool(user);
            let waits = Seen::sound(&world).apply().await.unwrap_err();
            assert!(waits.code == Exit::Waiting && waits.to_string().contains(user), "{scenario:?}: {waits}");
            assert!(world.accepts(user, &first), "{scenario:?}: {user}");
            world.check("a session is open").await;
            let waits = Seen::sound(&world).go(false).await.unwrap_err();
            assert!(waits.code == Exit::Waiting && world.accepts(user, &first), "{scenario:?}: {waits}");
            world.unpool();
            assert_eq!(Seen::sound(&world).go(false).await.unwrap(), [State::Retired], "{scenario:?}");
            assert!(!world.accepts(user, &first), "{scenario:?}: {user}");
            world.check_ended("the session is closed").await;
        }
    }
}

#[tokio::test]
async fn a_fault_at_any_effect_loses_nothing() {
    let hits = each_effect(ROOT_ALONE, &FAULTS, &[Then::Resume, Then::Abort, Then::ApplyAgain]).await;
    assert!(hits > 200, "{hits}");
}

#[tokio::test]
async fn a_fault_at_any_effect_of_any_way_loses_nothing() {
    let mut hits = 0;
    for scenario in WAYS {
        hits += each_effect(scenario, &FAULTS, &[Then::Resume, Then::Abort]).await;
    }
    assert!(hits > 1000, "{hits}");
}

#[tokio::test]
async fn a_fault_at_any_effect_of_a_rotation_that_goes_back_loses_nothing() {
    let mut hits = 0;
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path != Path::Compromised) {
        hits += each_effect(failing(scenario), &FAULTS, &[Then::Resume, Then::Abort]).await;
    }
    assert!(hits > 1000, "{hits}");
}

#[tokio::test]
async fn a_fault_at_any_effect_of_an_abort_loses_nothing() {
    let mut hits = 0;
    for scenario in [ROOT_ALONE, WAYS[0], WAYS[2]] {
        for began in 1..MOST {
            for fault in FAULTS {
                for at in 1..MOST {
                    let world = World::new(scenario).await;
                    world.set(Some((began, Fault::DeathAfter)));
                    let _ = Seen::faulty(&world).apply().await;
                    world.set(Some((at, fault)));
                    let _ = Seen::faulty(&world).go(true).await;
                    if !world.hit() {
                        break;
                    }
                    hits += 1;
                    let when = format!("{scenario:?}: killed at effect {began}, {fault:?} at effect {at} of the abort");
                    world.check(&when).await;
                    mended(&world, &when).await;
                }
            }
        }
    }
    assert!(hits > 100, "{hits}");
}

#[tokio::test]
async fn a_deployer_that_collapses_a_chain_at_any_effect_is_noticed_and_repaired() {
    let mut hits = 0;
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        for scenario in [scenario, failing(scenario)] {
            hits += each_effect(scenario, &[Fault::Collapsed], &[Then::Resume]).await;
        }
    }
    assert!(hits > 100, "{hits}");
}

/// Whatever it stalls before: a write to the store, a restart, or a statement to the target that the other one has to fence.
#[tokio::test]
async fn a_broker_that_stalls_while_another_ends_its_rotation_changes_nothing_served() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]) {
        for fails in [Fails::Never, Fails::OnNew] {
            if fails == Fails::OnNew && scenario.path == Path::Compromised {
                continue;
            }
            let scenario = Scenario { fails, ..scenario };
            each_effect(scenario, &[Fault::OtherResumes, Fault::OtherAborts], &[Then::Resume]).await;
        }
    }
}

/// Killed where the records may have the new values already, and then slow: another broker ends the rotation between any two
/// of its looks, or before any of its writes.
#[tokio::test]
async fn a_resume_that_stalls_anywhere_changes_nothing_served() {
    let mut hits = 0;
    for scenario in [ROOT_ALONE, WAYS[0], WAYS[2], WAYS[3], WAYS[6]] {
        for scenario in [scenario, failing(scenario)] {
            for began in 1..MOST {
                let killed = async || {
                    let world = World::new(scenario).await;
                    world.set(Some((began, Fault::DeathAfter)));
                    let _ = Seen::faulty(&world).apply().await;
                    world
                };
                if !matches!(killed().await.state().await, Some(State::Staged | State::Verified)) {
                    continue;
                }
                for at in 1..2 * MOST {
                    let world = killed().await;
                    world.set(Some((at, Fault::OtherResumes)));
                    let _ = Seen::slow(&world).go(false).await;
                    if !world.hit() {
                        break;
                    }
                    hits += 1;
                    let when = format!("{scenario:?}: killed at effect {began}, stalled before look or effect {at}");
                    world.check(&when).await;
                    mended(&world, &when).await;
                }
            }
        }
    }
    assert!(hits > 500, "{hits}");
}

/// The old value comes back while another broker finds everything well, and retires: it must not come back after that.
#[tokio::test]
async fn an_old_value_that_comes_back_in_the_trial_is_gone_in_the_end() {
    let faults = [Fault::OtherResumes, Fault::DeathBefore, Fault::DeathAfter, Fault::LostReply];
    let mut hits = 0;
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        hits += each_effect(Scenario { fails: Fails::InTrial, ..scenario }, &faults, &[Then::Resume]).await;
    }
    assert!(hits > 100, "{hits}");
}

/// Whoever drives it is killed at some effect, and again and again after it: what comes back in the trial does so once.
#[tokio::test]
async fn an_old_value_comes_back_in_the_trial_once_at_most() {
    let (mut hits, mut most) = (0, 0);
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        for fault in [Fault::DeathBefore, Fault::DeathAfter, Fault::LostReply] {
            for at in 1..MOST {
                let world = World::new(Scenario { fails: Fails::InTrial, ..scenario }).await;
                world.set(Some((at, fault)));
                let _ = Seen::faulty(&world).apply().await;
                if !world.hit() {
                    break;
                }
                hits += 1;
                for _ in 0..3 {
                    world.set(None);
                    let _ = Seen::faulty(&world).go(false).await;
                }
                assert!(world.came_back() <= 1, "{scenario:?}: {fault:?} at effect {at}");
                most = most.max(world.came_back());
            }
        }
    }
    assert!(hits > 100 && most == 1, "{hits}, {most}");
}

/// An account whose twin stays has gone, and does not come back: who is to be mended is told all the same.
#[tokio::test]
async fn a_consumer_that_fails_in_the_trial_is_named_and_what_can_come_back_does() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        let world = World::new(Scenario { fails: Fails::InTrial, ..scenario }).await;
        let waits = Seen::faulty(&world).apply().await.unwrap_err();
        assert!(waits.code == Exit::Waiting && waits.to_string().contains("api@local"), "{scenario:?}: {waits}");
        assert_eq!(world.state().await, Some(State::Trial), "{scenario:?}");
        for (name, user, way) in scenario.secrets {
            assert_eq!(world.accepts(user, &format!("first-{name}")), *way == Way::Both, "{scenario:?}: {user}");
        }
        let back = scenario.secrets.iter().any(|(.., way)| *way == Way::Both);
        let hint = waits.hint.clone().unwrap_or_default();
        assert_eq!(hint.contains("once more, for this once"), back, "{scenario:?}: {hint}");
        assert_eq!(hint.contains("the old value stays removed"), !back, "{scenario:?}: {hint}");
        let again = Seen::faulty(&world).go(false).await.unwrap_err();
        assert!(again.code == Exit::Failed && again.to_string().contains("api@local"), "{scenario:?}: {again}");
        assert_eq!(Seen::sound(&world).go(false).await.unwrap(), [State::Retired], "{scenario:?}");
        world.check_ended("mended").await;
    }
}

/// Nobody can tell how it is: that brings no old value back, and ends no trial.
#[tokio::test]
async fn a_consumer_that_cannot_be_reached_in_the_trial_is_waited_for() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        let world = World::new(Scenario { fails: Fails::AwayInTrial, ..scenario }).await;
        for _ in 0..2 {
            let stops = match world.state().await {
                None => Seen::faulty(&world).apply().await.unwrap_err(),
                Some(_) => Seen::faulty(&world).go(false).await.unwrap_err(),
            };
            assert!(
                stops.code == Exit::Unavailable && stops.to_string().contains("api@local"),
                "{scenario:?}: {stops}"
            );
            assert_eq!(world.state().await, Some(State::Trial), "{scenario:?}");
            for (name, user, _) in scenario.secrets {
                assert!(!world.accepts(user, &format!("first-{name}")), "{scenario:?}: {user}");
            }
        }
        assert_eq!(Seen::sound(&world).go(false).await.unwrap(), [State::Retired], "{scenario:?}");
        world.check_ended("reached").await;
    }
}

/// As ssh ends where it cannot connect, and a shell where there is no such command: what the host says of itself decides.
#[tokio::test]
async fn a_check_that_ends_as_if_its_host_were_away_is_one_that_fails() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path != Path::Compromised) {
        let world = World::new(Scenario { fails: Fails::Unlike, ..scenario }).await;
        assert_eq!(Seen::faulty(&world).apply().await.unwrap(), State::Restored, "{scenario:?}");
        world.check_ended("restored").await;
    }
}

/// Nobody can tell how it is since it restarted: it is no consumer that fails, and nothing goes back for it.
#[tokio::test]
async fn a_consumer_whose_host_goes_away_after_its_restart_is_waited_for() {
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]) {
        let world = World::new(Scenario { fails: Fails::AwayOnNew, ..scenario }).await;
        for again in [false, true] {
            let stops = match again {
                false => Seen::faulty(&world).apply().await.unwrap_err(),
                true => Seen::faulty(&world).go(false).await.unwrap_err(),
            };
            assert!(stops.code == Exit::Unavailable && stops.to_string().contains("api"), "{scenario:?}: {stops}");
            world.check("away").await;
        }
        assert_eq!(Seen::sound(&world).go(false).await.unwrap(), [end(scenario)], "{scenario:?}");
        world.check_ended("reached").await;
    }
}

/// Its host goes away once clients are led away from it, on the way on and on the way back: its proxies see that, too.
#[tokio::test]
async fn clients_are_led_back_to_a_consumer_that_cannot_be_reached() {
    let ways = WAYS.into_iter().chain([ROOT_ALONE]).flat_map(|way| [(way, 0), (failing(way), 1)]);
    for (scenario, restarts) in ways.filter(|(way, restarts)| *restarts == 0 || way.path != Path::Compromised) {
        let world = World::new(scenario).await;
        world.goes_away_after(restarts);
        let stops = Seen::faulty(&world).apply().await.unwrap_err();
        assert!(stops.code == Exit::Unavailable && world.is_led(), "{scenario:?}: {stops}");
        assert_eq!(Seen::sound(&world).go(false).await.unwrap(), [end(scenario)], "{scenario:?}");
        world.check_ended("reached").await;
    }
}

/// Killed once clients are led away from it, on the way on and on the way back: whoever goes on without it does not leave it
/// so, and says where the proxy cannot be told.
#[tokio::test]
async fn clients_are_led_back_to_a_consumer_that_is_left_by_name() {
    let mut hits = 0;
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).flat_map(|way| [way, failing(way)]) {
        for at in 1..MOST {
            let killed = async || {
                let world = World::new(scenario).await;
                world.set(Some((at, Fault::DeathAfter)));
                let _ = Seen::faulty(&world).apply().await;
                world.ends();
                world
            };
            if killed().await.is_led() {
                continue;
            }
            hits += 1;
            let when = format!("{scenario:?}: killed at effect {at}");
            let world = killed().await;
            Seen::without(&world, "api@local").go(false).await.unwrap_or_else(|failure| panic!("{when}: {failure}"));
            assert!(world.is_led() && world.told("api@local: clients are led to it as they were before"), "{when}");
            let world = killed().await;
            world.proxy_goes_away();
            Seen::without(&world, "api@local").go(false).await.unwrap_or_else(|failure| panic!("{when}: {failure}"));
            assert!(!world.is_led() && world.told("api@local: clients may still be led away from it"), "{when}");
        }
    }
    assert!(hits > 30, "{hits}");
}

/// What a publication that comes late means to the consumer, by each clock that its host may have: how often it was
/// restarted by each abort.
async fn comes_late(fault: Fault) -> Vec<(String, usize)> {
    let mut aborts = Vec::new();
    for scenario in WAYS.into_iter().chain([ROOT_ALONE]).filter(|way| way.path == Path::Overlap) {
        for began in 1..MOST {
            let killed = async || {
                let world = World::new(scenario).await;
                world.set(Some((began, Fault::DeathBefore)));
                let _ = Seen::faulty(&world).apply().await;
                world
            };
            if killed().await.state().await != Some(State::Verified) {
                continue;
            }
            for (skew, at) in [-DAY, 0, DAY].into_iter().flat_map(|skew| (1..MOST).map(move |at| (skew, at))) {
                let world = killed().await;
                world.skew(skew);
                world.set(Some((at, fault)));
                let _ = Seen::faulty(&world).go(true).await;
                if !world.hit() {
                    continue;
                }
                let when = format!(
                    "{scenario:?}: killed at effect {began}, {fault:?} at effect {at} of the abort, a clock {skew} µs ahead"
                );
                world.check(&when).await;
                mended(&world, &when).await;
                // Killed after its first record, it goes on.
                if world.state().await == Some(State::Aborted) {
                    aborts.push((when, world.restarts()));
                }
            }
        }
    }
    aborts
}

/// A message that was sent before an abort arrives in the middle of it, and a consumer reads what it publishes.
#[tokio::test]
async fn a_publication_that_comes_late_strands_no_consumer_of_an_abort() {
    let aborts = comes_late(Fault::PublishedLate).await;
    let returned = aborts.iter().filter(|(_, restarts)| *restarts > 0).count();
    assert!(returned > 20, "{returned} of {}", aborts.len());
}

/// The same, and the consumer has not started since.
#[tokio::test]
async fn an_abort_restarts_no_consumer_that_cannot_have_read_what_came_late() {
    let aborts = comes_late(Fault::PublishedUnread).await;
    assert!(aborts.len() > 20, "{}", aborts.len());
    let restarted: Vec<_> = aborts.iter().filter(|(_, restarts)| *restarts > 0).collect();
    assert!(restarted.is_empty(), "{restarted:?}");
}
