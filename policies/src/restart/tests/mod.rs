//! The planner against random deployments, judged by rules that share nothing with it and are shown to bite.

mod controls;
mod examples;
mod random;
mod rules;
mod scale;

use super::Step;

/// A plan as text: steps by `|`, instances as `service@host`.
fn shown(steps: &[Step]) -> String {
    let step = |step: &Step| {
        let instances: Vec<_> = step.instances.iter().map(|i| format!("{}@{}", i.service, i.host)).collect();
        instances.join(" ")
    };
    steps.iter().map(step).collect::<Vec<_>>().join(" | ")
}
