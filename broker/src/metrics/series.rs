//! The series: age, next due, state, last success and failures of each secret, and the last restore drill.

use crate::{
    rotation::Journal,
    schedule::{Dated, When},
};
use donjon_policies::transition::State;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    secret: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stands {
    secret: String,
    state: String,
}

/// Every series as text. Instants are in seconds since 1970; `drilled` is that of the last restore drill.
pub fn text(dated: &[Dated], journals: &[Journal], drilled: Option<i64>, now: i64) -> String {
    let mut registry = Registry::with_prefix("donjon");
    let mut family = |name: &str, help: &str| {
        let family = Family::<Of, Gauge>::default();
        registry.register(name, help, family.clone());
        family
    };
    let age = family("secret_age_seconds", "Age of the current version of a secret");
    let due = family("secret_due", "Whether a secret is due by its schedule");
    let next = family("secret_next_due_timestamp_seconds", "When a secret may change next by its schedule");
    let success = family("rotation_last_success_timestamp_seconds", "When a rotation of a secret last ended well");
    let failures = family("rotation_failures", "Rotations of a secret that went back, of those whose journal is kept");
    let written = family("metrics_timestamp_seconds", "When these figures were made");
    if let Some(at) = drilled {
        // Where there never was a drill there is no age: an alert on its absence is the one that is wanted.
        let (age, last) = (Gauge::<i64>::default(), Gauge::<i64>::default());
        age.set(now - at);
        last.set(at);
        registry.register("drill_age_seconds", "Age of the last drill in which custodians opened their bundle", age);
        registry.register("drill_last_success_timestamp_seconds", "When custodians last opened their bundle", last);
    }
    let states = Family::<Stands, Gauge>::default();
    registry.register("rotation_state", "The state of the latest rotation of a secret", states.clone());
    written.get_or_create(&Of { secret: String::new() }).set(now);
    for dated in dated {
        let of = Of { secret: dated.secret.to_string() };
        age.get_or_create(&of).set(dated.age);
        due.get_or_create(&of).set(i64::from(matches!(dated.due, When::Now | When::Waits)));
        if let Some(at) = dated.next {
            next.get_or_create(&of).set(at);
        }
        let own = journals.iter().filter(|journal| journal.names().contains(&dated.secret));
        let own: Vec<(State, i64)> = own.filter_map(|journal| journal.history.last().copied()).collect();
        let well = own.iter().filter(|(state, _)| matches!(state, State::Retired | State::Settled));
        if let Some(at) = well.map(|(_, at)| at / 1_000_000).max() {
            success.get_or_create(&of).set(at);
        }
        let back = own.iter().filter(|(state, _)| matches!(state, State::Restored | State::Aborted)).count();
        failures.get_or_create(&of).set(i64::try_from(back).unwrap_or(i64::MAX));
        if let Some((state, _)) = own.iter().max_by_key(|(_, at)| *at) {
            states.get_or_create(&Stands { secret: of.secret, state: state.to_string() }).set(1);
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("text takes whatever is written to it");
    text
}
