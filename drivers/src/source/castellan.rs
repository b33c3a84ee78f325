//! The driver `castellan`: secrets from a Vault's KV v2 mount, by castellan's own files.
//!
//! Its `castellan.conf` and mapping file are read as castellan 5.8 reads them, and so are its records. Where that logs an
//! error and answers "not set" (a Vault that is down or sealed, a name that is not there, a record without a field), this
//! one is an error. It reads through Vault alone, KV version 2, over TLS or on loopback; what castellan can do beyond that
//! (Barbican, KV version 1, plain HTTP across a network, a `fixed_key`) is an error too, and says so.

use super::{
    Argument, Configuration, Declaration, Given, Known, Many, OptionName, OptionType, Origin, Outside, Raw, Sought,
    Source, SourceError, Text,
    mapping::{Mapping, Twice},
    outside::NoBroker,
};
use crate::{
    fs,
    material::Material,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    store::{
        RecordPath, Store, StoreError, Which,
        vault::{Address, CallError, Connection, Reason, Trust, Vault, is_encrypted},
    },
};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// Secrets from a Vault, by castellan's own files.
pub const DRIVER: Driver<Outside, Box<dyn Source>> = Driver {
    name: "castellan",
    help: "Secrets from a Vault's KV v2 mount, by castellan's own files: one read for each mapped option.",
    options: &[
        Description {
            name: "config_file",
            kind: Kind::Text,
            need: Need::Required,
            help: "castellan's own configuration: where the Vault is, and the AppRole or token for it.",
        },
        Description {
            name: "mapping_file",
            kind: Kind::Text,
            need: Need::Required,
            help: "A file of `[group]` and `option = secret`.",
        },
    ],
    open: |outside, options| Ok(Box::new(Castellan { outside, options: typed(options)?, opened: OnceCell::new() })),
};

#[derive(Deserialize)]
struct Options {
    config_file: PathBuf,
    mapping_file: PathBuf,
}

struct Castellan {
    outside: Outside,
    options: Options,
    opened: OnceCell<Opened>,
}

struct Opened {
    vault: Vault,
    connection: Arc<Connection>,
    login: Login,
    logged_in: OnceCell<()>,
    folder: String,
    mapping: Mapping,
    /// A time-out by which castellan asks nothing: it raises for each option.
    no_time: bool,
    /// Why it did not answer. It is not asked again: by one time-out after the other all options would take minutes.
    away: OnceCell<Arc<dyn std::error::Error + Send + Sync>>,
}

/// How a token is come by.
enum Login {
    /// It is given.
    Token,
    /// A post to this path of this body.
    Post(String, Material),
}

/// A record as castellan wants it: every key must be there, if only with a null.
#[derive(Deserialize)]
struct Record {
    r#type: String,
    value: Material,
    #[serde(rename = "name")]
    _name: Box<RawValue>,
    created: Box<RawValue>,
    #[serde(default, deserialize_with = "there")]
    algorithm: bool,
    #[serde(default, deserialize_with = "there")]
    bit_length: bool,
}

/// A field that is there, whatever it holds.
fn there<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| true)
}

impl Record {
    /// Why castellan could not read it.
    fn flaw(&self) -> Option<&'static str> {
        let is_key = match self.r#type.as_str() {
            "opaque" | "passphrase" | "certificate" => false,
            "private" | "public" | "symmetric" => true,
            _ => return Some("castellan knows no type of this name"),
        };
        if is_key && !(self.algorithm && self.bit_length) {
            return Some("a key needs `algorithm` and `bit_length`");
        }
        let created = self.created.get();
        let is_time = created == "null" || created.parse::<i64>().is_ok();
        (!is_time).then_some("`created` is no whole number")
    }
}

impl Castellan {
    async fn opened(&self) -> Result<&Opened, SourceError> {
        self.opened.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Opened, SourceError> {
        let settings = Settings::read(&self.options.config_file, &self.outside).await?;
        let mapping = Mapping::read(&self.options.mapping_file, Twice::First)?;
        let connection = Arc::new(settings.connect()?);
        let login = settings.login(&connection)?;
        let mount: RecordPath = settings.path("kv_mountpoint", &settings.mount)?;
        let folder = settings.folder.as_deref().map_or_else(String::new, |folder| format!("{folder}/"));
        let vault = Vault::new(Arc::clone(&connection), mount);
        let no_time = settings.within.is_none();
        Ok(Opened {
            vault,
            connection,
            login,
            logged_in: OnceCell::new(),
            folder,
            mapping,
            no_time,
            away: OnceCell::new(),
        })
    }
}

impl Opened {
    async fn read(&self, option: &OptionName, name: &str) -> Result<Given, SourceError> {
        let unusable =
            |what: &str| SourceError::Unusable { place: format!("the secret `{name}`"), what: what.to_owned() };
        if self.no_time {
            return Err(unusable("[vault] timeout is no time in which castellan could ask for it"));
        }
        let path: RecordPath = format!("{}{name}", self.folder)
            .parse()
            .map_err(|_| unusable("no secret of the broker has a name like this"))?;
        if let Some(why) = self.away.get() {
            return Err(SourceError::Unreachable { place: self.connection.place(), source: Arc::clone(why) });
        }
        self.logged_in.get_or_try_init(|| self.log_in()).await?;
        let store = |error: StoreError| match error {
            StoreError::Unreachable { source, .. } => self.unreachable(source.into()),
            StoreError::Sealed
            | StoreError::Denied { .. }
            | StoreError::Conflict { .. }
            | StoreError::Full { .. }
            | StoreError::Damaged { .. }
            | StoreError::Answer { .. } => SourceError::Store { option: option.clone(), source: error },
        };
        let place = || self.connection.place();
        let stored = self.vault.read(&path, Which::Latest).await.map_err(store)?;
        let stored = stored.ok_or_else(|| SourceError::Missing {
            option: option.clone(),
            name: name.to_owned(),
            place: place(),
        })?;
        let record: Record = stored.document.parse().map_err(|_| unusable("castellan cannot read such a record"))?;
        if let Some(flaw) = record.flaw() {
            return Err(unusable(flaw));
        }
        // EXPOSE: decoded into text that is wiped
        let bytes =
            Zeroizing::new(hex::decode(record.value.expose()).map_err(|_| unusable("its value is not in hex"))?);
        let text = Text::from_bytes(&bytes).ok_or_else(|| unusable("it is not UTF-8 text"))?;
        let origin = Origin::Secret { driver: DRIVER.name, place: place(), name: name.to_owned() };
        Ok(Given { raw: Raw::One(text), origin })
    }

    fn unreachable(&self, why: Arc<dyn std::error::Error + Send + Sync>) -> SourceError {
        // What is there already was found at the same time.
        let _ = self.away.set(Arc::clone(&why));
        SourceError::Unreachable { place: self.connection.place(), source: why }
    }

    async fn log_in(&self) -> Result<(), SourceError> {
        let Login::Post(path, body) = &self.login else {
            return Ok(());
        };
        let refused = |error: CallError| match error.reason() {
            Some(Reason::Denied | Reason::BadRequest) => SourceError::Denied { place: self.connection.place() },
            Some(_) | None => self.unreachable(Arc::new(error)),
        };
        self.connection.log_in(path, body.duplicate()).await.map_err(refused)
    }
}

#[async_trait]
impl Source for Castellan {
    async fn ready(&self) -> Result<(), SourceError> {
        self.opened().await.map(drop)
    }

    async fn value(&self, option: &OptionName, _many: Many) -> Result<Option<Given>, SourceError> {
        let opened = self.opened().await?;
        match opened.mapping.name(option)? {
            None => Ok(None),
            Some(name) => opened.read(option, name).await.map(Some),
        }
    }

    fn set(&self) -> Vec<OptionName> {
        let mapped = |opened: &Opened| opened.mapping.iter().map(|(option, _)| option.clone()).collect();
        self.opened.get().map(mapped).unwrap_or_default()
    }
}

/// What a castellan.conf says.
struct Settings {
    file: PathBuf,
    url: String,
    trust: Option<String>,
    namespace: Option<String>,
    /// `None` where it is no time that can be waited.
    within: Option<Duration>,
    mount: String,
    folder: Option<String>,
    token: Option<Text>,
    method: String,
    mounted: String,
    role: Option<Text>,
    secret: Option<Text>,
    token_role: Option<String>,
    token_file: Option<String>,
}

impl Settings {
    async fn read(file: &std::path::Path, outside: &Outside) -> Result<Self, SourceError> {
        let wrong = |what: String| SourceError::Unusable { place: file.display().to_string(), what };
        let sought = Sought {
            arguments: vec![Argument::File(file.to_owned())],
            environment: outside.environment.clone(),
            known: Known::Only(DECLARED.iter().map(|declared| declared.to_declaration()).collect()),
            broker: Arc::new(NoBroker),
        };
        // A configuration of sources within one of sources: the future has no size of its own.
        let opened = Box::pin(Configuration::open(sought)).await.map_err(|errors| {
            let words: Vec<String> = errors.iter().map(|error| chain(error)).collect();
            wrong(words.join("; "))
        })?;
        if opened.sources().next().is_some() {
            return Err(wrong("it names a config_source of its own, which is not followed".to_owned()));
        }
        let read = async |group: &str, name: &str| {
            let found = opened.read(&OptionName::new(group, name)).await.map_err(|error| wrong(chain(&error)))?;
            let text = found.value.inserted();
            Ok::<_, SourceError>(Some(text).filter(|text| !text.is_empty()).map(|text| Text::from(text.as_str())))
        };
        // EXPOSE: no secrets: addresses and names
        let plain = async |name: &str| read("vault", name).await.map(|text| text.map(|text| text.expose().to_owned()));
        let needed = |name: &str| wrong(format!("[vault] {name} is empty"));
        // EXPOSE: the name of a backend
        let backend = read("key_manager", "backend").await?.map(|text| text.expose().to_owned());
        if !backend.as_deref().is_some_and(|backend| ["vault", VAULT_CLASS].contains(&backend)) {
            return Err(wrong("[key_manager] backend is not `vault`, the one that is read here".to_owned()));
        }
        for unread in ["fixed_key", "auth_type"] {
            if read("key_manager", unread).await?.is_some() {
                return Err(wrong(format!("[key_manager] {unread} is set, which is not read here")));
            }
        }
        if plain("kv_version").await?.as_deref() != Some("2") {
            return Err(wrong("[vault] kv_version is not 2, the one that is read here".to_owned()));
        }
        let method = plain("auth_method").await?.ok_or_else(|| needed("auth_method"))?;
        let seconds: f64 = plain("timeout").await?.and_then(|text| text.parse().ok()).unwrap_or(60.0);
        Ok(Self {
            file: file.to_owned(),
            url: plain("vault_url").await?.ok_or_else(|| needed("vault_url"))?,
            trust: plain("ssl_ca_crt_file").await?,
            namespace: plain("namespace").await?,
            within: (0.0 < seconds && seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds.min(A_DAY))),
            mount: plain("kv_mountpoint").await?.ok_or_else(|| needed("kv_mountpoint"))?,
            folder: plain("kv_path").await?,
            token: read("vault", "root_token_id").await?,
            mounted: plain("auth_path").await?.unwrap_or_else(|| method.clone()),
            method,
            role: read("vault", "approle_role_id").await?,
            secret: read("vault", "approle_secret_id").await?,
            token_role: plain("token_role").await?,
            token_file: plain("token_file").await?,
        })
    }

    fn connect(&self) -> Result<Connection, SourceError> {
        let trust = match &self.trust {
            Some(path) if is_encrypted(&self.url) => Trust::Only(fs::read(path.as_ref())?),
            Some(_) | None => Trust::System,
        };
        let address = Address { url: self.url.clone(), trust, namespace: self.namespace.clone() };
        Connection::open_within(&address, self.within.unwrap_or_default()).map_err(|error| self.wrong(chain(&error)))
    }

    fn login(&self, connection: &Connection) -> Result<Login, SourceError> {
        if let Some(token) = &self.token {
            connection.use_token(token.duplicate().into_material());
            return Ok(Login::Token);
        }
        // EXPOSE: framed into a body that is sent over TLS or on loopback
        let body: Zeroizing<String> = match (self.method.as_str(), &self.role, &self.token_role, &self.token_file) {
            ("approle", Some(role), ..) => {
                let mut body = serde_json::json!({"role_id": role.expose()});
                if let Some(secret) = &self.secret {
                    body["secret_id"] = secret.expose().into();
                }
                Zeroizing::new(body.to_string())
            }
            ("approle", None, ..) => return Err(self.wrong("[vault] approle_role_id is missing".to_owned())),
            (_, _, Some(role), Some(file)) => {
                let token = Zeroizing::new(fs::read(file.as_ref())?);
                let token = std::str::from_utf8(&token).map_err(|_| self.wrong("token_file is no text".to_owned()))?;
                Zeroizing::new(serde_json::json!({"role": role, "jwt": token.trim()}).to_string())
            }
            (_, _, None, _) | (_, _, _, None) => {
                return Err(self.wrong("[vault] token_role and token_file are needed".to_owned()));
            }
        };
        let path: RecordPath = self.path("auth_path", &self.mounted)?;
        Ok(Login::Post(format!("auth/{path}/login"), Material::from(body.as_str().to_owned())))
    }

    fn path(&self, name: &str, text: &str) -> Result<RecordPath, SourceError> {
        text.trim_matches('/').parse().map_err(|_| self.wrong(format!("[vault] {name} is no path")))
    }

    fn wrong(&self, what: String) -> SourceError {
        SourceError::Unusable { place: self.file.display().to_string(), what }
    }
}

/// An error with what it was caused by, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// An option of castellan.conf: group, name, type, default.
struct Declared(&'static str, &'static str, fn() -> OptionType, Option<&'static str>);

impl Declared {
    fn to_declaration(&self) -> (OptionName, Declaration) {
        let Self(group, name, kind, default) = self;
        let default = default.map(|text| vec![text.to_owned()]);
        (OptionName::new(*group, *name), Declaration { default, ..Declaration::of(kind()) })
    }
}

fn http() -> OptionType {
    OptionType::Uri { schemes: vec!["http".to_owned(), "https".to_owned()], longest: None }
}

fn seconds() -> OptionType {
    OptionType::Float { min: None, max: None }
}

fn version() -> OptionType {
    OptionType::Integer { min: Some(1), max: Some(2) }
}

fn method() -> OptionType {
    let choices = ["approle", "jwt", "kubernetes"].map(str::to_owned).to_vec();
    OptionType::Text(super::option_type::TextRules { choices, ..Default::default() })
}

/// The seconds that Python can wait at a socket: it counts nanoseconds in 63 bits.
const LONGEST: f64 = 9_223_372_036.0;
/// Nobody waits for longer here, whatever is said.
const A_DAY: f64 = 86_400.0;

const VAULT_CLASS: &str = "castellan.key_manager.vault_key_manager.VaultKeyManager";

const DECLARED: [Declared; 17] = [
    Declared("key_manager", "backend", OptionType::text, Some("barbican")),
    Declared("key_manager", "fixed_key", OptionType::text, None),
    Declared("key_manager", "auth_type", OptionType::text, None),
    Declared("vault", "root_token_id", OptionType::text, None),
    Declared("vault", "auth_method", method, Some("approle")),
    Declared("vault", "approle_role_id", OptionType::text, None),
    Declared("vault", "approle_secret_id", OptionType::text, None),
    Declared("vault", "token_role", OptionType::text, None),
    Declared("vault", "token_file", OptionType::text, None),
    Declared("vault", "auth_path", OptionType::text, None),
    Declared("vault", "kv_mountpoint", OptionType::text, Some("secret")),
    Declared("vault", "kv_path", OptionType::text, None),
    Declared("vault", "kv_version", version, Some("2")),
    Declared("vault", "vault_url", http, Some("http://127.0.0.1:8200")),
    Declared("vault", "ssl_ca_crt_file", OptionType::text, None),
    Declared("vault", "namespace", OptionType::text, None),
    Declared("vault", "timeout", seconds, Some("60")),
];
