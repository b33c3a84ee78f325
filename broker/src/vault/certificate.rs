//! TLS for one start of the server: an authority whose key is thrown away, and a server key that is on no disk.

use donjon_drivers::material::Material;
use jiff::{ToSpan, civil::Date};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// What one start of the server needs.
#[derive(Debug)]
pub(super) struct Certificates {
    /// The authority, in PEM; its key is gone.
    pub(super) authority: String,
    /// The server's certificate, in PEM.
    pub(super) server: String,
    /// The server's key, in PEM.
    pub(super) key: Material,
}

impl Certificates {
    /// Makes an authority, signs one certificate for 127.0.0.1, and forgets the authority's key.
    pub(super) fn make(today: Date) -> Result<Self, rcgen::Error> {
        let mut authority = params(Vec::new(), "Donjon throw-away authority", today)?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let mut server = params(vec!["127.0.0.1".to_owned(), "localhost".to_owned()], "Donjon temporary Vault", today)?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let server = server.signed_by(&key, &authority)?;
        Ok(Self { authority: authority.pem(), server: server.pem(), key: Material::from(key.serialize_pem()) })
    }
}

/// Valid from yesterday, so that a clock that is set back a little does no harm, for two years.
fn params(names: Vec<String>, subject: &str, today: Date) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, subject);
    let moment =
        |date: Date| date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
    params.not_before = moment(today.saturating_sub(1.day()));
    params.not_after = moment(today.saturating_add(2.years()));
    Ok(params)
}
