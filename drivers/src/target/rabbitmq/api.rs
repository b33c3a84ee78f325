//! The management API of one node, as one administrator.

use super::server::{MOST_DENIED, RabbitMq};
use crate::target::{Account, Admin, Node, TargetError};
use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode, header::HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

/// A node's API with an administrator whom it lets in.
pub(super) struct Api<'a> {
    node: &'a Node,
    http: Client,
    base: String,
    authorization: HeaderValue,
}

impl<'a> Api<'a> {
    /// Shows the administrator's values, each once, until one is let in.
    pub(super) async fn open(target: &RabbitMq, node: &'a Node, admin: &Admin<'_>) -> Result<Self, TargetError> {
        let member = target.member(node)?;
        let mut api = Self {
            node,
            http: target.http(member).map_err(|source| unreachable(node, source))?,
            base: member.base(),
            authorization: HeaderValue::from_static(""),
        };
        for value in admin.values.iter().take(MOST_DENIED) {
            // EXPOSE: shown to the API as HTTP Basic does, the one way in that it has
            let pair = Zeroizing::new([admin.user.as_bytes(), b":", value.expose()].concat());
            let header = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(&*pair)));
            api.authorization = HeaderValue::from_str(&header).map_err(|_| api.unable("the header cannot be made"))?;
            api.authorization.set_sensitive(true);
            if api.answer(Method::GET, &["whoami"], None).await?.0 != StatusCode::UNAUTHORIZED {
                return Ok(api);
            }
        }
        Err(TargetError::AdminRefused {
            node: node.name.clone(),
            address: node.address.clone(),
            user: admin.user.to_owned(),
        })
    }

    /// What stands at a path; `None` where there is nothing.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, TargetError> {
        match self.answer(Method::GET, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (StatusCode::OK, body) => match serde_json::from_slice(&body) {
                Ok(found) => Ok(Some(found)),
                // The error's own text may quote the answer.
                Err(_) => Err(self.unable("its API answers something that is not understood")),
            },
            (status, _) => Err(self.unable(&format!("its API answers {}", status.as_u16()))),
        }
    }

    /// Changes something of an account.
    pub(super) async fn write(&self, account: &Account, path: &[&str], body: &Value) -> Result<(), TargetError> {
        self.change(account, Method::PUT, path, Some(body)).await
    }

    /// Takes something of an account away, or the account; what is not there is away already.
    pub(super) async fn delete(&self, account: &Account, path: &[&str]) -> Result<(), TargetError> {
        self.change(account, Method::DELETE, path, None).await
    }

    /// The error that something is not possible at this node.
    pub(super) fn unable(&self, what: &str) -> TargetError {
        TargetError::Unable { node: self.node.name.clone(), what: what.to_owned() }
    }

    async fn change(
        &self,
        account: &Account,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(), TargetError> {
        let deletes = method == Method::DELETE;
        let (status, _) = self.answer(method, path, body).await?;
        match status {
            StatusCode::NOT_FOUND if deletes => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(TargetError::Refused {
                node: self.node.name.clone(),
                account: account.clone(),
                code: status.as_u16(),
            }),
        }
    }

    async fn answer(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>), TargetError> {
        // A name that is a step in a path cannot stand in one, however it is written.
        if let Some(step) = path.iter().find(|name| matches!(**name, "" | "." | "..")) {
            return Err(self.unable(&format!("its API has no way to name `{step}`")));
        }
        let path: Vec<String> =
            path.iter().map(|name| utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()).collect();
        let url = format!("{}/api/{}", self.base, path.join("/"));
        let mut request =
            self.http.request(method, url).header(reqwest::header::AUTHORIZATION, self.authorization.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        let silent = |source: reqwest::Error| unreachable(self.node, source.without_url());
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        Ok((status, answer.bytes().await.map_err(silent)?.to_vec()))
    }
}

fn unreachable(node: &Node, source: impl std::error::Error + Send + Sync + 'static) -> TargetError {
    TargetError::Unreachable { node: node.name.clone(), address: node.address.clone(), source: Box::new(source) }
}
