//! A reader (`donjon serve`) that the driver `donjon` asks where `address` is set: all names in one request, over TLS, or at a
//! unix socket, where the kernel says who asks.

use super::{
    OptionName, SourceError,
    listener::{self, NotTrusted},
    mapping::Name,
};
use crate::{
    fs,
    material::Material,
    store::vault::{Address, AddressError, Call, CallError, Connection, Reason, Trust, is_encrypted},
};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

/// Where a reader is, and what it is asked with.
#[derive(Debug, Deserialize)]
pub(super) struct Options {
    pub(super) address: Option<String>,
    mount: Option<String>,
    deployment: Option<String>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    role_id_file: Option<PathBuf>,
    secret_id_file: Option<PathBuf>,
    timeout: f64,
}

impl Options {
    /// How long an answer may take, of a broker too.
    pub(super) fn within(&self) -> Duration {
        Duration::from_secs_f64(self.timeout)
    }
}

/// A reader, and the folder there that holds the secrets' names.
pub(super) struct Reader<'a> {
    options: &'a Options,
    group: &'a str,
    place: &'a str,
    folder: &'a str,
}

#[derive(Deserialize)]
struct Answered {
    data: Records,
}

#[derive(Deserialize)]
struct Records {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    data: Fields,
}

#[derive(Deserialize)]
struct Fields {
    /// In hexadecimal, as castellan has it.
    value: Material,
}

impl<'a> Reader<'a> {
    /// The reader that the options of a group name, if they name one.
    pub(super) fn named(options: &'a Options, group: &'a str) -> Result<Option<Self>, SourceError> {
        let Some(place) = options.address.as_deref() else { return Ok(None) };
        let wrong = |what: &str| SourceError::Unusable { place: group.to_owned(), what: what.to_owned() };
        let folder = options.deployment.as_deref();
        let folder = folder.ok_or_else(|| wrong("deployment is missing: it is the folder of the secrets' names"))?;
        if options.cert_file.is_some() != options.key_file.is_some() {
            return Err(wrong("cert_file and key_file go together"));
        }
        if options.role_id_file.is_some() != options.secret_id_file.is_some() {
            return Err(wrong("role_id_file and secret_id_file go together"));
        }
        Ok(Some(Self { options, group, place, folder }))
    }

    /// The values of options' secrets, in their order, all within the time that an answer may take.
    pub(super) async fn read(&self, asked: &[(OptionName, Name)]) -> Result<Vec<Material>, SourceError> {
        let within = self.options.within();
        let late = |_| {
            let why: Box<dyn std::error::Error + Send + Sync> =
                format!("it did not answer within {} s", within.as_secs_f64()).into();
            SourceError::Unreachable { place: self.place.to_owned(), source: why.into() }
        };
        tokio::time::timeout(within, self.answered(asked)).await.map_err(late)?
    }

    async fn answered(&self, asked: &[(OptionName, Name)]) -> Result<Vec<Material>, SourceError> {
        let socket = match self.place.strip_prefix("unix://") {
            Some(path) => Some(self.socket(Path::new(path)).await?),
            None => {
                self.in_clear()?;
                None
            }
        };
        let connection = self.connect(socket.as_ref().map(Listener::path))?;
        if let (Some(role), Some(secret)) = (&self.options.role_id_file, &self.options.secret_id_file) {
            self.log_in(&connection, role, secret).await?;
        }
        match self.records(&connection, asked).await {
            Ok(values) => Ok(values),
            // It says no to all of them and not to which: each is asked for by itself until one is refused.
            Err(error) if matches!(error.reason(), Some(Reason::Denied | Reason::Gone)) => {
                for one in asked {
                    if let Err(error) = self.records(&connection, std::slice::from_ref(one)).await {
                        return Err(self.refused(one, error));
                    }
                }
                Err(self.unanswered(error))
            }
            Err(error) => Err(self.unanswered(error)),
        }
    }

    fn connect(&self, socket: Option<PathBuf>) -> Result<Connection, SourceError> {
        let (url, trust) = match (socket, &self.options.ca_file) {
            (Some(path), _) => ("http://localhost".to_owned(), Trust::Socket(path)),
            (None, Some(file)) if is_encrypted(self.place) => (self.place.to_owned(), Trust::Only(fs::read(file)?)),
            (None, Some(_) | None) => (self.place.to_owned(), Trust::System),
        };
        let address = Address { url, trust, namespace: None };
        let within = self.options.within();
        let identity = match (&self.options.cert_file, &self.options.key_file) {
            (Some(certificate), Some(key)) => {
                let mut pem = fs::read(certificate)?;
                pem.push(b'\n');
                pem.extend_from_slice(&Zeroizing::new(fs::read(key)?));
                Some(Material::new(pem))
            }
            (Some(_) | None, _) => None,
        };
        let wrong = |error: AddressError| self.unusable(error.to_string());
        Connection::open_as(&address, identity, within).map_err(wrong)
    }

    /// The socket, once it is known who listens there. Values are taken from root and from this user only, as the service does:
    /// whoever may write into the folder could listen there.
    async fn socket(&self, path: &Path) -> Result<Listener, SourceError> {
        let unreachable =
            |error: std::io::Error| SourceError::Unreachable { place: self.place.to_owned(), source: Arc::new(error) };
        let listener = Listener::of(path).map_err(unreachable)?;
        let stream = UnixStream::connect(listener.path()).await.map_err(unreachable)?;
        let peer = stream.peer_cred().map_err(unreachable)?.uid();
        match peer == 0 || peer == rustix::process::geteuid().as_raw() {
            true => Ok(listener),
            false => {
                Err(self
                    .unusable(format!("the process that listens there is of user {peer}, neither root nor this one")))
            }
        }
    }

    /// In clear nothing is said on this machine either but to root or this user, as the service does.
    fn in_clear(&self) -> Result<(), SourceError> {
        let Some(place) = reqwest::Url::parse(self.place).ok().filter(|place| place.scheme() == "http") else {
            return Ok(());
        };
        let addresses = match place.host_str() {
            Some("localhost") => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            // Of what is on another machine the connection itself says that it is not to be asked in clear.
            Some(host) => host.trim_matches(['[', ']']).parse().ok().filter(IpAddr::is_loopback).into_iter().collect(),
            None => Vec::new(),
        };
        let port = place.port_or_known_default().unwrap_or_default();
        // Of two addresses, nobody may listen at one.
        let mut found = Ok(());
        let mut trusted = addresses.is_empty();
        for address in addresses {
            match listener::trusted(address, port) {
                Ok(()) => trusted = true,
                Err(why @ NotTrusted::User(_)) => return Err(self.unusable(why.to_string())),
                Err(why @ NotTrusted::Unknown) => found = Err(why),
            }
        }
        if trusted { Ok(()) } else { found.map_err(|why| self.unusable(why.to_string())) }
    }

    async fn log_in(&self, connection: &Connection, role: &Path, secret: &Path) -> Result<(), SourceError> {
        let read = |path: &Path| {
            let bytes = Zeroizing::new(fs::read(path)?);
            let text = std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.trim().to_owned()));
            text.map_err(|_| SourceError::Unusable {
                place: path.display().to_string(),
                what: "it is no text".to_owned(),
            })
        };
        let (role, secret) = (read(role)?, read(secret)?);
        // EXPOSE: framed into a body that is sent over TLS, on loopback or to a socket
        let body = serde_json::json!({"role_id": role.as_str(), "secret_id": secret.as_str()}).to_string();
        let refused = |error: CallError| match error.reason() {
            Some(Reason::Denied | Reason::BadRequest) => SourceError::Denied { place: self.place.to_owned() },
            Some(_) | None => self.unanswered(error),
        };
        connection.log_in("auth/approle/login", Material::from(body)).await.map_err(refused)
    }

    async fn records(&self, connection: &Connection, asked: &[(OptionName, Name)]) -> Result<Vec<Material>, CallError> {
        let paths: Vec<String> = asked.iter().map(|(_, name)| format!("{}/{name}", self.folder)).collect();
        let mount = self.options.mount.as_deref().unwrap_or(MOUNT).trim_matches('/');
        let body = serde_json::json!({"mount": mount, "paths": paths}).to_string();
        let unreadable = || CallError::Unreadable { place: self.place.to_owned() };
        let answer = connection.call(Call::post("sys/donjon/records", Material::from(body))).await?;
        let Answered { data: Records { records } } = answer.parse()?;
        if records.len() != asked.len() {
            return Err(unreadable());
        }
        let value = |record: Record| {
            // EXPOSE: decoded into material
            let bytes = hex::decode(record.data.value.expose()).map_err(|_| unreadable())?;
            Ok(Material::new(bytes))
        };
        records.into_iter().map(value).collect()
    }

    fn refused(&self, (option, name): &(OptionName, Name), error: CallError) -> SourceError {
        let place = self.place.to_owned();
        match error.reason() {
            Some(Reason::Denied) => SourceError::Forbidden { option: option.clone(), name: name.clone(), place },
            Some(Reason::Gone) => SourceError::Missing { option: option.clone(), name: name.clone(), place },
            Some(_) | None => self.unanswered(error),
        }
    }

    fn unanswered(&self, error: CallError) -> SourceError {
        let place = self.place.to_owned();
        match error {
            CallError::Refused { status, .. } => SourceError::Status { place, status },
            CallError::Unreachable { .. } | CallError::Unreadable { .. } => {
                SourceError::Unreachable { place, source: Arc::new(error) }
            }
        }
    }

    fn unusable(&self, what: String) -> SourceError {
        SourceError::Unusable { place: format!("[{}] address = {}", self.group, self.place), what }
    }
}

/// The socket that a path led to once: whatever the path leads to later, every connection is to the same one.
struct Listener(OwnedFd);

impl Listener {
    fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// The mount that a reader serves where nobody says otherwise.
const MOUNT: &str = "donjon";
