//! TLS for the reader: its certificate, and the keys of clients whose certificates an authority of theirs has signed.

use super::{listening::ListenError, peer::Key};
use donjon_drivers::{fs, material::Material};
use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A certificate chain and its key, in PEM files; the key's is private.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The chain.
    pub chain: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// The authorities whose clients may show a certificate; none is asked for without.
    pub clients: Option<PathBuf>,
}

/// What handshakes are made with; it can be read anew while connections are open.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Certificate>,
    acceptor: Arc<RwLock<TlsAcceptor>>,
}

impl Tls {
    pub(super) fn open(files: Certificate) -> Result<Self, ListenError> {
        let acceptor = Arc::new(RwLock::new(acceptor(&files)?));
        Ok(Self { files: Arc::new(files), acceptor })
    }

    /// Reads the files anew; handshakes from now on are made with them. What was used before is used on where they fail.
    pub fn renew(&self) -> Result<(), ListenError> {
        let acceptor = acceptor(&self.files)?;
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// Shakes hands, and gives the key that the client has proven to hold, where it showed a certificate.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Option<Key>)> {
        let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = acceptor.accept(stream).await.ok()?;
        let key = match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
            Some(certificate) => Some(Key::of(certificate).ok()?),
            None => None,
        };
        Some((stream, key))
    }
}

/// The certificates of a PEM file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let text = fs::read(file)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    if all.is_empty() { Err(ListenError::Pem { file: file.into(), what: "certificate" }) } else { Ok(all) }
}

fn acceptor(files: &Certificate) -> Result<TlsAcceptor, ListenError> {
    let chain = certificates(&files.chain)?;
    let text = Material::new(fs::read_private(&files.key)?);
    // EXPOSE: parsed into the key that signs handshakes
    let key = PrivateKeyDer::from_pem_slice(text.expose());
    let key = key.map_err(|_| ListenError::Pem { file: files.key.clone(), what: "private key" })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut authorities = RootCertStore::empty();
            for authority in certificates(file)? {
                authorities.add(authority)?;
            }
            // Who shows none logs in as without TLS; a bad one ends the handshake.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|_| ListenError::Pem { file: file.clone(), what: "authority for clients" })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    if files.clients.is_some() {
        // A certificate counts as long as it is valid, not as long as a session is remembered.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}
