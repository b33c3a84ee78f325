//! Renewing what opens the temporary Vault: the broker's credential, the unseal shares, the key that the storage is
//! encrypted with, and the authority of its certificate. No secret in it changes, and no consumer notices.
//!
//! The shares are the part where a crash could lock everyone out. So the new ones are on disk before the Vault takes them
//! (it asks to be shown that they were kept), and both generations stay until one of them has opened it.

use super::{
    custody::Mode,
    error::VaultError,
    rekey::Rekeyed,
    server::Server,
    shares,
    state::State,
    temporary::{Standing, Temporary},
};
use crate::rotation::checkpoint;
use donjon_drivers::material::Material;
use std::{fmt, time::Duration};

/// One thing that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The unseal shares.
    Shares,
    /// The key of the storage.
    BarrierKey,
    /// The broker's credential, and the token that it works with.
    Credential,
    /// The authority of the server's certificate; it was started again with it.
    Authority,
}

impl fmt::Display for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shares => "unseal shares",
            Self::BarrierKey => "barrier key",
            Self::Credential => "broker's credential",
            Self::Authority => "certificate authority",
        })
    }
}

impl Temporary {
    /// Renews all of it, one after the other; what was renewed is told. `given` are the custodians' shares; a host has its
    /// own. It may be repeated after a crash at any point.
    pub async fn renew_broker(&self, given: Vec<Material>, tell: &(dyn Fn(Renewed) + Sync)) -> Result<(), VaultError> {
        let new = self.renew_shares(given).await?;
        tell(Renewed::Shares);
        let rotated = Server(&self.connection).rotate_barrier().await;
        rotated.map_err(VaultError::call("rotate the Vault's barrier key"))?;
        checkpoint::reached("renewal.barrier-rotated");
        tell(Renewed::BarrierKey);
        match self.mode() {
            Mode::Host => self.renew_credential().await?,
            Mode::Custodians => self.renew_token(&new).await?,
        }
        tell(Renewed::Credential);
        self.renew_authority(&new).await?;
        tell(Renewed::Authority);
        Ok(())
    }

    /// New shares, of which the old ones know nothing. Gives back those that open the Vault from now on.
    async fn renew_shares(&self, given: Vec<Material>) -> Result<Vec<Material>, VaultError> {
        let state = self.state();
        let (generation, new) = self.rekeyed(&state, given).await?;
        let next = generation + 1;
        let digests = shares::keep(&self.place, next, &state.custody()?, &new.shares)?;
        // Which of two earlier generations opens it is known now.
        let current = state.digests(generation).to_vec();
        self.write_state(State { generation, shares: current, next: Some(digests), ..state })?;
        checkpoint::reached("renewal.shares-kept");
        let verified = Server(&self.connection).verify_rekey(&new).await;
        verified.map_err(VaultError::call("have the Vault take its new shares"))?;
        checkpoint::reached("renewal.shares-taken");
        self.opened_by(next)?;
        checkpoint::reached("renewal.shares-renewed");
        Ok(new.shares)
    }

    /// Asks for new shares with those of a generation that the Vault takes, and says which.
    async fn rekeyed(&self, state: &State, given: Vec<Material>) -> Result<(u32, Rekeyed), VaultError> {
        let (count, threshold) = state.custody()?.shares();
        let mut offered = shares::Offered::default();
        for share in given {
            offered.add(state, share)?;
        }
        let mut failed = None;
        for generation in state.generations() {
            let keys = match self.mode() {
                Mode::Host => vec![shares::of_host(&self.place, generation)?],
                Mode::Custodians => match offered.enough(state) {
                    Some((enough, keys)) if enough == generation => keys,
                    Some(_) | None => continue,
                },
            };
            match Server(&self.connection).rekey(&keys, count, threshold).await {
                Ok(new) => return Ok((generation, new)),
                Err(error) => failed = Some(error),
            }
        }
        Err(match failed {
            Some(source) => VaultError::Call { act: "renew the unseal shares", source },
            None => VaultError::TooFewShares { given: offered.count(), needed: threshold },
        })
    }

    /// A new secret-id, seen to work from where it is kept before the old one and its token go.
    async fn renew_credential(&self) -> Result<(), VaultError> {
        let server = Server(&self.connection);
        let (login, accessor) = server.another_login(&shares::credential(&self.place)?).await?;
        shares::keep_credential(&self.place, &login)?;
        checkpoint::reached("renewal.credential-kept");
        let old = self.connection.token();
        self.log_in().await?;
        checkpoint::reached("renewal.logged-in");
        self.end_token(old).await?;
        let destroyed = server.only_secret_id(&accessor).await;
        destroyed.map_err(VaultError::call("destroy the broker's earlier credentials"))
    }

    /// A new token by way of the shares.
    async fn renew_token(&self, shares: &[Material]) -> Result<(), VaultError> {
        let old = self.connection.token();
        self.token_from(shares).await?;
        self.end_token(old).await
    }

    async fn end_token(&self, old: Option<std::sync::Arc<Material>>) -> Result<(), VaultError> {
        let Some(old) = old else { return Ok(()) };
        let revoked = Server(&self.connection).revoke(&old).await;
        revoked.map_err(VaultError::call("revoke the broker's earlier token"))?;
        checkpoint::reached("renewal.token-revoked");
        Ok(())
    }

    /// Ends the server; who tends it starts it again, with an authority and a certificate that are made for each start.
    async fn renew_authority(&self, shares: &[Material]) -> Result<(), VaultError> {
        let mut standing = self.follow();
        standing.mark_unchanged();
        self.process().stop().await?;
        checkpoint::reached("renewal.stopped");
        let back = async {
            // First it is seen to be gone, then to be back.
            let _ = standing.wait_for(|standing| *standing == Standing::Down).await;
            standing.wait_for(|standing| *standing != Standing::Down).await.is_ok()
        };
        if !tokio::time::timeout(BACK_WITHIN, back).await.unwrap_or(false) {
            return Err(VaultError::Silent { within: BACK_WITHIN, log: self.place.log() });
        }
        if matches!(self.standing(), Standing::Waiting { .. }) { self.open(shares).await } else { Ok(()) }
    }
}

const BACK_WITHIN: Duration = Duration::from_secs(60);
