//! Which Vault, and as whom: the arguments that `export vault` and `retire-host` share.

use crate::{
    cli::command::import::{read, read_private},
    failure::{Exit, Failure},
    socket::message::VaultAsked,
};
use clap::Args;
use donjon_drivers::material::Material;
use std::{
    env,
    path::{Path, PathBuf},
};

/// A Vault or OpenBao cluster that is there.
#[derive(Debug, Args)]
pub(in crate::cli::command) struct At {
    /// The address of a node of the cluster; give one per node, and the first that answers is asked.
    #[arg(long = "address", value_name = "URL")]
    addresses: Vec<String>,
    /// The certificates to trust there, in PEM; those of the operating system where not given.
    #[arg(long, value_name = "FILE", requires = "addresses")]
    cacert: Option<PathBuf>,
    /// A file with the token, for its owner alone; BAO_TOKEN or VAULT_TOKEN where not given.
    #[arg(long, value_name = "FILE", requires = "addresses")]
    token_file: Option<PathBuf>,
    /// The namespace there.
    #[arg(long, requires = "addresses")]
    namespace: Option<String>,
}

impl At {
    /// What the daemon is asked, where an address was given.
    pub(in crate::cli::command) fn asked(&self) -> Result<Option<VaultAsked>, Failure> {
        if self.addresses.is_empty() {
            return Ok(None);
        }
        Ok(Some(VaultAsked {
            addresses: self.addresses.clone(),
            trust: self.cacert.as_deref().map(text).transpose()?,
            namespace: self.namespace.clone(),
            mount: "donjon".to_owned(),
            ..VaultAsked::default()
        }))
    }

    /// The token: from a private file, else from the environment.
    pub(in crate::cli::command) fn token(&self) -> Result<Material, Failure> {
        if let Some(file) = &self.token_file {
            // EXPOSE: copied into Material without the white space around it
            return read_private(file, "token").map(|read| Material::new(read.expose().trim_ascii().to_vec()));
        }
        let set = |name: &str| env::var(name).ok().filter(|token| !token.is_empty());
        set("BAO_TOKEN").or_else(|| set("VAULT_TOKEN")).map(Material::from).ok_or_else(|| {
            Failure::new(Exit::Usage, "no token for the Vault was given")
                .state("nothing was changed")
                .hint("--token-file FILE, or BAO_TOKEN or VAULT_TOKEN in the environment")
        })
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| Failure::new(Exit::Usage, format!("{} is not text", path.display())))
}
