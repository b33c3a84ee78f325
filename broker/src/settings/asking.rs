//! The way of a source to the broker: its socket, one request.

use crate::{
    home::Home,
    socket::{
        client::Client,
        message::{Asked, Request},
    },
};
use async_trait::async_trait;
use donjon_drivers::{
    material::Material,
    source::{
        mapping::Name,
        outside::{Broker, Refusal},
    },
    store::secret::Part,
};
use std::path::{Path, PathBuf};

/// The broker of a home, or of a socket that a configuration names.
#[derive(Debug, Clone)]
pub struct OverSocket {
    socket: PathBuf,
}

impl OverSocket {
    /// The broker of a home.
    pub fn of(home: &Home) -> Self {
        Self { socket: home.socket() }
    }
}

#[async_trait]
impl Broker for OverSocket {
    async fn read(&self, socket: Option<&Path>, names: &[Name]) -> Result<Vec<Material>, Refusal> {
        let path = socket.unwrap_or(&self.socket);
        let refusal = |failure| Refusal { place: path.display().to_string(), source: Box::new(failure) };
        let names = names.iter().map(|name| Asked { name: name.clone(), part: Part::Whole }).collect();
        let request = Request::Read { names, version: None, epoch: None };
        // The client blocks; nothing else runs beside it here.
        let answered = Client::at(path).and_then(|mut client| client.ask_quietly(&request, Vec::new()));
        answered.map(|reply| reply.materials).map_err(refusal)
    }
}
