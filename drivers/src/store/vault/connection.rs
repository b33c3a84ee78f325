//! One Vault server: its address, whom to trust there, the token, and how much is asked of it at once.

use super::{
    call::{Answer, Call, CallError, Method},
    client::Bounded,
};
use crate::material::Material;
use rustify::endpoint::Endpoint;
use serde::Deserialize;
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::Semaphore;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroize;

/// Where a server is and how it is reached.
#[derive(Debug, Clone)]
pub struct Address {
    /// `https://host:port`; `http://` for a loopback address alone.
    pub url: String,
    /// Which certificates are believed.
    pub trust: Trust,
    /// The namespace, where there are such.
    pub namespace: Option<String>,
}

/// Which certificates are believed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those signed by one of these, in PEM, and no others.
    Only(Vec<u8>),
    /// Those the operating system trusts.
    System,
    /// None: requests go to this unix socket, and its folder keeps others out.
    Socket(PathBuf),
}

impl Address {
    /// That of a server which listens on a socket of this host.
    pub fn of_socket(path: PathBuf) -> Self {
        // The name is never looked up.
        Self { url: "http://localhost".to_owned(), trust: Trust::Socket(path), namespace: None }
    }
}

/// The address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no address of a server.
    #[error("`{url}` is no address of a Vault server: https://HOST:PORT")]
    NotAnAddress {
        /// What was given.
        url: String,
    },
    /// It would carry secrets in clear.
    #[error("`{url}` would carry secrets in clear; plain HTTP is for loopback addresses alone")]
    InClear {
        /// What was given.
        url: String,
    },
    /// It cannot be sent.
    #[error("`{namespace}` is no name of a namespace")]
    NotANamespace {
        /// What was given.
        namespace: String,
    },
    /// The certificates cannot be used.
    #[error("the certificates to trust at `{url}` cannot be used")]
    Certificates {
        /// The server.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// A server and a token for it. Shared by all that use it; both can be replaced while it is in use.
pub struct Connection {
    line: RwLock<Arc<Line>>,
    token: RwLock<Option<Arc<Material>>>,
    at_once: Semaphore,
    within: Duration,
    identity: Option<Material>,
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Material,
}

struct Line {
    http: reqwest::Client,
    url: String,
    /// What messages call the server.
    place: String,
    is_socket: bool,
    namespace: Option<String>,
}

impl Connection {
    /// Prepares requests to a server; nothing is sent yet. An answer may take 15 s.
    pub fn open(address: &Address) -> Result<Self, AddressError> {
        Self::open_within(address, ANSWER_WITHIN)
    }

    /// As [`Connection::open`], for answers that are wanted within another time.
    pub fn open_within(address: &Address, within: Duration) -> Result<Self, AddressError> {
        Self::open_as(address, None, within)
    }

    /// As [`Connection::open_within`], with a client certificate and its key, in PEM, where the server knows its clients by such.
    pub fn open_as(address: &Address, identity: Option<Material>, within: Duration) -> Result<Self, AddressError> {
        let line = RwLock::new(Arc::new(Line::new(address, identity.as_ref(), within)?));
        Ok(Self { line, token: RwLock::new(None), at_once: Semaphore::new(AT_ONCE), within, identity })
    }

    /// Sends later requests to another address, as after a restart on another port or with another certificate.
    pub fn move_to(&self, address: &Address) -> Result<(), AddressError> {
        let line = Arc::new(Line::new(address, self.identity.as_ref(), self.within)?);
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = line;
        Ok(())
    }

    /// Posts what logs in to a path, and sends later requests with the token that comes back.
    pub async fn log_in(&self, path: &str, body: Material) -> Result<(), CallError> {
        let LoggedIn { auth } = self.call(Call::post(path, body)).await?.parse()?;
        if !auth.client_token.expose_text().is_ok_and(is_header) {
            return Err(CallError::Unreadable { place: self.place() });
        }
        self.use_token(auth.client_token);
        Ok(())
    }

    /// Sends later requests with this token.
    pub fn use_token(&self, token: Material) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(token));
    }

    /// Sends later requests without a token.
    pub fn forget_token(&self) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether it has a token.
    pub fn has_token(&self) -> bool {
        self.token.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The token, for whoever has to give it up once there is another.
    pub fn token(&self) -> Option<Arc<Material>> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server's address, for messages.
    pub fn place(&self) -> String {
        self.line().place.clone()
    }

    /// Whether requests go to a socket, which has no address.
    pub fn is_socket(&self) -> bool {
        self.line().is_socket
    }

    /// Sends one request with the token, and waits for its answer.
    pub async fn call<E: Endpoint>(&self, request: E) -> Result<Answer, CallError> {
        self.send(request, self.token().as_deref(), LARGEST_ANSWER).await
    }

    /// Fetches what has any length, such as a whole database. Only of a server that is believed in all else.
    pub async fn fetch(&self, path: &str) -> Result<Answer, CallError> {
        self.send(Call::new(Method::Get, path), self.token().as_deref(), usize::MAX).await
    }

    /// Sends one request with another token, such as a root token that lives for a moment.
    pub async fn call_with<E: Endpoint>(&self, token: &Material, request: E) -> Result<Answer, CallError> {
        self.send(request, Some(token), LARGEST_ANSWER).await
    }

    async fn send<E: Endpoint>(&self, request: E, token: Option<&Material>, most: usize) -> Result<Answer, CallError> {
        let line = self.line();
        let closed = |e| CallError::Unreachable { place: line.place.clone(), source: Box::new(e) };
        let _place = self.at_once.acquire().await.map_err(closed)?;
        let middle = Authorised::new(token, line.namespace.clone());
        let client = Bounded { http: &line.http, base: &line.url, most };
        let answered = request.with_middleware(&middle.0).exec(&client).await;
        let answered = answered.map_err(|e| CallError::from_client(&line.place, e))?;
        Ok(Answer::new(&line.place, answered.response.into_body()))
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Line {
    fn new(address: &Address, identity: Option<&Material>, within: Duration) -> Result<Self, AddressError> {
        let url = address.url.trim_end_matches('/').to_owned();
        check(&url)?;
        if let Some(namespace) = address.namespace.as_ref().filter(|namespace| !is_header(namespace)) {
            return Err(AddressError::NotANamespace { namespace: namespace.clone() });
        }
        let certificates = |source| AddressError::Certificates { url: url.clone(), source };
        let builder = reqwest::Client::builder()
            .tls_backend_rustls()
            .no_proxy()
            // A redirect would carry the token to a server that was not named.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .timeout(within)
            // A kept connection keeps the buffers of its last answers: long enough for a burst, and shorter than the pause
            // between two looks at the epoch, which would keep them for ever.
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(AT_ONCE);
        let (place, is_socket) = match &address.trust {
            Trust::Socket(path) => (path.display().to_string(), true),
            Trust::Only(_) | Trust::System => (url.clone(), false),
        };
        let builder = match &address.trust {
            Trust::Only(pem) => {
                builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).map_err(certificates)?)
            }
            Trust::System => builder,
            Trust::Socket(path) => builder.tls_certs_only([]).unix_socket(path.clone()),
        };
        let builder = match identity {
            // EXPOSE: the TLS client holds it for as long as the connection
            Some(pem) => builder.identity(reqwest::Identity::from_pem(pem.expose()).map_err(certificates)?),
            None => builder,
        };
        let http = builder.build().map_err(certificates)?;
        Ok(Self { http, url, place, is_socket, namespace: address.namespace.clone() })
    }
}

/// Whether an address is one of TLS, however its scheme is written.
pub fn is_encrypted(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}

/// Whether a text can stand in a header.
fn is_header(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Refuses what is no address, and plain HTTP to anywhere but this host.
fn check(url: &str) -> Result<(), AddressError> {
    let not_an_address = || AddressError::NotAnAddress { url: url.to_owned() };
    let parsed = reqwest::Url::parse(url).map_err(|_| not_an_address())?;
    let host = parsed.host_str().ok_or_else(not_an_address)?;
    if parsed.path() != "/" || parsed.query().is_some() || !parsed.username().is_empty() || parsed.password().is_some()
    {
        return Err(not_an_address());
    }
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => Err(AddressError::InClear { url: url.to_owned() }),
        _ => Err(not_an_address()),
    }
}

/// vaultrs' middleware holds the token as a plain text; this wipes it when the request is done.
struct Authorised(EndpointMiddleware);

impl Authorised {
    fn new(token: Option<&Material>, namespace: Option<String>) -> Self {
        // EXPOSE: sent as a header; a token that cannot be one is none that a server gave out, and vaultrs would panic on it
        let token = token.and_then(|t| t.expose_text().ok()).filter(|t| is_header(t)).unwrap_or_default().to_owned();
        Self(EndpointMiddleware { token, version: "v1".to_owned(), wrap: None, namespace })
    }
}

impl Drop for Authorised {
    fn drop(&mut self) {
        self.0.token.zeroize();
    }
}

/// OpenBao on two cores writes no faster with more.
const AT_ONCE: usize = 16;
/// The most bytes of an answer: several times those of the largest record, or of all that a service is configured with.
const LARGEST_ANSWER: usize = 64 << 20;
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const IDLE_FOR: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_header_is_none() {
        let token = |text: &str| Authorised::new(Some(&Material::from(text.to_owned())), None).0.token.clone();
        assert_eq!(token("s.ABC-1"), "s.ABC-1");
        for wrong in ["a\r\nX-Other: b", "é", "a\0"] {
            assert_eq!(token(wrong), "", "{wrong:?}");
            let address = Address { url: "https://x".into(), trust: Trust::System, namespace: Some(wrong.into()) };
            assert!(matches!(Connection::open(&address), Err(AddressError::NotANamespace { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_scheme_is_the_same_in_capitals() {
        for encrypted in ["https://x", "HTTPS://x", "HttpS://x:1"] {
            assert!(is_encrypted(encrypted), "{encrypted}");
        }
        for clear in ["http://x", "httpsx://x", "https", ""] {
            assert!(!is_encrypted(clear), "{clear}");
        }
    }

    #[test]
    fn plain_http_is_for_this_host_alone() {
        for good in ["https://vault.example:8200", "http://127.0.0.1:8200", "http://[::1]:1", "http://localhost"] {
            assert!(check(good).is_ok(), "{good}");
        }
        assert!(matches!(check("http://10.0.0.1:8200"), Err(AddressError::InClear { .. })));
        for bad in ["", "vault:8200", "ftp://x", "https://x/prefix", "https://u:p@x"] {
            assert!(matches!(check(bad), Err(AddressError::NotAnAddress { .. })), "{bad}");
        }
    }
}
