//! Drains: how clients are led away from an instance of a service before it restarts, and back afterwards.
//!
//! The way of one instance: [`Drain::standing`] (kept by the caller, in its journal, before anything changes) →
//! [`Drain::drain`] → the restart, and its own proof → [`Drain::release`]. On failure, or by another broker after a
//! crash, [`Drain::restore`] with what was kept. All of them may be repeated.

pub mod haproxy;
pub mod registry;

use crate::host::HostError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// The way of clients to one instance of a service.
#[async_trait]
pub trait Drain: Send + Sync {
    /// How the instance stands with each proxy, in the order of the deployment file.
    async fn standing(&self) -> Result<Standing, DrainError>;

    /// Sends it no new clients, and waits until those it has are gone or the time that the deployment file gives is
    /// over. How many are left then. Where it already takes none, nothing changes. On error, what stood before stands.
    async fn drain(&self) -> Result<Left, DrainError>;

    /// Waits until the proxies themselves have seen it well since now, and lets it stand as it stood before.
    async fn release(&self, before: &Standing) -> Result<(), DrainError>;

    /// Lets it stand as it stood before, well or not: the proxies' own health checks then decide. Where an operator has taken
    /// it out meanwhile, it stays out.
    async fn restore(&self, before: &Standing) -> Result<(), DrainError>;
}

/// How an instance stands, proxy by proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Standing(pub Vec<Mode>);

/// What a proxy does with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It sends clients there.
    Ready,
    /// It sends no new ones.
    Drain,
    /// It sends none, by an operator's or the configuration's word.
    Maintenance,
}

/// How many clients were left when a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left(pub u64);

/// Why clients were not led away or back.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The proxy did not answer.
    #[error("{proxy} does not answer")]
    Unreachable {
        /// The proxy, as the deployment file has it.
        proxy: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The host of the proxy did not do its part.
    #[error("{proxy} does not answer")]
    Host {
        /// The proxy, as the deployment file has it.
        proxy: String,
        /// Why.
        #[source]
        source: HostError,
    },
    /// The proxy refused, or said what is not understood.
    #[error("{proxy} did not {act}: {what}")]
    Refused {
        /// The proxy, as the deployment file has it.
        proxy: String,
        /// "show its servers", …
        act: &'static str,
        /// What it said.
        what: String,
    },
    /// It is the only one left that takes clients.
    #[error("{server} is the last that {proxy} can send clients to")]
    Last {
        /// The proxy, as the deployment file has it.
        proxy: String,
        /// The instance, as the proxy calls it.
        server: String,
    },
    /// The proxy has not seen it well in time; it stays drained.
    #[error("{proxy} has not seen {server} well within {seconds} s")]
    NotWell {
        /// The proxy, as the deployment file has it.
        proxy: String,
        /// The instance, as the proxy calls it.
        server: String,
        /// How long was waited.
        seconds: u64,
    },
}
