//! Whether the consumers' hosts answer, have what is to be restarted, and the proxies before them answer: asked before anything
//! changes, since afterwards whoever cannot be restarted keeps a rotation where it is, and the outage open where there is one.

use super::{Instance, Subject, step::roll::away};
use crate::failure::{Exit, Failure};
use donjon_drivers::{host::HostError, service::ServiceError};
use futures_util::future::join_all;
use std::collections::BTreeSet;

/// Refused, with all that do not answer; whom the operator leaves is not asked.
pub async fn consumers(subject: &Subject, leave: &BTreeSet<String>) -> Result<(), Failure> {
    let meant: Vec<_> = subject.instances.iter().filter(|instance| !leave.contains(&instance.place())).collect();
    let mut silent = Vec::new();
    for some in meant.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|instance| one(instance))).await;
        silent.extend(some.iter().zip(answers).filter_map(|(instance, answer)| Some((instance, answer.err()?))));
    }
    let Some((_, first)) = silent.first() else { return Ok(()) };
    let away = silent.iter().any(|(_, why)| why.code == Exit::Unavailable);
    let code = if away { Exit::Unavailable } else { first.code };
    let mut failure = Failure::new(code, format!("cannot restart every consumer of {}", subject.names()));
    failure.causes = silent.iter().map(|(instance, why)| format!("{}: {}", instance.place(), why.line())).collect();
    let without: Vec<_> = silent.iter().map(|(instance, _)| format!("--leave {}", instance.place())).collect();
    Err(failure.state("nothing was changed").hint(format!(
        "mend that first; or go on without, and what is left is cut off once the old value goes: {}",
        without.join(" ")
    )))
}

async fn one(instance: &Instance) -> Result<(), Failure> {
    if let Err(error) = instance.driver.found().await {
        let (code, what) = match &error {
            ServiceError::Host { source: HostError::NotRunnable { .. }, .. } | ServiceError::NotThere { .. } => {
                (Exit::NotThere, "there is nothing that could be restarted")
            }
            // Nothing was asked of it that takes long, so who hangs here is away; a service manager that refuses is no better.
            ServiceError::Host { .. } | ServiceError::Failed { .. } => (Exit::Unavailable, "it cannot be asked"),
        };
        return Err(Failure::new(code, what).because(&error));
    }
    away::standing(instance, None).await.map(drop)
}

/// How many are asked at once.
const AT_ONCE: usize = 16;
