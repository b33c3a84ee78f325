//! `donjon serve`: a node's reader, in the foreground.

use super::import::{authority_key, identities, now, private, read};
use crate::{
    audit::{About, Act as Line, Actor, Log, Outcome as How},
    cli::{Context, context::Output, show},
    daemon::translate,
    failure::{Exit, Failure},
    reader::{
        Act, OfStore, Outcome, Reader, Role, Roles, RolesError, Seen, Source as Served, Tokens, Unwitnessed, Witness,
        server::{Certificate, Limits, ListenError, Listening},
    },
    transfer::{
        bundle::{Checks, Identities, Manifest, Opened, Scope},
        import::node::Node,
        succession::Trust,
        told,
    },
};
use clap::Args;
use donjon_drivers::{
    fs,
    store::{RecordPath, bundle::Bundle},
};
use donjon_policies::name::RoleName;
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use tokio::signal::unix::{SignalKind, signal};

/// Serve a bundle to castellan, hvac, Ansible and `bao`, as a Vault would. Needs no daemon, and stays in the foreground.
///
/// The bundle is imported into the node's folder first, with all of `donjon import`'s checks; without a file the folder's
/// own bundle is served. SIGHUP reads the folder again, SIGTERM ends when requests under way are answered.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon serve --store bundle:edge1.donjon -i node.identity\n  donjon serve -i node.identity --node /var/lib/donjon/node --listen 127.0.0.1:8200"
)]
pub struct Serve {
    /// What to serve: `bundle:FILE`, or `bundle` for what the node's folder holds.
    #[arg(long, default_value = "bundle", value_name = "bundle[:FILE]")]
    store: Source,
    /// The age identity file of this node.
    #[arg(long, short, value_name = "FILE")]
    identity: PathBuf,
    /// The node's folder: bundles, roles, tokens, audit log; `node` in DONJON_HOME where not given.
    #[arg(long, value_name = "FOLDER")]
    node: Option<PathBuf>,
    /// Where to listen. Anything but loopback needs a certificate.
    #[arg(long, default_value = "127.0.0.1:8200", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The mount that clients name.
    #[arg(long, default_value = "donjon")]
    mount: String,
    /// A certificate chain in PEM, to serve TLS.
    #[arg(long, requires = "key", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, requires = "certificate", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The authority's public key, pinned from this file instead of from the first bundle.
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
}

/// What `--store` names.
#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Folder,
}

impl FromStr for Source {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "bundle" => Ok(Self::Folder),
            Some(("bundle", file)) if !file.is_empty() => Ok(Self::File(file.into())),
            Some(_) | None => Err("write `bundle:FILE`, or `bundle` for what the node's folder holds"),
        }
    }
}

/// What is served: from where, and to whom.
struct Loaded {
    source: Served,
    records: usize,
    scope: Scope,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = self.node.clone().unwrap_or_else(|| context.home.folder().join("node"));
        let mount: RecordPath = self.mount.parse().map_err(|error: donjon_drivers::store::path::PathError| {
            Failure::new(Exit::Usage, "this is no mount").because(&error)
        })?;
        let identities = identities(&self.identity, &private(&self.identity)?)?;
        let first = match &self.store {
            Source::File(file) => self.import(&folder, file, &identities)? == Trust::First,
            Source::Folder => false,
        };
        let loaded = load(&folder, &identities)?;
        let tokens = Tokens::open(&folder.join("tokens"), now()).map_err(|error| {
            Failure::new(Exit::Failed, "cannot read the node's tokens").because(&error).state("nothing is served")
        })?;
        let log = Log::open(&folder.join("audit.jsonl")).map_err(|error| translate::audit(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, "cannot start the runtime").because(&error))?;
        let Loaded { source, records, scope } = loaded;
        let reader = Arc::new(Reader::new(mount, source, tokens, Arc::new(NodeLog(log)), now));
        runtime.block_on(async {
            let certificate = self.certificate.as_deref().zip(self.key.as_deref());
            let certificate = certificate.map(|(chain, key)| Certificate { chain, key });
            let listening = Listening::bind(self.listen, certificate).await.map_err(|error| refused(&error))?;
            let url = listening.url();
            if first && context.output == Output::Table {
                anstream::eprintln!(
                    "warning: the authority's key was not known here before, and is pinned because its bundle came first"
                );
            }
            let ready = json!({"url": url, "scope": scope.to_string(), "records": records, "node": folder.display().to_string()});
            show::answer(context.output, &ready, || {
                format!("serving {records} records for {scope} at {url}; credentials are in {}\n", folder.join(ROLE_FILES).display())
            })?;
            let reload = reload_on_hangup(Arc::clone(&reader), folder.clone(), identities)?;
            listening.serve(reader, Limits::default(), ended()?).await;
            reload.abort();
            Ok(())
        })
    }

    fn import(&self, folder: &Path, file: &Path, identities: &Identities) -> Result<Trust, Failure> {
        let refused = format!("cannot serve {}", file.display());
        let bytes = read(file)?;
        let key = self.authority_key.as_deref().map(authority_key).transpose()?;
        let mut node = Node::open(folder).map_err(|error| told::import(&refused, &error))?;
        let checks = Checks { pin: key.as_ref(), now: now(), ..Checks::default() };
        let verified = node.verify(&bytes, &checks).map_err(|error| told::import(&refused, &error))?;
        let opened = verified.open(identities).map_err(|error| told::bundle(&refused, &error))?;
        node.accept(&bytes, &opened, now()).map_err(|error| told::import(&refused, &error))?;
        Ok(opened.trust())
    }
}

/// Opens the node's own bundle, with every check once more, and its roles.
fn load(folder: &Path, identities: &Identities) -> Result<Loaded, Failure> {
    let refused = format!("cannot serve from {}", folder.display());
    let node = Node::open(folder).map_err(|error| told::import(&refused, &error))?;
    let (file, _) = node.current().map_err(|error| told::import(&refused, &error))?;
    let checks = Checks { now: now(), ..Checks::default() };
    let verified = node.verify(&file, &checks).map_err(|error| told::import(&refused, &error))?;
    let opened: Opened = verified.open(identities).map_err(|error| told::bundle(&refused, &error))?;
    let roles = roles_of(folder, opened.manifest())?;
    let (scope, created, ends) =
        (opened.manifest().scope.clone(), opened.manifest().created, opened.manifest().not_after);
    let records = opened.records().len();
    let bundle = Bundle::new(created, opened.into_records().into_iter().map(|r| (r.path, r.version, r.document)));
    let lookup = Arc::new(OfStore(Arc::new(bundle)));
    Ok(Loaded { source: Served { lookup, roles, ends: Some(ends) }, records, scope })
}

/// The AppRole of a bundle's role, made when it is first seen; it may read what the bundle holds.
pub(super) fn roles_of(folder: &Path, manifest: &Manifest) -> Result<Roles, Failure> {
    let failed = |error: &RolesError| {
        Failure::new(Exit::Failed, "cannot read or make the node's roles").because(error).state("the bundle is kept")
    };
    let Scope::Site { role: name, .. } = &manifest.scope else {
        return Err(Failure::new(Exit::Usage, "a custodians' bundle is for no node").state("nothing is served"));
    };
    let file = folder.join("roles.json");
    let reads: BTreeSet<RecordPath> = manifest.entries.iter().map(|entry| entry.path.clone()).collect();
    let mut roles = Roles::read(&file).map_err(|error| failed(&error))?;
    let role = match roles.named(name) {
        Some(role) => role.reading(&reads),
        None => {
            let (role, credential) = Role::generate(name.clone(), &reads).map_err(|error| failed(&error))?;
            keep(folder, name, &credential)?;
            role
        }
    };
    roles.set(role);
    roles.write(&file).map_err(|error| failed(&error))?;
    Ok(roles)
}

/// What consumers log in with, in files that only their owner can read.
fn keep(folder: &Path, role: &RoleName, credential: &crate::reader::Credential) -> Result<(), Failure> {
    let folder = folder.join(ROLE_FILES).join(role.as_str());
    let write = || {
        fs::private_folder(&folder)?;
        fs::replace(&folder.join("role-id"), credential.role_id.as_bytes())?;
        // EXPOSE: the consumer's own credential, a declared sink
        fs::replace(&folder.join("secret-id"), credential.secret_id.expose())
    };
    write().map_err(|error| translate::file("cannot write the role's credential", &error))
}

fn reload_on_hangup(
    reader: Arc<Reader>,
    folder: PathBuf,
    identities: Identities,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| no_signals(&error))?;
    Ok(tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match load(&folder, &identities) {
                Ok(loaded) => reader.replace(loaded.source),
                // What was served is served on.
                Err(failure) => anstream::eprintln!("{failure}"),
            }
        }
    }))
}

fn ended() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| no_signals(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| no_signals(&error))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn no_signals(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Bug, "cannot listen for signals").because(error)
}

fn refused(error: &ListenError) -> Failure {
    let code = match error {
        ListenError::Open { .. } | ListenError::Pem { .. } | ListenError::Tls(_) => Exit::Usage,
        ListenError::Bind { .. } | ListenError::File(_) => Exit::Failed,
    };
    Failure::new(code, "cannot serve").because(error).state("nothing is served")
}

/// The node's own audit log.
struct NodeLog(Log);

impl Witness for NodeLog {
    fn record(&self, seen: &Seen<'_>) -> Result<(), Unwitnessed> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let actor = Actor { uid: rustix::process::geteuid().as_raw(), pid: own };
        let act = match seen.act {
            Act::Login => Line::Login,
            Act::Read => Line::Read,
            Act::List => Line::List,
            Act::Token => Line::Token,
        };
        let outcome = match seen.outcome {
            Outcome::Done => How::Done,
            Outcome::Refused => How::Denied,
            Outcome::Missing | Outcome::Failed => How::Failed,
        };
        let name = seen.path.and_then(|path| path.as_str().rsplit('/').next()?.parse().ok());
        let about = About { role: seen.role.cloned(), names: name.into_iter().collect(), overrides: Vec::new() };
        self.0.record_about(actor, act, about, outcome).map_err(|_| Unwitnessed)
    }
}

/// Below the node's folder: a folder for each role, with the files `role-id` and `secret-id`.
pub(super) const ROLE_FILES: &str = "approle";
