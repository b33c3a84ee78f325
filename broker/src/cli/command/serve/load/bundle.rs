//! A node's bundle, opened with every check once more, and the roles that read it.

use super::{Loaded, Wanted, consumers, not_bound, roles};
use crate::{
    cli::command::import::now,
    failure::{Exit, Failure},
    reader::{Callers, OfBundle, Source},
    records::Layout,
    transfer::{
        bundle::{Identities, Manifest, OpenError, Opened, Scope},
        import::node::Node,
        told,
    },
};
use donjon_drivers::store::{RecordPath, bundle::Bundle};
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// Opens the bundle that the node reads, and its roles.
pub(super) fn load(folder: &Path, identities: &Identities) -> Result<Loaded, Failure> {
    let refused = format!("cannot serve from {}", folder.display());
    let node = Node::open_known(folder).map_err(|error| told::import(&refused, &error))?;
    let file = node.read().map_err(|error| told::import(&refused, &error))?;
    let verified = node.verify_read(&file, now()).map_err(|error| told::import(&refused, &error))?;
    let opened: Opened = verified.open(identities).map_err(|error| {
        let told = told::bundle(&refused, &error);
        match matches!(error, OpenError::WrongIdentity) {
            true => told.hint(ANOTHER),
            false => told,
        }
    })?;
    let roles = roles(folder, wanted(folder, opened.manifest())?)?;
    let (scope, created, ends) =
        (opened.manifest().scope.clone(), opened.manifest().created, opened.manifest().not_after);
    let records = opened.records().len();
    let bundle = Bundle::new(created, opened.into_records().into_iter().map(|r| (r.path, r.version, r.document)));
    let lookup = Arc::new(OfBundle::new(bundle, ends, now));
    // Whoever starts later than this reads this bundle: `donjon drain` asks for it.
    node.serve(now()).map_err(|error| told::import(&refused, &error))?;
    Ok(Loaded { source: Source { lookup, roles }, records: Some(records), scope: scope.to_string(), ends: Some(ends) })
}

/// The roles that a node is to have: the bundle's own, which reads all of it, and its consumers'. Nothing is changed.
pub(in crate::cli::command) fn wanted(folder: &Path, manifest: &Manifest) -> Result<Wanted, Failure> {
    let Scope::Site { role: own, .. } = &manifest.scope else {
        return Err(Failure::new(Exit::Usage, "a custodians' bundle is for no node").state("nothing is served"));
    };
    let layout = Layout::new(manifest.deployment.clone())
        .map_err(|error| Failure::new(Exit::Usage, "cannot use this deployment").because(&error))?;
    let all: BTreeSet<RecordPath> = manifest.entries.iter().map(|entry| entry.path.clone()).collect();
    let mut wanted = Wanted::from([(own.clone(), (all.clone(), Callers::default()))]);
    let consumers = consumers(folder)?;
    if !consumers.iter().any(|(name, _)| name == own) {
        not_bound(folder, own)?;
    }
    for (name, consumer) in consumers.iter() {
        let reads = match &consumer.reads {
            None => all.clone(),
            Some(names) => names.iter().map(|name| layout.secret(name)).collect(),
        };
        wanted.insert(name.clone(), (reads, consumer.callers.clone()));
    }
    Ok(wanted)
}

const ANOTHER: &str = "where this node has a new identity, `systemctl restart donjon-reader`: a reader reads it once, as it starts; else \
                       give the one whose public key was a recipient: -i IDENTITY";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::command::serve::load::CONSUMERS,
        transfer::{
            Places,
            authority::Authority,
            bundle::{Checks, Recipients, Sealed},
            export::{Request, Wanted, export},
        },
    };
    use donjon_drivers::{
        fs,
        material::Material,
        store::{Document, Expected, Store, Which, memory::Memory},
    };

    /// What the bundle of the role `compute` says of itself.
    async fn manifest() -> Manifest {
        let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
        let closure = ["site1/a", "site1/b"].map(|path| Wanted { path: path.parse().unwrap(), which: Which::Latest });
        for Wanted { path, .. } in &closure {
            let document = Document::from_json(Material::from(r#"{"password":"x"}"#.to_owned())).unwrap();
            store.write(path, &document, Expected::Absent).await.unwrap();
        }
        let authority = Authority::ensure(&store, &places, 100).await.unwrap();
        let reader = age::x25519::Identity::generate().to_public().to_string();
        let recipients = Recipients::parse([reader.as_str()]).unwrap();
        let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
        let request =
            Request { scope, closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
        let bundle = export(&store, &places, &authority, &request, 200).await.unwrap();
        let checks = Checks { now: 300, ..Checks::default() };
        Sealed::parse(&bundle.file.bytes().unwrap()).unwrap().verify(&checks).unwrap().manifest().clone()
    }

    #[tokio::test]
    async fn a_role_that_was_somebodys_is_not_everybodys_because_a_file_is_gone() {
        let (folder, manifest) = (tempfile::tempdir().unwrap(), manifest().await);
        let folder = folder.path();
        let file = folder.join(CONSUMERS);
        let own = "compute".parse().unwrap();
        let roles = || roles(folder, wanted(folder, &manifest)?);
        assert!(!roles().unwrap().named(&own).unwrap().callers.bound(), "nothing was said yet");
        for text in ["compute: {uids: [7]}", "compute: {uids: [7, 8], reads: [a]}"] {
            fs::replace(&file, text.as_bytes()).unwrap();
            let before = roles().unwrap();
            let kept = std::fs::read(folder.join("roles.json")).unwrap();
            std::fs::remove_file(&file).unwrap();
            assert_eq!(roles().unwrap_err().code, Exit::NotAllowed, "{text}");
            fs::replace(&file, b"nova: {uids: [8], reads: [a]}").unwrap();
            assert_eq!(roles().unwrap_err().code, Exit::NotAllowed, "{text}");
            std::fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&file, &file).unwrap();
            assert!(roles().is_err(), "a file that cannot be looked at");
            std::fs::remove_file(&file).unwrap();
            assert_eq!(std::fs::read(folder.join("roles.json")).unwrap(), kept, "nothing was changed");
            fs::replace(&file, text.as_bytes()).unwrap();
            assert_eq!(roles().unwrap(), before, "the file is back");
            fs::replace(&file, b"compute: {}").unwrap();
            let opened = roles().unwrap();
            assert_eq!(
                (opened.named(&own).unwrap().reads.len(), opened.named(&own).unwrap().callers.bound()),
                (2, false)
            );
        }
    }
}
