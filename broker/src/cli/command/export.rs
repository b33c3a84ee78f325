//! `donjon export`: a sealed, signed bundle for a site and role, or for the custodians; or all of it into a cluster.

mod cancel;
pub(super) mod destination;
pub(super) mod kept;
mod snapshot;
mod vault;

use crate::{
    cli::{Context, progress::Progress, show},
    failure::{Exit, Failure},
    socket::message::{BundleAsked, Request},
};
use clap::{Args, Subcommand};
use donjon_drivers::{
    fs::{self, FileError, Replacement},
    material::Material,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Export secrets, encrypted and signed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon export bundle --site edge1 --role compute -o edge1.donjon\n  donjon export key -o authority.pem\n  donjon export vault --address https://10.0.0.11:8200 --cacert ca.pem --token-file token --plan"
)]
pub struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Bundle(Bundle),
    Vault(vault::Vault),
    Snapshot(snapshot::Snapshot),
    Cancel(cancel::Cancel),
    Key(Key),
}

/// Write a bundle: one encrypted and signed file for one site and role, or for the custodians.
///
/// A site's bundle holds exactly what the deployment file lets that role read there. The custodians' bundle holds
/// everything that is needed to become the authority again (`donjon up --from`).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon export bundle --site edge1 --role compute -o edge1.donjon\n  donjon export bundle --site edge1 --role compute --recipient age1… -o edge1.donjon\n  donjon export bundle --custodians --recipient age1… -o everything.donjon\n  donjon export bundle --custodians --with-heir --recipient age1… -o everything.donjon",
    group = clap::ArgGroup::new("whom").required(true).args(["site", "custodians"])
)]
struct Bundle {
    /// The site, as the deployment file names it.
    #[arg(long, requires = "role")]
    site: Option<String>,
    /// The role whose secrets it gets.
    #[arg(long, requires = "site")]
    role: Option<String>,
    /// The one host that it is for.
    #[arg(long, requires = "site")]
    host: Option<String>,
    /// Everything, to become the authority again.
    #[arg(long, conflicts_with_all = ["site", "role", "host"], requires = "recipients")]
    custodians: bool,
    /// With an heir: a key that this authority's has named. Whoever comes up from the bundle signs what sites take without
    /// a new pin, and so could each of these custodians. `donjon rotate signing-key` takes its worth away.
    #[arg(long, requires = "custodians")]
    with_heir: bool,
    /// Who can open it: an age X25519 public key; the site's in the deployment file where none is given.
    #[arg(long = "recipient", value_name = "AGE1…")]
    recipients: Vec<String>,
    /// For how many days it is good: after them a site's reader answers nothing. 400 for a site, 36,500 for the custodians.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(LONGEST)))]
    days: Option<u32>,
    /// The file to write. It is replaced whole.
    #[arg(long = "file", short = 'o', value_name = "FILE")]
    file: PathBuf,
}

/// Write the authority's public key, for sites that pin it by file.
#[derive(Debug, Args)]
struct Key {
    /// The file to write. It is replaced whole.
    #[arg(long = "file", short = 'o', value_name = "FILE")]
    file: PathBuf,
}

/// For how many days a site's bundle is good: a reader that nobody has looked after for so long should not go on.
const OF_A_SITE: u32 = 400;
/// A hundred years.
const LONGEST: u32 = 36_500;

impl Export {
    /// Asks the daemon, and writes the file.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.what {
            What::Bundle(bundle) => bundle.run(context),
            What::Vault(vault) => vault.run(context),
            What::Snapshot(snapshot) => snapshot.run(context),
            What::Cancel(cancel) => cancel.run(context),
            What::Key(key) => key.run(context),
        }
    }
}

impl Bundle {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let asked = BundleAsked {
            site: self.site.zip(self.role),
            host: self.host,
            recipients: self.recipients,
            // What custodians have may be all that is left of a deployment.
            days: self.days.unwrap_or(if self.custodians { LONGEST } else { OF_A_SITE }),
            heir: self.with_heir,
        };
        // Before anything is asked: a bundle that cannot be written would be in the ledger, and nobody would have it.
        drop(Replacement::begin(&self.file).map_err(|error| {
            unwritten(&self.file, &error).state("no bundle was made").hint("name a file that this user can write")
        })?);
        // Begun with the first piece, so that a command that is interrupted while it waits leaves nothing.
        let mut file = None;
        let mut take = |piece: &[u8]| {
            let begun = match file.take() {
                Some(begun) => Ok(begun),
                None => Replacement::begin(&self.file),
            };
            let written = begun.and_then(|mut begun| match begun.write_all(piece) {
                Ok(()) => Ok(begun),
                Err(error) => Err(begun.failed(error)),
            });
            file = Some(written.map_err(|error| lost(&self.file, &error))?);
            Ok(())
        };
        let mut progress = Progress::new(context.output);
        let asked = Request::ExportBundle(asked);
        let reply = context.client()?.ask_for_file(&asked, &mut |event| progress.tell(&event), &mut take);
        progress.end();
        let reply = reply?;
        file.map_or(Ok(()), Replacement::finish).map_err(|error| {
            unwritten(&self.file, &error)
                .state("it is the file from before or the new one, whole either way")
                .hint("the same command again makes the next one")
        })?;
        let (value, path) = (reply.value, self.file.display().to_string());
        show::answer(context.output, &json!({"file": path, "bundle": value}), || people(&path, &value))
    }
}

impl Key {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let value = context.client()?.ask_quietly(&Request::ExportKey, Vec::new())?.value;
        let key = value["key"].as_str().unwrap_or_default();
        write(&self.file, key.as_bytes())?;
        let path = self.file.display().to_string();
        show::answer(context.output, &json!({"file": path, "id": value["id"]}), || {
            format!("{path} holds the authority's public key {}\n", value["id"].as_str().unwrap_or_default())
        })
    }
}

fn people(path: &str, bundle: &Value) -> String {
    let scope = bundle["scope"].as_str().unwrap_or_default();
    let until = show::time(bundle["not_after"].as_i64().unwrap_or_default());
    let authority = bundle["authority"].as_str().unwrap_or_default();
    format!(
        "{path} holds {} records for {scope}: epoch {}, good until {until}, {} can open it\nsigned by {authority}\n",
        bundle["records"], bundle["epoch"], bundle["recipients"]
    )
}

/// The pieces of a file, in one.
pub(super) fn joined(pieces: &[Material]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(pieces.iter().map(Material::len).sum()));
    for piece in pieces {
        whole.extend_from_slice(piece.expose()); // EXPOSE: bundles are encrypted, receipts hold no secret
    }
    whole
}

pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    fs::replace(path, content).map_err(|error| unwritten(path, &error).state("what was there before is still there"))
}

fn unwritten(path: &Path, error: &FileError) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error)
}

fn lost(path: &Path, error: &FileError) -> Failure {
    unwritten(path, error)
        .state("what was there before is still there; the ledger has a bundle that nobody holds, which harms nothing")
        .hint("the same command again makes the next one")
}
