//! Services: what restarts, when it started, and whether it is well.
//!
//! A check that passes whatever happens proves nothing. What an operator can do about it is in [`fed`].

pub mod command;
pub mod container;
pub mod fed;
pub mod place;
pub mod registry;
pub mod systemd;

use crate::host::HostError;
use async_trait::async_trait;

/// One service on one host.
#[async_trait]
pub trait Service: Send + Sync {
    /// Restarts it and returns once the service manager says that it runs.
    async fn restart(&self) -> Result<(), ServiceError>;

    /// Whether its host answers and has it. It need not run. That it does not have it is an error of its own
    /// ([`ServiceError::NotThere`]): a service manager that does not answer says nothing of that.
    async fn found(&self) -> Result<(), ServiceError>;

    /// When the service manager started it, in microseconds since 1970 by the host's clock; `None` where it does not run.
    async fn started(&self) -> Result<Option<i64>, ServiceError>;

    /// The host's clock, in microseconds since 1970, so that start times can be compared with an event.
    async fn now(&self) -> Result<i64, ServiceError>;

    /// Runs its health check; `Ok` where it is well.
    async fn check(&self) -> Result<(), ServiceError>;
}

/// For how long a service runs, in microseconds by its own host's clock, which may differ from everybody else's; `None`
/// where it does not run.
pub async fn age(service: &dyn Service) -> Result<Option<i64>, ServiceError> {
    // In this order, one that starts between the two has not begun to run yet, and is no older than it is.
    let now = service.now().await?;
    Ok(service.started().await?.map(|started| now - started))
}

/// Why a service did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Its host did not do its part.
    #[error("service {service} on {host}")]
    Host {
        /// The service.
        service: String,
        /// The host.
        host: String,
        /// Why.
        source: HostError,
    },
    /// Its host does not have it.
    #[error("service {service} on {host} is not there: {what}")]
    NotThere {
        /// The service.
        service: String,
        /// The host.
        host: String,
        /// What there is none of.
        what: String,
    },
    /// The service manager refused or it did not come up.
    #[error("service {service} on {host} did not {act}: {what}")]
    Failed {
        /// The service.
        service: String,
        /// The host.
        host: String,
        /// "restart", "pass its check", …
        act: &'static str,
        /// What the service manager said, without values.
        what: String,
    },
}
