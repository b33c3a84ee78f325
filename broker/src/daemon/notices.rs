//! Telling how rotations go, as `notifications` in the deployment file says. It never holds a rotation up.

use super::{Daemon, metrics};
use crate::{
    failure::{Exit, Failure, WaitsFor},
    notify::{self, Notice},
    schedule::Dated,
};
use donjon_policies::{deployment::Happening, name::SecretName};
use serde_json::Value;
use std::sync::Arc;

/// A rotation ended, or could not go on.
pub fn ended(daemon: &Arc<Daemon>, secrets: &[SecretName], ended: &Result<Value, Failure>) {
    let notice = match ended {
        Ok(rotation) => Notice {
            rotation: rotation["id"].as_str().map(str::to_owned),
            state: rotation["state"].as_str().map(str::to_owned),
            ..Notice::new(Happening::Done, secrets, "the rotation ended")
        },
        Err(failure) => Notice {
            causes: failure.causes.clone(),
            state: failure.state.clone(),
            hint: failure.hint.clone(),
            ..Notice::new(happening(failure), secrets, &failure.message)
        },
    };
    tell(daemon, notice);
    let daemon = daemon.clone();
    tokio::spawn(async move { metrics::write(&daemon).await });
}

/// A secret is due, and nothing rotates it.
pub fn overdue(daemon: &Daemon, dated: &Dated) {
    let notice = Notice::new(Happening::Overdue, std::slice::from_ref(&dated.secret), &dated.why);
    tell(daemon, Notice { hint: Some("`donjon rotate apply --due`, or `donjon schedule`".to_owned()), ..notice });
}

fn happening(failure: &Failure) -> Happening {
    match (failure.code == Exit::Waiting, failure.waits_for) {
        (true, Some(WaitsFor::Stragglers)) => Happening::Straggler,
        (true, None) => Happening::Waiting,
        (false, _) => Happening::Failed,
    }
}

fn tell(daemon: &Daemon, notice: Notice) {
    let deployment = match daemon.deployment() {
        Ok(deployment) => deployment,
        Err(failure) => {
            tracing::warn!(%failure, "nobody can be told how a rotation went");
            return;
        }
    };
    for told in deployment.notifications.iter().filter(|told| told.wants(notice.event, &notice.secrets)).cloned() {
        let text = notice.told(&told.name, &deployment.deployment);
        tokio::spawn(async move {
            if let Err(error) = notify::send(&told, &text).await {
                let name = &told.name;
                tracing::warn!(%name, %error, "a notification could not be delivered");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straggler_is_told_by_its_cause_and_not_by_words() {
        let waiting = Failure::new(Exit::Waiting, "sessions from before are open");
        assert_eq!(happening(&waiting), Happening::Waiting);
        assert_eq!(happening(&waiting.waits_for(WaitsFor::Stragglers)), Happening::Straggler);
        assert_eq!(happening(&Failure::new(Exit::Failed, "").waits_for(WaitsFor::Stragglers)), Happening::Failed);
    }
}
