//! The administrator at one instance.

use super::{
    Keystone,
    api::{Answer, Api, Issued},
};
use crate::{
    material::Material,
    target::{Account, Admin, TargetError},
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

/// An administrator who has logged in.
pub(super) struct Session<'a> {
    pub(super) target: &'a Keystone,
    pub(super) api: &'a Api,
    admin: &'a Admin<'a>,
    token: Material,
}

impl<'a> Session<'a> {
    /// Logs in at one instance: each value once, three at most.
    pub(super) async fn open(target: &'a Keystone, api: &'a Api, admin: &'a Admin<'a>) -> Result<Self, TargetError> {
        let token = issue(target, api, admin).await?;
        Ok(Self { target, api, admin, token })
    }

    /// Logs in at the first instance that answers: they share one database.
    pub(super) async fn anywhere(target: &'a Keystone, admin: &'a Admin<'a>) -> Result<Self, TargetError> {
        let mut silent = None;
        for api in &target.apis {
            match Self::open(target, api, admin).await {
                Err(unreachable @ TargetError::Unreachable { .. }) => silent = Some(unreachable),
                other => return other,
            }
        }
        Err(silent.unwrap_or_else(|| TargetError::Unable { node: String::new(), what: "there is no node".to_owned() }))
    }

    /// Reads something that is there.
    pub(super) async fn read<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, TargetError> {
        match self.call(Method::GET, path, query, None).await? {
            answer if answer.status == 200 => answer.parse(self.api),
            answer => Err(self.api.odd(answer.status, &format!("asked for {}", path.join("/")))),
        }
    }

    /// Asks for anything, and lets the caller judge the answer.
    pub(super) async fn call(
        &mut self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Material>,
    ) -> Result<Answer, TargetError> {
        let answer = self.api.ask(method.clone(), path, query, &self.token, body).await?;
        let answer = if answer.status == 401 {
            // What ends tokens counts in whole seconds: one that was given in the second in which the administrator's own
            // value changed is dead too.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            self.token = issue(self.target, self.api, self.admin).await?;
            self.api.ask(method, path, query, &self.token, body).await?
        } else {
            answer
        };
        match answer.status {
            401 => Err(self.api.unable("it refuses the token that it gave the administrator")),
            403 => Err(self.api.unable(format!("the administrator {} may not do this (403)", self.admin.user))),
            _ => Ok(answer),
        }
    }

    /// Whether this account is the administrator's own.
    pub(super) fn is_own(&self, account: &Account) -> bool {
        *account == own(self.target, self.admin)
    }
}

fn own(target: &Keystone, admin: &Admin<'_>) -> Account {
    Account { user: admin.user.to_owned(), host: target.administration.domain.clone() }
}

async fn issue(target: &Keystone, api: &Api, admin: &Admin<'_>) -> Result<Material, TargetError> {
    let account = own(target, admin);
    for value in admin.values.iter().take(MOST_REFUSED) {
        target.tries.may(&account, Instant::now()).map_err(|why| api.unable(why))?;
        match api.token(&account, value, &target.administration.scope).await? {
            Issued::Token(token) => {
                target.tries.right(&account, value);
                return Ok(token);
            }
            Issued::NotEnough => return Err(api.unable(format!("{account} needs more than a value to log in"))),
            Issued::Refused => {
                target.tries.refused(&account, value, Instant::now());
            }
        }
    }
    let node = api.node().clone();
    Err(TargetError::AdminRefused { node: node.name, address: node.address, user: admin.user.to_owned() })
}

/// Refused logins count towards a lock, so no call makes more.
const MOST_REFUSED: usize = 3;
