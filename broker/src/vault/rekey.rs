//! What the server is asked when the broker's own credentials are renewed. Nothing of it is logged.
//!
//! OpenBao's `sys/rotate/root` with `require_verification`: the new shares are handed out, and hold only once they were
//! shown to the server again. HashiCorp Vault calls the same `sys/rekey`; it was not to be had for a test.

use super::{
    error::VaultError,
    server::{Server, body},
};
use donjon_drivers::{
    material::Material,
    store::vault::{Call, CallError, Method},
};
use donjon_policies::access::BROKER;
use serde::{Deserialize, Serialize};

/// New shares, which hold once they were shown to the server again.
#[derive(Debug)]
pub(super) struct Rekeyed {
    /// The shares.
    pub(super) shares: Vec<Material>,
    nonce: String,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct Share<'a> {
    key: &'a str,
    nonce: &'a str,
}

impl Server<'_> {
    /// Has new shares made with enough of the present ones.
    pub(super) async fn rekey(self, keys: &[Material], shares: usize, threshold: usize) -> Result<Rekeyed, CallError> {
        #[derive(Serialize)]
        struct Wanted {
            secret_shares: usize,
            secret_threshold: usize,
            require_verification: bool,
        }
        #[derive(Deserialize)]
        struct Attempt {
            nonce: String,
        }
        #[derive(Deserialize)]
        struct Progress {
            #[serde(default)]
            complete: bool,
            #[serde(default)]
            keys_base64: Vec<Material>,
            #[serde(default)]
            verification_nonce: String,
        }
        // One that an earlier daemon began can never end: what it had of it died with it.
        self.cancel("sys/rotate/root/verify").await?;
        self.cancel("sys/rotate/root/init").await?;
        let wanted = Wanted { secret_shares: shares, secret_threshold: threshold, require_verification: true };
        let begun = self.0.call(Call::post("sys/rotate/root/init", body(&wanted))).await?;
        let Attempt { nonce } = begun.parse::<Data<Attempt>>()?.data;
        for key in keys {
            // EXPOSE: sent to the server, over TLS
            let key = key.expose_text().unwrap_or_default();
            let given = Call::post("sys/rotate/root/update", body(&Share { key, nonce: &nonce }));
            let Progress { complete, keys_base64, verification_nonce } =
                self.0.call(given).await?.parse::<Data<Progress>>()?.data;
            if complete {
                return Ok(Rekeyed { shares: keys_base64, nonce: verification_nonce });
            }
        }
        Err(CallError::Unreadable { place: self.0.place() })
    }

    /// Drops what was begun; a server where nothing was may say so by an error.
    async fn cancel(self, path: &str) -> Result<(), CallError> {
        match self.0.call(Call::new(Method::Delete, path)).await {
            Ok(_) | Err(CallError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Shows the server its new shares; from now on the earlier ones open nothing.
    pub(super) async fn verify_rekey(self, new: &Rekeyed) -> Result<(), CallError> {
        #[derive(Deserialize)]
        struct Progress {
            #[serde(default)]
            complete: bool,
        }
        for share in &new.shares {
            // EXPOSE: sent to the server, over TLS
            let key = share.expose_text().unwrap_or_default();
            let shown = Call::post("sys/rotate/root/verify", body(&Share { key, nonce: &new.nonce }));
            if self.0.call(shown).await?.parse::<Data<Progress>>()?.data.complete {
                return Ok(());
            }
        }
        Err(CallError::Unreadable { place: self.0.place() })
    }

    /// A new key for the storage; what lies there stays readable, and is written with the new one from now on.
    pub(super) async fn rotate_barrier(self) -> Result<(), CallError> {
        self.0.call(Call::post("sys/rotate", body(&Empty {}))).await.map(drop)
    }

    /// Another secret-id for the broker's role: the body of a login with it, and the accessor that names it.
    pub(super) async fn another_login(self, present: &Material) -> Result<(Material, String), VaultError> {
        #[derive(Deserialize)]
        struct SecretId {
            secret_id: Material,
            secret_id_accessor: String,
        }
        #[derive(Deserialize)]
        struct Present {
            role_id: Material,
        }
        #[derive(Serialize)]
        struct Login<'a> {
            role_id: &'a str,
            secret_id: &'a str,
        }
        let made = self.0.call(Call::post(format!("{ROLE}/{BROKER}/secret-id"), body(&Empty {}))).await;
        let made = made.and_then(|answer| answer.parse::<Data<SecretId>>());
        let SecretId { secret_id, secret_id_accessor } =
            made.map_err(VaultError::call("make the broker a credential"))?.data;
        // EXPOSE: parsed into a Material again
        let Present { role_id } = serde_json::from_slice(present.expose())
            .map_err(|_| VaultError::Call { act: "read the broker's credential", source: self.unreadable() })?;
        // EXPOSE: both into one Material, which is encrypted before it is written
        let (role_id, secret_id) = (role_id.expose_text(), secret_id.expose_text());
        let login = Login { role_id: role_id.unwrap_or_default(), secret_id: secret_id.unwrap_or_default() };
        Ok((body(&login), secret_id_accessor))
    }

    /// Destroys every secret-id of the broker's role but one.
    pub(super) async fn only_secret_id(self, accessor: &str) -> Result<(), CallError> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<String>,
        }
        #[derive(Serialize)]
        struct Gone<'a> {
            secret_id_accessor: &'a str,
        }
        let listed = self.0.call(Call::new(Method::List, format!("{ROLE}/{BROKER}/secret-id"))).await?;
        let Keys { keys } = listed.parse::<Data<Keys>>()?.data;
        for old in keys.iter().filter(|key| *key != accessor) {
            let gone = body(&Gone { secret_id_accessor: old });
            self.0.call(Call::post(format!("{ROLE}/{BROKER}/secret-id-accessor/destroy"), gone)).await?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Empty {}

const ROLE: &str = "auth/approle/role";
