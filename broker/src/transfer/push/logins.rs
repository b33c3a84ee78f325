//! Who has logged in there: the tokens that came of a role's AppRole, as the Vault itself remembers them.

use super::{Destination, PushError, destination::body};
use donjon_drivers::store::vault::{Call, Reason};
use donjon_policies::{access::READER_PREFIX, name::RoleName};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is known of a token.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    path: String,
    #[serde(default)]
    policies: Vec<String>,
    issue_time: Option<jiff::Timestamp>,
}

impl Destination {
    /// When consumers of a role logged in, in microseconds since 1970, of each whose token still lives.
    pub async fn logins(&self, role: &RoleName) -> Result<Vec<i64>, PushError> {
        let policy = format!("{READER_PREFIX}{role}");
        let mut logins = Vec::new();
        for accessor in self.names("auth/token/accessors").await? {
            let asked = body(&BTreeMap::from([("accessor", accessor)]));
            let token: Option<Token> =
                match self.found(Call::post("auth/token/lookup-accessor", asked), "look at a login there").await {
                    // It has ended since.
                    Err(PushError::Call { source, .. }) if source.reason() == Some(Reason::NoAccessor) => None,
                    other => other?,
                };
            let token = token.filter(|token| token.path == LOGIN && token.policies.contains(&policy));
            logins.extend(token.and_then(|token| token.issue_time).map(jiff::Timestamp::as_microsecond));
        }
        Ok(logins)
    }
}

const LOGIN: &str = "auth/approle/login";
