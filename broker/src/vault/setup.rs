//! What root does in its short life: audit, the mount, the policy, the broker's credential.

use super::{
    binary::Flavour,
    configuration,
    custody::Mode,
    place::Place,
    server::{Server, Token, body},
    shares::{self, ShareError},
};
use donjon_drivers::{
    material::Material,
    store::vault::{Call, CallError, Connection, Method},
};
use donjon_policies::access::{BROKER, BROKER_POLICY};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The mount of the broker's records.
pub(super) const MOUNT: &str = "donjon";
/// How long the broker's token lives when nobody renews it.
pub(super) const PERIOD: Duration = Duration::from_secs(3600);

/// Prepares a new server for the broker. The connection carries the root token.
pub(super) async fn prepare(connection: &Connection, place: &Place, flavour: Flavour) -> Result<(), CallError> {
    if flavour == Flavour::HashiCorp {
        let device = json!({"type": "file", "options": configuration::audit_options(place)});
        connection.call(Call::post("sys/audit/donjon", body(&device))).await?;
    }
    // The readers' roles are there too, so custodians have it as well.
    connection.call(Call::post("sys/auth/approle", body(&json!({"type": "approle"})))).await?;
    let mount = json!({"type": "kv", "options": {"version": "2"}, "description": "Donjon's records"});
    connection.call(Call::post(format!("sys/mounts/{MOUNT}"), body(&mount))).await?;
    let policy = json!({"policy": BROKER_POLICY});
    connection.call(Call::post(format!("sys/policies/acl/{BROKER}"), body(&policy))).await?;
    // The mount answers a moment after it was made. Writers without compare-and-set are refused.
    let settings = || Call::post(format!("{MOUNT}/config"), body(&json!({"cas_required": true, "max_versions": 32})));
    Server(connection).until(Duration::from_secs(10), settings).await
}

/// Gives the broker its own credential with root's help, and logs it in.
pub(super) async fn credential(
    connection: &Connection,
    place: &Place,
    mode: Mode,
    root: &Material,
) -> Result<Token, CredentialError> {
    match mode {
        Mode::Custodians => Ok(Server(connection).orphan(root, BROKER, PERIOD).await?),
        Mode::Host => {
            let credential = app_role(connection, root).await?;
            shares::keep_credential(place, &credential)?;
            Ok(Server(connection).login(&shares::credential(place)?).await?)
        }
    }
}

/// The credential could not be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The server did not make it.
    #[error("the server did not make the broker's credential")]
    Call(#[from] CallError),
    /// It cannot be kept.
    #[error("the broker's credential cannot be kept")]
    Share(#[from] ShareError),
}

/// Makes a role that only this host can use, and gives back the body of its login.
async fn app_role(connection: &Connection, root: &Material) -> Result<Material, CallError> {
    #[derive(Deserialize)]
    struct Answer<T> {
        data: T,
    }
    #[derive(Deserialize)]
    struct RoleId {
        role_id: Material,
    }
    #[derive(Deserialize)]
    struct SecretId {
        secret_id: Material,
    }
    #[derive(Serialize)]
    struct Login<'a> {
        role_id: &'a str,
        secret_id: &'a str,
    }
    let role = format!("auth/approle/role/{BROKER}");
    let post =
        async |path: String, value: serde_json::Value| connection.call_with(root, Call::post(path, body(&value))).await;
    let settings = json!({
        "token_policies": [BROKER],
        "token_no_default_policy": true,
        "token_period": PERIOD.as_secs(),
        "token_bound_cidrs": ["127.0.0.1/32"],
        "secret_id_bound_cidrs": ["127.0.0.1/32"],
    });
    post(role.clone(), settings).await?;
    let read = connection.call_with(root, Call::new(Method::Get, format!("{role}/role-id"))).await?;
    let RoleId { role_id } = read.parse::<Answer<RoleId>>()?.data;
    let made = post(format!("{role}/secret-id"), json!({})).await?;
    let SecretId { secret_id } = made.parse::<Answer<SecretId>>()?.data;
    // EXPOSE: both into one Material, which is encrypted before it is written
    let (role_id, secret_id) = (role_id.expose_text(), secret_id.expose_text());
    Ok(body(&Login { role_id: role_id.unwrap_or_default(), secret_id: secret_id.unwrap_or_default() }))
}
