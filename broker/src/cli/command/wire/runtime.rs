//! `donjon wire kolla --runtime`: what lets kolla's services read their secrets themselves, and what stays in clear.

use crate::{
    cli::{Context, show},
    config,
    failure::{Exit, Failure},
    wire::runtime::{
        Inside, Need, Override, Reading as Read, Role, Runtime, clear, is_ours, needs, overrides, reading, role,
    },
};
use clap::Args;
use donjon_drivers::fs;
use donjon_policies::catalogue::Catalogue;
use serde_json::json;
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// How kolla's services are to read their secrets.
#[derive(Debug, Args)]
pub(super) struct Reading {
    /// Let kolla's services read their secrets themselves, with this driver: overrides below the configuration folder.
    #[arg(long, value_enum)]
    pub(super) runtime: Option<Runtime>,
    /// kolla-ansible's configuration folder.
    #[arg(long, default_value = "/etc/kolla", value_name = "FOLDER")]
    config: PathBuf,
    /// The folder of kolla-ansible's roles; that of the `kolla-ansible` in PATH where not given.
    #[arg(long, value_name = "FOLDER")]
    roles: Option<PathBuf>,
    /// The reader, as a container finds it.
    #[arg(long, default_value = "unix:///run/donjon-reader/reader.sock", value_name = "ADDRESS")]
    reader: String,
    /// The mount that the reader serves.
    #[arg(long, default_value = "donjon")]
    mount: String,
    /// Where castellan's files are in a container.
    #[arg(long, default_value = "/etc/donjon", value_name = "FOLDER")]
    inside: String,
}

impl Reading {
    /// Writes the overrides, and tells what kolla writes in clear all the same.
    pub(super) fn run(&self, context: &Context, catalogue: &Catalogue, runtime: Runtime) -> Result<(), Failure> {
        let deployment = config::deployment(&context.home)?.deployment;
        let folder = self.roles.clone().or_else(installed).ok_or_else(|| {
            Failure::new(Exit::NotThere, "kolla-ansible is not found")
                .cause("there is no `kolla-ansible` in PATH with its roles beside it")
                .state("nothing was written")
                .hint("--roles names the folder, such as /usr/share/kolla-ansible/ansible/roles")
        })?;
        let inside = Inside { address: self.reader.clone(), mount: self.mount.clone(), folder: self.inside.clone() };
        let files = overrides(catalogue, &read(&folder, catalogue)?, runtime, &deployment, &inside);
        self.refuse_foreign(&files)?;
        for Override { path, text } in &files {
            let path = self.config.join(path);
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.map_err(|error| unwritten(&path).because(&error))?;
            fs::replace_with_mode(&path, text.as_bytes(), 0o644).map_err(|error| unwritten(&path).because(&error))?;
        }
        let clear = clear(catalogue);
        let written: Vec<String> = files.iter().map(|f| self.config.join(&f.path).display().to_string()).collect();
        let left: Vec<_> =
            clear.iter().map(|c| json!({"place": c.place, "secrets": c.secrets, "reason": c.reason})).collect();
        let needs = needs(runtime, &inside);
        let needed: Vec<_> = needs.iter().map(|n| json!({"place": n.place, "what": n.what})).collect();
        show::answer(context.output, &json!({"written": written, "clear": left, "needs": needed}), || {
            let mut text: String = written.iter().map(|path| format!("wrote {path}\n")).collect();
            text += "\nthese must be there before the next `kolla-ansible reconfigure`:\n";
            text.extend(needs.iter().map(|Need { place, what }| format!("  {place}\n      {what}\n")));
            text += "\nkolla writes these in clear all the same:\n";
            let secrets = |c: &crate::wire::runtime::Clear| {
                c.secrets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            let rows: Vec<Vec<String>> =
                clear.iter().map(|c| vec![c.place.clone(), c.reason.to_owned(), secrets(c)]).collect();
            text + &show::table(&["WHERE", "WHY", "SECRETS"], &rows)
        })
    }

    /// Files of the operator's own stay as they are.
    fn refuse_foreign(&self, files: &[Override]) -> Result<(), Failure> {
        let foreign =
            |file: &&Override| std::fs::read_to_string(self.config.join(&file.path)).is_ok_and(|text| !is_ours(&text));
        let foreign: Vec<String> =
            files.iter().filter(foreign).map(|f| self.config.join(&f.path).display().to_string()).collect();
        if foreign.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::new(Exit::Conflict, "there are overrides of your own");
        failure.causes = foreign;
        Err(failure
            .state("nothing was written")
            .hint("kolla merges config/ROLE/SERVICE.conf after them: move what you have there, and run this again"))
    }
}

fn unwritten(path: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}", path.display())).state("files before it were written")
}

/// Every role with a file of oslo.config that holds a secret.
fn read(folder: &Path, catalogue: &Catalogue) -> Result<Vec<Role>, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::NotThere, format!("cannot read the roles in {}", folder.display()))
            .because(error)
            .state("nothing was written")
    };
    let entries = |path: &Path| -> std::io::Result<Vec<PathBuf>> {
        let mut all: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        all.sort();
        Ok(all)
    };
    let mut roles = Vec::new();
    for path in entries(folder).map_err(|error| failed(&error))? {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
        // Some roles have no tasks of their own.
        let files = entries(&path.join("tasks")).unwrap_or_default();
        let tasks: Vec<String> = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        let defaults = std::fs::read_to_string(path.join("defaults/main.yml")).unwrap_or_default();
        let templates = entries(&path.join("templates")).unwrap_or_default();
        let starts = templates.iter().filter(|file| file.to_string_lossy().ends_with(".json.j2"));
        let lines = starts.filter_map(|file| std::fs::read_to_string(file).ok());
        let commands: Vec<String> =
            lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let oslo = |template: &str| {
            let text = std::fs::read_to_string(path.join(template)).ok()?;
            let file = template.strip_prefix("templates/")?.strip_suffix(".j2")?;
            let holds = || catalogue.current().any(|entry| text.contains(entry.name.as_str()));
            reading(file, &text, &commands).filter(|read| *read == Read::First || holds())
        };
        roles.push(role(name, &tasks, &defaults, oslo));
    }
    roles.retain(|role| !role.merged.is_empty());
    Ok(roles)
}

/// The roles beside the `kolla-ansible` in PATH.
fn installed() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find_map(|bin| {
        let roles = bin.parent()?.join("share/kolla-ansible/ansible/roles");
        (bin.join("kolla-ansible").is_file() && roles.is_dir()).then_some(roles)
    })
}
