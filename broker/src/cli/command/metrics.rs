//! `donjon metrics`: figures for Prometheus.

use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;

/// Print figures for Prometheus: age, next due, state, last success and failures of each secret.
///
/// The daemon writes the same to `metrics.prom` in DONJON_HOME, or to the file that `metrics` in donjon.yaml names.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  donjon metrics")]
pub struct Metrics {}

impl Metrics {
    /// Asks the daemon and prints.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let reply = context.client()?.ask_quietly(&Request::Metrics, Vec::new())?;
        show::answer(context.output, &reply.value, || reply.value["text"].as_str().unwrap_or_default().to_owned())
    }
}
