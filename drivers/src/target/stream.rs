//! A stream of bytes to a node, in clear or by TLS, for the drivers that speak their protocol themselves.

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{io, path::Path, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects; by TLS where an authority is given, which alone is believed. The name in the certificate is `address`.
pub(super) async fn connect(address: &str, port: u16, authority: Option<&Path>) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect((address, port)).await?;
    tcp.set_nodelay(true)?;
    let Some(authority) = authority else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(address.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(believing(authority)?)).connect(name, tcp).await?;
    Ok(Box::new(stream))
}

fn believing(authority: &Path) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth())
}
