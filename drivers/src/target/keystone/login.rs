//! A fresh login: a token without a scope, asked for and forgotten.

use super::{Keystone, Scope, api::Api, api::Issued};
use crate::{
    material::Material,
    target::{Account, Login, TargetError},
};
use std::time::Instant;

/// Logs in once, or says why it is not tried.
pub(super) async fn login(
    target: &Keystone,
    api: &Api,
    account: &Account,
    value: &Material,
) -> Result<Login, TargetError> {
    if let Err(why) = target.tries.may(account, Instant::now()) {
        return Ok(Login::Unprovable(why));
    }
    Ok(match api.token(account, value, &Scope::None).await? {
        Issued::Token(_) => {
            target.tries.right(account, value);
            Login::Accepted
        }
        Issued::NotEnough => {
            Login::Unprovable(format!("{account} needs more than a value: a second factor is asked for"))
        }
        Issued::Refused => {
            target.tries.refused(account, value, Instant::now()).map_or(Login::Refused, Login::Unprovable)
        }
    })
}
