//! `donjon adopt`: a deployer's file of passwords into the store.

mod shown;

use crate::{
    adopt::{
        self, Format, Given, Opened, Sealed, Survey, Taken, container, keep, replace, untaken,
        yaml::{self, Node},
    },
    cli::{Context, progress::Progress},
    config,
    failure::{Exit, Failure},
    socket::{
        frame::MOST_MATERIALS,
        message::{AdoptAsked, Adopted, Request},
    },
    wire::LOOKUP,
};
use clap::{Args, ValueEnum};
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
    store::secret::SecretValue,
};
use donjon_policies::{catalogue::Catalogue, name::SecretName};
use serde_json::Value;
use std::{
    io::{self, IsTerminal, stdin},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};
use zeroize::Zeroizing;

/// Take over a deployer's file of passwords: kolla-ansible's passwords.yml, openstack-ansible's user_secrets.yml, a heat
/// environment or plan export of TripleO's, each also as an ansible-vault.
///
/// Every value is stored and read back, and nothing is stored where the store has another value. The file is left as it is. With
/// --replace references stand in it from then on, and the original is kept beside it, for its owner and group. --confirm compares the
/// original with the store once more, and what the store does not have with the file of references; then it overwrites it and
/// removes it: what a disk, a snapshot or a backup kept of it is out of reach. Cut off in the middle, --confirm goes on with that.
/// --undo puts the original back, and keeps the file of references beside it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon adopt /etc/kolla/passwords.yml --plan\n  donjon adopt /etc/kolla/passwords.yml --replace\n  donjon adopt /etc/kolla/passwords.yml --confirm\n  donjon adopt secrets.yml --format osa --vault-password-file ~/.vault"
)]
pub struct Adopt {
    /// The file.
    file: PathBuf,
    /// Whose file it is; told by what is in it where not given.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// A file with the password of an ansible-vault, or a program that prints it; asked for on the terminal where none is given.
    #[arg(long, value_name = "FILE")]
    vault_password_file: Vec<PathBuf>,
    /// Only say what would happen.
    #[arg(long)]
    plan: bool,
    /// Put references where the values stand.
    #[arg(long, conflicts_with = "plan")]
    replace: bool,
    /// Store the file's values where the store has others.
    #[arg(long)]
    overwrite: bool,
    /// Begin this deployment, although the store holds secrets of another one alone.
    #[arg(long)]
    new_deployment: bool,
    /// Store the value of NAME under OTHER too, where your own catalogue gives a second credential that name; with --replace a
    /// reference to it stands before that to NAME.
    #[arg(long, value_name = "NAME=OTHER", value_parser = split)]
    split: Vec<(SecretName, SecretName)>,
    /// The store has it all: overwrite the original and remove it.
    #[arg(long, conflicts_with_all = ["plan", "replace", "overwrite", "split"])]
    confirm: bool,
    /// Put the original back.
    #[arg(long, conflicts_with_all = ["plan", "replace", "overwrite", "split", "confirm"])]
    undo: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    /// kolla-ansible's passwords.yml.
    Kolla,
    /// openstack-ansible's user_secrets.yml.
    Osa,
    /// TripleO's passwords environment or plan.
    Tripleo,
}

/// A file, opened and read.
struct Source {
    opened: Opened,
    format: Format,
    catalogue: Arc<Catalogue>,
    document: Node,
    taken: Taken,
    /// The lines of comments that were sealed. Where references stand in the file, it is sealed no more, and has none.
    sealed_comments: Vec<usize>,
}

impl Adopt {
    /// Plans, takes over, confirms or undoes.
    pub fn run(mut self, context: &Context) -> Result<(), Failure> {
        // A link that is named is meant to be followed: what it points to is replaced, and not the link.
        self.file = self.place().map_err(|error| self.left_alone().because(&error))?;
        match (self.undo, self.confirm) {
            (true, _) => self.undo(context),
            (_, true) => self.confirm(context),
            (false, false) => self.take(context),
        }
    }

    /// The original may be there where nothing stands in its place any more.
    fn place(&self) -> io::Result<PathBuf> {
        std::fs::canonicalize(&self.file).or_else(|error| {
            let gone = error.kind() == io::ErrorKind::NotFound && (self.undo || self.confirm);
            let place = gone.then(|| place_of_none(&self.file)).flatten();
            let is_kept = |place: &PathBuf| keep::original(place).or_else(|| keep::half_erased(place)).is_some();
            place.filter(is_kept).ok_or(error)
        })
    }

    fn take(&self, context: &Context) -> Result<(), Failure> {
        let mut source = self.source(context, &self.file)?;
        for (name, other) in &self.split {
            let given = source.taken.given.iter().find(|given| given.name == *name);
            let given = given.ok_or_else(|| self.left_alone().cause(format!("it gives no value to `{name}`")))?;
            let value = given.value.duplicate();
            let again = Given {
                name: other.clone(),
                written: given.written.clone(),
                line: given.line,
                value,
                places: Vec::new(),
            };
            source.taken.given.push(again);
        }
        let survey = adopt::survey(&source.taken.given, &source.catalogue);
        // First what can be refused.
        let replaced = match self.replace {
            true => Some(self.replaced(&source)?),
            false => None,
        };
        let (stored, asked) = match (self.ask(context, &source.taken), self.plan) {
            (Err(failure), true) if failure.code == Exit::Unavailable => (Value::Null, false),
            (answered, _) => (answered?, true),
        };
        if let Some(replaced) = &replaced {
            keep::replace(&self.file, replaced.text.as_bytes()).map_err(|error| {
                let state = match keep::original(&self.file) {
                    Some(_) => {
                        "its values are stored and were read back; references stand in it, and its original is kept"
                    }
                    None => "its values are stored and were read back; the file is as it was",
                };
                Failure::new(Exit::Failed, "cannot replace the file").because(&error).state(state)
            })?;
        }
        let told = shown::Told {
            adopt: self,
            source: &source,
            survey: &survey,
            stored: &stored,
            asked,
            replaced: replaced.as_ref(),
        };
        told.show(context)
    }

    fn source(&self, context: &Context, path: &Path) -> Result<Source, Failure> {
        let (opened, document, passwords) = self.opened(path)?;
        let format = self.format.map(Format::from).or_else(|| Format::of(&document)).ok_or_else(|| {
            self.left_alone()
                .cause("its names are of no deployer, or of two")
                .hint("`--format kolla`, `osa` or `tripleo`")
        })?;
        let catalogue = config::of_deployer(&context.home, format.catalogue())?;
        let taken = adopt::take(&document, format, &catalogue, &passwords).map_err(|mistakes| {
            let mut failure = self.left_alone();
            failure.causes = mistakes.iter().map(ToString::to_string).collect();
            failure
        })?;
        let comments = match opened.sealed {
            Sealed::Vault => yaml::comments(&opened.text).map_err(|error| self.left_alone().because(&error))?,
            Sealed::Plain | Sealed::Archive => Vec::new(),
        };
        let sealed_comments = comments.iter().map(|place| replace::line_of(&opened.text, place.start)).collect();
        Ok(Source { opened, format, catalogue, document, taken, sealed_comments })
    }

    /// What is in a file, with the passwords of the ansible-vaults in it.
    fn opened(&self, path: &Path) -> Result<(Opened, Node, Vec<Material>), Failure> {
        let found = std::fs::metadata(path).map_err(|error| self.left_alone().because(&error))?;
        if found.len() > container::LONGEST {
            return Err(self.left_alone().cause(format!("it is larger than {} bytes", container::LONGEST)));
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(|error| self.left_alone().because(&error))?);
        let mut passwords = Vec::new();
        let opened = adopt::open(bytes, &mut || {
            passwords = self.passwords()?;
            Ok::<_, Unopened>(passwords.iter().map(Material::duplicate).collect())
        });
        let opened = opened.map_err(|error| match error {
            Unopened::Password(failure) => *failure,
            Unopened::File(error) => self.left_alone().because(&error),
        })?;
        if passwords.is_empty() && opened.text.contains("!vault") {
            passwords = self.passwords()?;
        }
        let document = yaml::read(&opened.text).map_err(|error| self.left_alone().because(&error))?;
        let document = document.ok_or_else(|| self.left_alone().cause("there is nothing in it"))?;
        Ok((opened, document, passwords))
    }

    /// Of the files that were named, else of the terminal.
    fn passwords(&self) -> Result<Vec<Material>, Failure> {
        if !self.vault_password_file.is_empty() {
            return self.vault_password_file.iter().map(|file| password(file)).collect();
        }
        let unasked =
            || Failure::new(Exit::Usage, "the file is an ansible-vault, and there is nobody to ask for its password");
        if !stdin().is_terminal() {
            return Err(unasked().state("nothing was stored").hint("`--vault-password-file FILE`"));
        }
        let typed =
            rpassword::prompt_password("ansible-vault password: ").map_err(|error| unasked().because(&error))?;
        Ok(vec![Material::from(typed)])
    }

    fn replaced(&self, source: &Source) -> Result<replace::Replaced, Failure> {
        if source.opened.sealed == Sealed::Archive {
            return Err(self
                .left_alone()
                .cause("what is in an archive cannot be replaced")
                .hint("leave `--replace` out"));
        }
        if let Some(kept) = keep::original(&self.file) {
            keep::keep_close(&kept);
            let mut failure = Failure::new(Exit::Conflict, "the original of an earlier --replace is still there");
            failure.causes.push(kept.display().to_string());
            return Err(failure.state("nothing was stored").hint("`--confirm` erases it, `--undo` puts it back"));
        }
        if let Some(erasing) = keep::half_erased(&self.file) {
            let mut failure =
                Failure::new(Exit::Conflict, "the original of an earlier --replace is not erased to its end");
            failure.causes.push(erasing.display().to_string());
            return Err(failure.state("nothing was stored").hint("`--confirm` goes on with that"));
        }
        let comments = match source.opened.sealed {
            Sealed::Vault => replace::Comments::Go,
            Sealed::Plain | Sealed::Archive => replace::Comments::Stay,
        };
        let Source { opened, taken, format, catalogue, .. } = source;
        let replaced = replace::replaced(&opened.text, taken, *format, catalogue, comments).map_err(|obstacles| {
            let mut failure = self.left_alone();
            failure.causes = obstacles.iter().map(ToString::to_string).collect();
            failure.hint("take it out of there; then the same command again")
        })?;
        self.opens_nothing(source, &replaced)?;
        Ok(replaced)
    }

    /// What was sealed and is not taken would lie in clear.
    fn opens_nothing(&self, source: &Source, replaced: &replace::Replaced) -> Result<(), Failure> {
        let left = untaken::names(&source.document, &source.taken).into_iter();
        let left: Vec<String> = left.chain(replaced.stays.iter().map(ToString::to_string)).collect();
        if source.opened.sealed != Sealed::Vault || left.is_empty() {
            return Ok(());
        }
        let why = "the file is an ansible-vault, and these are not taken, so they would lie in clear";
        Err(self
            .left_alone()
            .cause(format!("{why}: {}", left.join(", ")))
            .hint("move them to another ansible-vault; or leave `--replace` out"))
    }

    fn ask(&self, context: &Context, taken: &Taken) -> Result<Value, Failure> {
        if taken.given.len() > MOST_MATERIALS {
            return Err(self.left_alone().cause(format!("it has more than {MOST_MATERIALS} values")));
        }
        let (secrets, materials) = taken.given.iter().map(sent).unzip();
        let file = self.file.display().to_string();
        let request = Request::Adopt(AdoptAsked {
            plan: self.plan,
            overwrite: self.overwrite,
            new_deployment: self.new_deployment,
            file,
            secrets,
        });
        let mut progress = Progress::new(context.output);
        let reply = context.client()?.ask(&request, materials, &mut |event| progress.tell(&event));
        progress.end();
        Ok(reply?.value)
    }

    fn confirm(&self, context: &Context) -> Result<(), Failure> {
        let kept = keep::original(&self.file);
        // That was confirmed before.
        if let Some(erasing) = keep::half_erased(&self.file) {
            let erased = keep::end_erasing(&self.file).map_err(|error| self.unerased(&erasing, &error))?;
            if kept.is_none() {
                return shown::erased(context, &erasing, &erased);
            }
        }
        let replaced = kept.is_some();
        let original = kept.unwrap_or_else(|| self.file.clone());
        let source = self.source(context, &original)?;
        if !replaced && source.taken.given.is_empty() && source.opened.text.contains(LOOKUP) {
            return shown::confirmed_before(context, &original);
        }
        // What is not taken stays in a file of references. Without one, this is the only file, and all of it would go.
        if !replaced && (source.opened.sealed != Sealed::Archive || !source.taken.left.is_empty()) {
            return Err(Failure::new(Exit::Usage, format!("{} is not erased", original.display()))
                .cause("no references stand in its place, so it is the file that the deployer reads")
                .state("nothing was done")
                .hint("`--replace` first; or remove the file yourself, where nothing needs it any more"));
        }
        if source.taken.given.is_empty() {
            return Err(self.left_alone().cause("no value is in it"));
        }
        if replaced {
            self.nothing_is_missing(&original, &source)?;
        }
        let differing = self.differing(context, &original, &source.taken)?;
        if !differing.is_empty() {
            let mut failure = Failure::new(Exit::Conflict, format!("{} is not erased", original.display()));
            failure.causes =
                differing.iter().map(|name| format!("`{name}` is not in the store as the file has it")).collect();
            return Err(failure.state("nothing was done").hint(
                "where a secret was rotated since, the original is out of date: remove it yourself; else adopt it again",
            ));
        }
        let erased = keep::erase(&self.file, &original).map_err(|error| self.unerased(&original, &error))?;
        shown::erased(context, &original, &erased)
    }

    /// What the store does not have stands in the file of references, or it would be nowhere.
    fn nothing_is_missing(&self, original: &Path, source: &Source) -> Result<(), Failure> {
        let file = self.file.display();
        let refused =
            || Failure::new(Exit::Conflict, format!("{} is not erased", original.display())).state("nothing was done");
        if let Err(error) = std::fs::metadata(&self.file) {
            let why = format!("no references stand in its place: {file} cannot be looked at");
            return Err(refused().cause(why).because(&error).hint("`--undo` puts the original back"));
        }
        let (opened, document, _) = self.opened(&self.file).map_err(|failure| {
            let mut refused = refused().cause(format!("{file} cannot be read: {}", failure.message));
            refused.causes.extend(failure.causes);
            refused.hint("mend that file; or `--undo` puts the original back")
        })?;
        let there = (opened.text.as_str(), &document);
        let missing = untaken::missing((&source.opened.text, &source.document), there, &source.taken);
        if missing.is_empty() {
            return Ok(());
        }
        let mut failure = refused();
        failure.causes =
            missing.iter().map(|name| format!("`{name}` does not stand in {file} as the original has it")).collect();
        Err(failure.hint("put it there as it was, or put all of it back by `--undo`; where nothing needs it any more, remove the original yourself"))
    }

    fn unerased(&self, original: &Path, error: &FileError) -> Failure {
        let state = match keep::half_erased(&self.file) {
            Some(_) => "its values are in the store; what is left of it cannot be put back",
            None => "its values are in the store; it is whole",
        };
        Failure::new(Exit::Failed, format!("cannot erase {}", original.display()))
            .because(error)
            .state(state)
            .hint("see that its folder can be written; then the same command again, which goes on with it")
    }

    fn undo(&self, context: &Context) -> Result<(), Failure> {
        let Some(kept) = keep::original(&self.file) else {
            if let Some(erasing) = keep::half_erased(&self.file) {
                let what = format!("the original of {} is being erased, so it cannot be put back", self.file.display());
                return Err(Failure::new(Exit::NotThere, what)
                    .cause(format!("{} is what is left of it", erasing.display()))
                    .state("nothing was done")
                    .hint("`--confirm` goes on with erasing it; `donjon get NAME` shows what the store has"));
            }
            return Err(Failure::new(Exit::NotThere, format!("there is no original of {}", self.file.display()))
                .state("nothing was done")
                .hint("after `--confirm` there is none any more; `donjon get NAME` shows what the store has"));
        };
        // It is put back also where there is nobody to ask, or no password of an ansible-vault.
        let compared = self.source(context, &kept).and_then(|source| self.differing(context, &kept, &source.taken));
        let beside = keep::put_back(&self.file).map_err(|error| {
            Failure::new(Exit::Failed, "cannot put the original back")
                .because(&error)
                .state("the file is as it was, and its original is kept")
                .hint("see that its folder can be written; then the same command again")
        })?;
        shown::undone(context, &self.file, beside.as_deref(), compared)
    }

    /// What of a file the store does not have as it stands there.
    fn differing(&self, context: &Context, original: &Path, taken: &Taken) -> Result<Vec<String>, Failure> {
        let plan = Self { plan: true, file: original.to_path_buf(), ..self.copy() };
        let stored = plan.ask(context, taken)?;
        let list = stored["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let same = |given: &Given| {
            list.iter().any(|secret| secret["name"] == given.name.as_str() && secret["standing"] == "same")
        };
        Ok(taken.given.iter().filter(|given| !same(given)).map(|given| given.name.to_string()).collect())
    }

    fn copy(&self) -> Self {
        Self {
            file: self.file.clone(),
            format: self.format,
            vault_password_file: self.vault_password_file.clone(),
            plan: false,
            replace: false,
            overwrite: false,
            new_deployment: false,
            split: Vec::new(),
            confirm: false,
            undo: false,
        }
    }

    fn left_alone(&self) -> Failure {
        let file = self.file.display();
        let (what, state) = match (self.undo, self.confirm) {
            (true, _) => (format!("cannot put back the original of {file}"), "nothing was done"),
            (_, true) => (format!("cannot confirm {file}"), "nothing was done"),
            (false, false) => (format!("cannot take over {file}"), "nothing was stored"),
        };
        Failure::new(Exit::Usage, what).state(state)
    }
}

/// Where a file would stand that is gone, with the links on the way followed.
fn place_of_none(file: &Path) -> Option<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::read_link(file) {
        // One that leads in a circle has another error than to lead to nothing.
        Ok(target) => place_of_none(&parent.join(target)),
        Err(_) => Some(std::fs::canonicalize(parent).ok()?.join(file.file_name()?)),
    }
}

enum Unopened {
    Password(Box<Failure>),
    File(container::OpenError),
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Self::Password(Box::new(failure))
    }
}

impl From<container::OpenError> for Unopened {
    fn from(error: container::OpenError) -> Self {
        Self::File(error)
    }
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Kolla => Self::Kolla,
            FormatName::Osa => Self::Osa,
            FormatName::Tripleo => Self::Tripleo,
        }
    }
}

fn sent(given: &Given) -> (Adopted, Material) {
    let public = match &given.value {
        SecretValue::Pair { public, .. } => Some(public.clone()),
        SecretValue::Whole(_) => None,
    };
    (Adopted { name: given.name.clone(), public }, given.value.material().duplicate())
}

/// As Ansible does: what may be executed is run and prints it, else the file holds it; white space around it does not count.
fn password(file: &Path) -> Result<Material, Failure> {
    let unread = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Usage, format!("cannot get a password from {}", file.display()))
            .because(error)
            .state("nothing was stored")
    };
    let found = std::fs::metadata(file).map_err(|error| unread(&error))?;
    let bytes = match found.permissions().mode() & 0o111 != 0 {
        false => fs::read(file).map_err(|error| unread(&error))?,
        true => {
            let file = std::path::absolute(file).map_err(|error| unread(&error))?;
            let ran = Command::new(&file).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
            let ran = ran.map_err(|error| unread(&error))?;
            if !ran.status.success() {
                return Err(Failure::new(Exit::Failed, format!("{} ended with {}", file.display(), ran.status))
                    .state("nothing was stored"));
            }
            ran.stdout
        }
    };
    let bytes = Zeroizing::new(bytes);
    Ok(Material::new(bytes.trim_ascii().to_vec()))
}

fn split(text: &str) -> Result<(SecretName, SecretName), String> {
    let (name, other) = text.split_once('=').ok_or("write NAME=OTHER")?;
    let parse = |name: &str| name.parse::<SecretName>().map_err(|error| error.to_string());
    Ok((parse(name)?, parse(other)?))
}
