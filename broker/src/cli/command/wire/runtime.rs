//! `donjon wire kolla --runtime`: what lets kolla's services read their secrets themselves, and what stays in clear.

use super::files_below;
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
    /// Remove the overrides that `--runtime` has written.
    #[arg(long, conflicts_with_all = ["runtime", "file"])]
    pub(super) undo: bool,
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
        if !self.config.is_dir() {
            return Err(Failure::new(Exit::NotThere, format!("cannot write below {}", self.config.display()))
                .cause("it is not there, so nothing of kolla-ansible's reads what would be written")
                .state("nothing was written")
                .hint("--config names kolla-ansible's configuration folder, where its globals.yml is"));
        }
        let deployment = config::deployment(&context.home)?.deployment;
        let folder = self.roles.clone().or_else(installed).ok_or_else(|| {
            Failure::new(Exit::NotThere, "kolla-ansible is not found")
                .cause("there is no `kolla-ansible` in PATH with its roles beside it")
                .state("nothing was written")
                .hint("--roles names the folder, such as /usr/share/kolla-ansible/ansible/roles")
        })?;
        let inside = Inside { address: self.reader.clone(), mount: self.mount.clone(), folder: self.inside.clone() };
        let mut roles = read(&folder, catalogue)?;
        self.leave_own_volumes(&mut roles)?;
        let files = overrides(catalogue, &roles, runtime, &deployment, &inside);
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

    /// Removes what it has written, wherever that is by now.
    pub(super) fn take_back(&self, context: &Context) -> Result<(), Failure> {
        let mut found = Vec::new();
        for folder in ["config", "globals.d"] {
            found.extend(files_if_any(&self.config.join(folder)).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot look below {}", self.config.display()))
                    .because(&error)
                    .state("nothing was removed")
            })?);
        }
        found.retain(|path| std::fs::read_to_string(path).is_ok_and(|text| is_ours(&text)));
        for path in &found {
            std::fs::remove_file(path).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot remove {}", path.display()))
                    .because(&error)
                    .state("files before it were removed")
                    .hint("the same command again removes the others")
            })?;
        }
        self.remove_empty(&found);
        let removed: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
        show::answer(context.output, &json!({ "removed": removed }), || {
            let lines: String = removed.iter().map(|path| format!("removed {path}\n")).collect();
            match removed.is_empty() {
                true => format!("nothing of it is below {}\n", self.config.display()),
                false => {
                    lines + "the next `kolla-ansible reconfigure` writes the values into the services' files again\n"
                }
            }
        })
    }

    /// Folders in which nothing but these files was go, too, up to the configuration folder.
    fn remove_empty(&self, files: &[PathBuf]) {
        for file in files {
            let above = file.ancestors().skip(1).take_while(|folder| *folder != self.config);
            // The first in which there is something else stays, and so does what is above it.
            let _ = above.map(std::fs::remove_dir).find(Result::is_err);
        }
    }

    /// A variable of volumes that the operator has set stays the operator's, where it has what a container needs; where it has
    /// not, that is refused: one of the two would be lost.
    fn leave_own_volumes(&self, roles: &mut [Role]) -> Result<(), Failure> {
        let mut found = vec![self.config.join("globals.yml")];
        let more = files_if_any(&self.config.join("globals.d"));
        found.extend(more.map_err(|error| unwritten(&self.config).because(&error))?);
        let texts = found.iter().filter_map(|path| std::fs::read_to_string(path).ok());
        let own: Vec<(String, bool)> = texts.filter(|text| !is_ours(text)).flat_map(|text| volumes(&text)).collect();
        let concerns = |name: &str| {
            let stem = |variable: &String| variable.trim_end_matches("extra_volumes").to_owned();
            roles.iter().flat_map(|role| &role.volumes).any(|variable| name.starts_with(&stem(variable)))
        };
        let lacking: Vec<&str> =
            own.iter().filter(|(name, has)| !has && concerns(name)).map(|(name, _)| name.as_str()).collect();
        if !lacking.is_empty() {
            let mut failure =
                Failure::new(Exit::Conflict, "containers with volumes of your own would lose them, or Donjon's");
            failure.causes =
                lacking.iter().map(|name| format!("`{name}` is set in {}", self.config.display())).collect();
            return Err(failure.state("nothing was written").hint(format!(
                "add Donjon's to it, as in `{}: \"{{{{ default_extra_volumes + donjon_volumes + ['/a:/b:ro'] }}}}\"`; then run this again",
                lacking[0]
            )));
        }
        for role in roles {
            role.volumes.retain(|variable| !own.iter().any(|(name, _)| name == variable));
        }
        Ok(())
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

/// Every file below a folder, which need not be there.
fn files_if_any(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match files_below(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !folder.exists() => Ok(Vec::new()),
        found => found,
    }
}

/// The variables of volumes that a file sets at its top, and whether each has Donjon's among them.
fn volumes(text: &str) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        match line.split_once(':').filter(|(name, _)| !name.starts_with([' ', '#', '-', '\t'])) {
            Some((name, value)) => {
                within = name.ends_with("_extra_volumes") && name != "default_extra_volumes";
                if within {
                    found.push((name.to_owned(), value.contains(OWN_VOLUMES)));
                }
            }
            // A value goes on in the lines below.
            None if within => {
                if let Some((_, has)) = found.last_mut() {
                    *has |= line.contains(OWN_VOLUMES);
                }
            }
            None => {}
        }
    }
    found
}

const OWN_VOLUMES: &str = "donjon_volumes";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_an_operators_own_are_seen() {
        let text = "nova_extra_volumes: \"{{ default_extra_volumes + donjon_volumes + ['/a:/b'] }}\"\n# glance_extra_volumes: x\n\
            default_extra_volumes: []\ncinder_extra_volumes:\n  - /x:/y\nenable_x: yes\nheat_api_extra_volumes: >-\n  {{ donjon_volumes }}\n";
        let expected =
            [("nova_extra_volumes", true), ("cinder_extra_volumes", false), ("heat_api_extra_volumes", true)];
        assert_eq!(volumes(text), expected.map(|(name, has)| (name.to_owned(), has)));
    }
}
