//! Where an API database is, as `[api_database] connection` says it to SQLAlchemy.

use crate::material::Material;
use percent_encoding::percent_decode_str;
use std::{fmt, path::PathBuf};

/// An API database, and who reads it.
#[derive(Debug)]
pub struct Place {
    /// The server's name or address, where its socket is not asked.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its socket, where that is the way.
    pub socket: Option<PathBuf>,
    /// The authority that signed its certificate; without one, connections are in clear.
    pub tls_ca: Option<PathBuf>,
    /// The user.
    pub user: String,
    /// Its password.
    pub value: Material,
    /// The database.
    pub database: String,
}

/// The URL says something that is not understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Not such a URL.
    #[error("it is not of the form mysql+pymysql://user:password@host:port/database")]
    Form,
    /// Another server.
    #[error("`{0}` is not MySQL's protocol")]
    Scheme(String),
    /// A name that nova's databases do not have.
    #[error("the name of the database holds something else than letters, digits, `_`, `-` and `$`")]
    Database,
    /// A client certificate, or a server that is not to be checked.
    #[error("its option `{0}` is not known here")]
    Option(String),
}

impl Place {
    /// Reads a URL.
    pub fn of(url: &str) -> Result<Self, NoPlace> {
        let (scheme, rest) = url.split_once("://").ok_or(NoPlace::Form)?;
        if !matches!(scheme.split('+').next(), Some("mysql" | "mariadb")) {
            return Err(NoPlace::Scheme(scheme.to_owned()));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (before, database) = rest.split_once('/').ok_or(NoPlace::Form)?;
        let (credential, host) = before.rsplit_once('@').ok_or(NoPlace::Form)?;
        let (user, password) = credential.split_once(':').ok_or(NoPlace::Form)?;
        let (host, port) = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(NoPlace::Form)?,
            None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| NoPlace::Form)?,
            None if port.is_empty() => 3306,
            None => return Err(NoPlace::Form),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
        if database.is_empty() || !database.chars().all(plain) {
            return Err(NoPlace::Database);
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let mut place = Self {
            host: host.to_owned(),
            port,
            socket: None,
            tls_ca: None,
            user: decoded(user).map_err(|_| NoPlace::Form)?,
            value: Material::new(percent_decode_str(password).collect()),
            database: database.to_owned(),
        };
        for (name, value) in query.split('&').filter_map(|option| option.split_once('=')) {
            let path = || decoded(value).map(PathBuf::from).map_err(|_| NoPlace::Form);
            match name {
                "unix_socket" => place.socket = Some(path()?),
                "ssl_ca" => place.tls_ca = Some(path()?),
                other if other.starts_with("ssl") => return Err(NoPlace::Option(other.to_owned())),
                _ => {}
            }
        }
        match place.host.is_empty() && place.socket.is_none() {
            true => Err(NoPlace::Form),
            false => Ok(place),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => write!(f, "{} at {}", self.database, socket.display()),
            None => write!(f, "{} at {}:{}", self.database, self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_sqlalchemy_would_connect_to() {
        let place =
            Place::of("mysql+pymysql://nova_api:a%40b:c@10.0.0.11:3307/nova_api?charset=utf8&ssl_ca=/etc/ca.pem")
                .unwrap();
        assert_eq!((place.host.as_str(), place.port, place.user.as_str()), ("10.0.0.11", 3307, "nova_api"));
        assert_eq!(place.value.expose(), b"a@b:c"); // EXPOSE: a test value
        assert_eq!(place.tls_ca, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(place.to_string(), "nova_api at 10.0.0.11:3307");
        let place = Place::of("mysql://u:p@[::1]/nova_api").unwrap();
        assert_eq!((place.host.as_str(), place.port), ("::1", 3306));
        let place = Place::of("mysql://u:p@/nova_api?unix_socket=/run/x").unwrap();
        assert_eq!(place.to_string(), "nova_api at /run/x");
    }

    #[test]
    fn what_is_not_understood_is_told_without_the_value() {
        for (url, wanted) in [
            ("nova_api", NoPlace::Form),
            ("sqlite:///nova.db", NoPlace::Scheme("sqlite".to_owned())),
            ("mysql://u@h/nova_api", NoPlace::Form),
            ("mysql://u:p@/nova_api", NoPlace::Form),
            ("mysql://u:p@h:x/nova_api", NoPlace::Form),
            ("mysql://u:p@h/", NoPlace::Database),
            ("mysql://u:p@h/a`b", NoPlace::Database),
            ("mysql://u:p@h/n?ssl_cert=/x", NoPlace::Option("ssl_cert".to_owned())),
        ] {
            assert_eq!(Place::of(url).err(), Some(wanted), "{url}");
        }
    }
}
