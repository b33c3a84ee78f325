//! Who has logged in there: the tokens that came of a role's AppRole, as the Vault itself remembers them.

use super::{
    Destination, PushError,
    revoke::{TOKEN_LOOKUP, TOKENS},
};
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
        for accessor in self.names(TOKENS).await? {
            let token: Option<Token> = self.behind(TOKEN_LOOKUP, &BTreeMap::from([("accessor", accessor)])).await?;
            let token = token.filter(|token| token.path == LOGIN && token.policies.contains(&policy));
            logins.extend(token.and_then(|token| token.issue_time).map(jiff::Timestamp::as_microsecond));
        }
        Ok(logins)
    }
}

const LOGIN: &str = "auth/approle/login";
