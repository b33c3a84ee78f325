//! `donjon serve`: the reader of a node or of this host's daemon, in the foreground.

mod held;
mod load;
mod log;
mod notify;
mod ready;
mod revoke;
mod watch;

pub(super) use load::{ROLE_FILES, roles, wanted};

use super::{
    audit::OF_NODE,
    import::{authority_key, identities, now, private, read},
};
use crate::{
    audit::{LITTLE_ROOM, Log},
    cli::{Context, context::Output, show},
    daemon::translate,
    descriptors,
    failure::{Exit, Failure},
    reader::{
        Reader, Tokens,
        server::{Certificate, Limits, ListenError, Listening},
    },
    transfer::{
        bundle::{Checks, Identities},
        import::node::Node,
        succession::Trust,
        told,
    },
};
use clap::{Args, Subcommand};
use donjon_drivers::store::RecordPath;
use held::Held;
use load::{Loaded, Origin};
use log::NodeLog;
use serde_json::json;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch as flag,
    task::JoinHandle,
};

/// Serve a bundle, or what the daemon of this host has, to castellan, hvac, Ansible and `bao`, as a Vault would. It stays in
/// the foreground.
///
/// The bundle is imported into the node's folder first, with all of `donjon import`'s checks; without a file the folder's
/// own bundle is served. What changes in the folder is taken over while it serves, at once on SIGHUP; SIGTERM ends when
/// requests under way are answered. Who reads what stands in the folder's `consumers.yaml`, by role:
/// `keystone: {uids: [42425], certificates: [FILE], from: machine|anywhere, reads: [SECRET]}`. A role that names users or
/// certificates is for these alone; at the socket and over TLS they need no other credential.
///
/// With `--store daemon` every answer is asked of the daemon, within its lease; without it nothing is answered. Who reads what
/// stands in donjon.yaml, under `roles`, for those that name users; `consumers.yaml` adds others, by certificate say.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  donjon serve --store bundle:edge1.donjon -i node.identity\n  donjon serve -i node.identity --node /var/lib/donjon-reader --socket /run/donjon-reader/reader.sock\n  donjon serve --store daemon --listen 127.0.0.1:8200\n  donjon serve -i node.identity --listen 0.0.0.0:8200 --certificate own.pem --key own.key --client-authority ca.pem"
)]
pub struct Serve {
    #[command(subcommand)]
    act: Option<Act>,
    /// What to serve: `bundle:FILE`, `bundle` for what the node's folder holds, or `daemon`.
    #[arg(long, default_value = "bundle", value_name = "bundle[:FILE]|daemon")]
    store: Source,
    /// The age identity file of this node; else the service's credential `identity`.
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The node's folder: bundles, roles, tokens, audit log; `node` in DONJON_HOME where not given.
    #[arg(long, value_name = "FOLDER", global = true)]
    node: Option<PathBuf>,
    /// Where to listen; 127.0.0.1:8200 where no socket is given either. Anything but loopback needs a certificate.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A unix socket to listen at. Who asks there is told by the kernel.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The mount that clients name.
    #[arg(long, default_value = "donjon")]
    mount: String,
    /// A certificate chain in PEM, to serve TLS.
    #[arg(long, requires = "key", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its private key in PEM.
    #[arg(long, requires = "certificate", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The authorities whose clients may show a certificate, in PEM.
    #[arg(long, requires = "certificate", value_name = "FILE")]
    client_authority: Option<PathBuf>,
    /// The authority's public key, pinned from this file instead of from the first bundle.
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Act {
    Ready(ready::Ready),
    Revoke(revoke::Revoke),
    Step(revoke::Step),
}

/// What `--store` names.
#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Folder,
    Daemon,
}

impl FromStr for Source {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "bundle" => Ok(Self::Folder),
            None if text == "daemon" => Ok(Self::Daemon),
            Some(("bundle", file)) if !file.is_empty() => Ok(Self::File(file.into())),
            Some(_) | None => Err("write `bundle:FILE`, `bundle` for what the node's folder holds, or `daemon`"),
        }
    }
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let folder = self.node.clone().unwrap_or_else(|| context.home.folder().join("node"));
        match &self.act {
            None => self.serve(context, &folder),
            Some(Act::Ready(ready)) => ready.run(context),
            Some(Act::Revoke(revoke)) => revoke.run(context, &folder),
            Some(Act::Step(step)) => step.run(context, &folder),
        }
    }

    fn serve(&self, context: &Context, folder: &Path) -> Result<(), Failure> {
        let mount: RecordPath = self.mount.parse().map_err(|error: donjon_drivers::store::path::PathError| {
            Failure::new(Exit::Usage, "this is no mount").because(&error)
        })?;
        let origin = match &self.store {
            Source::File(_) | Source::Folder => {
                let identity = self.identity_file()?;
                Origin::Bundle(identities(&identity, &private(&identity)?)?)
            }
            Source::Daemon => Origin::Daemon(context.home.clone()),
        };
        // Both before anything in the folder is changed: a reader that cannot be leaves the one that is alone.
        let held = Arc::new(self.hold(folder)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, "cannot start the runtime").because(&error))?;
        let places = runtime.block_on(self.places())?;
        let first = match (&self.store, &origin) {
            (Source::File(file), Origin::Bundle(identities)) => self.import(folder, file, identities)? == Trust::First,
            (Source::File(_) | Source::Folder | Source::Daemon, Origin::Bundle(_) | Origin::Daemon(_)) => false,
        };
        let origin = Arc::new(origin);
        let stamp = watch::stamp(&origin, folder);
        let Loaded { source, records, scope, ends } = origin.load(folder)?;
        let tokens = Tokens::open(&folder.join("tokens"), now()).map_err(|error| {
            Failure::new(Exit::Failed, "cannot read the node's tokens")
                .because(&error)
                .state("nothing is served")
                .hint("put the file `tokens` aside: every token ends then, and consumers log in anew")
        })?;
        let log = Arc::new(NodeLog(Log::open(&folder.join(OF_NODE)).map_err(|error| translate::audit(&error))?));
        let reader = Arc::new(Reader::new(mount, source, tokens, log.clone(), now));
        runtime.block_on(async {
            let tls = places.iter().find_map(Listening::tls);
            let watched = watch::Watched { reader: reader.clone(), folder: folder.into(), origin, tls, held };
            let watching = watch::start(watched, stamp, ends)?;
            let syncing = tokio::spawn(sync(log.clone(), folder.to_owned()));
            let ended = ended()?;
            let urls: Vec<_> = places.iter().map(|place| place.url().to_owned()).collect();
            let end = flag::Sender::new(());
            let serving: Vec<_> = places.into_iter().map(|place| serve(place, &reader, &end)).collect();
            if first && context.output == Output::Table {
                anstream::eprintln!(
                    "warning: the authority's key was not known here before, and is pinned because its bundle came first"
                );
            }
            let told = json!({"url": urls[0], "urls": urls, "scope": scope, "records": records, "node": folder.display().to_string()});
            show::answer(context.output, &told, || {
                let (urls, roles) = (urls.join(" and "), folder.join(ROLE_FILES));
                let what = records.map_or_else(|| "the daemon's records".to_owned(), |n| format!("{n} records"));
                format!("serving {what} for {scope} at {urls}; credentials are in {}\n", roles.display())
            })?;
            notify::tell("READY=1");
            ended.await;
            notify::tell("STOPPING=1");
            watching.abort();
            end.send_replace(());
            for task in serving {
                // A panic of one was told where it happened; the others are drained all the same.
                let _ = task.await;
            }
            syncing.abort();
            log.0.sync().map_err(|error| translate::audit(&error))
        })
    }

    /// The folder, for as long as this reader lives. One that is not there is made, but where it was to hold a bundle already.
    fn hold(&self, folder: &Path) -> Result<Held, Failure> {
        let node = match &self.store {
            Source::Folder => Node::open_known(folder),
            Source::File(_) | Source::Daemon => Node::open_in_turn(folder),
        };
        drop(node.map_err(|error| told::import(format!("cannot serve from {}", folder.display()), &error))?);
        Held::take(folder)
    }

    fn identity_file(&self) -> Result<PathBuf, Failure> {
        let credential = || env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join("identity"));
        self.identity.clone().or_else(|| credential().filter(|file| file.exists())).ok_or_else(|| {
            Failure::new(Exit::Usage, "the identity of this node is not known")
                .state("nothing is served")
                .hint("give it as -i FILE, or as LoadCredential=identity:FILE of the systemd unit")
        })
    }

    /// Binds all that is asked for.
    async fn places(&self) -> Result<Vec<Listening>, Failure> {
        let mut places = Vec::new();
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, 8200));
        if let Some(address) = self.listen.or_else(|| self.socket.is_none().then(local)) {
            let certificate = self.certificate.clone().zip(self.key.clone());
            let clients = self.client_authority.clone();
            let certificate = certificate.map(|(chain, key)| Certificate { chain, key, clients });
            places.push(Listening::bind(address, certificate).await.map_err(|error| refused(&error))?);
        }
        if let Some(socket) = &self.socket {
            places.push(Listening::unix(socket).map_err(|error| refused(&error))?);
        }
        Ok(places)
    }

    fn import(&self, folder: &Path, file: &Path, identities: &Identities) -> Result<Trust, Failure> {
        let refused = format!("cannot serve {}", file.display());
        let bytes = read(file)?;
        let key = self.authority_key.as_deref().map(authority_key).transpose()?;
        let mut node = Node::open_in_turn(folder).map_err(|error| told::import(&refused, &error))?;
        let checks = Checks { pin: key.as_ref(), now: now(), ..Checks::default() };
        let verified = node.verify(&bytes, &checks).map_err(|error| told::import(&refused, &error))?;
        let opened = verified.open(identities).map_err(|error| told::bundle(&refused, &error))?;
        // What it could not be served by is found before it takes the place of the one that can be.
        wanted(folder, opened.manifest()).map_err(|failure| failure.state(NOT_TAKEN_IN))?;
        node.accept(&bytes, &opened, now()).map_err(|error| told::import(&refused, &error))?;
        Ok(opened.trust())
    }
}

fn serve(place: Listening, reader: &Arc<Reader>, end: &flag::Sender<()>) -> JoinHandle<()> {
    let mut ended = end.subscribe();
    let ended = async move { drop(ended.changed().await) };
    let most = Limits::default();
    // There are two places to listen at most.
    let limits = Limits { connections: most.connections.min(descriptors::connections() / 2), ..most };
    tokio::spawn(place.serve(Arc::clone(reader), limits, ended))
}

/// Makes the lines of each second durable, and says once a day that there is little room for more.
async fn sync(log: Arc<NodeLog>, folder: PathBuf) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut warned = None;
    loop {
        tick.tick().await;
        let (room, day) = (log.0.room().filter(|room| *room < LITTLE_ROOM), Some(now() / DAY));
        if let Some(room) = room.filter(|_| warned != day) {
            warned = day;
            anstream::eprintln!(
                "warning: the disk of {} has {} MB left; when it is full, nothing is answered any more\nhint: make room; the audit log can go elsewhere while the reader is stopped, {OF_NODE} and {OF_NODE}.head together, once the present bundle has drained",
                folder.display(),
                room >> 20
            );
        }
        let log = Arc::clone(&log);
        let synced = tokio::task::spawn_blocking(move || log.0.sync()).await;
        if let Ok(Err(error)) = synced {
            anstream::eprintln!("error: the audit log cannot be made durable: {error}");
        }
    }
}

pub(super) fn ended() -> Result<impl Future<Output = ()>, Failure> {
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
        ListenError::Bind { .. } | ListenError::Socket { .. } | ListenError::File(_) => Exit::Failed,
    };
    Failure::new(code, "cannot serve").because(error).state("nothing is served")
}

const NOT_TAKEN_IN: &str = "the bundle was not taken in, and nothing is served";
/// In seconds.
const DAY: i64 = 86_400;
