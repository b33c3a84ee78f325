//! `donjon run`: a deployer, with what it needs to live on references.

use crate::{
    cli::Context,
    failure::{Exit, Failure},
    socket::message::Request,
    wire::{ansible, collection},
};
use clap::Args;
use donjon_drivers::fs;
use std::{
    env,
    ffi::OsString,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Run a deployer whose files hold references.
///
/// Its lookups are pinned to one epoch, rotations wait until it has ended, and Ansible is set up so that values stay out of its
/// output, its logs and its disks. The exit code is the deployer's own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon run --deploy -- kolla-ansible reconfigure -i inventory")]
pub struct Run {
    /// Hold rotations off meanwhile.
    #[arg(long, required = true)]
    deploy: bool,
    /// The deployer and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    /// Becomes the deployer.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let refused = |error| crate::daemon::translate::file("cannot prepare the run", &error);
        let collections = context.home.folder().join("ansible");
        collection::unpack(&collections).map_err(refused)?;
        let memory = memory()?;
        fs::private_folder(&memory).map_err(refused)?;
        let mut client = context.client()?;
        let reply = client.ask_quietly(&Request::Deploy, Vec::new())?;
        let epoch = reply.value["epoch"].as_u64();
        let epoch = epoch.ok_or_else(|| Failure::new(Exit::Bug, "the daemon answered without an epoch"))?;
        let settings = ansible::settings(&collections, &memory, |name| env::var(name).ok());
        client.hand_over()?;
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(Failure::new(Exit::Usage, "no deployer was named"));
        };
        let error = Command::new(program)
            .args(arguments)
            .envs(settings)
            .env("DONJON_HOME", context.home.folder())
            .env("DONJON_EPOCH", epoch.to_string())
            .exec();
        let name = Path::new(program).display();
        let code = if error.kind() == ErrorKind::NotFound { Exit::NotThere } else { Exit::Failed };
        Err(Failure::new(code, format!("cannot run {name}")).because(&error).state("the deployer was not started"))
    }
}

/// A folder in memory for what Ansible renders before it copies it.
fn memory() -> Result<PathBuf, Failure> {
    let shared = Path::new("/dev/shm");
    if !shared.is_dir() {
        return Err(Failure::new(Exit::Failed, "there is no /dev/shm, so that rendered files would lie on a disk")
            .state("the deployer was not started"));
    }
    Ok(shared.join(format!("donjon-ansible-{}", rustix::process::geteuid().as_raw())))
}
