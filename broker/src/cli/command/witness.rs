//! `donjon witness`: the second process of a teardown. `donjon down` starts it as root, and nobody else needs it.
//!
//! It takes every value from the daemon, looks for them, and says in a line of JSON on standard output what it has seen.
//! A line on standard input means that all is destroyed: it looks once more, and says so. It is the one process that still
//! holds the values then, and it ends.

use crate::{
    cli::Context,
    failure::{Exit, Failure},
    generation::chance::{Chance, System},
    render::Declared,
    scan::{
        Standing, Wanted,
        witness::{Eye, Look, Places, family},
    },
    socket::message::Request,
    vault::{place::Place, state::Serving},
};
use clap::Args;
use donjon_drivers::{fs, material::Material};
use donjon_policies::name::SecretName;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Be the witness of a teardown.
#[derive(Debug, Args)]
pub struct Witness {}

/// What a witness says of one look.
#[derive(Debug, Serialize, Deserialize)]
pub struct Said {
    /// How many secrets it looks for.
    pub looked_for: usize,
    /// The Vault's process, and how many of them it holds in its memory.
    pub vault: (u32, usize),
    /// The daemon's process, and how many of them it holds.
    pub daemon: (u32, usize),
    /// Whether a file that the witness has written itself was found: the search of the disk sees.
    pub control: bool,
    /// The processes of Donjon's: the two, and all that they have started.
    pub own: BTreeSet<u32>,
    /// What was seen, and what was looked at.
    pub look: Look,
}

impl Witness {
    /// Looks, waits, and looks again.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let (mut wanted, daemon) = values(context)?;
        let vault = Serving::read(&Place::new(&context.home.vault())).ok().flatten();
        let vault = vault.and_then(|serving| u32::try_from(serving.process?.pid).ok()).unwrap_or_default();
        // What is started as the Vault may be a script that starts it.
        let (vaults, own) = (family(vault), family(daemon).union(&family(vault)).copied().collect());
        let control = Control::new(&context.home.run())?;
        wanted.push(control.wanted()?);
        let eye = Eye::new(wanted, Declared::all(&context.home)).map_err(|error| cannot(&error))?;
        let places = Places::new(context.home.folder(), &context.home.vault(), &own);
        let look = || eye.look(&places).map_err(|error| cannot(&error));
        let scene = Scene { eye: &eye, control: &control, vault, daemon, vaults, own };
        scene.say(look()?)?;
        if io::stdin().lock().read_line(&mut String::new()).map_err(|error| cannot(&error))? > 0 {
            // The daemon has answered, and is on its way out.
            wait_for_the_end(&scene.own);
            scene.say(look()?)?;
        }
        Ok(())
    }
}

/// Every value that is looked for, and the daemon's process.
fn values(context: &Context) -> Result<(Vec<Wanted>, u32), Failure> {
    #[derive(Deserialize)]
    struct Told {
        name: SecretName,
        standing: Standing,
    }
    let mut client = context.client()?;
    let names = client.ask_quietly(&Request::Names, Vec::new())?;
    let names: Vec<SecretName> = serde_json::from_value(names.value["names"].clone()).unwrap_or_default();
    let (mut wanted, mut daemon) = (Vec::new(), 0);
    for some in names.chunks(AT_ONCE) {
        let reply = client.ask_quietly(&Request::Witness { names: some.to_vec() }, Vec::new())?;
        let told: Vec<Told> = serde_json::from_value(reply.value["values"].clone()).map_err(|error| cannot(&error))?;
        let values = told.into_iter().zip(reply.materials);
        wanted.extend(values.map(|(Told { name, standing }, material)| Wanted { name, standing, material }));
        daemon = reply.value["daemon"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    }
    Ok((wanted, daemon))
}

/// Everything but the looks.
struct Scene<'a> {
    eye: &'a Eye,
    control: &'a Control,
    vault: u32,
    daemon: u32,
    vaults: BTreeSet<u32>,
    own: BTreeSet<u32>,
}

impl Scene<'_> {
    fn say(&self, mut look: Look) -> Result<(), Failure> {
        let control = self.control.take_out(&mut look);
        let vault = (self.vault, look.held_by(&self.vaults));
        let daemon = (self.daemon, look.held_by(&self.own.difference(&self.vaults).copied().collect()));
        // The control is no secret.
        let looked_for = self.eye.looks_for() - 1;
        let said = Said { looked_for, vault, daemon, control, own: self.own.clone(), look };
        let line = serde_json::to_string(&said).map_err(|error| cannot(&error))?;
        writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()).map_err(|error| cannot(&error))
    }
}

/// Chance and no secret, in a file of its own: what shows that the disk is searched. The file goes with it.
struct Control {
    name: SecretName,
    chance: String,
    file: PathBuf,
}

impl Control {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let name = CONTROL.parse().map_err(|_| Failure::new(Exit::Bug, "the control's name is none"))?;
        let mut bytes = [0; 24];
        System.fill(&mut bytes).map_err(|error| cannot(&error))?;
        let file = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()).join("witness");
        let control = Self { name, chance: hex::encode(bytes), file };
        fs::replace(&control.file, control.chance.as_bytes()).map_err(|error| cannot(&error))?;
        Ok(control)
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let material = Material::from(self.chance.clone());
        Ok(Wanted { name: self.name.clone(), standing: Standing::Current, material })
    }

    /// Whether its file was seen.
    fn take_out(&self, look: &mut Look) -> bool {
        let file = self.file.display().to_string();
        let seen = look.traces.iter().any(|trace| trace.secret == self.name && trace.place == file);
        look.traces.retain(|trace| trace.secret != self.name);
        seen
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It holds no secret; where it stays, its folder could not be written any more.
        let _ = std::fs::remove_file(&self.file);
    }
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a bounded condition")]
fn wait_for_the_end(processes: &BTreeSet<u32>) {
    let end = Instant::now() + GONE_WITHIN;
    while processes.iter().any(|pid| runs(*pid)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process has memory still: what has ended and was not waited for has none.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn cannot(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Failed, "cannot look for values, or say what was seen").because(error)
}

const CONTROL: &str = "donjon.witness";
/// Secrets of which one answer holds all versions.
const AT_ONCE: usize = 300;
const GONE_WITHIN: Duration = Duration::from_secs(10);
