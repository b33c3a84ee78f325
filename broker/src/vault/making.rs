//! Making a new Vault: initialised, shares kept, prepared for the broker, root gone.

use super::{
    binary::Flavour,
    custody::Custody,
    error::VaultError,
    place::Place,
    server::{Revoked, Server},
    setup::{self, Credential},
    shares,
    state::{Phase, State},
    step::{Step, Watcher},
};
use donjon_drivers::{material::Material, store::vault::Connection};
use std::time::Duration;

/// Initialises a new server and prepares it for the broker. Gives back how long the broker's token lives.
pub(super) async fn fill(
    place: &Place,
    custody: &Custody,
    state: &mut State,
    connection: &Connection,
    flavour: Flavour,
    watcher: &Watcher,
) -> Result<Duration, VaultError> {
    let (count, threshold) = custody.shares();
    watcher(Step::Initialising);
    let initialised = Server(connection).initialise(count, threshold).await;
    let initialised = initialised.map_err(VaultError::call("initialise the Vault server"))?;
    state.shares = shares::keep(place, state.generation, custody, &initialised.shares)?;
    watcher(Step::SharesKept);
    unseal(connection, &initialised.shares).await?;
    drop(initialised.shares);
    let root = initialised.root;
    watcher(Step::Preparing);
    let credential = setup::prepare(connection, place, flavour, custody.mode(), &root).await;
    let credential = credential.map_err(VaultError::call("prepare the Vault server"))?;
    watcher(Step::RevokingRoot);
    let token = match credential {
        Credential::Token(token) => {
            revoke_root(connection, &root).await?;
            token
        }
        Credential::Login(login) => {
            shares::keep_credential(place, &login)?;
            // What was kept is what has to work.
            let token = Server(connection).login(&shares::credential(place)?).await;
            revoke_root(connection, &root).await?;
            token.map_err(VaultError::call("log the broker in"))?
        }
    };
    let lives = Duration::from_secs(token.lives);
    connection.use_token(token.token);
    state.phase = Phase::Ready;
    state.write(place)?;
    Ok(lives)
}

/// Unseals a server and waits until it serves.
pub(super) async fn unseal(connection: &Connection, shares: &[Material]) -> Result<(), VaultError> {
    let seal = Server(connection).unseal(shares).await.map_err(VaultError::call("unseal the Vault server"))?;
    if seal.sealed {
        return Err(VaultError::StillSealed);
    }
    let active = Server(connection).active(ACTIVE_WITHIN).await;
    active.map_err(VaultError::call("wait until the Vault server serves"))
}

/// Revokes a root token, and sees that it is refused.
pub(super) async fn revoke_root(connection: &Connection, root: &Material) -> Result<(), VaultError> {
    match Server(connection).revoke(root).await.map_err(VaultError::call("revoke the root token"))? {
        Revoked::Refused => Ok(()),
        Revoked::StillValid => Err(VaultError::RootStillValid),
    }
}

const ACTIVE_WITHIN: Duration = Duration::from_secs(60);
