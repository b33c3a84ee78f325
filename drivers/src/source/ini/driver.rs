//! The driver `ini`: one file of this host.

use super::files::{Files, Ini};
use crate::{
    fs,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    source::{Given, Many, OptionName, Outside, Source, SourceError},
};
use async_trait::async_trait;
use serde::Deserialize;
use std::path::PathBuf;
use tokio::sync::OnceCell;

/// One file of this host. oslo.config reads those that `--config-file` names, and has no driver of this name.
pub const DRIVER: Driver<Outside, Box<dyn Source>> = Driver {
    name: "ini",
    help: "A configuration file of this host, in oslo.config's dialect; named by --config-file.",
    options: &[Description { name: "path", kind: Kind::Path, need: Need::Required, help: "The file." }],
    open: |_, options| {
        let Options { path } = typed(options)?;
        Ok(Box::new(LocalFile { path, files: OnceCell::new() }))
    },
};

#[derive(Deserialize)]
struct Options {
    path: PathBuf,
}

struct LocalFile {
    path: PathBuf,
    files: OnceCell<Files>,
}

impl LocalFile {
    async fn files(&self) -> Result<&Files, SourceError> {
        self.files
            .get_or_try_init(async || {
                let bytes = zeroize::Zeroizing::new(fs::read(&self.path)?);
                let file = Ini::local(self.path.clone(), &bytes)
                    .map_err(|source| SourceError::Ini { path: self.path.clone(), source })?;
                let mut files = Files::default();
                files.push(file);
                Ok(files)
            })
            .await
    }
}

#[async_trait]
impl Source for LocalFile {
    async fn ready(&self) -> Result<(), SourceError> {
        self.files().await.map(drop)
    }

    async fn value(&self, option: &OptionName, many: Many) -> Result<Option<Given>, SourceError> {
        Ok(self.files().await?.find(std::slice::from_ref(option), many))
    }

    fn set(&self) -> Vec<OptionName> {
        self.files.get().map(Files::set).unwrap_or_default()
    }
}
