//! Making a user accept exactly one value: what is there already is left alone, and what was done is read back.

use super::{
    api::Api,
    hash::{self, Behind},
    server::RabbitMq,
};
use crate::{
    material::Material,
    target::{Account, Admin, TargetError},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the API tells of a user.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct User {
    /// What it stores of the value.
    #[serde(default)]
    pub(super) password_hash: String,
    /// How.
    #[serde(default)]
    pub(super) hashing_algorithm: String,
    /// A list, or from older servers one text.
    #[serde(default)]
    pub(super) tags: Value,
}

impl User {
    /// Reads one; `None` where there is none.
    pub(super) async fn read(api: &Api<'_>, user: &str) -> Result<Option<Self>, TargetError> {
        api.read(&["users", user]).await
    }

    /// Whether this value is the one that it accepts.
    pub(super) fn behind(&self, value: &Material) -> Behind {
        hash::behind(&self.password_hash, &self.hashing_algorithm, value)
    }
}

/// Declares a user at every node: in a cluster the first node's change reaches the others, which are then only read.
pub(super) async fn declare(
    target: &RabbitMq,
    admin: &Admin<'_>,
    account: &Account,
    values: &[&Material],
) -> Result<(), TargetError> {
    for node in &target.nodes {
        let api = Api::open(target, node, admin).await?;
        let left = |why: &str| api.unable(&format!("{account} is left as it is: {why}"));
        let [value] = values else { return Err(left("it accepts exactly one value")) };
        if !account.host.is_empty() {
            return Err(left("users have no host entries here"));
        }
        let Some(user) = User::read(&api, &account.user).await? else {
            return Err(api.unable(&format!("there is no user {account}")));
        };
        accept(&api, account, value, Some(&user), &user.tags).await?;
    }
    Ok(())
}

/// Makes a user accept one value and have these tags, whether or not it was there (`before`).
pub(super) async fn accept(
    api: &Api<'_>,
    account: &Account,
    value: &Material,
    before: Option<&User>,
    tags: &Value,
) -> Result<(), TargetError> {
    let bytes = value.expose(); // EXPOSE: looked at for what clients cannot send
    if bytes.is_empty() || bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
        return Err(api.unable(&format!("{account} is left as it is: the value is empty, no text, or holds a NUL")));
    }
    let is_so = |user: &User| user.behind(value) == Behind::This && user.tags == *tags;
    if before.is_some_and(is_so) {
        return Ok(());
    }
    let body = json!({
        "password_hash": hash::of(value, rand::random()),
        "hashing_algorithm": hash::ALGORITHM,
        "tags": tags,
    });
    api.write(account, &["users", &account.user], &body).await?;
    match User::read(api, &account.user).await? {
        Some(after) if is_so(&after) => Ok(()),
        Some(_) | None => {
            Err(api.unable(&format!("{account} is not what it was told to be; someone else changes it too")))
        }
    }
}
