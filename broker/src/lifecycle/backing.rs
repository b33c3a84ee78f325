//! What stands behind the daemon's store, and how it is now.

use super::vault_trouble;
use crate::{
    failure::{Exit, Failure},
    vault::{Existing, Renewed, Standing, Temporary, VaultError, Why, custody::Mode, shares::ShareError},
};
use donjon_drivers::{material::Material, store::Store};
use std::sync::Arc;
use tokio::task::AbortHandle;

/// What stands behind the store.
#[derive(Clone)]
pub enum Backing {
    /// A Vault that this daemon brought up.
    Temporary {
        /// The Vault.
        vault: Arc<Temporary>,
        /// The store in it.
        store: Arc<dyn Store>,
        /// What brings it back when it dies; it ends before the Vault is ended on purpose.
        tending: AbortHandle,
    },
    /// A Vault that was already there.
    Existing {
        /// The Vault.
        vault: Existing,
        /// The store in it.
        store: Arc<dyn Store>,
    },
    /// An encrypted folder.
    Folder {
        /// The store in it.
        store: Arc<dyn Store>,
    },
}

/// How far shares have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealing {
    /// How many were given.
    pub given: usize,
    /// How many it takes.
    pub needed: usize,
    /// What for.
    pub why: Why,
}

/// What became of an unseal share.
#[derive(Debug)]
pub enum Taken {
    /// It was taken in.
    Now,
    /// It had been given before, which is what there is to say where nothing else was given.
    Before(Failure),
}

impl Backing {
    /// The store, or why it cannot be used now.
    pub fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        match self {
            Self::Existing { store, .. } | Self::Folder { store } => Ok(store.clone()),
            Self::Temporary { vault, store, .. } => match vault.standing() {
                Standing::Ready => Ok(store.clone()),
                Standing::Waiting { given, needed, why } => Err(Sealing { given, needed, why }.failure()),
                Standing::Down => Err(Failure::new(Exit::Unavailable, "the Vault server has died")
                    .state("what was acknowledged is safe on its disk; it is being brought back")
                    .hint("try again in a moment; `donjon status` shows how it is")),
                Standing::Over => Err(left(vault)),
            },
        }
    }

    /// The shares that are waited for, if any.
    pub fn sealing(&self) -> Option<Sealing> {
        let Self::Temporary { vault, .. } = self else { return None };
        match vault.standing() {
            Standing::Waiting { given, needed, why } => Some(Sealing { given, needed, why }),
            Standing::Ready | Standing::Down | Standing::Over => None,
        }
    }

    /// Whether this host alone opens it, by an identity that lies here.
    pub fn host_mode(&self) -> bool {
        match self {
            Self::Temporary { vault, .. } => vault.mode() == Mode::Host,
            Self::Folder { .. } => true,
            Self::Existing { .. } => false,
        }
    }

    /// Takes a custodian's share in.
    pub async fn unseal(&self, share: Material) -> Result<Taken, Failure> {
        let Self::Temporary { vault, .. } = self else {
            let failure = Failure::new(Exit::Usage, "this store has no unseal shares").state("nothing was changed");
            return Err(match self {
                Self::Existing { .. } => failure.hint("the Vault's own operators unseal it: `bao operator unseal`"),
                Self::Temporary { .. } | Self::Folder { .. } => failure.hint("`donjon status` says how it is"),
            });
        };
        let told = |error| vault_trouble("the share was not taken", &error);
        match vault.offer(share).await {
            Ok(_) => Ok(Taken::Now),
            Err(error @ VaultError::Share(ShareError::Twice)) => Ok(Taken::Before(told(error))),
            Err(error) => Err(told(error)),
        }
    }

    /// Renews what opens a temporary Vault.
    pub async fn renew(&self, shares: Vec<Material>, tell: &(dyn Fn(Renewed) + Sync)) -> Result<(), Failure> {
        let Self::Temporary { vault, .. } = self else {
            return Err(Failure::new(Exit::Refused, "only a temporary Vault's own credentials are Donjon's to renew")
                .cause("this store was there before Donjon, or has no credential but this host's identity")
                .state("nothing was changed")
                .hint("give the broker a new token by BAO_TOKEN, and start it again"));
        };
        let renewed = vault.renew_broker(shares, tell).await;
        renewed.map_err(|error| vault_trouble("not everything of the broker's own was renewed", &error))
    }

    /// Ends what this daemon has started; its storage stays.
    pub async fn stop(&self) -> Result<(), Failure> {
        match self {
            Self::Temporary { vault, tending, .. } => {
                tending.abort();
                vault.stop().await.map_err(|error| vault_trouble("the Vault server did not end", &error))
            }
            Self::Existing { .. } | Self::Folder { .. } => Ok(()),
        }
    }

    /// Whether it was destroyed already, but for files that could not be removed.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Temporary { vault, .. } if vault.standing() == Standing::Over)
    }

    /// Ends what this daemon has started, and removes all that was in it.
    pub async fn destroy(&self) -> Result<(), Failure> {
        match self {
            Self::Temporary { vault, tending, .. } => {
                tending.abort();
                vault.destroy().await.map_err(|error| match vault.standing() {
                    Standing::Over => left(vault).because(&error),
                    Standing::Ready | Standing::Waiting { .. } | Standing::Down => {
                        vault_trouble("the temporary Vault could not be ended", &error)
                    }
                })
            }
            Self::Existing { .. } | Self::Folder { .. } => Ok(()),
        }
    }
}

/// Files of a Vault that was destroyed are still there.
fn left(vault: &Temporary) -> Failure {
    Failure::new(Exit::Failed, "the temporary Vault is destroyed, and files of it could not be removed")
        .state(format!("nobody can open it any more; what is left of it lies below {}", vault.folder().display()))
        .hint("take away what keeps them there, such as a mount; then `donjon down` again")
}

impl Sealing {
    /// As an error for whoever wanted the store.
    pub fn failure(self) -> Failure {
        let message = match self.why {
            Why::Sealed => "the store is sealed",
            Why::NoCredential => "the store is open, but the broker that had a credential for it has died",
        };
        Failure::new(Exit::Unavailable, message)
            .cause(format!("{} of {} unseal shares were given", self.given, self.needed))
            .state("nothing is lost")
            .hint("custodians: `donjon unseal -i IDENTITY`")
    }
}
