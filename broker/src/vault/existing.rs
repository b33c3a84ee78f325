//! A Vault that is already there: the broker uses it, and never starts, seals or stops it.

use super::server::Server;
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
    store::{
        RecordPath,
        path::PathError,
        vault::{Address, AddressError, Call, CallError, Connection, Method, Reason, Trust, Vault},
    },
};
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// Where it is, and as whom.
#[derive(Debug)]
pub struct Named {
    /// Its address.
    pub url: String,
    /// The token.
    pub token: Material,
    /// The certificates to trust; those of the operating system where none are named.
    pub authority: Option<PathBuf>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The KV v2 mount.
    pub mount: String,
}

/// A Vault that is already there.
#[derive(Debug, Clone)]
pub struct Existing {
    connection: Arc<Connection>,
    mount: RecordPath,
}

/// It cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExistingError {
    /// It is named without a credential.
    #[error("{variable} names a Vault, but there is no token for it")]
    NoToken {
        /// The variable that names it.
        variable: &'static str,
    },
    /// The certificates cannot be read.
    #[error("the certificates to trust cannot be read")]
    Authority(#[from] FileError),
    /// The address cannot be used.
    #[error("the Vault's address cannot be used")]
    Address(#[from] AddressError),
    /// The mount is no path.
    #[error("the mount's name cannot be used")]
    Mount(#[from] PathError),
    /// It refused or did not answer.
    #[error("the Vault cannot be used")]
    Call(#[from] CallError),
    /// It is sealed, and its operators unseal it.
    #[error("the Vault at {url} is sealed")]
    Sealed {
        /// Its address.
        url: String,
    },
    /// It has no such mount, or of another kind.
    #[error("the Vault at {url} has no KV v2 mount `{mount}` that this token may use")]
    NoMount {
        /// Its address.
        url: String,
        /// The mount.
        mount: RecordPath,
    },
}

impl Named {
    /// Reads BAO_ADDR or VAULT_ADDR and what goes with it; `None` where neither is set.
    pub fn from_variables(variables: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ExistingError> {
        let set = |name: &str| variables(name).filter(|value| !value.is_empty());
        let Some((variable, prefix, url)) = [("BAO_ADDR", "BAO"), ("VAULT_ADDR", "VAULT")]
            .into_iter()
            .find_map(|(variable, prefix)| set(variable).map(|url| (variable, prefix, url)))
        else {
            return Ok(None);
        };
        let of = |name: &str| set(&format!("{prefix}_{name}"));
        Ok(Some(Self {
            url,
            token: of("TOKEN").map(Material::from).ok_or(ExistingError::NoToken { variable })?,
            authority: of("CACERT").map(PathBuf::from),
            namespace: of("NAMESPACE"),
            mount: set("DONJON_MOUNT").unwrap_or_else(|| super::setup::MOUNT.to_owned()),
        }))
    }
}

impl Existing {
    /// Connects, and refuses what could not hold records with conditions.
    pub async fn open(named: Named) -> Result<Self, ExistingError> {
        let trust = match &named.authority {
            Some(path) => Trust::Only(fs::read(path)?),
            None => Trust::System,
        };
        let mount: RecordPath = named.mount.parse()?;
        let connection = Connection::open(&Address { url: named.url, trust, namespace: named.namespace })?;
        connection.use_token(named.token);
        let existing = Self { connection: Arc::new(connection), mount };
        existing.check().await?;
        Ok(existing)
    }

    /// The store in it.
    pub fn store(&self) -> Vault {
        Vault::new(Arc::clone(&self.connection), self.mount.clone())
    }

    /// Its address.
    pub fn place(&self) -> String {
        self.connection.place()
    }

    /// How many shares it was given and how many it takes, where it is sealed now.
    pub async fn sealing(&self) -> Result<Option<(usize, usize)>, CallError> {
        let seal = Server(&self.connection).seal().await?;
        Ok(seal.sealed.then_some((seal.given, seal.needed)))
    }

    /// Keeps the token alive where it can be renewed, until the caller drops this.
    pub async fn tend(self) {
        loop {
            let pause = match Server(&self.connection).renew().await {
                Ok(token) => Duration::from_secs(token.lives) / 3,
                Err(error) => {
                    tracing::debug!(%error, "the token was not renewed");
                    Duration::from_secs(60)
                }
            };
            // A token without an end answers 0.
            tokio::time::sleep(pause.clamp(Duration::from_secs(5), Duration::from_secs(3600))).await;
        }
    }

    async fn check(&self) -> Result<(), ExistingError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Mount,
        }
        #[derive(Deserialize)]
        struct Mount {
            r#type: String,
            #[serde(default)]
            options: Option<BTreeMap<String, String>>,
        }
        if self.sealing().await?.is_some() {
            return Err(ExistingError::Sealed { url: self.place() });
        }
        self.connection.call(Call::new(Method::Get, "auth/token/lookup-self")).await?;
        let no_mount = || ExistingError::NoMount { url: self.place(), mount: self.mount.clone() };
        let asked = Call::new(Method::Get, format!("sys/internal/ui/mounts/{}", self.mount));
        let mount = match self.connection.call(asked).await {
            Ok(answer) => answer.parse::<Answer>()?.data,
            Err(CallError::Refused { reason: Reason::Denied | Reason::BadRequest, .. }) => return Err(no_mount()),
            Err(error) => return Err(error.into()),
        };
        let version = mount.options.as_ref().and_then(|o| o.get("version")).map(String::as_str);
        if mount.r#type != "kv" || version != Some("2") { Err(no_mount()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Result<Option<Named>, ExistingError> {
        Named::from_variables(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn one_family_of_variables_is_read_and_never_mixed() {
        assert!(named(&[]).unwrap().is_none());
        assert!(named(&[("BAO_ADDR", "")]).unwrap().is_none());
        let bao =
            [("BAO_ADDR", "https://b"), ("BAO_TOKEN", "t"), ("VAULT_ADDR", "https://v"), ("VAULT_NAMESPACE", "n")];
        let read = named(&bao).unwrap().unwrap();
        assert_eq!((read.url.as_str(), read.namespace), ("https://b", None));
        let mixed = named(&[("BAO_ADDR", "https://b"), ("VAULT_TOKEN", "t")]);
        assert!(matches!(mixed, Err(ExistingError::NoToken { variable: "BAO_ADDR" })));
    }
}
