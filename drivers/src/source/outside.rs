//! What sources are given beside their options: the environment, and the way to the broker.

use super::{environment::Environment, mapping::Name};
use crate::material::Material;
use async_trait::async_trait;
use std::{path::Path, sync::Arc, time::Duration};

/// What a source is given beside its options.
#[derive(Clone)]
pub struct Outside {
    /// The group that it stands under in the files.
    pub group: String,
    /// The environment of the service.
    pub environment: Environment,
    /// The way to the broker.
    pub broker: Arc<dyn Broker>,
}

/// The way to the broker's socket.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Values in the order of their names, in one request that ends `within` this time; `None` for the socket is the usual one.
    async fn read(&self, socket: Option<&Path>, names: &[Name], within: Duration) -> Result<Vec<Material>, Refusal>;
}

/// Why the broker did not answer.
#[derive(Debug)]
pub struct Refusal {
    /// The socket.
    pub place: String,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// No way to a broker, for readers that want none.
#[derive(Debug, Clone, Copy)]
pub struct NoBroker;

#[async_trait]
impl Broker for NoBroker {
    async fn read(&self, socket: Option<&Path>, _names: &[Name], _within: Duration) -> Result<Vec<Material>, Refusal> {
        let place = socket.map_or_else(|| "no socket".to_owned(), |path| path.display().to_string());
        Err(Refusal { place, source: "no broker is asked here".into() })
    }
}
