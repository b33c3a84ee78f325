//! Whether the consumers' hosts answer, and the proxies before them: asked before anything changes, since afterwards whoever
//! cannot be restarted keeps a rotation where it is, and the outage open where there is one.

use super::{
    Instance, Subject,
    step::roll::{away, unreachable},
};
use crate::failure::{Exit, Failure};
use donjon_drivers::service::ServiceError;
use futures_util::future::join_all;
use std::{collections::BTreeSet, iter};

/// Refused, with all that do not answer; whom the operator leaves is not asked.
pub async fn consumers(subject: &Subject, leave: &BTreeSet<String>) -> Result<(), Failure> {
    let meant: Vec<_> = subject.instances.iter().filter(|instance| !leave.contains(&instance.place())).collect();
    let mut silent = Vec::new();
    for some in meant.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|instance| one(instance))).await;
        silent.extend(some.iter().zip(answers).filter_map(|(instance, answer)| Some((instance, answer.err()?))));
    }
    let Some((first, why)) = silent.first() else { return Ok(()) };
    let mut failure = Failure::new(why.code, format!("cannot restart every consumer of {}", subject.names()));
    let told = |why: &Failure| iter::once(&why.message).chain(&why.causes).cloned().collect::<Vec<_>>().join(": ");
    failure.causes = silent.iter().map(|(instance, why)| format!("{}: {}", instance.place(), told(why))).collect();
    Err(failure.state("nothing was changed").hint(format!(
        "mend that first; or go on without it, and it is cut off once the old value goes: --leave {}",
        first.place()
    )))
}

async fn one(instance: &Instance) -> Result<(), Failure> {
    match instance.driver.started().await {
        Err(error @ ServiceError::Host { .. }) => {
            let code = if unreachable(&error) { Exit::Unavailable } else { Exit::Failed };
            return Err(Failure::new(code, "it cannot be asked when it started").because(&error));
        }
        // What has not started yet has no start to tell; its restart shows whether it can.
        Ok(_) | Err(ServiceError::Failed { .. }) => {}
    }
    away::standing(instance, None).await.map(drop)
}

/// How many are asked at once.
const AT_ONCE: usize = 16;
