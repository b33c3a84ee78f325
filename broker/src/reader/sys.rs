//! What the server says of itself, to anyone.

use super::{answer::Answer, body, lookup::Standing, request::Query};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use donjon_drivers::{material::Material, store::RecordPath};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

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

/// What is said to whoever would unseal it. Nothing is unsealed here: who has a key has come to the wrong door, and hears so in
/// the words for a wrong one.
pub(super) fn unseal(sent: &Material, standing: Standing) -> Answer {
    let (key, resets) = match unsealing(sent) {
        Ok(asked) => asked,
        Err(why) => return Answer::errors(400, &[why]),
    };
    match (standing, resets, key) {
        (Standing::Open, true, _) => Answer::errors(400, &["vault is unsealed"]),
        (Standing::Sealed, true, _) => seal_status(standing),
        (_, false, Key::Absent) => Answer::errors(400, &[NO_KEY]),
        (_, false, Key::Odd) => Answer::errors(400, &[ODD_KEY]),
        (Standing::Sealed, false, Key::Formed) => Answer::errors(400, &[WRONG_KEY]),
        (Standing::Open, false, Key::Formed) => seal_status(standing),
    }
}

/// A key as it looks.
#[derive(Clone, Copy)]
enum Key {
    Absent,
    /// In hexadecimal digits or base64.
    Formed,
    Odd,
}

/// The key, and whether what was given so far is to be forgotten. Names are of any case, as Go reads them.
fn unsealing(sent: &Material) -> Result<(Key, bool), &'static str> {
    // EXPOSE: parsed in place
    let fields: BTreeMap<&str, &RawValue> = body::object(sent.expose(), |_| body::UNDECODED)?;
    let (mut key, mut resets) = (Key::Absent, false);
    for (name, value) in fields {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        match value.get() {
            "null" => {}
            truth @ ("true" | "false") if is("reset") => resets = truth == "true",
            "true" | "false" if is("migrate") => {}
            "\"\"" if is("key") => key = Key::Absent,
            text if is("key") && text.starts_with('"') => key = looked_at(text.trim_matches('"')),
            _ if is("key") || is("reset") || is("migrate") => return Err(body::UNDECODED),
            _ => {}
        }
    }
    Ok((key, resets))
}

fn looked_at(key: &str) -> Key {
    let digits = key.len().is_multiple_of(2) && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digits || BASE64_STANDARD.decode(key).map(Zeroizing::new).is_ok() {
        true => Key::Formed,
        false => Key::Odd,
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
const ODD_KEY: &str = "'key' must be a valid hex or base64 string";
const WRONG_KEY: &str = "unseal failed, invalid key";
