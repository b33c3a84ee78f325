//! What root does in its short life: audit, the mount, the policy, the broker's credential.

use super::{
    binary::Flavour,
    configuration,
    custody::Mode,
    place::Place,
    server::{Server, Token, body},
};
use donjon_drivers::{
    material::Material,
    store::vault::{Call, CallError, Connection, Method},
};
use donjon_policies::access::{BROKER, BROKER_POLICY, SUCCESSOR};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The mount of the broker's records.
pub(super) const MOUNT: &str = "donjon";
/// How long the broker's token lives when nobody renews it.
pub(super) const PERIOD: Duration = Duration::from_secs(3600);

const READY_WITHIN: Duration = Duration::from_secs(10);

/// What the broker gets from root.
#[derive(Debug)]
pub(super) enum Credential {
    /// The body of an AppRole login, to be kept.
    Login(Material),
    /// A token, to be held in memory alone.
    Token(Token),
}

/// Prepares a new server for the broker, one thing after the other: OpenBao answers 500 to work on
/// two parts of a mount at once, even where one only reads.
pub(super) async fn prepare(
    connection: &Connection,
    place: &Place,
    flavour: Flavour,
    mode: Mode,
    root: &Material,
) -> Result<Credential, CallError> {
    let post = async |path: String, value: serde_json::Value| {
        Server(connection).patiently(root, READY_WITHIN, || Call::post(path.clone(), body(&value))).await.map(drop)
    };
    if flavour == Flavour::HashiCorp {
        let device = json!({"type": "file", "options": configuration::audit_options(place)});
        post("sys/audit/donjon".to_owned(), device).await?;
    }
    // The readers' roles are there too, so custodians have it as well.
    post("sys/auth/approle".to_owned(), json!({"type": "approle"})).await?;
    let mount = json!({"type": "kv", "options": {"version": "2"}, "description": "Donjon's records"});
    post(format!("sys/mounts/{MOUNT}"), mount).await?;
    post(format!("sys/policies/acl/{BROKER}"), json!({"policy": BROKER_POLICY})).await?;
    // A role without a credential, for the day when the database is handed over to a cluster.
    let successor = json!({
        "token_policies": [BROKER],
        "token_no_default_policy": true,
        "token_period": PERIOD.as_secs(),
    });
    post(format!("auth/approle/role/{SUCCESSOR}"), successor).await?;
    let credential = match mode {
        Mode::Host => Credential::Login(app_role(connection, root).await?),
        Mode::Custodians => Credential::Token(Server(connection).orphan(root, BROKER, PERIOD).await?),
    };
    // The mount answers a moment after it was made. Writers without compare-and-set are refused.
    post(format!("{MOUNT}/config"), json!({"cas_required": true, "max_versions": 32})).await?;
    Ok(credential)
}

/// Makes a role that only this host can use, and gives back the body of its login. A socket has no address to bind it to: its
/// folder keeps others out, and the server listens on loopback alone.
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
    let addresses: &[&str] = if connection.is_socket() { &[] } else { &["127.0.0.1/32"] };
    let settings = json!({
        "token_policies": [BROKER],
        "token_no_default_policy": true,
        "token_period": PERIOD.as_secs(),
        "token_bound_cidrs": addresses,
        "secret_id_bound_cidrs": addresses,
    });
    post(role.clone(), settings).await?;
    let id = connection.call_with(root, Call::new(Method::Get, format!("{role}/role-id"))).await?;
    let secret = post(format!("{role}/secret-id"), json!({})).await?;
    let RoleId { role_id } = id.parse::<Answer<RoleId>>()?.data;
    let SecretId { secret_id } = secret.parse::<Answer<SecretId>>()?.data;
    // EXPOSE: both into one Material, which is encrypted before it is written
    let (role_id, secret_id) = (role_id.expose_text(), secret_id.expose_text());
    Ok(body(&Login { role_id: role_id.unwrap_or_default(), secret_id: secret_id.unwrap_or_default() }))
}
