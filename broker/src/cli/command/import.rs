//! `donjon import`: a bundle into this store, into a node's folder, or into a site's Vault.

mod vault;

use super::{
    config::reading::runtime,
    export::{destination::At, joined, write},
    serve::{ROLE_FILES, roles, wanted},
};
use crate::{
    cli::{Context, context::Output, show},
    daemon::transfer::pinned,
    failure::{Exit, Failure},
    printable,
    socket::{
        frame::LONGEST_MATERIAL,
        message::{ImportAsked, Request},
    },
    transfer::{
        bundle::{Checks, Identities},
        import::{node::Node, store},
        inbox::send,
        key::PublicKey,
        told,
    },
};
use clap::Args;
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
};
use donjon_policies::name::{HostName, RoleName, SiteName};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Take a bundle in: into this store, with --into a node's folder, which `donjon serve` reads, or with --address a Vault.
///
/// In a Vault or OpenBao the records lie as castellan and kolla read them, and the bundle's role gets a policy and an AppRole
/// that read exactly these; no daemon is needed, and the Vault's own audit log has each write.
///
/// Everything is checked before anything is changed. A damaged, forged, stale or foreign bundle is refused, each with its
/// own message and exit code 9. The first bundle pins its authority's key; give that key as a file to be sure of it. What
/// was imported is confirmed by a receipt, a file to be taken back to the authority.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon import edge1.donjon -i node.identity --plan\n  donjon import edge1.donjon -i node.identity --into /var/lib/donjon-reader\n  donjon import edge1.donjon -i node.identity --authority-key authority.pem\n  donjon import edge1.donjon -i node.identity --address https://10.1.0.11:8200 --cacert ca.pem --token-file token --credentials /root/approle"
)]
pub struct Import {
    /// The bundle.
    bundle: PathBuf,
    /// The age identity file of this node or person.
    #[arg(long, short, value_name = "FILE")]
    identity: PathBuf,
    /// A node's folder, instead of this store. No daemon is needed.
    #[arg(long, value_name = "FOLDER", conflicts_with = "addresses")]
    into: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// The KV v2 mount of that Vault; it is made where it is missing.
    #[arg(long, default_value = "donjon", requires = "addresses")]
    mount: String,
    /// Make a credential for the bundle's role there and write it below this folder: <role>/role-id and <role>/secret-id.
    #[arg(long, value_name = "FOLDER", requires = "addresses", conflicts_with = "plan")]
    credentials: Option<PathBuf>,
    /// A host that the credential is for, below a folder of its own; `retire-host` can revoke it by that name.
    #[arg(long = "host", value_name = "HOST", requires = "credentials")]
    hosts: Vec<HostName>,
    /// Only show what would change.
    #[arg(long)]
    plan: bool,
    /// The authority's public key, pinned from this file instead of from the first bundle.
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
    /// Refuse a bundle for another site.
    #[arg(long)]
    site: Option<SiteName>,
    /// Refuse a bundle for another role.
    #[arg(long)]
    role: Option<RoleName>,
    /// Where to write the receipt; beside the bundle where not given.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Send the receipt, too: where `donjon receipt --listen` listens at the authority.
    #[arg(long, value_name = "URL", conflicts_with = "plan")]
    send: Option<String>,
}

impl Import {
    /// Takes it in.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let file = read(&self.bundle)?;
        let identity = private(&self.identity)?;
        let receipt = self.receipt.clone().unwrap_or_else(|| beside(&self.bundle));
        let (value, written) = match (&self.into, self.at.asked()?) {
            (Some(folder), _) => self.node(context, folder, &file, &identity)?,
            (None, Some(asked)) => self.vault(context, asked, &file, &identity)?,
            (None, None) => self.store(context, &file, &identity)?,
        };
        if let Some(content) = &written {
            write(&receipt, content).map_err(|failure| failure.state(told::TAKEN_IN).hint(told::WRITES_IT))?;
        }
        let path = written.as_ref().map(|_| receipt.display().to_string());
        let sent = match (&self.send, written) {
            (Some(url), Some(content)) => runtime()?.block_on(send(url, content)).map(|()| true)?,
            _ => false,
        };
        let answer = json!({"imported": value, "receipt": path, "sent": sent});
        show::answer(context.output, &answer, || people(&value, &self.identity, path.as_deref(), sent))
    }

    /// People see what is about to change before anything is.
    fn announce(context: &Context, value: &Value) -> Result<(), Failure> {
        match context.output {
            Output::Table => show::write_out(printable::lines(&planned(value)).as_bytes()),
            Output::Json => Ok(()),
        }
    }

    fn store(&self, context: &Context, file: &[u8], identity: &Material) -> Result<(Value, Option<Vec<u8>>), Failure> {
        let authority = self.authority_key.as_deref().map(text).transpose()?;
        let ask = |plan: bool| {
            let materials = std::iter::once(identity.duplicate()).chain(pieces(file)).collect();
            let (authority, site, role) = (authority.clone(), self.site.clone(), self.role.clone());
            let request = Request::Import(ImportAsked { plan, authority, site, role });
            context.client()?.ask_quietly(&request, materials)
        };
        let planned = ask(true)?.value;
        Self::announce(context, &planned)?;
        if self.plan {
            return Ok((planned, None));
        }
        let reply = ask(false)?;
        Ok((reply.value, Some(joined(&reply.materials).to_vec())))
    }

    /// What a file is checked against beside what the place that it goes to remembers.
    fn checks<'a>(&'a self, key: Option<&'a PublicKey>) -> Checks<'a> {
        Checks { pin: key, site: self.site.as_ref(), role: self.role.as_ref(), now: now(), ..Checks::default() }
    }

    fn node(
        &self,
        context: &Context,
        folder: &Path,
        file: &[u8],
        identity: &Material,
    ) -> Result<(Value, Option<Vec<u8>>), Failure> {
        let refused = format!("cannot import {}", self.bundle.display());
        let identities = identities(&self.identity, identity)?;
        let key = self.authority_key.as_deref().map(authority_key).transpose()?;
        let opened = if self.plan { Node::open_to_plan(folder) } else { Node::open_in_turn(folder) };
        let mut node = opened.map_err(|error| told::import(&refused, &error))?;
        let checks = self.checks(key.as_ref());
        let verified = node.verify(file, &checks).map_err(|error| told::import(&refused, &error))?;
        let opened = verified.open(&identities).map_err(|error| told::bundle(&refused, &error))?;
        let manifest = opened.manifest();
        let steps = node.changes(manifest);
        let steps: Vec<Value> =
            steps.iter().map(|(entry, change)| store::told(&entry.path, entry.version, change)).collect();
        let value = json!({
            "scope": manifest.scope.to_string(),
            "epoch": manifest.epoch,
            "authority": manifest.authority.id(),
            "trust": opened.trust().word(),
            "folder": folder.display().to_string(),
            "steps": steps,
        });
        Self::announce(context, &value)?;
        if self.plan {
            return Ok((value, None));
        }
        let wanted = wanted(folder, opened.manifest()).map_err(|failure| failure.state(NOT_TAKEN_IN))?;
        let receipt = node.accept(file, &opened, now()).map_err(|error| told::import(&refused, &error))?;
        let after = |failure: Failure| failure.state(told::TAKEN_IN).hint(told::WRITES_IT);
        roles(folder, wanted).map_err(after)?;
        Ok((value, Some(receipt)))
    }
}

/// What happens to each record and grant.
fn planned(value: &Value) -> String {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let steps = value["steps"].as_array().cloned().unwrap_or_default();
    let mut rows: Vec<Vec<String>> =
        steps.iter().map(|step| ["name", "version", "change"].map(|key| cell(&step[key])).to_vec()).collect();
    let grants = value["grants"].as_array().cloned().unwrap_or_default();
    rows.extend(grants.iter().map(|grant| vec![cell(&grant["name"]), String::new(), cell(&grant["change"])]));
    show::table(&["NAME", "VERSION", "CHANGE"], &rows)
}

fn people(value: &Value, identity: &Path, receipt: Option<&str>, sent: bool) -> String {
    let word = |key: &str| value[key].as_str().unwrap_or_default();
    let mut told = String::new();
    if word("trust") == "first" {
        told += &format!(
            "the authority {} was not known here before, and is pinned now because its bundle came first;\n\
             compare this with `donjon export key` at the authority, or import again with --authority-key FILE\n",
            word("authority")
        );
    }
    match receipt {
        None => told += &format!("epoch {} for {}: nothing was changed\n", value["epoch"], word("scope")),
        Some(receipt) if sent => {
            told += &format!(
                "epoch {} for {} is imported; the receipt was sent, and the answer says that it was recorded; a copy is {receipt}\n",
                value["epoch"],
                word("scope")
            );
        }
        Some(receipt) => {
            told += &format!(
                "epoch {} for {} is imported; take {receipt} back to the authority: `donjon receipt {receipt}`\n",
                value["epoch"],
                word("scope")
            );
        }
    }
    if let (Some(place), Some(_)) = (value["place"].as_str(), receipt) {
        told += &format!("{} records were written at {place}\n", value["written"]);
    }
    if let (Some(folder), Some(_)) = (value["folder"].as_str(), receipt) {
        told += &format!(
            "consumers log in with what is in {folder}/{ROLE_FILES}; `donjon serve --node {folder} -i {}` serves it\n",
            identity.display()
        );
    }
    told
}

/// Where the receipt goes.
pub(super) fn beside(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".receipt");
    name.into()
}

/// A file in pieces that fit a frame.
pub(super) fn pieces(file: &[u8]) -> impl Iterator<Item = Material> {
    file.chunks(LONGEST_MATERIAL).map(|piece| Material::new(piece.to_vec()))
}

/// Reads an identity file.
pub(super) fn identities(path: &Path, file: &Material) -> Result<Identities, Failure> {
    Identities::parse(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the identity {}", path.display()))
            .because(&error)
            .state("nothing was changed")
    })
}

/// Reads an identity file as it is.
pub(super) fn private(path: &Path) -> Result<Material, Failure> {
    read_private(path, "identity")
}

/// Reads a file that must be private; this is what it holds.
pub(super) fn read_private(path: &Path, what: &str) -> Result<Material, Failure> {
    fs::read_private(path).map(Material::new).map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("cannot read the {what} {}", path.display()))
            .because(&error)
            .state("nothing was changed");
        match error {
            FileError::TooOpen { .. } | FileError::Changeable { .. } => {
                failure.hint(format!("it is for its owner alone: `chmod 600 {}`", path.display()))
            }
            FileError::Io { .. } | FileError::Foreign { .. } | FileError::Attribute { .. } => failure,
        }
    })
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read {}", path.display()))
            .because(&error)
            .state("nothing was changed")
    })
}

/// Reads a key that is pinned by file.
pub(super) fn authority_key(path: &Path) -> Result<PublicKey, Failure> {
    pinned(&text(path)?)
}

/// Reads a text file.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Usage, format!("{} is not text", path.display())))
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

const NOT_TAKEN_IN: &str = "the bundle was not taken in; who was served before is served on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_whole_command_that_serves_it() {
        let value = json!({"scope": "site `edge1`, role `compute`", "epoch": 3, "folder": "/srv/node"});
        let told = people(&value, Path::new("node.identity"), Some("edge1.donjon.receipt"), false);
        let last = told.lines().last().unwrap();
        assert!(last.ends_with("`donjon serve --node /srv/node -i node.identity` serves it"), "{last}");
    }

    #[test]
    fn chmod_is_said_where_it_helps_and_a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let missing = read_private(&path, "token").unwrap_err();
        assert_eq!((missing.code, missing.hint), (Exit::Usage, None));
        assert!(missing.causes.iter().any(|cause| cause.contains("No such file")), "{:?}", missing.causes);
        fs::replace_with_mode(&path, b"x", 0o644).unwrap();
        let hint = read_private(&path, "token").unwrap_err().hint.unwrap();
        assert!(hint.ends_with(&format!("`chmod 600 {}`", path.display())), "{hint}");
        fs::replace(&path, b"x").unwrap();
        assert_eq!(read_private(&path, "token").unwrap().expose(), b"x"); // EXPOSE: a test value
    }
}
