//! The way of a source to the broker: its socket, one request.

use crate::{
    failure::{Exit, Failure},
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
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The broker of a home, or of a socket that a configuration names.
#[derive(Debug, Clone)]
pub struct OverSocket {
    socket: PathBuf,
}

impl OverSocket {
    /// The broker of a home; where this user has none, the lookup socket, as a service finds it.
    pub fn of(home: &Home) -> Self {
        Self { socket: home.socket_to_ask() }
    }
}

#[async_trait]
impl Broker for OverSocket {
    async fn read(&self, socket: Option<&Path>, names: &[Name], within: Duration) -> Result<Vec<Material>, Refusal> {
        let path = socket.unwrap_or(&self.socket);
        let until = Instant::now() + within;
        let refusal = |failure| {
            let failure = if Instant::now() < until { failure } else { late(within) };
            Refusal { place: path.display().to_string(), source: Box::new(failure) }
        };
        let names = names.iter().map(|name| Asked { name: name.clone(), part: Part::Whole }).collect();
        let request = Request::Read { names, version: None, epoch: None };
        // The client blocks; nothing else runs beside it here.
        let answered = Client::at_until(path, until).and_then(|mut client| client.ask_quietly(&request, Vec::new()));
        answered.map(|reply| reply.materials).map_err(refusal)
    }
}

fn late(within: Duration) -> Failure {
    Failure::new(Exit::Unavailable, format!("the daemon did not answer within {} s", within.as_secs_f64()))
        .state("nothing was changed")
        .hint("`donjon status` says how it is; `timeout` in the source's group is how long it may take")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixListener};

    /// A daemon that is stopped, and one that goes on for ever: by each byte a wait of its own would begin anew.
    #[tokio::test]
    async fn a_daemon_that_does_not_end_its_answer_is_waited_for_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let (path, dripping) = (folder.path().join("s"), folder.path().join("d"));
        let _stopped = UnixListener::bind(&path).unwrap();
        let listener = UnixListener::bind(&dripping).unwrap();
        // It ends where nobody listens to it any more.
        let drips = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&1_000_u32.to_be_bytes()).unwrap();
            let (_alive, pause) = std::sync::mpsc::channel::<()>();
            while stream.write_all(b" ").is_ok() {
                let _ = pause.recv_timeout(Duration::from_millis(20));
            }
        });
        for path in [path, dripping] {
            let began = Instant::now();
            let asked = OverSocket { socket: path }.read(None, &["a".to_owned()], Duration::from_millis(300)).await;
            let failure = *asked.unwrap_err().source.downcast::<Failure>().unwrap();
            assert_eq!(
                (failure.code, failure.message.as_str()),
                (Exit::Unavailable, "the daemon did not answer within 0.3 s")
            );
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
        drips.join().unwrap();
    }
}
