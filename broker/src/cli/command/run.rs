//! `donjon run`: a deployer, with what it needs to live on references; or any command, with values.

use crate::{
    cli::Context,
    failure::{Exit, Failure},
    render::sink::Place,
    run::{
        child,
        mask::{self, Mask},
        memory::MemoryFile,
    },
    socket::{
        client::Client,
        message::{Asked, Request},
    },
    wire::{ansible, collection},
};
use clap::Args;
use donjon_drivers::{material::Material, store::secret::Part};
use donjon_policies::{catalogue::Medium, name::SecretName};
use std::{
    env,
    ffi::{OsStr, OsString},
    io::ErrorKind,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Run a command with values, or a deployer whose files hold references.
///
/// With --file a value is in memory that nobody can change, and the variable holds a path at which the command opens it; with
/// --map it is in the command's environment, which others of the same user, and `podman inspect`, can see. What the command
/// writes is covered where it holds a value, in base64, hex, URLs, JSON and quotes too. Signals are passed on to it, and its exit
/// code is this one's. With --deploy all lookups are pinned to one epoch, rotations wait until it has ended, and Ansible is set
/// up so that values stay out of its output, its logs and its disks.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon run --file PASSWORD_FILE=database_password -- sh -c 'backup --password-file $PASSWORD_FILE'\n  donjon run --map OS_PASSWORD=keystone_admin_password -- openstack server list\n  donjon run --deploy -- kolla-ansible reconfigure -i inventory"
)]
pub struct Run {
    /// Hold rotations off meanwhile.
    #[arg(long)]
    deploy: bool,
    /// Give a value as a file in memory, whose path is in this variable.
    #[arg(long, value_name = "ENV=NAME", value_parser = pair)]
    file: Vec<(String, SecretName)>,
    /// Give a value in this variable of the environment.
    #[arg(long, value_name = "ENV=NAME", value_parser = pair)]
    map: Vec<(String, SecretName)>,
    /// Leave what the command writes as it is, such as for a program that needs the terminal.
    #[arg(long)]
    unmasked: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    /// Becomes the deployer, or runs the command to its end and ends with its code.
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(Failure::new(Exit::Usage, "no command was named"));
        };
        if !self.deploy && self.file.is_empty() && self.map.is_empty() {
            return Err(Failure::new(Exit::Usage, "there is nothing to give to the command")
                .state("it was not started")
                .hint("`--file ENV=NAME`, `--map ENV=NAME` or `--deploy`"));
        }
        let mut command = Command::new(program);
        command.args(arguments);
        let mut client = context.client()?;
        if self.deploy {
            deploy(context, &mut client, &mut command)?;
        }
        if self.file.is_empty() && self.map.is_empty() {
            // The daemon watches this process; its socket is for nobody that the deployer starts.
            drop(client);
            let error = command.exec();
            return Err(not_started(program, &error));
        }
        let values = self.values(&mut client)?;
        let _files = self.give(&mut command, &values)?;
        let mask = match self.unmasked {
            true => None,
            false => Some(self.mask(&values)?),
        };
        drop(values);
        let status = child::run(command, mask).map_err(|error| not_started(program, &error))?;
        Ok(ExitCode::from(child::code(status)))
    }

    /// Those of the files, then those of the environment.
    fn values(&self, client: &mut Client) -> Result<Vec<Material>, Failure> {
        let asked = |(_, name): &(String, SecretName)| Asked { name: name.to_string(), part: Part::Whole };
        let names: Vec<Asked> = self.file.iter().chain(&self.map).map(asked).collect();
        let count = names.len();
        let reply = client.ask_quietly(&Request::Read { names, version: None, epoch: None }, Vec::new())?;
        match reply.materials.len() == count {
            true => Ok(reply.materials),
            false => Err(Failure::new(Exit::Bug, "the daemon answered another number of values")),
        }
    }

    /// Covers them in what the command writes, and says which are too short for that.
    fn mask(&self, values: &[Material]) -> Result<Mask, Failure> {
        let names = self.file.iter().chain(&self.map).map(|(_, name)| name);
        let short = names.zip(values).filter(|(_, value)| (1..mask::SHORTEST).contains(&value.len()));
        for (name, _) in short {
            anstream::eprintln!(
                "note: `{name}` is shorter than {} bytes and is not covered in what the command writes",
                mask::SHORTEST
            );
        }
        Mask::of(values).map_err(|error| {
            Failure::new(Exit::Failed, "cannot cover the output").because(&error).state("the command was not started")
        })
    }

    fn give(&self, command: &mut Command, values: &[Material]) -> Result<Vec<MemoryFile>, Failure> {
        let (files, mapped) = values.split_at(self.file.len());
        let mut held = Vec::new();
        for ((variable, name), value) in self.file.iter().zip(files) {
            let file = MemoryFile::new(value).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot give `{name}` in memory"))
                    .because(&error)
                    .state("the command was not started")
            })?;
            command.env(variable, file.path());
            held.push(file);
        }
        for ((variable, name), value) in self.map.iter().zip(mapped) {
            let bytes = value.expose(); // EXPOSE: given in the command's environment, as was asked for
            if bytes.contains(&0) {
                return Err(Failure::new(Exit::Usage, format!("`{name}` holds a zero byte, which no environment can"))
                    .state("the command was not started")
                    .hint(format!("`--file {variable}={name}`")));
            }
            command.env(variable, OsStr::from_bytes(bytes));
        }
        Ok(held)
    }
}

/// Takes the lease, which lasts as long as this process, and gives Ansible its settings.
fn deploy(context: &Context, client: &mut Client, command: &mut Command) -> Result<(), Failure> {
    let refused = |error| crate::daemon::translate::file("cannot prepare the run", &error);
    let collections = context.home.folder().join("ansible");
    collection::unpack(&collections).map_err(refused)?;
    in_memory()?;
    let reply = client.ask_quietly(&Request::Deploy, Vec::new())?;
    let epoch = reply.value["epoch"].as_u64();
    let epoch = epoch.ok_or_else(|| Failure::new(Exit::Bug, "the daemon answered without an epoch"))?;
    command
        .envs(ansible::settings(&collections, |name| env::var(name).ok(), configured()))
        .env("DONJON_HOME", context.home.folder())
        .env("DONJON_EPOCH", epoch.to_string());
    Ok(())
}

/// What the `ansible.cfg` says that Ansible takes: the first that is there of these.
fn configured() -> ansible::Chosen {
    let named = env::var_os("ANSIBLE_CONFIG").map(PathBuf::from);
    let named = named.map(|path| if path.is_dir() { path.join(CONFIGURATION) } else { path });
    let home = env::home_dir().map(|home| home.join(".ansible.cfg"));
    // Not from a folder that others may write.
    let here = env::current_dir()
        .ok()
        .filter(|here| std::fs::metadata(here).is_ok_and(|found| found.permissions().mode() & 0o002 == 0));
    let here = here.map(|here| here.join(CONFIGURATION));
    let all = [named, here, home, Some(Path::new("/etc/ansible").join(CONFIGURATION))];
    let found = all.into_iter().flatten().find_map(|path| Some((std::fs::read_to_string(&path).ok()?, path)));
    found.map_or_else(ansible::Chosen::default, |(text, path)| {
        ansible::Chosen::of(&text, path.parent().unwrap_or(Path::new("/")))
    })
}

const CONFIGURATION: &str = "ansible.cfg";

fn not_started(program: &OsStr, error: &std::io::Error) -> Failure {
    let name = Path::new(program).display();
    let code = if error.kind() == ErrorKind::NotFound { Exit::NotThere } else { Exit::Failed };
    Failure::new(code, format!("cannot run {name}")).because(error).state("it was not started")
}

/// Ansible makes a folder of this run's own there, with a name that nobody knows before, and removes it at its end.
fn in_memory() -> Result<(), Failure> {
    match Place::of(&Path::new(ansible::MEMORY).join("x")) {
        Ok(place) if place.medium == Medium::Tmpfs => Ok(()),
        Ok(_) | Err(_) => {
            Err(Failure::new(Exit::Failed, "/dev/shm is not in memory, so that rendered files would lie on a disk")
                .state("the deployer was not started"))
        }
    }
}

fn pair(text: &str) -> Result<(String, SecretName), String> {
    let (variable, name) = text.split_once('=').ok_or("write ENV=NAME")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.is_empty() || variable.starts_with(|c: char| c.is_ascii_digit()) || !variable.chars().all(fits) {
        return Err("a variable's name has letters, digits and `_`".to_owned());
    }
    Ok((variable.to_owned(), name.parse().map_err(|error: donjon_policies::name::NameError| error.to_string())?))
}
