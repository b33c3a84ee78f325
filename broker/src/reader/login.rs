//! Logging in with an AppRole, and what a token can say and do about itself.

use super::{
    answer::Answer,
    body::Credential,
    kv::time,
    peer::Peer,
    roles::{Role, Roles},
    tokens::{Token, Tokens, TokensError},
    witness::Outcome,
};
use donjon_drivers::material::Material;
use donjon_policies::name::RoleName;
use serde::{Serialize, Serializer};

#[derive(Serialize)]
struct Auth<'a> {
    #[serde(serialize_with = "shown")]
    client_token: &'a Material,
    accessor: &'a str,
    policies: [&'a str; 2],
    token_policies: [&'a str; 2],
    metadata: Meta<'a>,
    lease_duration: u32,
    renewable: bool,
    entity_id: &'static str,
    token_type: &'static str,
    orphan: bool,
    mfa_requirement: Option<()>,
    num_uses: u32,
}

#[derive(Serialize)]
struct Meta<'a> {
    role_name: &'a RoleName,
}

#[derive(Serialize)]
struct SelfData<'a> {
    accessor: &'a str,
    creation_time: i64,
    creation_ttl: u32,
    display_name: &'static str,
    entity_id: &'static str,
    expire_time: String,
    explicit_max_ttl: u32,
    #[serde(serialize_with = "shown")]
    id: &'a Material,
    issue_time: String,
    meta: Meta<'a>,
    num_uses: u32,
    orphan: bool,
    path: &'static str,
    policies: [&'a str; 2],
    renewable: bool,
    ttl: i64,
    r#type: &'static str,
}

/// Checks a credential; gives a token, and whose it is.
pub(super) fn login<'a>(
    roles: &'a Roles,
    tokens: &mut Tokens,
    said: Credential,
    peer: &Peer,
    now: i64,
) -> (Option<&'a RoleName>, Outcome, Answer) {
    let (role_id, secret_id) = match both(said) {
        Ok(both) => both,
        Err(answer) => return (None, Outcome::Refused, answer),
    };
    match roles.admit(&role_id, &secret_id, peer) {
        Ok(role) => issued(role, tokens, peer, now),
        // A right credential in the wrong hands is told no more than a wrong one. The audit log knows.
        Err(role) => {
            let answer = Answer::errors(400, &["invalid role or secret ID"]);
            (role.map(|role| &role.name), Outcome::Refused, answer)
        }
    }
}

/// Gives a token to one who holds a role's key.
pub(super) fn login_by_key<'a>(
    roles: &'a Roles,
    tokens: &mut Tokens,
    peer: &Peer,
    now: i64,
) -> (Option<&'a RoleName>, Outcome, Answer) {
    match peer.key.and_then(|_| roles.known(peer)) {
        Some(role) => issued(role, tokens, peer, now),
        None => {
            (None, Outcome::Refused, Answer::errors(400, &["invalid certificate or no client certificate supplied"]))
        }
    }
}

fn issued<'a>(role: &'a Role, tokens: &mut Tokens, peer: &Peer, now: i64) -> (Option<&'a RoleName>, Outcome, Answer) {
    match tokens.issue(role, peer.key, now) {
        Ok((secret, token)) => (Some(&role.name), Outcome::Done, granted(&secret, &token, now)),
        Err(_) => (Some(&role.name), Outcome::Failed, Answer::failed()),
    }
}

/// The refusal of what is no way to log in: theirs looks for the role first, which a patch names in its body. One that is named
/// in the address is none here.
pub(super) fn otherwise(said: Credential) -> Answer {
    match said.role_id.text(ROLE_ID_MAP, ROLE_ID_LIST).and_then(named) {
        Ok(_) => Answer::errors(405, &["unsupported operation"]),
        Err(answer) => answer,
    }
}

fn both(said: Credential) -> Result<(Material, Material), Answer> {
    let role_id = said.role_id.text(ROLE_ID_MAP, ROLE_ID_LIST)?;
    let secret_id = said.secret_id.text(SECRET_ID_MAP, SECRET_ID_LIST)?;
    let role_id = named(role_id)?;
    // OpenBao says this of a known role-id only, and so tells which ones there are.
    let secret_id = present(secret_id).ok_or_else(|| Answer::errors(400, &["missing secret_id"]))?;
    Ok((role_id, secret_id))
}

fn named(role_id: Option<Material>) -> Result<Material, Answer> {
    present(role_id).ok_or_else(|| Answer::errors(500, &["missing role_id"]))
}

/// A text without the blanks around it, which whoever types it adds; nothing where nothing is left.
fn present(text: Option<Material>) -> Option<Material> {
    let text = text?;
    // EXPOSE: into a Material again
    let bare = text.expose_text().map_or_else(|_| text.expose(), |text| text.trim().as_bytes());
    (!bare.is_empty()).then(|| Material::new(bare.to_vec()))
}

/// What a token says of itself.
pub(super) fn lookup(shown: &Material, token: &Token, now: i64) -> Answer {
    Answer::data(SelfData {
        accessor: &token.accessor,
        creation_time: token.issued,
        creation_ttl: token.ttl,
        display_name: method(token),
        entity_id: "",
        expire_time: time(token.expires),
        explicit_max_ttl: 0,
        id: shown,
        issue_time: time(token.issued),
        meta: Meta { role_name: &token.role },
        num_uses: 0,
        orphan: true,
        path: if token.key.is_some() { "auth/cert/login" } else { "auth/approle/login" },
        policies: policies(token),
        renewable: true,
        ttl: token.expires - now,
        r#type: "service",
    })
}

/// Lets a token live longer.
pub(super) fn renew(tokens: &mut Tokens, role: &Role, shown: &Material, token: &Token, now: i64) -> (Outcome, Answer) {
    match tokens.renew(token, role, now) {
        Ok(renewed) => (Outcome::Done, granted(shown, &renewed, now)),
        Err(TokensError::Ended) => (Outcome::Refused, Answer::stranger()),
        Err(_) => (Outcome::Failed, Answer::failed()),
    }
}

/// Ends a token.
pub(super) fn revoke(tokens: &mut Tokens, token: &Token) -> (Outcome, Answer) {
    match tokens.end(token) {
        Ok(()) => (Outcome::Done, Answer::done()),
        Err(_) => (Outcome::Failed, Answer::failed()),
    }
}

fn granted(secret: &Material, token: &Token, now: i64) -> Answer {
    Answer::auth(Auth {
        client_token: secret,
        accessor: &token.accessor,
        policies: policies(token),
        token_policies: policies(token),
        metadata: Meta { role_name: &token.role },
        lease_duration: u32::try_from(token.expires - now).unwrap_or(0),
        renewable: true,
        entity_id: "",
        token_type: "service",
        orphan: true,
        mfa_requirement: None,
        num_uses: 0,
    })
}

fn method(token: &Token) -> &'static str {
    if token.key.is_some() { "cert" } else { "approle" }
}

fn policies(token: &Token) -> [&str; 2] {
    ["default", token.role.as_str()]
}

fn shown<S: Serializer>(token: &&Material, to: S) -> Result<S::Ok, S::Error> {
    // EXPOSE: the token goes to the one who logged in, or who showed it
    to.serialize_str(token.expose_text().map_err(serde::ser::Error::custom)?)
}

const ROLE_ID_MAP: &str = "Field validation failed: error converting input for field \"role_id\": '' expected type 'string', got unconvertible type 'map[string]interface {}'";
const ROLE_ID_LIST: &str = "Field validation failed: error converting input for field \"role_id\": '' expected type 'string', got unconvertible type '[]interface {}'";
const SECRET_ID_MAP: &str = "Field validation failed: error converting input for field \"secret_id\": '' expected type 'string', got unconvertible type 'map[string]interface {}'";
const SECRET_ID_LIST: &str = "Field validation failed: error converting input for field \"secret_id\": '' expected type 'string', got unconvertible type '[]interface {}'";
