//! How one instance is asked, and what it answers.

use super::{Limits, Member, Scope, request};
use crate::{
    material::Material,
    target::{Account, Node, TargetError},
};
use reqwest::{Client, Method, Response, Url, header::HeaderValue};
use serde::de::DeserializeOwned;
use std::{io, path::PathBuf, time::Duration};
use tokio::sync::OnceCell;

/// One instance.
#[derive(Debug)]
pub(super) struct Api {
    node: Node,
    url: Url,
    tls_ca: Option<PathBuf>,
    limits: Limits,
    http: OnceCell<Client>,
}

/// What came of asking for a token.
pub(super) enum Issued {
    /// The token.
    Token(Material),
    /// The value is not accepted, or the user is locked, disabled or not there: Keystone does not say which.
    Refused,
    /// It is right, but not enough.
    NotEnough,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Vec<u8>,
}

impl Api {
    pub(super) fn new(member: Member, limits: Limits) -> Result<Self, String> {
        let Member { name, auth_url, tls_ca } = member;
        let url = parse(&auth_url)?;
        Ok(Self { node: Node { name, address: url.to_string() }, url, tls_ca, limits, http: OnceCell::new() })
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Asks for a token.
    pub(super) async fn token(
        &self,
        account: &Account,
        value: &Material,
        scope: &Scope,
    ) -> Result<Issued, TargetError> {
        let body = request::token(account, value, scope).ok_or_else(|| self.unable("the value is not text"))?;
        let answer = self.send(Method::POST, &["auth", "tokens"], &[], None, Some(&body)).await?;
        let header = |name: &str| answer.headers().get(name).map(HeaderValue::as_bytes);
        match (answer.status().as_u16(), header("x-subject-token")) {
            (201, Some(token)) => Ok(Issued::Token(Material::new(token.to_vec()))),
            (401, _) if header("openstack-auth-receipt").is_some() => Ok(Issued::NotEnough),
            (401, _) => Ok(Issued::Refused),
            (status, _) => Err(self.odd(status, "asked for a token")),
        }
    }

    /// Asks something with a token.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        token: &Material,
        body: Option<&Material>,
    ) -> Result<Answer, TargetError> {
        let answer = self.send(method, path, query, Some(token), body).await?;
        let status = answer.status().as_u16();
        if let 502..=504 = status {
            return Err(self.odd(status, "asked"));
        }
        let body = answer.bytes().await.map_err(|source| self.silent(source))?.to_vec();
        Ok(Answer { status, body })
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        token: Option<&Material>,
        body: Option<&Material>,
    ) -> Result<Response, TargetError> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http().await?.request(method, url);
        if let Some(token) = token {
            // EXPOSE: sent as the header that the API asks for; marked, so that nothing prints it
            let mut header = HeaderValue::from_bytes(token.expose())
                .map_err(|_| self.unable("the server gave a token that cannot be sent back"))?;
            header.set_sensitive(true);
            request = request.header("X-Auth-Token", header);
        }
        if let Some(body) = body {
            // EXPOSE: handed to the HTTP client, which sends it
            request = request.header("Content-Type", "application/json").body(body.expose().to_vec());
        }
        request.send().await.map_err(|source| self.silent(source))
    }

    async fn http(&self) -> Result<&Client, TargetError> {
        self.http.get_or_try_init(async || self.client().await.map_err(|what| self.unable(what))).await
    }

    async fn client(&self) -> Result<Client, String> {
        let builder = Client::builder()
            .tls_backend_rustls()
            .no_proxy()
            // A redirect would carry the value to a server that was not named.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.limits.connect)
            .timeout(self.limits.request)
            // A kept connection keeps the buffers of its last request.
            .pool_idle_timeout(IDLE_FOR);
        let builder = match &self.tls_ca {
            None => builder,
            Some(path) => {
                let refuse = |why: &dyn std::fmt::Display| format!("{} cannot be used: {why}", path.display());
                let pem = tokio::fs::read(path).await.map_err(|why| refuse(&why))?;
                let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(|why| refuse(&why))?;
                builder.tls_certs_only(trusted)
            }
        };
        builder.build().map_err(|why| why.to_string())
    }

    pub(super) fn unable(&self, what: impl Into<String>) -> TargetError {
        TargetError::Unable { node: self.node.name.clone(), what: what.into() }
    }

    /// An answer that is none. The server's words are left out: they may repeat what was sent.
    pub(super) fn odd(&self, status: u16, when: &str) -> TargetError {
        match status {
            502..=504 => self.unreachable(io::Error::other(format!("a proxy answered {status} in its place"))),
            429 => self.unreachable(io::Error::other("it is asked too often (429)")),
            _ => self.unable(format!("it answered {status} when {when}")),
        }
    }

    fn silent(&self, source: reqwest::Error) -> TargetError {
        self.unreachable(source.without_url())
    }

    fn unreachable(&self, source: impl std::error::Error + Send + Sync + 'static) -> TargetError {
        let Node { name, address } = self.node.clone();
        TargetError::Unreachable { node: name, address, source: Box::new(source) }
    }
}

impl Answer {
    /// Its content.
    pub(super) fn parse<T: DeserializeOwned>(&self, api: &Api) -> Result<T, TargetError> {
        serde_json::from_slice(&self.body).map_err(|_| api.unable("its answer cannot be understood"))
    }
}

/// The address of the API's root, whichever way it was written.
fn parse(auth_url: &str) -> Result<Url, String> {
    let wrong = || format!("`{auth_url}` is no address of a Keystone: https://HOST:PORT");
    let trimmed = auth_url.trim_end_matches('/').trim_end_matches("/v3");
    // Without a host, the first part of the path would be taken for one.
    let place = trimmed.split_once("://").map_or(trimmed, |(_, place)| place);
    if place.is_empty() || place.starts_with('/') || place.ends_with(':') {
        return Err(wrong());
    }
    let scheme = if trimmed.contains("://") { "" } else { "https://" };
    let url = Url::parse(&format!("{scheme}{trimmed}/v3")).map_err(|_| wrong())?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) if bare && url.fragment().is_none() => Ok(url),
        _ => Err(wrong()),
    }
}

const IDLE_FOR: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_api_is_found() {
        for given in ["https://k:5000", "k:5000", "https://k:5000/", "https://k:5000/v3", "https://k:5000/v3/"] {
            assert_eq!(parse(given).unwrap().as_str(), "https://k:5000/v3");
        }
        assert_eq!(parse("http://k/identity").unwrap().as_str(), "http://k/identity/v3");
        for wrong in ["", "a b", "ftp://k", "https://u:p@k", "u:p@k", "https://k?x", "https://"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
