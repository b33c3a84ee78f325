//! The network side of the reader: TLS or loopback, limits before anyone is believed, time-outs, and a graceful end.
//!
//! One connection can do nothing to the others: each has its own task, its errors end that task alone, and accepting
//! goes on. When the end is asked for, accepting stops, requests under way are answered, idle connections close.

use super::{answer::Answer, request::Asked, serve::Reader};
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// How much anyone may ask for before it is known who asks.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// Lines of a request's head.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// How long a TLS handshake, a head or a body may take each; and how long a connection may be idle.
    pub patience: Duration,
    /// Connections at once.
    pub connections: usize,
    /// How long requests under way may take once the end was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 << 10,
            headers: 64,
            body: 64 << 10,
            patience: Duration::from_secs(15),
            connections: 2048,
            drain: Duration::from_secs(10),
        }
    }
}

/// A bound address, not served yet.
pub struct Listening {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
}

/// Why the reader cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Secrets would cross a network in clear.
    #[error("{address} is not a loopback address, and without a certificate secrets would cross the network in clear")]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificate or key cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificate or key is none.
    #[error("{} holds no {what}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not fit.
    #[error("the certificate cannot be used")]
    Tls(#[from] rustls::Error),
}

/// A certificate chain and its key, in PEM files; the key's is private.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// The chain.
    pub chain: &'a Path,
    /// The key.
    pub key: &'a Path,
}

impl Listening {
    /// Binds an address: loopback, or any with a certificate.
    pub async fn bind(address: SocketAddr, certificate: Option<Certificate<'_>>) -> Result<Self, ListenError> {
        let tls = certificate.map(|certificate| acceptor(&certificate)).transpose()?;
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(ListenError::Open { address });
        }
        let bind = |source| ListenError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, tls, address })
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `end`, and then until requests under way are answered.
    pub async fn serve(self, reader: Arc<Reader>, limits: Limits, end: impl Future<Output = ()>) {
        let (ending, ended) = watch::channel(());
        let room = Arc::new(Semaphore::new(limits.connections));
        tokio::pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut end => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, or a peer that was gone at once: neither ends the others.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
            let (reader, tls, ended) = (Arc::clone(&reader), self.tls.clone(), ended.clone());
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, reader, limits, ended).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = timeout(limits.patience, tls.accept(stream)).await {
                            connection(stream, reader, limits, ended).await;
                        }
                    }
                }
                drop(permit);
            });
        }
        drop((self.listener, ended));
        // Nobody listens where no connection is left.
        let _ = ending.send(());
        // Those that are still there after the bound are cut.
        let _ = timeout(limits.drain, ending.closed()).await;
    }
}

async fn connection<S>(stream: S, reader: Arc<Reader>, limits: Limits, mut ended: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let reader = Arc::clone(&reader);
        async move { Ok::<_, Infallible>(respond(&reader, request, limits).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        .max_buf_size(limits.head)
        .max_headers(limits.headers);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let finished = tokio::select! {
        result = connection.as_mut() => Some(result),
        _ = ended.changed() => None,
    };
    if finished.is_none() {
        connection.as_mut().graceful_shutdown();
        // A peer that goes away in the middle is no concern of anyone else.
        let _ = connection.await;
    }
}

async fn respond(reader: &Reader, request: Request<Incoming>, limits: Limits) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let too_large = || Answer::errors(413, &["http: request body too large"]);
    if body.size_hint().lower() > limits.body as u64 {
        return response(too_large());
    }
    let answer = match timeout(limits.patience, Limited::new(body, limits.body).collect()).await {
        Err(_) => Answer::errors(408, &["the request took too long"]),
        Ok(Err(_)) => too_large(),
        Ok(Ok(body)) => {
            let body = Material::new(body.to_bytes().to_vec());
            reader.answer(Asked::new(reader.mount(), head.method, &head.uri, &head.headers, body)).await
        }
    };
    response(answer)
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let cut = matches!(answer.status, 408 | 413);
    let body = answer.body.map_or_else(Bytes::new, Bytes::from_owner);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let strict = HeaderValue::from_static("max-age=31536000; includeSubDomains");
    headers.insert(header::STRICT_TRANSPORT_SECURITY, strict);
    if cut {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(Ok(location)) = answer.location.map(HeaderValue::try_from) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn acceptor(certificate: &Certificate<'_>) -> Result<TlsAcceptor, ListenError> {
    let pem = |file: &Path, what| ListenError::Pem { file: file.into(), what };
    let text = fs::read(certificate.chain)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(pem(certificate.chain, "certificate"));
    }
    let text = Material::new(fs::read_private(certificate.key)?);
    // EXPOSE: parsed into the key that signs handshakes
    let key = PrivateKeyDer::from_pem_slice(text.expose()).map_err(|_| pem(certificate.key, "private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
