//! One request to a Vault server, and why it failed, without a word of what the server said.

use crate::material::Material;
use rustify::{
    endpoint::Endpoint,
    enums::{RequestMethod, RequestType, ResponseType},
    errors::ClientError,
};
use serde::{Deserialize, de::DeserializeOwned};

/// A request that vaultrs has no type for, or whose body holds a secret that must not pass through one.
#[derive(Debug)]
pub struct Call {
    method: Method,
    path: String,
    body: Option<Material>,
}

/// How a path is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Write.
    Post,
    /// Remove.
    Delete,
    /// Names below a path.
    List,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None }
    }

    /// A write of a JSON text, or of what else the path takes.
    pub fn post(path: impl Into<String>, body: Material) -> Self {
        Self { method: Method::Post, path: path.into(), body: Some(body) }
    }
}

impl Endpoint for Call {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        match self.method {
            Method::Get => RequestMethod::GET,
            Method::Post => RequestMethod::POST,
            Method::Delete => RequestMethod::DELETE,
            Method::List => RequestMethod::LIST,
        }
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        // EXPOSE: handed to the HTTP client, which sends it over TLS or a private socket
        Ok(self.body.as_ref().map(|body| body.expose().to_vec()))
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer, or not in time. Whether it took effect is unknown.
    #[error("{place} did not answer")]
    Unreachable {
        /// The server.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server said no.
    #[error("{place} answered {status} ({reason})")]
    Refused {
        /// The server.
        place: String,
        /// The HTTP status.
        status: u16,
        /// What its words amount to.
        reason: Reason,
    },
    /// The server's answer is not what this request is answered with.
    #[error("the answer of {place} cannot be understood")]
    Unreadable {
        /// The server.
        place: String,
    },
}

impl CallError {
    /// The reason of a refusal.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { reason, .. } => Some(*reason),
            Self::Unreachable { .. } | Self::Unreadable { .. } => None,
        }
    }

    pub(super) fn from_client(place: &str, error: ClientError) -> Self {
        let place = place.to_owned();
        match error {
            ClientError::ServerResponseError { code, content } => {
                Self::Refused { place, status: code, reason: Reason::of(code, content.as_deref().unwrap_or_default()) }
            }
            ClientError::RequestError { source, .. } | ClientError::ResponseError { source } => {
                Self::Unreachable { place, source: source.into() }
            }
            ClientError::ResponseParseError { .. } | ClientError::ResponseConversionError { .. } => {
                Self::Unreadable { place }
            }
            other @ (ClientError::DataParseError { .. }
            | ClientError::EndpointBuildError { .. }
            | ClientError::GenericError { .. }
            | ClientError::RequestBuildError { .. }
            | ClientError::ReqwestBuildError { .. }
            | ClientError::UrlBuildError { .. }
            | ClientError::UrlQueryParseError { .. }
            | ClientError::UrlParseError { .. }) => Self::Unreachable { place, source: Box::new(other) },
        }
    }
}

/// What a refusal amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The credential may not do this, or is none any more.
    Denied,
    /// Compare-and-set found another version.
    Conflict,
    /// The server is sealed.
    Sealed,
    /// It is not initialised yet.
    Uninitialised,
    /// A mount is being prepared, no leader is elected yet, or a proxy has nobody behind it: ask again.
    NotReady,
    /// There is no such record, and the server knows the place where it would be.
    NothingThere,
    /// A version that was there once; the body says which.
    Gone,
    /// An accessor names no credential and no token, or none any more.
    NoAccessor,
    /// The disk is full.
    Full,
    /// The value is larger than the server takes.
    TooLarge,
    /// The request itself was refused.
    BadRequest,
    /// Nothing of the above.
    Other,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Denied => "the credential may not do this",
            Self::Conflict => "the version has changed",
            Self::Sealed => "it is sealed",
            Self::Uninitialised => "it is not initialised",
            Self::NotReady => "it is not ready yet",
            Self::NothingThere => "there is nothing there",
            Self::Gone => "that version is gone",
            Self::NoAccessor => "it knows no such accessor",
            Self::Full => "its disk is full",
            Self::TooLarge => "the value is too large",
            Self::BadRequest => "it does not take this request",
            Self::Other => "for no reason known here",
        })
    }
}

impl Reason {
    /// Reads a refusal. The words are compared with known ones and dropped: servers have echoed input in them.
    fn of(status: u16, body: &str) -> Self {
        #[derive(Deserialize)]
        struct Words {
            #[serde(default)]
            errors: Option<Vec<String>>,
            #[serde(default)]
            data: Option<serde::de::IgnoredAny>,
        }
        let words: Words = serde_json::from_str(body).unwrap_or(Words { errors: None, data: None });
        let says = |text: &str| words.errors.iter().flatten().any(|e| e.contains(text));
        let no_words = words.errors.as_ref().is_some_and(Vec::is_empty);
        match status {
            400 if says("check-and-set parameter did not match") => Self::Conflict,
            // Where a mount was just made, the leader says the first and a standby the second.
            400 if says("Upgrading from non-versioned") || says("Waiting for the primary to upgrade") => Self::NotReady,
            400 if says("not initialized") => Self::Uninitialised,
            // OpenBao answers the first with 400, HashiCorp Vault with 403, both the second with 500.
            400 | 403 | 500 if says("invalid accessor") || says("failed to find accessor entry") => Self::NoAccessor,
            403 => Self::Denied,
            404 if words.data.is_some() => Self::Gone,
            404 if no_words => Self::NothingThere,
            413 => Self::TooLarge,
            500 | 507 if says("no space left on device") || says("disk quota exceeded") => Self::Full,
            507 => Self::Full,
            500 if says("too large") => Self::TooLarge,
            // OpenBao's optimistic transactions: another came first, and nothing of this one was done.
            500 if says("transaction commit fail") => Self::NotReady,
            500 if says("local node not active") || says("no active") || says("standby") => Self::NotReady,
            501 => Self::Uninitialised,
            503 if says("not initialized") => Self::Uninitialised,
            503 if says("ealed") => Self::Sealed,
            429 | 472 | 473 | 502 | 503 | 504 => Self::NotReady,
            400 | 405 | 415 | 422 => Self::BadRequest,
            _ => Self::Other,
        }
    }
}

/// The answer to a call: its JSON text, held as secret bytes.
#[derive(Debug)]
pub struct Answer {
    place: String,
    body: Material,
}

impl Answer {
    pub(super) fn new(place: &str, body: Vec<u8>) -> Self {
        Self { place: place.to_owned(), body: Material::new(body) }
    }

    /// Reads it as a type; secrets in it land in [`Material`] fields.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        // EXPOSE: parsed in place; secret fields land in Material
        serde_json::from_slice(self.body.expose()).map_err(|_| CallError::Unreadable { place: self.place.clone() })
    }

    /// The bytes, of an answer that is no JSON.
    pub fn into_bytes(self) -> Material {
        self.body
    }

    /// The JSON text, for a reader that borrows from it.
    pub(super) fn text(&self) -> &Material {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let cas = r#"{"errors":["check-and-set parameter did not match the current version"]}"#;
        let gone = r#"{"data":{"data":null,"metadata":{"destroyed":true,"version":1}},"errors":null}"#;
        let no_route = r#"{"errors":["no handler for route \"x/data/y\". route entry not found."]}"#;
        let full = r#"{"errors":["1 error occurred:\n\t* write /d/raft.db: no space left on device\n\n"]}"#;
        for (status, body, reason) in [
            (400, cas, Reason::Conflict),
            (400, r#"{"errors":["something else"]}"#, Reason::BadRequest),
            (403, r#"{"errors":["permission denied"]}"#, Reason::Denied),
            (400, r#"{"errors":["1 error occurred:\n\t* invalid accessor\n\n"]}"#, Reason::NoAccessor),
            (400, r#"{"errors":["1 error occurred:\n\t* missing accessor\n\n"]}"#, Reason::BadRequest),
            (500, r#"{"errors":["1 error occurred:\n\t* role \"r\" does not exist\n\n"]}"#, Reason::Other),
            (500, r#"{"errors":["failed to find accessor entry for secret_id_accessor: \"x\""]}"#, Reason::NoAccessor),
            (404, gone, Reason::Gone),
            (404, r#"{"errors":[]}"#, Reason::NothingThere),
            (404, no_route, Reason::Other),
            (404, "<html>", Reason::Other),
            (500, full, Reason::Full),
            (503, r#"{"errors":["Vault is sealed"]}"#, Reason::Sealed),
            (503, "upstream connect error", Reason::NotReady),
            (400, r#"{"errors":["Waiting for the primary to upgrade from non-versioned …"]}"#, Reason::NotReady),
            (500, r#"{"errors":["1 error occurred:\n\t* transaction commit failed\n\n"]}"#, Reason::NotReady),
        ] {
            assert_eq!(Reason::of(status, body), reason, "{status} {body}");
        }
    }

    #[test]
    fn what_the_server_says_is_not_repeated() {
        let echo = r#"{"errors":["error parsing canary-4711"]}"#.to_owned();
        let error =
            CallError::from_client("x", ClientError::ServerResponseError { code: 400, content: Some(echo.clone()) });
        assert!(echo.contains("canary"), "the control: it was there to be repeated");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
