//! The daemon's own look at the schedule: it rotates by policy, tells what is overdue, and writes the metrics.

use super::{Daemon, metrics, notices, rotate, schedule};
use crate::{
    audit::Actor,
    rotation::plan::Left,
    schedule::{Dated, When},
    socket::message::RotateAsked,
};
use donjon_policies::{name::SecretName, strategy::Outage};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// What was done about secrets lately.
#[derive(Debug, Default)]
struct Lately {
    /// Not to be tried again before.
    failed: BTreeMap<SecretName, Instant>,
    /// Not to be told again before.
    told: BTreeMap<SecretName, Instant>,
}

/// Looks again and again, until the daemon ends.
pub async fn run(daemon: Arc<Daemon>) {
    let mut lately = Lately::default();
    let mut wait = FIRST;
    loop {
        let every = match daemon.deployment() {
            Ok(deployment) => Duration::from_secs(u64::from(deployment.schedules.every.as_seconds().max(1))),
            Err(_) => OTHERWISE,
        };
        tokio::time::sleep(every.min(wait)).await;
        wait = Duration::MAX;
        if daemon.store().is_ok() {
            look(&daemon, &mut lately).await;
        }
    }
}

async fn look(daemon: &Arc<Daemon>, lately: &mut Lately) {
    metrics::write(daemon).await;
    let dated = match (schedule::dated(daemon).await, daemon.deployment()) {
        (Ok((dated, _)), Ok(deployment)) if !deployment.schedules.automatic => (dated, Vec::new()),
        (Ok((dated, journals)), Ok(_)) => {
            // Neither while a rotation or a deployer run is under way nor before one that was interrupted has gone on.
            let free = rotate::is_free(daemon) && journals.iter().all(|journal| journal.state.ended());
            let may = |dated: &&Dated| {
                let affordable = dated.accepted || dated.outage == Some(Outage::None);
                dated.due == When::Now
                    && affordable
                    && lately.failed.get(&dated.secret).is_none_or(|at| *at <= Instant::now())
            };
            let names =
                if free { dated.iter().filter(may).map(|dated| dated.secret.clone()).collect() } else { vec![] };
            (dated, names)
        }
        (Err(failure), _) | (_, Err(failure)) => {
            tracing::warn!(%failure, "cannot tell what is due");
            return;
        }
    };
    let (dated, names): (Vec<Dated>, Vec<SecretName>) = dated;
    let overdue: Vec<&Dated> = dated
        .iter()
        .filter(|dated| dated.due == When::Now && !names.contains(&dated.secret))
        .filter(|dated| lately.told.get(&dated.secret).is_none_or(|at| *at <= Instant::now()))
        .collect();
    for dated in overdue {
        lately.told.insert(dated.secret.clone(), Instant::now() + TOLD_AGAIN);
        notices::overdue(daemon, dated);
    }
    if names.is_empty() {
        return;
    }
    let asked = RotateAsked {
        names: names.iter().map(ToString::to_string).collect(),
        accept_outage: true,
        chosen: true,
        ..RotateAsked::default()
    };
    let own = Actor::own();
    // Nobody listens: what happens is in the journal, the log and the notifications.
    let (tell, _) = mpsc::unbounded_channel();
    let failed = match rotate::each(daemon, own, &asked, &tell, rotate::Others::Tried).await {
        Ok(ended) => {
            for Left { secret, why } in ended.left {
                tracing::info!(%secret, why, "what is due was left alone");
                lately.failed.insert(secret, Instant::now() + TRIED_AGAIN);
            }
            if ended.failed.is_empty() {
                tracing::info!(secrets = ?names, "rotated what was due");
                return;
            }
            ended.failed
        }
        Err(failure) => vec![(names, failure)],
    };
    for (names, failure) in failed {
        tracing::warn!(secrets = ?names, %failure, "what is due could not be rotated");
        lately.failed.extend(names.into_iter().map(|name| (name, Instant::now() + TRIED_AGAIN)));
    }
}

/// The first look comes soon, so that metrics are there.
const FIRST: Duration = Duration::from_secs(2);
const OTHERWISE: Duration = Duration::from_secs(600);
const TRIED_AGAIN: Duration = Duration::from_secs(3600);
const TOLD_AGAIN: Duration = Duration::from_secs(24 * 3600);
