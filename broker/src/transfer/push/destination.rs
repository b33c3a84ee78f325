//! The Vault that is pushed to: the first of its nodes that answers, and its mount.

use super::PushError;
use donjon_drivers::{
    material::Material,
    store::{
        RecordPath,
        vault::{Address, Call, CallError, Connection, Method, Reason, Trust, Vault},
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Where it is, and as whom.
#[derive(Debug)]
pub struct Named {
    /// The addresses of its nodes.
    pub urls: Vec<String>,
    /// The certificates to trust, in PEM; those of the operating system where there are none.
    pub authority: Option<Vec<u8>>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The KV v2 mount.
    pub mount: RecordPath,
    /// The token.
    pub token: Material,
}

/// A Vault that answers and is open.
#[derive(Debug, Clone)]
pub struct Destination {
    pub(super) connection: Arc<Connection>,
    pub(super) mount: RecordPath,
}

#[derive(Deserialize)]
pub(super) struct Answer<T> {
    pub(super) data: T,
}

impl Destination {
    /// Connects to the first node that answers and is open, and by it to the leader: what other nodes answer may be a
    /// moment old.
    pub async fn open(named: Named) -> Result<Self, PushError> {
        #[derive(Deserialize)]
        struct Seal {
            sealed: bool,
        }
        #[derive(Deserialize)]
        struct Leader {
            is_self: bool,
            leader_address: String,
        }
        let mut first = None;
        for url in named.urls {
            let trust = named.authority.clone().map_or(Trust::System, Trust::Only);
            let address = Address { url: url.clone(), trust, namespace: named.namespace.clone() };
            let (connection, given) = (Connection::open(&address)?, url.clone());
            let seal = async { connection.call(Call::new(Method::Get, "sys/seal-status")).await?.parse::<Seal>() };
            let trouble = match seal.await {
                Ok(Seal { sealed: false }) => {
                    let leader =
                        async { connection.call(Call::new(Method::Get, "sys/leader")).await?.parse::<Leader>() };
                    if let Ok(Leader { is_self: false, leader_address: url }) = leader.await {
                        // It is where the cluster says, or the node that answered sends everything on.
                        let leader = Address { url, ..address };
                        connection
                            .move_to(&leader)
                            .or_else(|_| connection.move_to(&Address { url: given, ..leader }))?;
                    }
                    connection.use_token(named.token);
                    let destination = Self { connection: Arc::new(connection), mount: named.mount };
                    destination.own_token().await?;
                    return Ok(destination);
                }
                Ok(Seal { sealed: true }) => PushError::Sealed { url },
                Err(source) => PushError::Call { doing: "ask the Vault whether it is sealed", source },
            };
            first = first.or(Some(trouble));
        }
        Err(first.unwrap_or(PushError::NoAddress))
    }

    /// One that is connected to and logged in to already.
    pub(in crate::transfer) fn at(connection: Arc<Connection>, mount: RecordPath) -> Self {
        Self { connection, mount }
    }

    /// The store in its mount.
    pub fn store(&self) -> Vault {
        Vault::new(Arc::clone(&self.connection), self.mount.clone())
    }

    /// Its address.
    pub fn place(&self) -> String {
        self.connection.place()
    }

    /// Its mount.
    pub fn mount(&self) -> &RecordPath {
        &self.mount
    }

    /// Whether the mount is there; one of another kind is refused.
    pub async fn mounted(&self) -> Result<bool, PushError> {
        #[derive(Deserialize)]
        struct Mount {
            r#type: String,
            #[serde(default)]
            options: Option<BTreeMap<String, String>>,
        }
        let asked = Call::new(Method::Get, format!("sys/internal/ui/mounts/{}", self.mount));
        let doing = PushError::call("look at the mounts there");
        let mount = match self.connection.call(asked).await {
            Ok(answer) => answer.parse::<Answer<Mount>>().map_err(doing)?.data,
            Err(CallError::Refused { reason: Reason::Denied | Reason::BadRequest, .. }) => return Ok(false),
            Err(error) => return Err(doing(error)),
        };
        let version = mount.options.as_ref().and_then(|options| options.get("version"));
        match mount.r#type == "kv" && version.is_some_and(|version| version == "2") {
            true => Ok(true),
            false => Err(PushError::OtherMount { mount: self.mount.clone() }),
        }
    }

    /// Fails where the token may not read this record. A Vault answers one that may not look as if there were no mount.
    pub(super) async fn may_look(&self, record: &RecordPath) -> Result<(), PushError> {
        #[derive(Deserialize)]
        struct Capabilities {
            capabilities: Vec<String>,
        }
        let asked = BTreeMap::from([("paths", [format!("{}/data/{record}", self.mount)])]);
        let doing = PushError::call("ask what the token may do there");
        let answer = self.connection.call(Call::post("sys/capabilities-self", body(&asked))).await.map_err(&doing)?;
        let Capabilities { capabilities } = answer.parse::<Answer<Capabilities>>().map_err(doing)?.data;
        match capabilities.iter().any(|word| word == "read" || word == "root") {
            true => Ok(()),
            false => Err(PushError::Blind { place: self.place(), mount: self.mount.clone() }),
        }
    }

    /// Makes the mount, and waits until it takes records. Writers without compare-and-set are refused there.
    pub async fn make_mount(&self) -> Result<(), PushError> {
        #[derive(Serialize)]
        struct Mount {
            r#type: &'static str,
            options: BTreeMap<&'static str, &'static str>,
            description: &'static str,
        }
        #[derive(Serialize)]
        struct Configuration {
            cas_required: bool,
            max_versions: u32,
        }
        let mount =
            Mount { r#type: "kv", options: BTreeMap::from([("version", "2")]), description: "Donjon's records" };
        let doing = PushError::call("make the mount there");
        self.post(&format!("sys/mounts/{}", self.mount), &mount).await.map_err(&doing)?;
        let configuration = Configuration { cas_required: true, max_versions: VERSIONS_KEPT };
        for _ in 0..MOST_LOOKS {
            match self.post(&format!("{}/config", self.mount), &configuration).await {
                // The mount answers a moment after it was made.
                Err(CallError::Refused { reason: Reason::NotReady | Reason::BadRequest | Reason::Other, .. }) => {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other.map_err(doing),
            }
        }
        self.post(&format!("{}/config", self.mount), &configuration).await.map_err(doing)
    }

    pub(super) async fn post<T: Serialize>(&self, path: &str, value: &T) -> Result<(), CallError> {
        self.connection.call(Call::post(path, body(value))).await.map(drop)
    }

    /// Fails where the token is none there, before anything is begun.
    async fn own_token(&self) -> Result<(), PushError> {
        let looked = self.connection.call(Call::new(Method::Get, "auth/token/lookup-self")).await;
        looked.map(drop).map_err(PushError::call("use the token there"))
    }
}

/// A JSON body without a secret in it.
pub(super) fn body<T: Serialize>(value: &T) -> Material {
    Material::new(serde_json::to_vec(value).expect("structures of texts and numbers always have a JSON text"))
}

const VERSIONS_KEPT: u32 = 32;
const MOST_LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
