//! One server of the cluster that a database is carried into, as its operator would ask it.

use super::{
    custody::Custody,
    error::VaultError,
    handover::{Login, Opening, login_of_successor},
    place::Place,
    server::{Server, body},
    shares,
};
use donjon_drivers::{
    material::Material,
    store::vault::{Address, Call, CallError, Connection, Method, Reason, Trust, Vault},
};
use donjon_policies::access::{BROKER, READER_PREFIX, SUCCESSOR};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// A server of the cluster.
#[derive(Debug, Clone)]
pub struct Controller {
    connection: Arc<Connection>,
    authority: Option<String>,
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Look {
    /// Whether it was ever initialised.
    pub initialized: bool,
    /// Whether it waits for shares.
    pub sealed: bool,
    /// What it keeps its data in.
    #[serde(default)]
    pub storage_type: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// How many shares there are.
    #[serde(default, rename = "n")]
    pub shares: usize,
    /// How many of them open it.
    #[serde(default, rename = "t")]
    pub threshold: usize,
    /// Which cluster it is of; told while it is open.
    #[serde(default)]
    pub cluster_id: Option<String>,
}

/// What a new server gave when it was initialised; good for nothing once another database is in it.
#[derive(Debug)]
pub struct Empty {
    /// Its root token.
    pub root: Material,
    /// What opens it.
    pub shares: Vec<Material>,
}

#[derive(Deserialize)]
struct Leader {
    is_self: bool,
    #[serde(default)]
    leader_address: String,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

impl Controller {
    /// Prepares requests to it.
    pub fn new(url: &str, authority: Option<&str>) -> Result<Self, VaultError> {
        let trust = authority.map_or(Trust::System, |pem| Trust::Only(pem.as_bytes().to_vec()));
        let address = Address { url: url.to_owned(), trust, namespace: None };
        let connection = Arc::new(Connection::open_within(&address, LONGEST_ANSWER)?);
        Ok(Self { connection, authority: authority.map(str::to_owned) })
    }

    /// Its address.
    pub fn place(&self) -> String {
        self.connection.place()
    }

    /// The connection, for whoever is logged in.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The records in it.
    pub fn store(&self) -> Vault {
        let mount = super::setup::MOUNT.parse().unwrap_or_else(|_| unreachable!("`donjon` is a path"));
        Vault::new(self.connection.clone(), mount)
    }

    /// How it is.
    pub async fn look(&self) -> Result<Look, VaultError> {
        let looked = async { self.connection.call(Call::new(Method::Get, "sys/seal-status")).await?.parse() };
        looked.await.map_err(VaultError::call("ask a server of the cluster how it is"))
    }

    /// Initialises an empty one just as the source is: only so does it take the source's shares without a restart.
    pub async fn initialise(&self, like: Opening) -> Result<Empty, VaultError> {
        let made = Server(&self.connection).initialise(like.shares, like.threshold).await;
        let made = made.map_err(VaultError::call("initialise the first server of the cluster"))?;
        Ok(Empty { root: made.root, shares: made.shares })
    }

    /// Puts another database in the place of its own, and waits until it has sealed itself, for it says that it is done
    /// long before it is. Only a server that leads is asked: a standby would seal and take nothing.
    pub async fn restore(&self, root: &Material, snapshot: &Material) -> Result<Restored, VaultError> {
        let doing = || VaultError::call("restore the snapshot");
        let leads = self.connection.call(Call::new(Method::Get, "sys/leader")).await;
        let Leader { is_self, .. } = leads.and_then(|answer| answer.parse()).map_err(doing())?;
        if !is_self {
            return Ok(Restored::Standby);
        }
        let sent = Call::post("sys/storage/raft/snapshot-force", snapshot.duplicate());
        self.connection.call_with(root, sent).await.map_err(doing())?;
        let end = Instant::now() + RESTORED_WITHIN;
        // While it changes one database for the other it may not answer.
        while !self.look().await.is_ok_and(|look| look.sealed) {
            if Instant::now() > end {
                return Ok(Restored::NotYet);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Restored::Sealed)
    }

    /// Opens it with shares, if they are its own, and waits until it serves.
    pub async fn unseal(&self, shares: &[Material]) -> Result<Opened, VaultError> {
        match Server(&self.connection).unseal(shares).await {
            Ok(seal) if !seal.sealed => Ok(Opened::Yes),
            Ok(_) => Ok(Opened::No),
            // Shares of another: the server says so by an error once there are enough.
            Err(CallError::Refused { reason: Reason::BadRequest | Reason::Other, .. }) => Ok(Opened::No),
            Err(source) => Err(VaultError::Call { act: "open a server of the cluster", source }),
        }
    }

    /// Waits until it knows a leader, itself or another.
    pub async fn serves(&self) -> Result<(), VaultError> {
        self.waits_for(|leader| leader.is_self || !leader.leader_address.is_empty()).await
    }

    /// Waits until it leads.
    pub async fn leads(&self) -> Result<(), VaultError> {
        self.waits_for(|leader| leader.is_self).await
    }

    async fn waits_for(&self, wanted: impl Fn(&Leader) -> bool) -> Result<(), VaultError> {
        let end = Instant::now() + SERVES_WITHIN;
        loop {
            let leader = self.connection.call(Call::new(Method::Get, "sys/leader")).await;
            match leader.and_then(|answer| answer.parse::<Leader>()) {
                Ok(leader) if wanted(&leader) => return Ok(()),
                Ok(_) | Err(CallError::Refused { .. }) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Ok(_) => return Err(VaultError::NoLeader { place: self.place(), within: SERVES_WITHIN }),
                Err(source) => return Err(VaultError::Call { act: "wait until the cluster has a leader", source }),
            }
        }
    }

    /// Joins a new server to the first one; a leader that was just opened takes nobody in yet.
    pub async fn join(&self, first: &str) -> Result<(), VaultError> {
        #[derive(Serialize)]
        struct Join<'a> {
            leader_api_addr: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            leader_ca_cert: Option<&'a str>,
        }
        #[derive(Deserialize)]
        struct Joined {
            joined: bool,
        }
        let asked = Join { leader_api_addr: first, leader_ca_cert: self.authority.as_deref() };
        let end = Instant::now() + SERVES_WITHIN;
        loop {
            let joined = self.connection.call(Call::post("sys/storage/raft/join", body(&asked))).await;
            match joined.and_then(|answer| answer.parse::<Joined>()) {
                Ok(Joined { joined: true }) => return Ok(()),
                Ok(_) | Err(CallError::Refused { .. }) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Ok(_) => {
                    let source = Server(&self.connection).unreadable();
                    return Err(VaultError::Call { act: "join a server to the cluster", source });
                }
                Err(source) => return Err(VaultError::Call { act: "join a server to the cluster", source }),
            }
        }
    }

    /// Logs in, and works with that token from now on. `false`: the login is none there.
    pub async fn log_in(&self, login: &Material) -> Result<bool, VaultError> {
        let end = Instant::now() + SERVES_WITHIN;
        loop {
            match Server(&self.connection).login(login).await {
                Ok(token) => {
                    self.connection.use_token(token.token);
                    return Ok(true);
                }
                Err(CallError::Refused { reason: Reason::BadRequest | Reason::Denied, .. }) => return Ok(false),
                // It was just opened, and is not what it will be in a moment.
                Err(CallError::Refused { .. }) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Err(source) => return Err(VaultError::Call { act: "log in to the cluster", source }),
            }
        }
    }

    /// How many servers vote.
    pub async fn voters(&self) -> Result<usize, VaultError> {
        #[derive(Deserialize)]
        struct Configuration {
            config: Servers,
        }
        #[derive(Deserialize)]
        struct Servers {
            servers: Vec<Peer>,
        }
        #[derive(Deserialize)]
        struct Peer {
            voter: bool,
        }
        let asked = self.connection.call(Call::new(Method::Get, "sys/storage/raft/configuration")).await;
        let told = asked.and_then(|answer| answer.parse::<Data<Configuration>>());
        let told = told.map_err(VaultError::call("ask the cluster for its servers"))?;
        Ok(told.data.config.servers.iter().filter(|peer| peer.voter).count())
    }

    /// The names of its audit devices.
    pub async fn audit_devices(&self) -> Result<Vec<String>, VaultError> {
        let devices = Server(&self.connection).audit_devices().await;
        devices.map_err(VaultError::call("look at the cluster's audit devices"))
    }

    /// The names of the audit devices in this very server's configuration, leader or not, asked with the token of another
    /// one. `None`: the database was made by an earlier donjon, whose logins may not ask.
    pub async fn configured_audit_devices(&self, logged_in: &Self) -> Result<Option<Vec<String>>, VaultError> {
        #[derive(Deserialize)]
        struct Configuration {
            #[serde(default)]
            audits: Vec<Device>,
        }
        #[derive(Deserialize)]
        struct Device {
            path: String,
        }
        let token = logged_in.connection.token().unwrap_or_else(|| Arc::new(Material::new(Vec::new())));
        let end = Instant::now() + SERVES_WITHIN;
        loop {
            let asked = Call::new(Method::Get, "sys/config/state/sanitized");
            let told = self.connection.call_with(&token, asked).await;
            match told.and_then(|answer| answer.parse::<Data<Configuration>>()) {
                Ok(told) => return Ok(Some(told.data.audits.into_iter().map(|device| device.path).collect())),
                Err(CallError::Refused { reason: Reason::Denied, .. }) => return Ok(None),
                // A standby that has not seen the token yet.
                Err(CallError::Refused { .. }) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                Err(source) => return Err(VaultError::Call { act: "look at a server's configuration", source }),
            }
        }
    }

    /// Gives the cluster new shares, which are kept for their custodians before they hold. `false`: the old ones do not
    /// hold any more, so those that an earlier run has kept do.
    pub async fn renew_shares(&self, old: &[Material], new: &Custody, keep_in: &Path) -> Result<bool, VaultError> {
        let (count, threshold) = new.shares();
        let server = Server(&self.connection);
        let made = match server.rekey(old, count, threshold).await {
            Ok(made) => made,
            Err(CallError::Refused { reason: Reason::BadRequest, .. }) => return Ok(false),
            Err(source) => return Err(VaultError::Call { act: "make new unseal shares", source }),
        };
        donjon_drivers::fs::private_folder(keep_in)?;
        shares::keep(&Place::new(keep_in), 0, new, &made.shares)?;
        crate::rotation::checkpoint::reached("snapshot.shares-kept");
        server.verify_rekey(&made).await.map_err(VaultError::call("have the cluster take its new shares"))?;
        Ok(true)
    }

    /// A new key for the storage.
    pub async fn rotate_barrier(&self) -> Result<(), VaultError> {
        Server(&self.connection).rotate_barrier().await.map_err(VaultError::call("rotate the cluster's barrier key"))
    }

    /// Destroys every login that came along but the one that is worked with, and revokes every token but the own.
    pub async fn revoke_inherited(&self, kept: &str) -> Result<Revoked, VaultError> {
        let mut revoked = Revoked::default();
        let ours = |role: &String| [BROKER, SUCCESSOR].contains(&role.as_str()) || role.starts_with(READER_PREFIX);
        for role in self.names("auth/approle/role").await?.into_iter().filter(ours) {
            let folder = format!("auth/approle/role/{role}");
            for accessor in self.names(&format!("{folder}/secret-id")).await?.iter().filter(|one| *one != kept) {
                self.forget_login_of(&folder, accessor).await?;
                revoked.logins += 1;
            }
        }
        let others = Server(&self.connection).revoke_others().await;
        revoked.tokens = others.map_err(VaultError::call("revoke what came along"))?;
        Ok(revoked)
    }

    /// A token for the broker that goes on there: periodic, an orphan, and by a login that is gone once it was used.
    pub async fn token_for_broker(&self) -> Result<Material, VaultError> {
        let server = Server(&self.connection);
        let Login { body, accessor } = login_of_successor(&server).await?;
        let token = server.login(&body).await.map_err(VaultError::call("make the token of the cluster's broker"))?;
        self.forget_login(&accessor).await?;
        Ok(token.token)
    }

    /// Destroys a login of the successor's role.
    pub async fn forget_login(&self, accessor: &str) -> Result<(), VaultError> {
        self.forget_login_of(&format!("auth/approle/role/{SUCCESSOR}"), accessor).await
    }

    async fn forget_login_of(&self, role: &str, accessor: &str) -> Result<(), VaultError> {
        let gone = body(&BTreeMap::from([("secret_id_accessor", accessor)]));
        let gone = self.connection.call(Call::post(format!("{role}/secret-id-accessor/destroy"), gone)).await;
        gone.map(drop).map_err(VaultError::call("destroy a login"))
    }

    /// Gives the own token up.
    pub async fn leave(&self) -> Result<(), VaultError> {
        let left = Server(&self.connection).revoke_own().await;
        self.connection.forget_token();
        left.map_err(VaultError::call("give the own token up"))
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<String>,
        }
        match self.connection.call(Call::new(Method::List, folder)).await {
            Ok(answer) => Ok(answer.parse::<Data<Keys>>().map_err(VaultError::call("list what came along"))?.data.keys),
            Err(CallError::Refused { status: 404, .. }) => Ok(Vec::new()),
            Err(source) => Err(VaultError::Call { act: "list what came along", source }),
        }
    }
}

/// What came of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It has sealed itself: the other database is there.
    Sealed,
    /// It does not lead, so nothing was sent.
    Standby,
    /// It took the snapshot and has not sealed itself in time.
    NotYet,
}

/// Whether shares were a server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// They were: it is open.
    Yes,
    /// They were not.
    No,
}

/// What came along and is good for nothing any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// Logins.
    pub logins: usize,
    /// Tokens.
    pub tokens: usize,
}

/// A large database takes long to be taken in.
const LONGEST_ANSWER: Duration = Duration::from_secs(120);
const RESTORED_WITHIN: Duration = Duration::from_secs(120);
const SERVES_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
