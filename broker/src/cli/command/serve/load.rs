//! What a reader serves: a node's bundle, opened with every check once more, and the roles that read it.

use crate::{
    cli::command::import::now,
    daemon::translate,
    failure::{Exit, Failure},
    reader::{
        Callers, Credential, OfStore, Role, Roles, RolesError, Source,
        consumers::{Consumers, ConsumersError},
    },
    records::Layout,
    transfer::{
        bundle::{Identities, Manifest, Opened, Scope},
        import::node::Node,
        told,
    },
};
use donjon_drivers::{
    fs,
    store::{RecordPath, bundle::Bundle},
};
use donjon_policies::name::RoleName;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// What is served: from where, and to whom.
pub(super) struct Loaded {
    pub(super) source: Source,
    pub(super) records: usize,
    pub(super) scope: Scope,
}

/// Opens the bundle that the node reads, and its roles.
pub(super) fn load(folder: &Path, identities: &Identities) -> Result<Loaded, Failure> {
    let refused = format!("cannot serve from {}", folder.display());
    let node = Node::open_in_turn(folder).map_err(|error| told::import(&refused, &error))?;
    let file = node.read().map_err(|error| told::import(&refused, &error))?;
    let verified = node.verify_read(&file, now()).map_err(|error| told::import(&refused, &error))?;
    let opened: Opened = verified.open(identities).map_err(|error| told::bundle(&refused, &error))?;
    let roles = roles_of(folder, opened.manifest())?;
    let (scope, created, ends) =
        (opened.manifest().scope.clone(), opened.manifest().created, opened.manifest().not_after);
    let records = opened.records().len();
    let bundle = Bundle::new(created, opened.into_records().into_iter().map(|r| (r.path, r.version, r.document)));
    let lookup = Arc::new(OfStore(Arc::new(bundle)));
    // Whoever starts later than this reads this bundle: `donjon drain` asks for it.
    node.serve(now()).map_err(|error| told::import(&refused, &error))?;
    Ok(Loaded { source: Source { lookup, roles, ends: Some(ends) }, records, scope })
}

/// The roles of a node: the bundle's own, which reads all of it, and its consumers'. An AppRole is made when a role is
/// first seen; one that is no longer there is forgotten, and its tokens with it.
pub(in crate::cli::command) fn roles_of(folder: &Path, manifest: &Manifest) -> Result<Roles, Failure> {
    let failed = |error: &RolesError| {
        Failure::new(Exit::Failed, "cannot read or make the node's roles").because(error).state("the bundle is kept")
    };
    let Scope::Site { role: own, .. } = &manifest.scope else {
        return Err(Failure::new(Exit::Usage, "a custodians' bundle is for no node").state("nothing is served"));
    };
    let file = folder.join("roles.json");
    let known = Roles::read(&file).map_err(|error| failed(&error))?;
    let mut roles = Roles::default();
    for (name, (reads, callers)) in wanted(folder, manifest, own)? {
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

type Wanted = BTreeMap<RoleName, (BTreeSet<RecordPath>, Callers)>;

fn wanted(folder: &Path, manifest: &Manifest, own: &RoleName) -> Result<Wanted, Failure> {
    let refused = |error: &ConsumersError| {
        Failure::new(Exit::Usage, "cannot tell who reads what")
            .because(error)
            .state("who was served before is served on")
            .hint("`donjon serve --help` shows what consumers.yaml holds")
    };
    let layout = Layout::new(manifest.deployment.clone())
        .map_err(|error| Failure::new(Exit::Usage, "cannot use this deployment").because(&error))?;
    let all: BTreeSet<RecordPath> = manifest.entries.iter().map(|entry| entry.path.clone()).collect();
    let mut wanted = Wanted::from([(own.clone(), (all.clone(), Callers::default()))]);
    let consumers = Consumers::read(&folder.join(CONSUMERS)).map_err(|error| refused(&error))?;
    for (name, consumer) in consumers.iter() {
        let reads = match &consumer.reads {
            None => all.clone(),
            Some(names) => names.iter().map(|name| layout.secret(name)).collect(),
        };
        wanted.insert(name.clone(), (reads, consumer.callers.clone()));
    }
    Ok(wanted)
}

/// What consumers log in with, in files that only their owner can read.
fn keep(folder: &Path, role: &RoleName, credential: &Credential) -> Result<(), Failure> {
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
/// In the node's folder: who acts as which role.
pub(super) const CONSUMERS: &str = "consumers.yaml";
