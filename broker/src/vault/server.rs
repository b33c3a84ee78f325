//! What an operator asks of a Vault server: initialise, unseal, a root token for a moment. Nothing of it is logged.

use donjon_drivers::{
    material::Material,
    store::vault::{Answer, Call, CallError, Connection, Method, Reason},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// A server that a connection leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server<'a>(pub &'a Connection);

/// Whether it can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Seal {
    /// Whether it was ever initialised.
    pub(super) initialized: bool,
    /// Whether it waits for shares.
    pub(super) sealed: bool,
    /// How many it takes.
    #[serde(rename = "t", default)]
    pub(super) needed: usize,
    /// How many it was given.
    #[serde(rename = "progress", default)]
    pub(super) given: usize,
}

/// What initialising gives, once.
#[derive(Debug, Deserialize)]
pub(super) struct Initialised {
    /// The unseal shares.
    #[serde(rename = "keys_base64")]
    pub(super) shares: Vec<Material>,
    /// The root token.
    #[serde(rename = "root_token")]
    pub(super) root: Material,
}

/// What a login or a new token gives.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    /// The token.
    #[serde(rename = "client_token")]
    pub(super) token: Material,
    /// How long it lives without renewal, in seconds.
    #[serde(rename = "lease_duration")]
    pub(super) lives: u64,
}

#[derive(Deserialize)]
struct Authenticated {
    auth: Token,
}

impl Server<'_> {
    /// Whether it can serve.
    pub(super) async fn seal(self) -> Result<Seal, CallError> {
        self.0.call(Call::new(Method::Get, "sys/seal-status")).await?.parse()
    }

    /// Initialises it.
    pub(super) async fn initialise(self, shares: usize, threshold: usize) -> Result<Initialised, CallError> {
        #[derive(Serialize)]
        struct Wanted {
            secret_shares: usize,
            secret_threshold: usize,
        }
        let body = body(&Wanted { secret_shares: shares, secret_threshold: threshold });
        self.0.call(Call::post("sys/init", body)).await?.parse()
    }

    /// Hands shares in until it is unsealed; earlier ones, by whomever, are dropped first.
    pub(super) async fn unseal(self, shares: &[Material]) -> Result<Seal, CallError> {
        #[derive(Serialize)]
        struct Share<'a> {
            key: &'a str,
        }
        #[derive(Serialize)]
        struct Reset {
            reset: bool,
        }
        let mut seal: Seal = self.0.call(Call::post("sys/unseal", body(&Reset { reset: true }))).await?.parse()?;
        for share in shares {
            // EXPOSE: sent to the server, over TLS
            let key = share.expose_text().unwrap_or_default();
            seal = self.0.call(Call::post("sys/unseal", body(&Share { key }))).await?.parse()?;
            if !seal.sealed {
                break;
            }
        }
        Ok(seal)
    }

    /// Waits until it serves: unsealed, and the leader of itself.
    pub(super) async fn active(self, within: Duration) -> Result<(), CallError> {
        let nobody = Material::new(Vec::new());
        self.patiently(&nobody, within, || Call::new(Method::Get, "sys/health")).await.map(drop)
    }

    /// Repeats a call while the server says that it is not ready for it; nothing of it was done then.
    pub(super) async fn patiently(
        self,
        token: &Material,
        within: Duration,
        call: impl Fn() -> Call,
    ) -> Result<Answer, CallError> {
        let end = Instant::now() + within;
        loop {
            match self.0.call_with(token, call()).await {
                Err(CallError::Refused { reason: Reason::NotReady | Reason::Sealed, .. }) if Instant::now() < end => {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Makes a root token from shares, on a listener that has these endpoints on.
    pub(super) async fn root_from(self, shares: &[Material]) -> Result<Material, CallError> {
        #[derive(Deserialize)]
        struct Attempt {
            nonce: String,
            otp: Material,
        }
        #[derive(Serialize)]
        struct Share<'a> {
            key: &'a str,
            nonce: &'a str,
        }
        #[derive(Deserialize)]
        struct Progress {
            complete: bool,
            #[serde(default)]
            encoded_token: Option<Material>,
        }
        // One that an earlier daemon began can never end: its one-time pad died with it.
        self.0.call(Call::new(Method::Delete, "sys/generate-root/attempt")).await?;
        let begun = self.0.call(Call::post("sys/generate-root/attempt", body(&Empty {}))).await?;
        let attempt: Attempt = begun.parse()?;
        for share in shares {
            // EXPOSE: sent to the server, over a socket that only this user reaches
            let key = share.expose_text().unwrap_or_default();
            let answer = Call::post("sys/generate-root/update", body(&Share { key, nonce: &attempt.nonce }));
            let progress: Progress = self.0.call(answer).await?.parse()?;
            if let Progress { complete: true, encoded_token: Some(encoded) } = progress {
                return decode(&encoded, &attempt.otp).ok_or_else(|| self.unreadable());
            }
        }
        Err(self.unreadable())
    }

    /// Logs in by AppRole.
    pub(super) async fn login(self, credential: &Material) -> Result<Token, CallError> {
        let call = Call::post("auth/approle/login", credential.duplicate());
        Ok(self.0.call(call).await?.parse::<Authenticated>()?.auth)
    }

    /// Makes a token with root's help that outlives root: an orphan, periodic, with one policy.
    pub(super) async fn orphan(self, root: &Material, policy: &str, period: Duration) -> Result<Token, CallError> {
        #[derive(Serialize)]
        struct Wanted<'a> {
            policies: [&'a str; 1],
            period: u64,
            no_default_policy: bool,
            display_name: &'a str,
        }
        let wanted =
            Wanted { policies: [policy], period: period.as_secs(), no_default_policy: true, display_name: "donjon" };
        let call = Call::post("auth/token/create-orphan", body(&wanted));
        Ok(self.0.call_with(root, call).await?.parse::<Authenticated>()?.auth)
    }

    /// Makes the current token live longer.
    pub(super) async fn renew(self) -> Result<Token, CallError> {
        let call = Call::post("auth/token/renew-self", body(&Empty {}));
        Ok(self.0.call(call).await?.parse::<Authenticated>()?.auth)
    }

    /// Revokes the current token.
    pub(super) async fn revoke_own(self) -> Result<(), CallError> {
        self.0.call(Call::post("auth/token/revoke-self", body(&Empty {}))).await.map(drop)
    }

    /// Revokes every token but the current one; says how many.
    pub(super) async fn revoke_others(self) -> Result<usize, CallError> {
        #[derive(Deserialize)]
        struct Data<T> {
            data: T,
        }
        #[derive(Deserialize)]
        struct Own {
            accessor: String,
        }
        #[derive(Deserialize)]
        struct All {
            keys: Vec<String>,
        }
        #[derive(Serialize)]
        struct Gone<'a> {
            accessor: &'a str,
        }
        let own: Data<Own> = self.0.call(Call::new(Method::Get, "auth/token/lookup-self")).await?.parse()?;
        let all: Data<All> = self.0.call(Call::new(Method::List, "auth/token/accessors")).await?.parse()?;
        let mut revoked = 0;
        for accessor in all.data.keys.iter().filter(|accessor| **accessor != own.data.accessor) {
            match self.0.call(Call::post("auth/token/revoke-accessor", body(&Gone { accessor }))).await {
                Ok(_) => revoked += 1,
                // It went with another, or ended a moment ago.
                Err(CallError::Refused { reason: Reason::BadRequest | Reason::Denied | Reason::Other, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(revoked)
    }

    /// Seals it.
    pub(super) async fn seal_up(self) -> Result<(), CallError> {
        self.0.call(Call::post("sys/seal", body(&Empty {}))).await.map(drop)
    }

    /// Revokes a token, and believes it only when the server refuses the token afterwards.
    pub(super) async fn revoke(self, token: &Material) -> Result<Revoked, CallError> {
        self.0.call_with(token, Call::post("auth/token/revoke-self", body(&Empty {}))).await?;
        match self.0.call_with(token, Call::new(Method::Get, "auth/token/lookup-self")).await {
            Err(CallError::Refused { reason: Reason::Denied, .. }) => Ok(Revoked::Refused),
            Ok(_) => Ok(Revoked::StillValid),
            Err(error) => Err(error),
        }
    }

    pub(super) fn unreadable(self) -> CallError {
        CallError::Unreadable { place: self.0.place() }
    }
}

/// What became of a token that was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoked {
    /// The server refuses it.
    Refused,
    /// The server still takes it.
    StillValid,
}

#[derive(Serialize)]
struct Empty {}

/// A JSON body, held as secret bytes because most are.
pub(super) fn body<T: Serialize>(value: &T) -> Material {
    // Room enough that the buffer does not move and leave a copy behind.
    let mut bytes = Vec::with_capacity(4096);
    // These are structures of texts and numbers, which always have a JSON form; an empty body would be refused.
    let _ = serde_json::to_writer(&mut bytes, value);
    Material::new(bytes)
}

/// The root token: base64, under a one-time pad.
fn decode(encoded: &Material, pad: &Material) -> Option<Material> {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    // EXPOSE: decoded into another Material
    let text = encoded.expose_text().ok()?.trim_end_matches('=');
    let bytes = Zeroizing::new(STANDARD_NO_PAD.decode(text).ok()?);
    // EXPOSE: as above
    let pad = pad.expose();
    (bytes.len() == pad.len()).then(|| Material::new(bytes.iter().zip(pad).map(|(a, b)| a ^ b).collect()))
}

const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_token_is_decoded_under_its_pad() {
        let text = |t: &str| Material::from(t.to_owned());
        // "s.x" under "abc": 0x12 0x4c 0x1b
        let decoded = decode(&text("Ekwb"), &text("abc")).unwrap();
        assert!(decoded.matches(&text("s.x")));
        assert!(decode(&text("EkwbAA"), &text("abc")).is_none(), "of another length than the pad");
        assert!(decode(&text("!"), &text("abc")).is_none());
    }
}
