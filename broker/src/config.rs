//! The deployment file, found and read.

use crate::{
    failure::{Exit, Failure},
    home::Home,
};
use donjon_drivers::fs::FileError;
use donjon_policies::deployment::Deployment;
use std::io::ErrorKind;

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
