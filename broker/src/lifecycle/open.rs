//! Opening the store that `up` was asked for.

use super::{Backing, vault_trouble};
use crate::{
    failure::{Exit, Failure},
    home::Home,
    vault::{
        Custody, Existing, Settings, Temporary, VaultError, Watcher,
        existing::{ExistingError, Named},
    },
};
use donjon_drivers::{
    fs::FileError,
    material::Material,
    store::{
        file::{File, OpenError},
        vault::{CallError, Reason},
    },
};
use std::{env, sync::Arc};

/// What was asked for.
pub struct Wanted<'a> {
    /// An encrypted folder instead of a Vault.
    pub folder: bool,
    /// The custodians' age keys.
    pub custodians: &'a [String],
    /// How many of them unseal.
    pub threshold: Option<u32>,
    /// The token for a Vault that is already there, where it did not come by the environment.
    pub token: Option<Material>,
}

/// Opens it. Steps are told to the watcher.
pub async fn open(home: &Home, wanted: Wanted<'_>, watcher: Watcher) -> Result<Backing, Failure> {
    if wanted.folder {
        if !wanted.custodians.is_empty() {
            return Err(Failure::new(Exit::Usage, "an encrypted folder has no custodians")
                .state("nothing was started")
                .hint("leave --custodian out, or use a temporary Vault: `donjon up --custodian …`"));
        }
        let store = File::open(&home.file_store()).await.map_err(|error| folder_trouble(&error))?;
        return Ok(Backing::Folder { store: Arc::new(store) });
    }
    if let Some(named) = named(wanted.token)? {
        return existing(named).await;
    }
    let custody = match wanted.custodians {
        [] => None,
        keys => Some(
            Custody::custodians(keys.iter().map(String::as_str), wanted.threshold)
                .map_err(|error| vault_trouble("cannot bring up a temporary Vault", &VaultError::from(error)))?,
        ),
    };
    let settings = Settings {
        folder: home.vault(),
        custody,
        named: env::var_os("DONJON_VAULT_BIN").filter(|named| !named.is_empty()),
        search: env::var_os("PATH"),
    };
    let vault = Temporary::bring_up(settings, watcher)
        .await
        .map_err(|error| vault_trouble("cannot bring up a temporary Vault", &error))?;
    let tending = tokio::spawn(vault.clone().tend()).abort_handle();
    let store = Arc::new(vault.store());
    Ok(Backing::Temporary { vault, store, tending })
}

fn named(token: Option<Material>) -> Result<Option<Named>, Failure> {
    // EXPOSE: becomes the token of the connection, which is Material again
    let token = token.and_then(|token| token.expose_text().ok().map(str::to_owned));
    let variable = |name: &str| match (name, &token) {
        ("BAO_TOKEN" | "VAULT_TOKEN", Some(token)) => Some(token.clone()),
        (name, _) => env::var(name).ok(),
    };
    Named::from_variables(variable).map_err(|error| existing_trouble(&error))
}

async fn existing(named: Named) -> Result<Backing, Failure> {
    let existing = Existing::open(named).await.map_err(|error| existing_trouble(&error))?;
    let store = Arc::new(existing.store());
    tokio::spawn(existing.clone().tend());
    Ok(Backing::Existing { vault: existing, store })
}

fn folder_trouble(error: &OpenError) -> Failure {
    let (code, hint) = match error {
        OpenError::File(FileError::TooOpen { .. } | FileError::Changeable { .. } | FileError::Foreign { .. }) => {
            (Exit::NotAllowed, "it must belong to this user, and to this user alone")
        }
        OpenError::File(FileError::Io { .. } | FileError::Attribute { .. }) => {
            (Exit::Failed, "its disk may be full or read-only")
        }
        OpenError::Identity(_) | OpenError::IdentityLost { .. } => {
            (Exit::NotAllowed, "put the file `identity` back from a copy; without it the records cannot be read")
        }
        OpenError::IndexLost { .. } | OpenError::Index { .. } => {
            (Exit::Integrity, "put the folder back from a copy, whole")
        }
        OpenError::Newer { .. } => (Exit::Usage, "use the Donjon that wrote it, or a newer one"),
        OpenError::Held { .. } => (Exit::Unavailable, "try again in a moment"),
    };
    Failure::new(code, "cannot open the encrypted folder").because(error).state("nothing was changed").hint(hint)
}

fn existing_trouble(error: &ExistingError) -> Failure {
    // Whoever has secrets there must not be led to another Vault, which has none of them.
    let (code, hint) = match error {
        ExistingError::NoToken { .. } => (
            Exit::Usage,
            "give it by BAO_TOKEN, or by VAULT_TOKEN where VAULT_ADDR names it; where no secret of Donjon's is in it, unset both addresses for a temporary Vault on this host",
        ),
        ExistingError::Authority(_) => (Exit::Usage, "BAO_CACERT or VAULT_CACERT names a file of certificates in PEM"),
        ExistingError::Address(_) => (Exit::Usage, "an address is `https://HOST:PORT`"),
        ExistingError::Mount(_) | ExistingError::NoMount { .. } => {
            (Exit::Usage, "DONJON_MOUNT names the mount; its token's policy must let it read and write there")
        }
        ExistingError::Sealed { .. } => {
            (Exit::Unavailable, "its operators unseal it, `bao operator unseal`; then the same command again")
        }
        ExistingError::Call(CallError::Refused { reason: Reason::Denied, .. }) => (
            Exit::Unavailable,
            "its token has ended or is another's: give one that is good by BAO_TOKEN or VAULT_TOKEN",
        ),
        ExistingError::Call(_) => {
            (Exit::Unavailable, "see that it runs and can be reached, then the same command again")
        }
    };
    Failure::new(code, "cannot use the Vault that BAO_ADDR or VAULT_ADDR names")
        .because(error)
        .state("nothing was started or changed")
        .hint(hint)
}
