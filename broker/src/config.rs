//! The deployment file and its catalogue, found and read.

use crate::{
    failure::{Exit, Failure},
    home::Home,
};
use donjon_drivers::{fs::FileError, host::inventory};
use donjon_policies::{
    catalogue::{Catalogue, CatalogueError, EMBEDDED},
    deployment::Deployment,
};
use std::{io::ErrorKind, path::Path};

/// Reads the deployment file. Where none is there and none was named, an empty deployment called `default`.
pub fn deployment(home: &Home) -> Result<Deployment, Failure> {
    let path = home.deployment_file();
    let bytes = match donjon_drivers::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(FileError::Io { source, .. })
            if source.kind() == ErrorKind::NotFound && std::env::var_os("DONJON_CONFIG").is_none() =>
        {
            return Ok(Deployment::empty("default".parse().expect("a fixed good name")));
        }
        Err(error) => {
            return Err(Failure::new(Exit::Usage, "cannot read the deployment file")
                .because(&error)
                .hint("DONJON_CONFIG names it"));
        }
    };
    let refused = |mistakes: Vec<String>| {
        let mut failure = Failure::new(Exit::Usage, format!("the deployment file {} has mistakes", path.display()));
        failure.causes = mistakes;
        failure.state("nothing was done")
    };
    let text = String::from_utf8(bytes).map_err(|_| refused(vec!["it is not UTF-8 text".to_owned()]))?;
    Deployment::parse(&path.display().to_string(), &text)
        .map_err(|mistakes| refused(mistakes.iter().map(ToString::to_string).collect()))
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
pub fn catalogue(word: &str) -> Result<Catalogue, Failure> {
    if !is_file(word) {
        return built_in(word);
    }
    let unread = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Usage, format!("cannot read the catalogue {word}")).because(error).state("nothing was done")
    };
    let bytes = donjon_drivers::fs::read(Path::new(word)).map_err(|error| unread(&error))?;
    catalogue_text(word, &String::from_utf8(bytes).map_err(|error| unread(&error.utf8_error()))?)
}

/// A catalogue that is built in; on error, the nearest name.
pub fn built_in(name: &str) -> Result<Catalogue, Failure> {
    Catalogue::named(name).map_err(|error| {
        Failure::new(Exit::Usage, "there is no such catalogue").because(&error).state("nothing was done")
    })
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
