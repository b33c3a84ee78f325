//! `donjon wire oslo`: a service's secrets out of its own file and into the store, to be undone until confirmed.

mod beside;

use super::proof::{self, Login};
use crate::{
    callers::Accounts,
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    settings::{asking::OverSocket, outcome},
    socket::{
        client::Client,
        message::{Asked, Request},
    },
    wire::{
        assembled::{Assembled, assembled},
        oslo::{Driver, Moved, Piece, Places, Rewrite, Wired, chosen, rewrite},
    },
};
use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser},
};
use donjon_drivers::{
    fs,
    material::Material,
    source::{Argument, Configuration, Known, Sought, environment::Environment},
    store::secret::Part,
};
use donjon_policies::{
    deployment::{self, Deployment},
    name::{RoleName, SecretName, ServiceName},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// Move a service's secrets out of its oslo.config file into the store, and let it read them from the broker.
///
/// Comments and order stay. An option that has the value of a secret of the store is that secret, whatever the option is called,
/// and follows it when it rotates; each other that is secret becomes the secret SERVICE.GROUP.OPTION. The role of the service's
/// name in donjon.yaml must read them. A URL whose password is a secret of the store already is a view: it must stand under `views`, so
/// that it follows when that secret rotates; what to write there is told. A further file of the service, which it reads behind the first,
/// gets a mapping and a source of its own, and names the sources of all: wire them in the order in which they are read. The last is
/// undone first. What is needed to put the file back is kept beside it, with names where values stood: nothing
/// in clear. `--undo` puts the values of that time's names back, `--confirm` ends that.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf --plan\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf --driver castellan\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf --undo"
)]
pub(super) struct Oslo {
    /// The service; its role in donjon.yaml has the same name.
    #[arg(long)]
    service: ServiceName,
    /// Its configuration file.
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    config: PathBuf,
    /// The mapping file to write; `donjon-SERVICE.conf` beside the configuration where not given, and `donjon-SERVICE-FILE.conf`
    /// of a further file.
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    mapping: Option<PathBuf>,
    /// What the service is to read its secrets with.
    #[arg(long, value_enum, default_value = "donjon")]
    driver: Reads,
    /// castellan's own file, which must be there; `castellan.conf` beside the configuration where not given.
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    castellan: Option<PathBuf>,
    /// Only print what would change.
    #[arg(long)]
    plan: bool,
    /// Put the file back as it was.
    #[arg(long, conflicts_with_all = ["plan", "confirm"])]
    undo: bool,
    /// Keep it as it is now; it can be undone no longer.
    #[arg(long, conflicts_with = "plan")]
    confirm: bool,
}

/// Files are named in full: the service finds them from another folder, and so does the proof.
fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// The drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Reads {
    /// Donjon's own: one request over a socket, and no start without an answer.
    Donjon,
    /// castellan's, unchanged, from `donjon serve`.
    Castellan,
}

/// What can put a file back; it holds no value.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    mapping: PathBuf,
    original: Vec<Piece>,
    /// Whose the original was, and who could read it; what was kept by an earlier version does not say.
    #[serde(default)]
    standing: Option<(u32, u32, u32)>,
    /// What the wired file was, as a SHA-256; not known of what an earlier version kept.
    #[serde(default)]
    wired: Option<String>,
}

impl Oslo {
    /// Moves, undoes or confirms.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        match (self.undo, self.confirm) {
            (true, _) => self.put_back(context),
            (_, true) => self.settle(context),
            (false, false) => self.wire(context),
        }
    }

    fn wire(&self, context: &Context) -> Result<(), Failure> {
        let kept = self.kept();
        if kept.exists() {
            return Err(Failure::new(Exit::Conflict, format!("{} is wired already", self.config.display()))
                .state("nothing was done")
                .hint("`--confirm` keeps it so, `--undo` puts it back"));
        }
        let (bytes, standing) = fs::read_standing(&self.config).map_err(|error| left_alone().because(&error))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|error| left_alone().because(&error))?;
        let (mapping, wired) = self.mapping_file()?;
        let deployment = config::deployment(&context.home)?;
        let (mapped, settings) = (mapping.display().to_string(), self.castellan_file()?.display().to_string());
        let socket = self.socket(context, &deployment);
        let driver = match self.driver {
            Reads::Donjon => Driver::Donjon { socket: &socket },
            Reads::Castellan => Driver::Castellan { settings: &settings, deployment: deployment.deployment.as_str() },
        };
        let stored = Stored::of(context, &deployment)?;
        let name = self.name();
        let places = Places { mapping: &mapped, driver, beside: &wired, file: &name };
        let done = rewrite(&self.service, text, places, |value| stored.with(value)).map_err(|error| {
            let hint = format!("name `{}` in config_source by hand, and map the options", driver.name());
            left_alone().because(&error).hint(hint)
        })?;
        let views = self.views(&stored, &done.moved)?;
        if !self.plan && !done.moved.is_empty() {
            self.may_read(&deployment, &done.moved)?;
            declared(&deployment, &views)?;
            let before = self.moved_before(context, text, &wired, driver)?;
            store(context, &done.moved)?;
            let failed = |error: fs::FileError| {
                Failure::new(Exit::Failed, "cannot write").because(&error).state("the service's file is as it was")
            };
            let undo = Kept {
                format: FORMAT,
                mapping: mapping.clone(),
                original: done.original.clone(),
                standing: Some((standing.mode, standing.uid, standing.gid)),
                wired: Some(digest(done.text.as_bytes())),
            };
            let undo = serde_json::to_vec_pretty(&undo).map_err(|error| left_alone().because(&error))?;
            fs::replace_with_mode(&mapping, done.mapping.as_bytes(), 0o644).map_err(failed)?;
            fs::replace(&kept, &undo).map_err(failed)?;
            fs::replace_as(&self.config, done.text.as_bytes(), standing).map_err(failed)?;
            let others = wired.iter().rev().map(|Wired { file, .. }| file.clone());
            let files: Vec<PathBuf> = others.chain([self.config.clone()]).collect();
            let moved: Vec<&Moved> = done.moved.iter().chain(&before).collect();
            if let Err(failure) = self.prove(context, &deployment, &files, &moved) {
                let wired = |error: fs::FileError| {
                    Failure::new(Exit::Failed, "cannot put the service's file back")
                        .because(&error)
                        .state("it reads its secrets from the store, which was not proven to work")
                        .hint("`--undo` puts it back once the cause is mended")
                };
                fs::replace_as(&self.config, text.as_bytes(), standing).map_err(wired)?;
                remove(&kept)?;
                remove(&mapping)?;
                return Err(failure.state("the service's file is as it was; its secrets are in the store"));
            }
        }
        self.tell(context, &deployment, &done, (&views, &mapping), &socket)
    }

    /// The socket that the service opens: the lookup socket where its role names users or groups, who cannot open the daemon's own.
    fn socket(&self, context: &Context, deployment: &Deployment) -> String {
        let others = self.role(deployment).is_some_and(|role| !role.users.is_empty() || !role.groups.is_empty());
        match deployment.lookup_socket().filter(|_| others) {
            Some(path) => path.to_owned(),
            None => context.home.socket().display().to_string(),
        }
    }

    /// Whom the service runs as, where that is known and this process can become it.
    fn login(&self, deployment: &Deployment) -> Option<Login> {
        proof::user_of_service(&self.config, self.role(deployment)?, &Accounts::of_this_host())
    }

    /// The role of the service's name, if there is one.
    fn role<'a>(&self, deployment: &'a Deployment) -> Option<&'a deployment::Reads> {
        let role: RoleName = self.service.as_str().parse().ok()?;
        deployment.roles.get(&role)
    }

    /// castellan's own file: it has the credential of the service, which is not made here.
    fn castellan_file(&self) -> Result<PathBuf, Failure> {
        let file = self.castellan.clone().unwrap_or_else(|| self.config.with_file_name("castellan.conf"));
        if self.driver == Reads::Donjon || file.exists() {
            return Ok(file);
        }
        Err(left_alone().cause(format!("castellan's own file {} is not there", file.display())).hint(
            "[key_manager] backend = vault; [vault] vault_url, kv_mountpoint, approle_role_id and approle_secret_id, as `donjon serve` made them for this service",
        ))
    }

    /// Refuses where the service's own role does not read what moves.
    fn may_read(&self, deployment: &Deployment, moved: &[Moved]) -> Result<(), Failure> {
        let reads = self.role(deployment).map(|role| role.reads.clone()).unwrap_or_default();
        let missing: Vec<&SecretName> = moved.iter().map(|m| &m.name).filter(|name| !reads.contains(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut failure =
            Failure::new(Exit::NotAllowed, format!("the role `{}` may not read what would move", self.service));
        failure.causes = missing.iter().map(|name| format!("`{name}` is not among its secrets")).collect();
        let mut once = BTreeSet::new();
        let names: Vec<&str> = moved.iter().map(|m| m.name.as_str()).filter(|name| once.insert(*name)).collect();
        Err(failure.state("nothing was done").hint(format!(
            "in donjon.yaml: `roles: {{{}: {{reads: [{}]}}}}`",
            self.service,
            names.join(", ")
        )))
    }

    /// Which of what moves is a URL whose password is a secret already.
    fn views(&self, stored: &Stored, moved: &[Moved]) -> Result<Views, Failure> {
        let mut views = Views::new();
        for Moved { option, name, value, .. } in moved.iter().filter(|moved| !moved.linked) {
            let mut unclear = Vec::new();
            let named = |password: &str| {
                chosen(&self.service, stored.with(password)).unwrap_or_else(|several| {
                    unclear = several;
                    None
                })
            };
            // EXPOSE: taken apart
            if let Some(view) = assembled(value.expose(), named) {
                views.insert(name.clone(), view);
            }
            if !unclear.is_empty() {
                let mut failure = Failure::new(Exit::Conflict, format!("several secrets are the password in {option}"));
                failure.causes = unclear.iter().map(|name| format!("`{name}` has its value")).collect();
                return Err(failure
                    .state("nothing was done")
                    .hint("which of them it follows cannot be told: rotate all but that one, then wire it"));
            }
        }
        Ok(views)
    }

    /// Reads the new file as the service will, behind those that it reads before, and compares all that moved: as its own user where its role
    /// names one and this one may become it.
    fn prove(
        &self,
        context: &Context,
        deployment: &Deployment,
        files: &[PathBuf],
        moved: &[&Moved],
    ) -> Result<(), Failure> {
        if let Some(login) = self.login(deployment) {
            return proof::reads(&login, files, moved);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, "cannot start the runtime").because(&error))?;
        runtime.block_on(async {
            let sought = Sought {
                arguments: files.iter().cloned().map(Argument::File).collect(),
                environment: Environment::default(),
                known: Known::Any,
                broker: Arc::new(OverSocket::of(&context.home)),
            };
            let opened = Configuration::open(sought).await.map_err(|errors| outcome::opening(&errors))?;
            for Moved { option, value, .. } in moved {
                let found = opened.read(option).await.map_err(|error| outcome::reading(&error))?;
                // EXPOSE: compared
                if *found.value.text() != value.expose() {
                    return Err(Failure::new(Exit::Failed, format!("{option} would be read otherwise than before"))
                        .cause(
                            "the files of the service that are wired, read one after the other, do not give what moved",
                        )
                        .hint("`donjon config get` of that option with each --config-file says where it comes from"));
                }
            }
            Ok(())
        })
    }

    fn put_back(&self, context: &Context) -> Result<(), Failure> {
        let kept = self.read_kept()?;
        self.unnamed(&kept)?;
        let names: Vec<Asked> = kept
            .original
            .iter()
            .filter_map(|piece| match piece {
                Piece::Secret(name) => Some(Asked { name: name.clone(), part: Part::Whole }),
                Piece::Text(_) => None,
            })
            .collect();
        let reply = context.client()?.ask_quietly(&Request::Read { names, version: None, epoch: None }, Vec::new())?;
        let mut values = reply.materials.into_iter();
        let mut text = Zeroizing::new(Vec::new());
        for piece in &kept.original {
            match piece {
                Piece::Text(plain) => text.extend_from_slice(plain.as_bytes()),
                Piece::Secret(_) => {
                    let value = values.next().ok_or_else(|| Failure::new(Exit::Bug, "the daemon answered too few"))?;
                    text.extend_from_slice(value.expose()); // EXPOSE: put back where it stood, as was asked for
                }
            }
        }
        let failed = |error: fs::FileError| {
            Failure::new(Exit::Failed, "cannot put the file back")
                .because(&error)
                .state("it is as it was wired, and what it takes to put it back is kept")
                .hint("see that its folder can be written; then the same command again")
        };
        // Somebody may have opened the file to others since: it held no value.
        let standing = match kept.standing {
            Some((mode, uid, gid)) => fs::Standing { mode, uid, gid },
            None => {
                let (_, now) = fs::read_standing(&self.config).map_err(failed)?;
                fs::Standing { mode: now.mode & 0o770, ..now }
            }
        };
        let beside = self.keep_changed(&kept).map_err(failed)?;
        fs::replace_as(&self.config, &text, standing).map_err(failed)?;
        remove(&kept.mapping)?;
        remove(&self.kept())?;
        let path = self.config.display().to_string();
        show::answer(context.output, &json!({ "undone": path, "beside": beside }), || {
            let changed = beside.as_ref().map_or_else(String::new, |beside| {
                format!("it had been changed since; what stood there until now is {}\n", beside.display())
            });
            format!("{path} is as it was; its secrets stay in the store too\n{changed}")
        })
    }

    /// What has been changed since it was wired is not lost: it stays beside it.
    fn keep_changed(&self, kept: &Kept) -> Result<Option<PathBuf>, fs::FileError> {
        if !self.config.exists() {
            return Ok(None);
        }
        let (now, whose) = fs::read_standing(&self.config)?;
        let now = Zeroizing::new(now);
        if kept.wired.as_ref() == Some(&digest(&now)) {
            return Ok(None);
        }
        let beside = self.beside("donjon-undone");
        fs::replace_as(&beside, &now, whose)?;
        Ok(Some(beside))
    }

    fn settle(&self, context: &Context) -> Result<(), Failure> {
        self.read_kept()?;
        remove(&self.kept())?;
        let path = self.config.display().to_string();
        show::answer(context.output, &json!({ "confirmed": path }), || format!("{path} stays as it is\n"))
    }

    fn read_kept(&self) -> Result<Kept, Failure> {
        let none = || {
            Failure::new(Exit::NotThere, format!("there is nothing to undo or confirm of {}", self.config.display()))
                .state("nothing was done")
                .hint("it was never wired, or that was confirmed; `--service` and `--config` are to be those of then")
        };
        let bytes = fs::read_private(&self.kept()).map_err(|error| none().because(&error))?;
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| none().because(&error))?;
        if kept.format == FORMAT { Ok(kept) } else { Err(none().cause("it was kept by another version")) }
    }

    fn tell(
        &self,
        context: &Context,
        deployment: &Deployment,
        done: &Rewrite,
        (views, mapping): (&Views, &Path),
        socket: &str,
    ) -> Result<(), Failure> {
        let row = |m: &Moved| json!({"option": m.option.to_string(), "secret": m.name.as_str(), "line": m.line, "linked": m.linked});
        let stays: Vec<_> =
            done.stays.iter().map(|(option, why)| json!({"option": option.to_string(), "why": why})).collect();
        let moved: Vec<_> = done.moved.iter().map(row).collect();
        let all = json!({"file": self.config.display().to_string(), "planned": self.plan, "socket": socket, "moved": moved, "stays": stays, "views": templates(views)});
        show::answer(context.output, &all, || {
            let mut text = String::new();
            for Moved { option, name, line, .. } in &done.moved {
                text += &format!("- {}:{line} {option} = (not shown)\n", self.config.display());
                text += &format!("+ {} {option} = {name}\n", mapping.display());
            }
            for (option, value) in done.added.iter().filter(|_| !done.moved.is_empty()) {
                text += &format!("+ {} {option} = {value}\n", self.config.display());
            }
            for Moved { name, .. } in done.moved.iter().filter(|moved| moved.linked) {
                text += &format!("= {name} is in the store already, and is followed when it changes\n");
            }
            for (name, template) in templates(views) {
                text += &format!("= {name} is assembled: {template}\n");
            }
            for (option, why) in &done.stays {
                text += &format!("! {option} stays in the file: {why}\n");
            }
            if self.driver == Reads::Donjon && Path::new(socket) == context.home.socket() {
                text += &format!(
                    "! it reads at {socket}, which only this user and root can open; for a service of another user, name it in donjon.yaml: `roles: {{{}: {{users: [USER]}}}}`, then wire it anew\n",
                    self.service
                );
            }
            if self.login(deployment).is_none() && !done.moved.is_empty() {
                text += "! the new file is read as this user before it stays; as the service's own where its role names users or groups of this host and root wires it\n";
            }
            text + match (self.plan, done.moved.is_empty()) {
                (_, true) => "nothing to move\n",
                (true, false) => "nothing was done yet\n",
                (false, false) => "done; `--undo` puts it back, `--confirm` ends that\n",
            }
        })
    }

    fn name(&self) -> Cow<'_, str> {
        names_of(&self.config)
    }

    fn kept(&self) -> PathBuf {
        self.beside("donjon-undo")
    }

    /// A hidden file beside the configuration.
    fn beside(&self, what: &str) -> PathBuf {
        hidden(&self.config, what)
    }
}

fn names_of(file: &Path) -> Cow<'_, str> {
    file.file_name().unwrap_or_default().to_string_lossy()
}

/// A hidden file beside this one.
fn hidden(file: &Path, what: &str) -> PathBuf {
    file.with_file_name(format!(".{}.{what}", names_of(file)))
}

/// A file that can be read.
fn read_whole(file: &Path) -> Option<Zeroizing<Vec<u8>>> {
    fs::read_standing(file).ok().map(|(bytes, _)| Zeroizing::new(bytes))
}

/// What is kept of a file that was wired, where it can be read.
fn remembered(kept: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read_private(kept).ok()?).ok()
}

/// The options that are assembled from secrets of the store, by the names that they get.
type Views = BTreeMap<SecretName, Assembled>;

fn templates(views: &Views) -> BTreeMap<&str, &str> {
    views.iter().map(|(name, view)| (name.as_str(), view.template.as_str())).collect()
}

/// The secrets of the store. Without a broker none is known.
#[derive(Default)]
struct Stored(Vec<(SecretName, Material)>);

impl Stored {
    /// All but those that the catalogue says are none, as names of users are.
    fn of(context: &Context, deployment: &Deployment) -> Result<Self, Failure> {
        let mut client = match context.client() {
            Ok(client) => client,
            Err(failure) if failure.code == Exit::Unavailable => return Ok(Self::default()),
            Err(failure) => return Err(failure),
        };
        let catalogue = config::catalogue(&deployment.catalogue)?;
        let mut names = names(&mut client)?;
        names.retain(|name| catalogue.entry(name).is_none_or(|entry| entry.class.is_secret()));
        let mut known = Vec::new();
        for some in names.chunks(AT_ONCE) {
            let asked = some.iter().map(|name| Asked { name: name.to_string(), part: Part::Whole }).collect();
            let read = client.ask_quietly(&Request::Read { names: asked, version: None, epoch: None }, Vec::new())?;
            known.extend(some.iter().cloned().zip(read.materials));
        }
        Ok(Self(known))
    }

    /// Those that have this value, where it is long enough not to be theirs by chance.
    fn with(&self, value: &str) -> Vec<SecretName> {
        if value.len() < SHORTEST {
            return Vec::new();
        }
        let value = Material::from(value.to_owned());
        self.0.iter().filter(|(_, held)| held.matches(&value)).map(|(name, _)| name.clone()).collect()
    }
}

/// Refuses where a view is not in the deployment file: it would stay behind when its secret rotates.
fn declared(deployment: &Deployment, views: &Views) -> Result<(), Failure> {
    let missing: Vec<String> = views
        .iter()
        .filter(|(name, view)| deployment.views.get(*name) != Some(&view.template))
        .map(|(name, view)| format!("  {name}: \"{}\"", view.template))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "what would move is assembled from secrets that rotate")
        .cause("the deployment file has no such view, so it would keep the old value")
        .state("nothing was done")
        .hint(format!("in donjon.yaml:\nviews:\n{}", missing.join("\n"))))
}

/// The names of all secrets there are.
fn names(client: &mut Client) -> Result<Vec<SecretName>, Failure> {
    let listed = client.ask_quietly(&Request::Names, Vec::new())?;
    Ok(serde_json::from_value(listed.value["names"].clone()).unwrap_or_default())
}

/// Stores what moves. A secret of the same name must have the same value.
fn store(context: &Context, moved: &[Moved]) -> Result<(), Failure> {
    let mut client = context.client()?;
    let there: BTreeSet<SecretName> = names(&mut client)?.into_iter().collect();
    let (known, new): (Vec<&Moved>, Vec<&Moved>) = moved.iter().partition(|m| there.contains(&m.name));
    if !known.is_empty() {
        let names = known.iter().map(|m| Asked { name: m.name.to_string(), part: Part::Whole }).collect();
        let stored = client.ask_quietly(&Request::Read { names, version: None, epoch: None }, Vec::new())?;
        let other: Vec<String> = known
            .iter()
            .zip(&stored.materials)
            .filter(|(moved, stored)| !moved.value.duplicate().into_material().matches(stored))
            .map(|(moved, _)| format!("`{}` has another value than {} in the file", moved.name, moved.option))
            .collect();
        if !other.is_empty() {
            let mut failure = Failure::new(Exit::Conflict, "the store and the file do not agree");
            failure.causes = other;
            return Err(failure.state("nothing was done").hint("put the right value in one of them"));
        }
    }
    for Moved { name, value, .. } in new.into_iter().filter(|moved| !moved.linked) {
        let material: Material = value.duplicate().into_material();
        client.ask_quietly(&Request::Put { name: name.to_string(), new_deployment: false }, vec![material])?;
    }
    Ok(())
}

fn digest(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(Exit::Failed, format!("cannot remove {}", path.display())).because(&error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn left_alone() -> Failure {
    Failure::new(Exit::Usage, "the file is left alone").state("nothing was done")
}

const FORMAT: u32 = 1;
/// Names in one request.
const AT_ONCE: usize = 500;
/// What is shorter may be in a URL by chance.
const SHORTEST: usize = 8;
