//! `donjon render`: files with values in them, from templates.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    render::{Declared, Place, render, sink::FORMAT, template::Answer},
    socket::{
        client::Client,
        message::{Asked, Request},
    },
};
use clap::Args;
use donjon_drivers::{fs, material::Material, store::secret::Part};
use donjon_policies::{
    catalogue::{Medium, Mode},
    name::SecretName,
};
use serde_json::json;
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Render templates into files, each owner-only, in memory, written whole and declared as a sink.
///
/// Templates are Jinja's: `{{ secret('database_password') }}`, with `part='private_key'` or `'public_key'` of a pair and
/// `encoding='url'`, `'json'` or `'shell'`. What is not defined is an error. Several are written `TEMPLATE -o FILE TEMPLATE -o FILE`:
/// all get values of one epoch, and one that fails leaves its file as it was and the others alone. A file that would not
/// change is not touched.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon render my.cnf.j2 -o /run/mariadb/my.cnf\n  donjon render a.j2 -o /run/a b.j2 -o /run/b\n  donjon render --disk --mode 0640 swift.conf.j2 -o /etc/swift/swift.conf"
)]
pub struct Render {
    /// The templates.
    #[arg(required = true, value_name = "TEMPLATE")]
    templates: Vec<PathBuf>,
    /// The file that each becomes, in their order.
    #[arg(short = 'o', long = "file", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The files' mode; nobody but the owner may write.
    #[arg(long, default_value = "0600", value_parser = mode)]
    mode: Mode,
    /// A file may lie on a disk, where what is overwritten later can stay.
    #[arg(long)]
    disk: bool,
}

enum Outcome {
    Written(Vec<SecretName>),
    Unchanged(Vec<SecretName>),
}

impl Render {
    /// Renders each.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        if self.templates.len() != self.files.len() {
            return Err(Failure::new(Exit::Usage, "each template needs one file, and each file one template")
                .state("nothing was written")
                .hint("`donjon render TEMPLATE -o FILE TEMPLATE -o FILE`"));
        }
        let source = Source { client: context.client()?, epoch: None, failure: None };
        let source = Arc::new(Mutex::new(source));
        let mut outcomes = Vec::new();
        for (template, file) in self.templates.iter().zip(&self.files) {
            outcomes.push(self.one(context, template, file, &source));
        }
        let described = |(file, outcome): (&PathBuf, &Result<Outcome, Failure>)| match outcome {
            Ok(Outcome::Written(secrets)) => json!({"file": file, "state": "written", "secrets": secrets}),
            Ok(Outcome::Unchanged(secrets)) => json!({"file": file, "state": "unchanged", "secrets": secrets}),
            Err(failure) => json!({"file": file, "state": "failed", "error": failure}),
        };
        let rows: Vec<_> = self.files.iter().zip(&outcomes).map(described).collect();
        show::answer(context.output, &json!({"files": rows}), || {
            let row = |row: &serde_json::Value| {
                vec![
                    row["file"].as_str().unwrap_or_default().to_owned(),
                    row["state"].as_str().unwrap_or_default().to_owned(),
                ]
            };
            show::table(&["FILE", "STATE"], &rows.iter().map(row).collect::<Vec<_>>())
        })?;
        verdict(outcomes)
    }

    fn one(
        &self,
        context: &Context,
        template: &Path,
        file: &Path,
        source: &Arc<Mutex<Source>>,
    ) -> Result<Outcome, Failure> {
        let failing = |code| {
            Failure::new(code, format!("cannot render {}", template.display()))
                .state(format!("{} is as it was", file.display()))
        };
        let failed = || failing(Exit::Failed);
        let place = Place::of(file).map_err(|error| {
            failing(Exit::Usage)
                .cause(format!("no file can be made at {}", file.display()))
                .because(&error)
                .hint("its folder has to be there: `mkdir -p`, or `RuntimeDirectory=` of a unit")
        })?;
        if place.medium == Medium::Disk && !self.disk {
            return Err(failing(Exit::Usage)
                .cause(format!("{} would lie on a disk", place.path.display()))
                .hint("a path on a tmpfs, such as below /dev/shm (`findmnt -t tmpfs` lists all); or `--disk`"));
        }
        let bytes = fs::read(template).map_err(|error| failing(Exit::Usage).because(&error))?;
        let text = String::from_utf8(bytes).map_err(|error| failing(Exit::Usage).because(&error.utf8_error()))?;
        let rendered = match render(&text, answers(source.clone())).0 {
            Ok(rendered) => rendered,
            Err(error) => {
                let asked = source.lock().unwrap_or_else(PoisonError::into_inner).failure.take();
                let code = asked.map_or(Exit::Failed, |failure| failure.code);
                return Err(failing(code).because(&error));
            }
        };
        let mode = u32::from(self.mode.bits());
        let secrets: Vec<SecretName> = rendered.secrets.iter().cloned().collect();
        let content = rendered.content.expose(); // EXPOSE: written into the sink
        let same = std::fs::symlink_metadata(&place.path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o777 == mode)
            && fs::read(&place.path).is_ok_and(|there| zeroize::Zeroizing::new(there).as_slice() == content);
        let template = std::path::absolute(template).map_err(|error| failed().because(&error))?;
        let written = jiff::Timestamp::now().as_second();
        let sink = Declared { format: FORMAT, path: place.path.clone(), template, secrets: rendered.secrets, written };
        sink.declare(&context.home).map_err(|error| failed().because(&error))?;
        if same {
            return Ok(Outcome::Unchanged(secrets));
        }
        let written = whose(&place.path).and_then(|whose| match whose {
            Some(whose) => fs::replace_as(&place.path, content, &fs::Standing { mode, ..whose }),
            None => fs::replace_with_mode(&place.path, content, mode),
        });
        written.map_err(|error| failed().because(&error))?;
        Ok(Outcome::Written(secrets))
    }
}

/// Whose the file is that is there, which the new one stays: of this user, or in a folder where nobody else makes files. Whoever
/// could put one there for himself would get the values.
fn whose(path: &Path) -> Result<Option<fs::Standing>, fs::FileError> {
    let own = rustix::process::geteuid().as_raw();
    let folder = path.parent().and_then(|folder| std::fs::metadata(folder).ok());
    let is_closed =
        folder.is_some_and(|folder| [0, own].contains(&folder.uid()) && folder.permissions().mode() & 0o022 == 0);
    Ok(fs::standing(path)?.filter(|found| found.uid == own || is_closed))
}

/// Where values come from: the daemon, all of one epoch.
struct Source {
    client: Client,
    epoch: Option<u64>,
    failure: Option<Failure>,
}

fn answers(source: Arc<Mutex<Source>>) -> Answer {
    Box::new(move |name: &SecretName, part: Part| {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        source.value(name, part).map_err(|failure| {
            let why = failure.line();
            source.failure = Some(failure);
            why
        })
    })
}

impl Source {
    fn value(&mut self, name: &SecretName, part: Part) -> Result<Material, Failure> {
        let names = vec![Asked { name: name.to_string(), part }];
        let request = Request::Read { names, version: None, epoch: self.epoch };
        let reply = self.client.ask_quietly(&request, Vec::new())?;
        self.epoch = reply.value["epoch"].as_u64().or(self.epoch);
        let value = reply.materials.into_iter().next();
        value.ok_or_else(|| Failure::new(Exit::Bug, "the daemon answered without a value"))
    }
}

/// The first failure alone is told as it is; of several, each one.
fn verdict(outcomes: Vec<Result<Outcome, Failure>>) -> Result<(), Failure> {
    let all = outcomes.len();
    let mut failures: Vec<Failure> = outcomes.into_iter().filter_map(Result::err).collect();
    match failures.len() {
        0 => Ok(()),
        1 if all == 1 => Err(failures.remove(0)),
        failed => {
            let mut failure = Failure::new(failures[0].code, format!("{failed} of {all} templates failed"));
            for other in &failures {
                let why = other.causes.join(": ");
                failure.causes.push(format!("{}: {why}", other.message));
            }
            failure.hint = failures[0].hint.clone();
            Err(failure.state("their files are as they were; the others are written"))
        }
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match Mode::read(text) {
        Some(mode) if mode.bits() & 0o137 == 0 && mode.bits() & 0o400 != 0 => Ok(mode),
        Some(_) => Err("others may not read it, a group may not write it, and nobody may run it".to_owned()),
        None => Err("a mode is written as 0600".to_owned()),
    }
}
