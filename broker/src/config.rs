//! The deployment file and its catalogue, found and read.

use crate::{
    failure::{Exit, Failure},
    home::Home,
    settings::provenance,
};
use donjon_drivers::{fs::FileError, host::inventory};
use donjon_policies::{
    catalogue::{Catalogue, CatalogueError, EMBEDDED},
    deployment::Deployment,
};
use std::{
    io::ErrorKind,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Reads the deployment file. Where none is there and none was named, an empty deployment called `default`.
pub fn deployment(home: &Home) -> Result<Deployment, Failure> {
    read(&home.deployment_file(), text(home)?.as_deref())
}

/// The same, and the text of the file, where there is one.
pub fn deployment_and_text(home: &Home) -> Result<(Deployment, Option<String>), Failure> {
    let bytes = text(home)?;
    let deployment = read(&home.deployment_file(), bytes.as_deref())?;
    // What was read was UTF-8.
    Ok((deployment, bytes.and_then(|bytes| String::from_utf8(bytes).ok())))
}

/// What a file held, where there was one, and what that means.
type Known = (Option<Vec<u8>>, Arc<Deployment>);

/// The deployment file, which is understood once for as long as it says the same: a file of many sites takes longer to
/// understand than an export to one of them takes.
#[derive(Debug, Default)]
pub struct Understood(Mutex<Option<Known>>);

impl Understood {
    /// The file as it is now.
    pub fn deployment(&self, home: &Home) -> Result<Arc<Deployment>, Failure> {
        let text = text(home)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, deployment)) = known.as_ref().filter(|(then, _)| *then == text) {
            return Ok(deployment.clone());
        }
        let deployment = Arc::new(read(&home.deployment_file(), text.as_deref())?);
        *known = Some((text, deployment.clone()));
        Ok(deployment)
    }
}

/// What the file holds; nothing where none is there and none was named.
fn text(home: &Home) -> Result<Option<Vec<u8>>, Failure> {
    match donjon_drivers::fs::read_trusted(&home.deployment_file()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(FileError::Io { source, .. })
            if source.kind() == ErrorKind::NotFound && std::env::var_os("DONJON_CONFIG").is_none() =>
        {
            Ok(None)
        }
        // It says who reads what, and which programs are run.
        Err(error @ FileError::Changeable { .. }) => {
            Err(Failure::new(Exit::NotAllowed, "the deployment file is not obeyed")
                .because(&error)
                .state("nothing was done")
                .hint("it is for root or this user alone to write: `chmod go-w`, `chown`"))
        }
        Err(FileError::Io { source, act, path }) if source.kind() == ErrorKind::PermissionDenied => {
            Err(Failure::new(Exit::NotAllowed, "cannot read the deployment file")
                .because(&FileError::Io { source, act, path })
                .state("nothing was done")
                .hint("it is for the user that runs the daemon, or root: `sudo`, keeping DONJON_HOME"))
        }
        Err(error) => Err(Failure::new(Exit::Usage, "cannot read the deployment file")
            .because(&error)
            .hint("DONJON_CONFIG names it")),
    }
}

fn read(path: &Path, bytes: Option<&[u8]>) -> Result<Deployment, Failure> {
    let Some(bytes) = bytes else {
        return Ok(Deployment::empty("default".parse().expect("a fixed good name")));
    };
    let text = std::str::from_utf8(bytes).map_err(|_| mistaken(path, ["it is not UTF-8 text"]))?;
    let mut partly = Deployment::parse_partly(&path.display().to_string(), text);
    match partly.read.take() {
        Some(read) if partly.mistakes.is_empty() => Ok(read),
        // What its drivers do not understand of the rest, too: whoever mends it looks for all of it at once.
        rest => {
            let of_drivers = rest.and_then(|rest| provenance::everything(&rest, text, path).err()).unwrap_or_default();
            let of_drivers = of_drivers.iter().map(ToString::to_string).filter(|mistake| !partly.explains(mistake));
            Err(mistaken(path, partly.mistakes.iter().map(ToString::to_string).chain(of_drivers)))
        }
    }
}

/// Where that comes from which the deployment file says, or leaves to its defaults.
pub fn says(home: &Home) -> String {
    let path = home.deployment_file();
    match path.exists() {
        true => format!("{} says so", path.display()),
        false => format!("there is no {}, so that defaults hold", path.display()),
    }
}

/// A deployment file with mistakes, all of them at once.
pub fn mistaken(path: &Path, mistakes: impl IntoIterator<Item = impl ToString>) -> Failure {
    let mut failure = Failure::new(Exit::Usage, format!("the deployment file {} has mistakes", path.display()));
    failure.causes = mistakes.into_iter().map(|mistake| mistake.to_string()).collect();
    failure.state("nothing was done")
}

/// It with the hosts of the Ansible inventory that it names, where it names one.
pub async fn with_inventory(deployment: Deployment) -> Result<Deployment, Failure> {
    let Some(inventory) = &deployment.inventory else { return Ok(deployment) };
    let found = inventory::read(inventory).await.map_err(|error| {
        let failure = Failure::new(Exit::Usage, "cannot learn the hosts of this deployment").because(&error);
        let failure = failure.state("nothing was done");
        match inventory.dynamic {
            true => failure,
            false => {
                failure.hint("an inventory that is a program, or made by a plugin, is run with `dynamic: true` alone")
            }
        }
    })?;
    deployment.with_hosts(found.hosts, &found.refused).map_err(|mistakes| {
        let mut failure = Failure::new(Exit::Usage, "the inventory does not fit the deployment file");
        failure.causes = mistakes.iter().map(ToString::to_string).collect();
        failure.state("nothing was done")
    })
}

/// A catalogue: one that is built in, or the file of that name.
pub fn catalogue(word: &str) -> Result<Arc<Catalogue>, Failure> {
    if !is_file(word) {
        return built_in(word);
    }
    let unread = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Usage, format!("cannot read the catalogue {word}")).because(error).state("nothing was done")
    };
    let bytes = donjon_drivers::fs::read(Path::new(word)).map_err(|error| unread(&error))?;
    catalogue_text(word, &String::from_utf8(bytes).map_err(|error| unread(&error.utf8_error()))?).map(Arc::new)
}

/// The catalogue of a deployer: the file of this deployment, where that is one of the deployer's, else the built-in one.
pub fn of_deployer(home: &Home, deployer: &str) -> Result<Arc<Catalogue>, Failure> {
    let word = deployment(home)?.catalogue;
    let unread = |failure: Failure| failure.hint("`catalogue` in donjon.yaml names it");
    let own = if is_file(&word) { Some(catalogue(&word).map_err(unread)?) } else { None };
    own.filter(|own| own.deployer() == deployer).map_or_else(|| built_in(deployer), Ok)
}

/// A catalogue that is built in; on error, the nearest name. It is understood once: that takes longer than most of what is
/// done with it.
pub fn built_in(name: &str) -> Result<Arc<Catalogue>, Failure> {
    static UNDERSTOOD: [OnceLock<Arc<Catalogue>>; EMBEDDED.len()] = [const { OnceLock::new() }; EMBEDDED.len()];
    let place = EMBEDDED.iter().position(|(known, _)| *known == name).map(|at| &UNDERSTOOD[at]);
    if let Some(understood) = place.and_then(OnceLock::get) {
        return Ok(understood.clone());
    }
    let catalogue = Catalogue::named(name).map(Arc::new).map_err(|error| {
        Failure::new(Exit::Usage, "there is no such catalogue").because(&error).state("nothing was done")
    })?;
    Ok(place.map_or_else(|| catalogue.clone(), |place| place.get_or_init(|| catalogue.clone()).clone()))
}

/// The text of a catalogue that is built in; on error, the nearest name.
pub fn built_in_text(name: &str) -> Result<&'static str, Failure> {
    built_in(name)?;
    Ok(EMBEDDED.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text))
}

/// A catalogue from its text; on error, every mistake in it.
pub fn catalogue_text(file: &str, text: &str) -> Result<Catalogue, Failure> {
    Catalogue::parse(file, text).map_err(|mistakes| {
        let mut failure = Failure::new(Exit::Usage, format!("the catalogue {file} has mistakes"));
        failure.causes = CatalogueError::Broken(mistakes).to_string().lines().map(str::to_owned).collect();
        failure.state("nothing was done")
    })
}

/// Whether a word that names a catalogue means a file: it is not built in, and it is written like a path or is there.
pub fn is_file(word: &str) -> bool {
    let built_in = EMBEDDED.iter().any(|(name, _)| *name == word);
    !built_in && (word.contains('/') || word.ends_with(".yaml") || Path::new(word).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_in_catalogue_is_understood_once_and_a_wrong_name_never() {
        let first = built_in("tripleo").unwrap();
        assert!(Arc::ptr_eq(&first, &catalogue("tripleo").unwrap()));
        assert_eq!((first.deployer(), built_in("kolla-ansible").unwrap().deployer()), ("tripleo", "kolla-ansible"));
        assert!(built_in("tripleoo").unwrap_err().causes[0].contains("tripleo"));
    }

    #[test]
    fn a_file_that_others_can_change_is_not_obeyed() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_path_buf());
        let file = home.deployment_file();
        donjon_drivers::fs::replace(&file, b"deployment: one\n").unwrap();
        let enter = |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        enter(0o755);
        let with = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        for (mode, obeyed) in [(0o644, true), (0o664, false), (0o646, false), (0o600, true)] {
            with(mode);
            let read = deployment(&home);
            assert_eq!(read.is_ok(), obeyed, "{mode:o}");
            assert!(read.err().is_none_or(|failure| failure.code == Exit::NotAllowed));
        }
        with(0o664);
        enter(0o700);
        assert!(deployment(&home).is_ok(), "where nobody else comes");
        enter(0o755);
        if rustix::process::geteuid().is_root() {
            chown(&file, Some(1), None).unwrap();
            assert!(deployment(&home).unwrap_err().causes[0].contains("uid 1"));
        }
    }

    #[test]
    fn a_file_is_understood_anew_when_it_says_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let (home, known) = (Home::at(folder.path().to_path_buf()), Understood::default());
        let describe = |text: &str| donjon_drivers::fs::replace(&home.deployment_file(), text.as_bytes()).unwrap();
        describe("deployment: one\n");
        let first = known.deployment(&home).unwrap();
        assert!(Arc::ptr_eq(&first, &known.deployment(&home).unwrap()), "the same text is not read twice");
        // As long as the other, and perhaps written in the same instant.
        describe("deployment: two\n");
        assert_eq!(known.deployment(&home).unwrap().deployment.as_str(), "two");
        describe("deployment: [\n");
        assert!(known.deployment(&home).is_err());
        describe("deployment: two\n");
        assert_eq!(known.deployment(&home).unwrap().deployment.as_str(), "two");
    }
}
