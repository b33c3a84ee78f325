//! A node's bundle, opened with every check once more, and the roles that read it.

use super::{Loaded, Wanted, consumers, roles};
use crate::{
    cli::command::import::now,
    failure::{Exit, Failure},
    reader::{Callers, OfBundle, Roles, Source},
    records::Layout,
    transfer::{
        bundle::{Identities, Manifest, Opened, Scope},
        import::node::Node,
        told,
    },
};
use donjon_drivers::store::{RecordPath, bundle::Bundle};
use std::{collections::BTreeSet, path::Path, sync::Arc};

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
    let lookup = Arc::new(OfBundle::new(bundle, ends, now));
    // Whoever starts later than this reads this bundle: `donjon drain` asks for it.
    node.serve(now()).map_err(|error| told::import(&refused, &error))?;
    Ok(Loaded { source: Source { lookup, roles }, records: Some(records), scope: scope.to_string() })
}

/// The roles of a node: the bundle's own, which reads all of it, and its consumers'.
pub(in crate::cli::command) fn roles_of(folder: &Path, manifest: &Manifest) -> Result<Roles, Failure> {
    let Scope::Site { role: own, .. } = &manifest.scope else {
        return Err(Failure::new(Exit::Usage, "a custodians' bundle is for no node").state("nothing is served"));
    };
    let layout = Layout::new(manifest.deployment.clone())
        .map_err(|error| Failure::new(Exit::Usage, "cannot use this deployment").because(&error))?;
    let all: BTreeSet<RecordPath> = manifest.entries.iter().map(|entry| entry.path.clone()).collect();
    let mut wanted = Wanted::from([(own.clone(), (all.clone(), Callers::default()))]);
    for (name, consumer) in consumers(folder)?.iter() {
        let reads = match &consumer.reads {
            None => all.clone(),
            Some(names) => names.iter().map(|name| layout.secret(name)).collect(),
        };
        wanted.insert(name.clone(), (reads, consumer.callers.clone()));
    }
    roles(folder, wanted)
}
