//! Handing the database over: what a temporary Vault gives away once, so that a cluster can go on with all that is in it.

use super::{
    binary::Flavour,
    custody::Mode,
    error::VaultError,
    place::Place,
    process::Process,
    server::{Server, body},
    shares::{self, Offered, ShareError},
    state::Serving,
    temporary::Temporary,
};
use crate::rotation::checkpoint::reached;
use donjon_drivers::{
    fs, identity,
    material::Material,
    store::vault::{Call, CallError, Method, Reason},
};
use donjon_policies::access::SUCCESSOR;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A login of the successor's role.
#[derive(Debug)]
pub struct Login {
    /// What is sent.
    pub body: Material,
    /// By which it can be destroyed.
    pub accessor: String,
}

/// How a Vault is opened: a new server that is made alike takes the shares of another without a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// How many shares there are.
    pub shares: usize,
    /// How many of them open it.
    pub threshold: usize,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

impl Temporary {
    /// Which server it is whose database would be handed over.
    pub fn flavour(&self) -> Result<Flavour, VaultError> {
        Ok(Serving::read(&self.place)?.map_or(Flavour::OpenBao, |serving| serving.flavour))
    }

    /// How it is opened.
    pub fn opening(&self) -> Opening {
        let state = self.state();
        Opening { shares: state.shares.len(), threshold: state.threshold }
    }

    /// Who can open what is sealed to those who open this Vault: its custodians, or this host.
    pub fn recipients(&self) -> Result<Vec<String>, VaultError> {
        match self.mode() {
            Mode::Custodians => Ok(self.state().custodians),
            Mode::Host => {
                let identity = identity::read(&self.place.identity()).map_err(ShareError::from)?;
                Ok(vec![identity.to_public().to_string()])
            }
        }
    }

    /// The server's version: an older one may not understand its database.
    pub async fn version(&self) -> Result<String, VaultError> {
        #[derive(Deserialize)]
        struct Seal {
            version: String,
        }
        let seal = async { self.connection.call(Call::new(Method::Get, "sys/seal-status")).await?.parse::<Seal>() };
        Ok(seal.await.map_err(VaultError::call("ask the Vault server for its version"))?.version)
    }

    /// The shares that open it: this host's own, or those that custodians have given. Where shares were being renewed
    /// there are two sets, and one of them does.
    pub fn shares_to_open(&self, given: Vec<Material>) -> Result<Vec<Vec<Material>>, VaultError> {
        let state = self.state();
        let mut offered = Offered::default();
        for share in given {
            offered.add(&state, share)?;
        }
        let count = offered.count();
        let mut sets = Vec::new();
        for generation in state.generations() {
            match self.mode() {
                Mode::Host => sets.extend(shares::of_host(&self.place, generation).ok().map(|share| vec![share])),
                Mode::Custodians => sets.extend(offered.enough(&state).map(|(_, shares)| shares)),
            }
        }
        if sets.is_empty() { Err(VaultError::TooFewShares { given: count, needed: state.threshold }) } else { Ok(sets) }
    }

    /// A login that is good wherever this database is, from any address.
    pub async fn successor(&self) -> Result<Login, VaultError> {
        login_of_successor(&Server(&self.connection)).await
    }

    /// Such a login is good here no longer. One that is gone already is that, too; one that this Vault refuses to destroy, for
    /// whatever other reason, is good still.
    pub async fn forget_successor(&self, accessor: &str) -> Result<(), VaultError> {
        let path = format!("auth/approle/role/{SUCCESSOR}/secret-id-accessor/destroy");
        let gone = Material::from(json!({"secret_id_accessor": accessor}).to_string());
        let destroyed = self.connection.call(Call::post(path, gone)).await.map(drop);
        is_gone(destroyed).map_err(VaultError::call("destroy a login"))
    }

    /// The database, as the server encrypts it. It is complete: a change that was acknowledged before is in it.
    ///
    /// A server opens the audit devices that its database names before it looks at its configuration, and does not serve
    /// where it can open none of them: the file of this host is none on a controller whose server is an ordinary user. So
    /// the database is taken while it names a device more, one that every server can open, and that the first server
    /// which leads there removes, as its configuration does not name it.
    pub async fn snapshot(&self) -> Result<Material, VaultError> {
        let written = fs::read_private(&self.place.configuration())?;
        let before = without_device(&written).unwrap_or(written);
        // One that an earlier daemon has left may be on its way out still, and would be taken for the new one.
        if self.has_device().await? {
            self.configure(&before, Device::Gone).await?;
        }
        let there = self.configure(&with_device(&before), Device::There).await;
        reached("handover.device-there");
        let taken = match there {
            Ok(()) => Ok(self.connection.fetch("sys/storage/raft/snapshot").await),
            Err(error) => Err(error),
        };
        // Without it again, whatever came of it: a device that keeps nothing must not stand in for one that does.
        let gone = self.configure(&before, Device::Gone).await;
        let taken = taken?;
        gone?;
        Ok(taken.map_err(VaultError::call("take the snapshot"))?.into_bytes())
    }

    async fn configure(&self, content: &[u8], wanted: Device) -> Result<(), VaultError> {
        fs::replace(&self.place.configuration(), content)?;
        self.process().reopen_logs()?;
        let end = Instant::now() + RELOADED_WITHIN;
        loop {
            if self.has_device().await? == (wanted == Device::There) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(VaultError::Silent { within: RELOADED_WITHIN, log: self.place.log() });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn has_device(&self) -> Result<bool, VaultError> {
        let devices = Server(&self.connection).audit_devices().await;
        let devices = devices.map_err(VaultError::call("look at the Vault's audit devices"))?;
        Ok(devices.contains(&format!("{HANDOVER}/")))
    }
}

/// Has a server that was found running let go of the device, where a daemon has ended while it took a snapshot.
pub(super) fn let_go(place: &Place, process: &Process) -> Result<(), VaultError> {
    if let Some(without) = without_device(&fs::read_private(&place.configuration())?) {
        fs::replace(&place.configuration(), &without)?;
        process.reopen_logs()?;
    }
    Ok(())
}

fn with_device(configuration: &[u8]) -> Vec<u8> {
    let mut with: Value = serde_json::from_slice(configuration).unwrap_or_default();
    if let Some(devices) = with["audit"].as_array_mut() {
        devices.push(
            json!({"file": {HANDOVER: {"description": "for one snapshot", "options": {"file_path": "discard"}}}}),
        );
    }
    with.to_string().into_bytes()
}

/// The configuration without the device; `None` where it has none.
fn without_device(configuration: &[u8]) -> Option<Vec<u8>> {
    let mut without: Value = serde_json::from_slice(configuration).ok()?;
    let devices = without.get_mut("audit")?.as_array_mut()?;
    let all = devices.len();
    devices.retain(|device| device["file"].get(HANDOVER).is_none());
    (devices.len() < all).then(|| without.to_string().into_bytes())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    There,
    Gone,
}

impl Server<'_> {
    /// The names of the audit devices.
    pub(super) async fn audit_devices(self) -> Result<Vec<String>, CallError> {
        let answer = self.0.call(Call::new(Method::Get, "sys/audit")).await?;
        Ok(answer.parse::<Data<BTreeMap<String, serde::de::IgnoredAny>>>()?.data.into_keys().collect())
    }
}

fn is_gone(destroyed: Result<(), CallError>) -> Result<(), CallError> {
    match destroyed {
        Err(error) if error.reason() == Some(Reason::NoAccessor) => Ok(()),
        other => other,
    }
}

/// A new secret-id of the successor's role.
pub(super) async fn login_of_successor(server: &Server<'_>) -> Result<Login, VaultError> {
    #[derive(Deserialize)]
    struct RoleId {
        role_id: Material,
    }
    #[derive(Deserialize)]
    struct SecretId {
        secret_id: Material,
        secret_id_accessor: String,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        role_id: &'a str,
        secret_id: &'a str,
    }
    let role = format!("auth/approle/role/{SUCCESSOR}");
    let id = server.0.call(Call::new(Method::Get, format!("{role}/role-id"))).await;
    let id = id.and_then(|answer| answer.parse::<Data<RoleId>>());
    let RoleId { role_id } = id.map_err(VaultError::call("read the successor's role"))?.data;
    let made = server.0.call(Call::post(format!("{role}/secret-id"), body(&json!({})))).await;
    let made = made.and_then(|answer| answer.parse::<Data<SecretId>>());
    let SecretId { secret_id, secret_id_accessor: accessor } =
        made.map_err(VaultError::call("make a login for the successor"))?.data;
    // EXPOSE: both into one Material, which is kept in a private record
    let (role_id, secret_id) = (role_id.expose_text(), secret_id.expose_text());
    let body = body(&Body { role_id: role_id.unwrap_or_default(), secret_id: secret_id.unwrap_or_default() });
    Ok(Login { body, accessor })
}

/// The name of the device that a snapshot is taken with.
const HANDOVER: &str = "handover";
const RELOADED_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_of_a_snapshot_is_taken_out_of_a_configuration_and_no_other_is() {
        let own = json!({"audit": [{"file": {"donjon": {"description": "d", "options": {}}}}], "ui": false});
        let written = own.to_string().into_bytes();
        let once = with_device(&written);
        assert_ne!(once, written, "the control");
        for with in [with_device(&once), once] {
            assert_eq!(serde_json::from_slice::<Value>(&without_device(&with).unwrap()).unwrap(), own);
        }
        assert_eq!(without_device(&written), None);
        assert_eq!(without_device(br#"{"ui":false}"#), None, "a server that is told of its devices by API");
    }

    #[test]
    fn a_login_is_gone_where_the_vault_knows_its_accessor_no_more_and_in_no_other_case() {
        let refused = |reason| Err(CallError::Refused { place: "x".to_owned(), status: 400, reason });
        assert!(is_gone(Ok(())).is_ok() && is_gone(refused(Reason::NoAccessor)).is_ok());
        for reason in [
            Reason::Denied,
            Reason::Sealed,
            Reason::Uninitialised,
            Reason::NotReady,
            Reason::NothingThere,
            Reason::Gone,
            Reason::Full,
            Reason::BadRequest,
            Reason::Other,
        ] {
            assert!(is_gone(refused(reason)).is_err(), "{reason}");
        }
        assert!(is_gone(Err(CallError::Unreadable { place: "x".to_owned() })).is_err());
    }
}
