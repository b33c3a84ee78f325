//! `donjon wire oslo`: a service's secrets out of its own file and into the store, to be undone until confirmed.

mod beside;
mod change;
mod place;
mod stored;
mod undo;

use self::{
    change::Change,
    place::{hidden, hold, names_of},
    stored::{Stored, Views, declared, store, templates},
};
use super::proof::{self, Login};
use crate::{
    callers::Accounts,
    cli::{Context, command::config::reading::option_name, show},
    config,
    failure::{Exit, Failure},
    settings::{asking::OverSocket, outcome},
    wire::{
        assembled::assembled,
        oslo::{Driver, Moved, Places, Rewrite, Unwired, Wired, chosen, rewrite},
    },
};
use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser},
};
use donjon_drivers::{
    fs,
    source::{Argument, Configuration, Known, OptionName, Sought, environment::Environment},
};
use donjon_policies::{
    deployment::{self, Deployment},
    name::{RoleName, SecretName, ServiceName},
};
use serde_json::json;
use std::{
    borrow::Cow,
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// Move a service's secrets out of its oslo.config file into the store, and let it read them from the broker.
///
/// Comments and order stay. An option that has the value of a secret of the store is that secret, whatever the option is called,
/// and follows it when it rotates; each other that is secret becomes the secret SERVICE.GROUP.OPTION. What is only called so and is
/// a switch, a number or an address without a password stays, and `--leave` names what else is to stay. The role of the service's
/// name in donjon.yaml must read them. A URL whose password is a secret of the store already is a view: it must stand under `views`, so
/// that it follows when that secret rotates; what to write there is told. A further file of the service, which it reads behind the first,
/// gets a mapping and a source of its own, and names the sources of all: wire them in the order in which they are read. The last is
/// undone first. A value that moves and stands in the file a second time, in a comment too, is told with its line, and nothing is
/// done. What is needed to put the file back is kept beside it, with names where values stood: nothing of what moved is in it. `--undo` puts the values of that time's names back, `--confirm` ends that.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf --plan\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf --driver castellan\n  donjon wire oslo --service nova --config /etc/nova/nova.conf --leave libvirt.connection_uri\n  donjon wire oslo --service keystone --config /etc/keystone/keystone.conf --undo"
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
    /// Leave an option in the file: one that is no secret, or that is to have another value than in other files of the service.
    #[arg(long, value_name = "GROUP.OPTION", value_parser = option_name, conflicts_with_all = ["undo", "confirm"])]
    leave: Vec<OptionName>,
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
        let _held = if self.plan { None } else { Some(hold(&self.config)?) };
        let (bytes, standing) = fs::read_standing(&self.config).map_err(|error| self.unread(&error))?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|error| left_alone().because(&error))?;
        // Of before it is replaced: the other names stay with the file that has the values.
        let other_names = std::fs::metadata(&self.config).map_or(0, |found| found.nlink().saturating_sub(1));
        let left = self.left(&bytes)?;
        let (mapping, wired) = self.mapping_file(left.as_ref())?;
        let deployment = config::deployment(&context.home)?;
        let (mapped, settings) = (mapping.display().to_string(), self.castellan_file()?.display().to_string());
        let socket = self.socket(context, &deployment);
        let driver = match self.driver {
            Reads::Donjon => Driver::Donjon { socket: &socket },
            Reads::Castellan => Driver::Castellan { settings: &settings, deployment: deployment.deployment.as_str() },
        };
        let stored = Stored::of(context, &deployment)?;
        let name = self.name();
        let places = Places { mapping: &mapped, driver, beside: &wired, file: &name, leave: &self.leave };
        let done = rewrite(&self.service, text, places, |value| stored.with(value)).map_err(|error| {
            let hint = match &error {
                Unwired::NoOption { .. } => "name it as it stands there; one of [DEFAULT] without a group".to_owned(),
                Unwired::Ini(_) | Unwired::Sourced { .. } | Unwired::Taken { .. } | Unwired::LineEnds => {
                    format!("name `{}` in config_source by hand, and map the options", driver.name())
                }
            };
            left_alone().because(&error).hint(hint)
        })?;
        if !done.copies.is_empty() {
            let mut failure = left_alone().hint("take it out of there; then the same command again. `--leave GROUP.OPTION` leaves an option where it is");
            failure.causes = done.copies.iter().map(ToString::to_string).collect();
            return Err(failure);
        }
        let views = self.views(&stored, &done.moved)?;
        if !self.plan && !done.moved.is_empty() {
            self.may_read(&deployment, &done.moved)?;
            declared(&deployment, &views)?;
            let before = self.moved_before(context, text, &wired, driver)?;
            store(context, &done.moved)?;
            let others = wired.iter().rev().map(|Wired { file, .. }| file.clone());
            let files: Vec<PathBuf> = others.chain([self.config.clone()]).collect();
            let moved: Vec<&Moved> = done.moved.iter().chain(&before).collect();
            if let Some(left) = left {
                left.remove()?;
            }
            let change = Change { text, standing: &standing, mapping: &mapping, done: &done };
            self.change(change, || self.prove(context, &deployment, &files, &moved))?;
        }
        self.tell(context, &deployment, &done, (&views, &mapping), (&socket, other_names))
    }

    /// Why it is not read. Where it is a link, what it leads to is told.
    fn unread(&self, error: &fs::FileError) -> Failure {
        let failure = left_alone().because(error);
        match self.config.canonicalize() {
            Ok(file) if self.config.is_symlink() => failure.hint(format!(
                "it is a link, which whoever owns its folder may lead elsewhere: `--config {}` if that is the one",
                file.display()
            )),
            Ok(_) | Err(_) => failure,
        }
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

    fn tell(
        &self,
        context: &Context,
        deployment: &Deployment,
        done: &Rewrite,
        (views, mapping): (&Views, &Path),
        (socket, other_names): (&str, u64),
    ) -> Result<(), Failure> {
        let row = |m: &Moved| json!({"option": m.option.to_string(), "secret": m.name.as_str(), "line": m.line, "linked": m.linked});
        let stays: Vec<_> =
            done.stays.iter().map(|(option, why)| json!({"option": option.to_string(), "why": why})).collect();
        let moved: Vec<_> = done.moved.iter().map(row).collect();
        let all = json!({"file": self.config.display().to_string(), "planned": self.plan, "socket": socket, "moved": moved, "stays": stays, "views": templates(views), "other_names": other_names});
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
            if other_names > 0 && !done.moved.is_empty() {
                text += &format!("! other names of the file (hard links) keep its values: {other_names}\n");
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

fn left_alone() -> Failure {
    Failure::new(Exit::Usage, "the file is left alone").state("nothing was done")
}
