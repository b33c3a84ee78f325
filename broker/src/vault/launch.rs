//! Starting the server, or finding the one that an earlier daemon started.

use super::{
    binary::Binary,
    certificate::Certificates,
    configuration::{self, Election, Ports, Reach},
    custody::Mode,
    error::VaultError,
    handover,
    place::Place,
    process::Process,
    server::Server,
    state::Serving,
};
use donjon_drivers::{
    fs,
    store::vault::{Address, Connection, Trust},
};
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// A server that answers.
#[derive(Debug)]
pub(super) struct Running {
    /// Its process.
    pub(super) process: Arc<Process>,
    /// Where it answers the broker.
    pub(super) address: Address,
    /// Where it answers others.
    pub(super) url: String,
    /// By which it has answered: another one would cost another handshake.
    pub(super) connection: Arc<Connection>,
}

/// Starts the server and waits until it answers. The ports of its last start are used again where they are free, so
/// that clients find it where it was.
pub(super) async fn start(place: &Place, binary: &Binary, ways: (Mode, Reach)) -> Result<Running, VaultError> {
    let before = Serving::read(place)?.map(|serving| serving.ports).filter(|ports| ports.are_free());
    let attempts = [(before, Election::Quick), (None, Election::Quick), (None, Election::Documented)];
    let mut ended = VaultError::Ended { log: place.log() };
    for (ports, election) in attempts {
        // Somebody may take a port between the look and the start; the server ends then.
        match start_once(place, binary, ways, ports, election).await {
            Err(error @ VaultError::Ended { .. }) => ended = error,
            other => return other,
        }
    }
    Err(ended)
}

async fn start_once(
    place: &Place,
    binary: &Binary,
    ways: (Mode, Reach),
    ports: Option<Ports>,
    election: Election,
) -> Result<Running, VaultError> {
    let ports = match ports {
        Some(ports) => ports,
        None => Ports::free().map_err(|source| fs::FileError::Io {
            act: "find a free port for",
            path: place.folder().to_path_buf(),
            source,
        })?,
    };
    let certificates = Certificates::make(jiff::Zoned::now().date())?;
    fs::private_folder(&place.storage())?;
    fs::replace(&place.authority(), certificates.authority.as_bytes())?;
    fs::replace(&place.certificate(), certificates.server.as_bytes())?;
    let configuration = configuration::render(place, ports, binary.flavour, ways, election);
    fs::replace(&place.configuration(), configuration.to_string().as_bytes())?;
    remove_socket(place)?;
    // Written before the start as well: if this daemon dies in between, the next one finds the stray and its ports.
    let mut serving = Serving { process: None, ports, flavour: binary.flavour };
    serving.write(place)?;
    let process = Arc::new(Process::start(&binary.path, place, &certificates.key)?);
    serving.process = Some(process.mark().clone());
    serving.write(place)?;
    let address = address(place, ports, ways.1, certificates.authority.into_bytes());
    match answers(&process, &address, START_WITHIN).await? {
        Answering::Yes(connection) => {
            close_socket(place)?;
            Ok(Running { process, address, url: ports.url(), connection })
        }
        Answering::Ended => Err(VaultError::Ended { log: place.log() }),
        Answering::No => {
            process.stop().await?;
            Err(VaultError::Silent { within: START_WITHIN, log: place.log() })
        }
    }
}

/// Finds a server that runs. One that runs and does not answer is ended: what it acknowledged is in its storage.
pub(super) async fn find(place: &Place, reach: Reach) -> Result<Option<Running>, VaultError> {
    let Some(serving) = Serving::read(place)? else {
        return Ok(None);
    };
    let marked = match &serving.process {
        Some(mark) => Process::adopt(mark)?,
        None => None,
    };
    let Some(process) = marked.map_or_else(|| Process::stray(place), |found| Ok(Some(found)))? else {
        return Ok(None);
    };
    let process = Arc::new(process);
    let address = address(place, serving.ports, reach, fs::read_private(&place.authority())?);
    match answers(&process, &address, ADOPT_WITHIN).await? {
        Answering::Yes(connection) => {
            handover::let_go(place, &process)?;
            let url = serving.ports.url();
            Serving { process: Some(process.mark().clone()), ..serving }.write(place)?;
            Ok(Some(Running { process, address, url, connection }))
        }
        Answering::Ended => Ok(None),
        Answering::No => {
            process.kill().await?;
            Ok(None)
        }
    }
}

/// Ends a server that runs, whatever it is doing: nothing in its storage counts.
pub(super) async fn end_leftover(place: &Place) -> Result<(), VaultError> {
    let mark = Serving::read(place)?.and_then(|serving| serving.process);
    let marked = mark.map_or(Ok(None), |mark| Process::adopt(&mark))?;
    if let Some(process) = marked.map_or_else(|| Process::stray(place), |found| Ok(Some(found)))? {
        process.kill().await?;
    }
    Ok(())
}

enum Answering {
    Yes(Arc<Connection>),
    Ended,
    No,
}

async fn answers(process: &Process, address: &Address, within: Duration) -> Result<Answering, VaultError> {
    let connection = Arc::new(Connection::open(address)?);
    let end = Instant::now() + within;
    let ended = process.ended();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            biased;
            () = &mut ended => return Ok(Answering::Ended),
            seal = timeout(LOOK_WITHIN, Server(&connection).seal()) => match seal {
                Ok(Ok(_)) => return Ok(Answering::Yes(connection)),
                Ok(Err(_)) | Err(_) if Instant::now() < end => {}
                Ok(Err(_)) | Err(_) => return Ok(Answering::No),
            },
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn address(place: &Place, ports: Ports, reach: Reach, authority: Vec<u8>) -> Address {
    match reach {
        Reach::Socket => Address::of_socket(place.socket()),
        Reach::Network => Address { url: ports.url(), trust: Trust::Only(authority), namespace: None },
    }
}

fn remove_socket(place: &Place) -> Result<(), VaultError> {
    match std::fs::remove_file(place.socket()) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(fs::FileError::Io { act: "remove", path: place.socket(), source }.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The server ignores the mode that its configuration asks for. The folder keeps others out in any case.
fn close_socket(place: &Place) -> Result<(), VaultError> {
    match std::fs::set_permissions(place.socket(), Permissions::from_mode(0o600)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(fs::FileError::Io { act: "set the mode of", path: place.socket(), source }.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

const START_WITHIN: Duration = Duration::from_secs(20);
const ADOPT_WITHIN: Duration = Duration::from_secs(5);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
