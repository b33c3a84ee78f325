//! A host leaves: its AppRole credentials are destroyed, and the tokens that came of them revoked.

use super::{Destination, PushError, destination::body};
use donjon_drivers::store::vault::{Call, CallError, Method, Reason};
use donjon_policies::access::READER_PREFIX;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// What was revoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Revoked {
    /// AppRole credentials.
    pub credentials: usize,
    /// Tokens.
    pub tokens: usize,
}

/// What a credential or a token was made for.
#[derive(Deserialize)]
struct Made {
    #[serde(default, alias = "meta")]
    metadata: Option<BTreeMap<String, String>>,
}

impl Made {
    fn is_for(&self, host: &str) -> bool {
        self.metadata.as_ref().and_then(|metadata| metadata.get(HOST)).is_some_and(|made_for| made_for == host)
    }
}

impl Destination {
    /// Destroys each credential that was made for a host, then revokes each token that came of one.
    pub async fn revoke(&self, host: &str) -> Result<Revoked, PushError> {
        let mut revoked = Revoked::default();
        for role in self.names("auth/approle/role").await?.iter().filter(|role| role.starts_with(READER_PREFIX)) {
            let role = format!("auth/approle/role/{role}");
            for accessor in self.names(&format!("{role}/secret-id")).await? {
                let accessor = BTreeMap::from([("secret_id_accessor", accessor)]);
                let made: Option<Made> = self.behind(&format!("{role}/secret-id-accessor/lookup"), &accessor).await?;
                if made.is_some_and(|made| made.is_for(host)) {
                    let destroyed = self.post(&format!("{role}/secret-id-accessor/destroy"), &accessor).await;
                    revoked.credentials += ended(destroyed).map_err(PushError::call("destroy a credential there"))?;
                }
            }
        }
        for accessor in self.names(TOKENS).await? {
            let accessor = BTreeMap::from([("accessor", accessor)]);
            let made: Option<Made> = self.behind(TOKEN_LOOKUP, &accessor).await?;
            if made.is_some_and(|made| made.is_for(host)) {
                let gone = self.post("auth/token/revoke-accessor", &accessor).await;
                revoked.tokens += ended(gone).map_err(PushError::call("revoke a token there"))?;
            }
        }
        Ok(revoked)
    }

    pub(super) async fn names(&self, folder: &str) -> Result<Vec<String>, PushError> {
        #[derive(Deserialize)]
        struct Names {
            keys: Vec<String>,
        }
        let found: Option<Names> = self.found(Call::new(Method::List, folder), "list the credentials there").await?;
        Ok(found.map(|names| names.keys).unwrap_or_default())
    }

    /// What is known of a credential or a token by its accessor; `None` where it has ended since.
    pub(super) async fn behind<T: DeserializeOwned>(
        &self,
        path: &str,
        accessor: &BTreeMap<&str, String>,
    ) -> Result<Option<T>, PushError> {
        match self.found(Call::post(path, body(accessor)), "look at a credential there").await {
            Err(PushError::Call { source, .. }) if source.reason() == Some(Reason::NoAccessor) => Ok(None),
            other => other,
        }
    }
}

/// How many ended by this: none where it had ended a moment before. Whoever may not look, or cannot be answered, has seen
/// nothing end.
fn ended(call: Result<(), CallError>) -> Result<usize, CallError> {
    match call {
        Ok(()) => Ok(1),
        Err(error) if error.reason() == Some(Reason::NoAccessor) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Where the accessors of all tokens are, and where one is looked up.
pub(super) const TOKENS: &str = "auth/token/accessors";
pub(super) const TOKEN_LOOKUP: &str = "auth/token/lookup-accessor";

/// The name under which a credential says for which host it was made.
pub(super) const HOST: &str = "host";
