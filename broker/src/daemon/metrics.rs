//! `metrics`, and the file of them that node_exporter reads.

use super::{Daemon, lookup::Answered, schedule};
use crate::{failure::Failure, metrics::text, transfer::drill};
use serde_json::json;
use std::path::PathBuf;

/// The metrics as they are now.
pub async fn shown(daemon: &Daemon) -> Answered {
    Ok((json!({"text": now(daemon).await?}), Vec::new()))
}

/// Writes the file whole. That it cannot be written stops nothing.
pub async fn write(daemon: &Daemon) {
    let written = async {
        let text = now(daemon).await?;
        let (path, mode) = match daemon.deployment()?.metrics.clone() {
            // Another user's collector reads it, and it holds no value.
            Some(path) => (PathBuf::from(path), 0o644),
            None => (daemon.home.metrics(), 0o600),
        };
        donjon_drivers::fs::replace_with_mode(&path, text.as_bytes(), mode)
            .map_err(|error| super::translate::file("cannot write the metrics", &error))
    };
    if let Err(failure) = written.await {
        tracing::warn!(%failure, "metrics were not written");
    }
}

async fn now(daemon: &Daemon) -> Result<String, Failure> {
    let (dated, journals) = schedule::dated(daemon).await?;
    let (store, places) = (daemon.store()?, super::transfer::places(daemon)?);
    let drilled = drill::last(&*store, &places).await;
    let drilled = drilled.map_err(|error| super::translate::store("cannot read when the last drill was", &error))?;
    Ok(text(&dated, &journals, drilled.map(|last| last.at), jiff::Timestamp::now().as_second()))
}
