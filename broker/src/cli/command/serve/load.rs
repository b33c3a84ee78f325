//! What a reader serves, and to whom: a node's bundle, or what the daemon of this host has.

mod bundle;
mod daemon;

pub(in crate::cli::command) use bundle::wanted;

use crate::{
    callers::USERS,
    daemon::translate,
    failure::{Exit, Failure},
    home::Home,
    reader::{
        Callers, Credential, Role, Roles, RolesError, Source,
        consumers::{Consumers, ConsumersError},
    },
    transfer::bundle::Identities,
};
use donjon_drivers::{fs, store::RecordPath};
use donjon_policies::name::RoleName;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Where it comes from. It is read again while it is served.
pub(super) enum Origin {
    /// The bundle in the node's folder.
    Bundle(Identities),
    /// The daemon of this home.
    Daemon(Home),
}

/// What is served: from where, and to whom.
pub(super) struct Loaded {
    pub(super) source: Source,
    /// How many records, where that is fixed.
    pub(super) records: Option<usize>,
    /// Of what.
    pub(super) scope: String,
    /// Until which second of 1970, where there is an end.
    pub(super) ends: Option<i64>,
}

impl Origin {
    /// Reads it, and the roles that read from it.
    pub(super) fn load(&self, folder: &Path) -> Result<Loaded, Failure> {
        match self {
            Self::Bundle(identities) => bundle::load(folder, identities),
            Self::Daemon(home) => daemon::load(folder, home),
        }
    }

    /// The files whose change means that it is to be read again.
    pub(super) fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let consumers = folder.join(CONSUMERS);
        let mut files = Consumers::certificates(&consumers);
        files.extend([folder.join(ROLES), consumers]);
        match self {
            Self::Bundle(_) => files.push(folder.join("node.json")),
            Self::Daemon(home) => files.extend([home.deployment_file(), USERS.into()]),
        }
        files
    }
}

/// What roles there are to be, what each reads and who acts as it.
pub(in crate::cli::command) type Wanted = BTreeMap<RoleName, (BTreeSet<RecordPath>, Callers)>;

/// The roles that are wanted. An AppRole is made when a role is first seen; one that is no longer there is forgotten, and its
/// tokens with it.
pub(in crate::cli::command) fn roles(folder: &Path, wanted: Wanted) -> Result<Roles, Failure> {
    let failed = |error: &RolesError| {
        Failure::new(Exit::Failed, "cannot read or make the node's roles")
            .because(error)
            .state("nothing else was changed")
    };
    let file = folder.join(ROLES);
    let known = Roles::read(&file).map_err(|error| failed(&error))?;
    let mut roles = Roles::default();
    for (name, (reads, callers)) in wanted {
        let role = match known.named(&name) {
            Some(role) => role.reading(&reads),
            None => {
                let (role, credential) = Role::generate(name.clone(), &reads).map_err(|error| failed(&error))?;
                keep(folder, &name, &credential)?;
                role
            }
        };
        roles.set(role.of(callers));
    }
    if roles != known {
        roles.write(&file).map_err(|error| failed(&error))?;
    }
    Ok(roles)
}

/// What the folder's `consumers.yaml` says.
fn consumers(folder: &Path) -> Result<Consumers, Failure> {
    Consumers::read(&folder.join(CONSUMERS)).map_err(|error: ConsumersError| {
        Failure::new(Exit::Usage, "cannot tell who reads what")
            .because(&error)
            .state("who is served already is served on, and nobody anew")
            .hint("`donjon serve --help` shows what consumers.yaml holds")
    })
}

/// Refused where the role was for users or keys alone, since nothing says any more for whom it is.
fn not_bound(folder: &Path, role: &RoleName) -> Result<(), Failure> {
    let known = Roles::read(&folder.join(ROLES)).map_err(|error| {
        Failure::new(Exit::Failed, "cannot read the node's roles").because(&error).state("nothing else was changed")
    })?;
    if known.named(role).is_none_or(|role| !role.callers.bound()) {
        return Ok(());
    }
    Err(Failure::new(Exit::NotAllowed, format!("nothing says any more for whom the role `{role}` is"))
        .cause(format!("it was for users or keys alone, and {} does not name it now", folder.join(CONSUMERS).display()))
        .state("who was served before is served on, and nobody else")
        .hint(format!("put the file back; `{role}: {{}}` in it opens the role to whoever has its credential")))
}

/// What consumers log in with, in files that only their owner can read.
pub(super) fn keep(folder: &Path, role: &RoleName, credential: &Credential) -> Result<(), Failure> {
    let folder = folder.join(ROLE_FILES).join(role.as_str());
    let write = || {
        fs::private_folder(&folder)?;
        fs::replace(&folder.join("role-id"), credential.role_id.as_bytes())?;
        // EXPOSE: the consumer's own credential, a declared sink
        fs::replace(&folder.join("secret-id"), credential.secret_id.expose())
    };
    write().map_err(|error| translate::file("cannot write the role's credential", &error))
}

/// Below the node's folder: a folder for each role, with the files `role-id` and `secret-id`.
pub(in crate::cli::command) const ROLE_FILES: &str = "approle";
/// In the node's folder: the roles, with what their credentials and tokens are checked by.
pub(super) const ROLES: &str = "roles.json";
/// In the node's folder: who acts as which role.
const CONSUMERS: &str = "consumers.yaml";
