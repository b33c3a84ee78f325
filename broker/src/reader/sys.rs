//! What the server says of itself, to anyone.

use super::{answer::Answer, body, lookup::Standing, request::Query};
use donjon_drivers::{material::Material, store::RecordPath};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Health {
    initialized: bool,
    sealed: bool,
    standby: bool,
    replication_performance_mode: &'static str,
    replication_dr_mode: &'static str,
    server_time_utc: i64,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'static str>,
}

#[derive(Serialize)]
struct SealStatus {
    r#type: &'static str,
    initialized: bool,
    sealed: bool,
    t: u32,
    n: u32,
    progress: u32,
    nonce: &'static str,
    recovery_seal: bool,
    version: &'static str,
    commit_date: &'static str,
    migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'static str>,
    storage_type: &'static str,
}

#[derive(Serialize)]
struct Initialised {
    initialized: bool,
}

#[derive(Serialize)]
struct Leader {
    ha_enabled: bool,
}

#[derive(Serialize)]
struct Mounts {
    auth: BTreeMap<String, MountOf>,
    secret: BTreeMap<String, MountOf>,
}

#[derive(Serialize)]
struct MountOf {
    accessor: &'static str,
    config: MountConfig,
    deprecation_status: &'static str,
    description: &'static str,
    external_entropy_access: bool,
    local: bool,
    options: Option<MountOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    plugin_version: &'static str,
    running_plugin_version: &'static str,
    running_sha256: &'static str,
    seal_wrap: bool,
    r#type: &'static str,
    uuid: &'static str,
}

#[derive(Serialize)]
struct MountConfig {
    default_lease_ttl: u32,
    force_no_cache: bool,
    max_lease_ttl: u32,
}

#[derive(Serialize)]
struct MountOptions {
    version: &'static str,
}

/// How it is. Whoever asks may say which status is to tell it.
pub(super) fn health(now: i64, standing: Standing, query: &Query) -> Answer {
    let (code, usual) = match standing {
        Standing::Sealed => (&query.sealed, 503),
        Standing::Open => (&query.active, 200),
    };
    let status = match code.as_deref() {
        None => usual,
        // Below 200 an answer is not the last one, above 999 it is none.
        Some(code) => match code.parse().ok().filter(|code| (200..=999).contains(code)) {
            Some(code) => code,
            None => return Answer::errors(400, &[]),
        },
    };
    let is_sealed = standing == Standing::Sealed;
    let replication = if is_sealed { "unknown" } else { "disabled" };
    let answer = Answer::plain(&Health {
        initialized: true,
        sealed: is_sealed,
        standby: is_sealed,
        replication_performance_mode: replication,
        replication_dr_mode: replication,
        server_time_utc: now,
        version: VERSION,
        cluster_name: (!is_sealed).then_some(NAME),
        cluster_id: (!is_sealed).then_some(""),
    });
    Answer { status, ..answer }
}

pub(super) fn seal_status(standing: Standing) -> Answer {
    let is_sealed = standing == Standing::Sealed;
    Answer::plain(&SealStatus {
        r#type: "age",
        initialized: true,
        sealed: is_sealed,
        t: 1,
        n: 1,
        progress: 0,
        nonce: "",
        recovery_seal: false,
        version: VERSION,
        commit_date: "",
        migration: false,
        cluster_name: (!is_sealed).then_some(NAME),
        cluster_id: (!is_sealed).then_some(""),
        storage_type: "bundle",
    })
}

#[derive(Deserialize)]
struct Unsealing<'a> {
    #[serde(borrow, default, alias = "Key")]
    key: Option<&'a RawValue>,
    #[serde(default, alias = "Reset")]
    reset: bool,
}

/// What is said to whoever would unseal it. Nothing is unsealed here, and the key is not even looked at: who has one has come to the
/// wrong door.
pub(super) fn unseal(sent: &Material, standing: Standing) -> Answer {
    // EXPOSE: parsed in place
    let sent = match sent.expose().trim_ascii() {
        b"" | b"null" => b"{}",
        sent => sent,
    };
    let asked: Unsealing<'_> = match serde_json::from_slice(sent) {
        // A list can be read as a structure, too.
        Ok(asked) if sent.starts_with(b"{") => asked,
        Ok(_) => return Answer::errors(400, &[body::NO_OBJECT]),
        Err(error) => return Answer::errors(400, &[body::broken(&error)]),
    };
    let key = match asked.key.map(RawValue::get) {
        None | Some("null" | "\"\"") => false,
        Some(key) if key.starts_with('"') => true,
        Some(_) => return Answer::errors(400, &[body::NO_OBJECT]),
    };
    match (standing, asked.reset, key) {
        (Standing::Open, true, _) => Answer::errors(400, &["vault is unsealed"]),
        (_, false, false) => Answer::errors(400, &[NO_KEY]),
        (Standing::Sealed, false, true) => Answer::errors(400, &[WRONG_KEY]),
        (Standing::Open, false, true) | (Standing::Sealed, true, _) => seal_status(standing),
    }
}

pub(super) fn init() -> Answer {
    Answer::plain(&Initialised { initialized: true })
}

pub(super) fn leader() -> Answer {
    Answer::plain(&Leader { ha_enabled: false })
}

/// The mounts that someone sees: none without a token.
pub(super) fn mounts(visible: Option<&RecordPath>) -> Answer {
    let secret = visible.map(|mount| (format!("{mount}/"), mount_of(None))).into_iter().collect();
    Answer::data(Mounts { auth: BTreeMap::new(), secret })
}

/// The mount that a path is in; `bao kv` asks before it reads.
pub(super) fn mount(mount: &RecordPath) -> Answer {
    Answer::data(mount_of(Some(format!("{mount}/"))))
}

fn mount_of(path: Option<String>) -> MountOf {
    MountOf {
        accessor: "kv_donjon",
        config: MountConfig { default_lease_ttl: 0, force_no_cache: false, max_lease_ttl: 0 },
        deprecation_status: "supported",
        description: "key/value secret storage",
        external_entropy_access: false,
        local: false,
        options: Some(MountOptions { version: "2" }),
        path,
        plugin_version: "",
        running_plugin_version: "",
        running_sha256: "",
        seal_wrap: false,
        r#type: "kv",
        uuid: "",
    }
}

const VERSION: &str = concat!("donjon-", env!("CARGO_PKG_VERSION"));
const NAME: &str = "donjon";
const NO_KEY: &str = "'key' must be specified in request body as JSON, or 'reset' set to true";
const WRONG_KEY: &str = "unseal failed, invalid key";
