//! `donjon export snapshot`: the temporary Vault's own encrypted database into an empty cluster, and the authority with it.

use super::{joined, kept, write};
use crate::{
    cli::{
        Context,
        command::{import::read, unseal},
        progress::Progress,
        show,
    },
    daemon::transfer::pinned,
    failure::{Exit, Failure},
    socket::{
        client::{Client, Reply},
        frame::LONGEST_MATERIAL,
        message::{CarryAsked, Request, SnapshotAsked},
    },
    transfer::{bundle::Identities, snapshot, told},
    vault::place::Place,
};
use clap::Args;
use donjon_drivers::{fs, identity, material::Material};
use donjon_policies::name::HostName;
use serde_json::{Value, json};
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

/// Carry the temporary Vault's own encrypted database into an OpenBao cluster that is empty, and make it the authority.
///
/// What to prepare: on each controller an OpenBao server that runs, on raft storage that is empty and not initialised, with
/// an audit device in its configuration (same name and path on all, and another name than `donjon`). Nothing is to be
/// restarted by hand. Then one command does all of it, and the same command again goes on after whatever interrupted it:
///
/// it looks at every server, fences this store, takes a snapshot and seals it to recipients in a signed file; initialises the first server as this
/// Vault was, restores the snapshot there, opens it with this Vault's shares; lets the others join and waits until all vote;
/// makes new shares for --custodian, a new barrier key and a new signing key; revokes every token and login that came along;
/// writes what is needed there to --out; fences this store for good; and destroys the file.
///
/// `donjon export cancel` takes it back as long as the authority has not arrived. A copy that is kept elsewhere is the
/// custodians' bundle: nothing but this command takes that file in.
///
/// An old copy of the database opens with the old shares for ever, whatever is renewed later: destroy copies and backups of
/// DONJON_HOME, and rotate the secrets there once all is well. `donjon export vault` pushes records only, and has no such
/// heritage.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon export snapshot --address https://10.0.0.11:8200 --address https://10.0.0.12:8200 --address https://10.0.0.13:8200 --cacert ca.pem --plan\n  donjon export snapshot --address https://10.0.0.11:8200 --address https://10.0.0.12:8200 --address https://10.0.0.13:8200 --cacert ca.pem --custodian age1… --custodian age1… --custodian age1… --out /root/overcloud --credentials\n  donjon export snapshot -i alice.txt -i bob.txt --address https://10.0.0.11:8200 --cacert ca.pem --custodian age1… --out /root/overcloud     where custodians open this Vault"
)]
pub(super) struct Snapshot {
    /// The address of a server of the cluster; one for each, and the first takes the database.
    #[arg(long = "address", value_name = "URL", required = true)]
    addresses: Vec<String>,
    /// The certificates to trust there, in PEM; those of the operating system where not given.
    #[arg(long, value_name = "FILE", requires = "addresses")]
    cacert: Option<PathBuf>,
    /// Show how far it is and how each server is, and change nothing.
    #[arg(long, requires = "addresses")]
    plan: bool,
    /// A file with the age identity of a custodian of this Vault: enough of them at once.
    #[arg(short, long, value_name = "IDENTITY")]
    identity: Vec<PathBuf>,
    /// Who is to hold a share of the cluster: an age X25519 public key, one for each share.
    #[arg(long = "custodian", value_name = "AGE1…", required_unless_present = "plan")]
    custodians: Vec<String>,
    /// How many of them open it; more than half where not given.
    #[arg(long, value_name = "K")]
    threshold: Option<u32>,
    /// The folder to write to: shares/N.age for each custodian, broker.token, authority.pem, and credentials of the roles.
    #[arg(long, value_name = "FOLDER", required_unless_present = "plan")]
    out: Option<PathBuf>,
    /// Make a credential for each role, and write it below --out: <role>/role-id and <role>/secret-id.
    #[arg(long)]
    credentials: bool,
    /// A host that the credentials are for, below a folder of its own; `retire-host` can revoke them by that name.
    #[arg(long = "host", value_name = "HOST", requires = "credentials")]
    hosts: Vec<HostName>,
    /// Where the signed file is written; below DONJON_HOME where not given. It is destroyed once the cluster has it all.
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    file: Option<PathBuf>,
    /// Who can open the file: an age X25519 public key; this Vault's custodians, or this host, where none is given.
    #[arg(long = "recipient", value_name = "AGE1…")]
    recipients: Vec<String>,
}

impl Snapshot {
    /// Asks the daemon, part by part.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut client = context.client()?;
        let trust = self.cacert.as_deref().map(text).transpose()?;
        let asked = CarryAsked { addresses: self.addresses.clone(), trust, plan: self.plan, ..CarryAsked::default() };
        let looks = SnapshotAsked::Carry(CarryAsked { plan: true, ..asked.clone() });
        let looks = Request::ExportSnapshot { asked: looks };
        if self.plan {
            let value = client.ask_quietly(&looks, Vec::new())?.value;
            return show::answer(context.output, &json!({"snapshot": value}), || planned(&value));
        }
        let out = self.out.as_deref().ok_or_else(|| {
            Failure::new(Exit::Usage, "no folder was given").state("nothing was changed").hint("--out FOLDER")
        })?;
        let finished = || Request::ExportSnapshot { asked: SnapshotAsked::Finish(asked.clone()) };
        let folder = context.home.overcloud();
        let file = self.file.clone().unwrap_or_else(|| folder.join("snapshot.donjon"));
        // The fence comes with the snapshot: a server that will not do is to be known before.
        let looked = client.ask_quietly(&looks, Vec::new()).map(drop);
        let taken = match looked.and_then(|()| self.take(context, &mut client)) {
            // All is done but, perhaps, its very last steps.
            Err(failure) if failure.code == Exit::Conflict => {
                client.ask_quietly(&finished(), Vec::new()).map_err(|_| failure)?;
                destroy(&file)?;
                return show::answer(context.output, &json!({"snapshot": {"moved": true}}), || DONE_BEFORE.to_owned());
            }
            taken => taken?,
        };
        private(&folder)?;
        write(&file, &joined(&taken.materials))?;
        private(out)?;
        let shares = unseal::opened(context, &self.identity)?;
        let carried = CarryAsked {
            shares: shares.len(),
            custodians: self.custodians.clone(),
            threshold: self.threshold,
            credentials: self.credentials,
            hosts: self.hosts.clone(),
            ..asked.clone()
        };
        // What is carried is what the file holds: who is here can open it.
        let opened = self.open(context, &file, &taken.value)?;
        // EXPOSE: the Vault's own encrypted archive, in pieces
        let pieces = opened.bytes().expose().chunks(LONGEST_MATERIAL).map(|piece| Material::new(piece.to_vec()));
        let materials = shares.into_iter().chain(pieces).collect();
        let mut progress = Progress::new(context.output);
        let carried = Request::ExportSnapshot { asked: SnapshotAsked::Carry(carried) };
        let reply = client.ask(&carried, materials, &mut |event| progress.tell(&event));
        progress.end();
        let reply = reply?;
        keep(out, &folder, &reply)?;
        client.ask_quietly(&finished(), Vec::new())?;
        destroy(&file)?;
        show::answer(context.output, &json!({"snapshot": reply.value}), || arrived(&reply.value, out))
    }

    fn take(&self, context: &Context, client: &mut Client) -> Result<Reply, Failure> {
        let mut progress = Progress::new(context.output);
        let asked = SnapshotAsked::Take { recipients: self.recipients.clone() };
        let reply = client.ask(&Request::ExportSnapshot { asked }, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        reply
    }

    fn open(&self, context: &Context, file: &Path, taken: &Value) -> Result<snapshot::Snapshot, Failure> {
        const REFUSED: &str = "cannot open the snapshot's file";
        let unusable = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(Exit::Usage, "cannot read the identity")
                .because(error)
                .state("nothing was sent to the cluster")
        };
        let mut all = Vec::new();
        for path in &self.identity {
            all.push(Identities::parse(&Material::new(read(path)?.to_vec())).map_err(|error| unusable(&error))?);
        }
        if taken["host_identity"] == true {
            let own = identity::read(&Place::new(&context.home.vault()).identity());
            all.push(Identities::one(own.map_err(|error| unusable(&error))?));
        }
        let key = pinned(taken["key"].as_str().unwrap_or_default())?;
        let deployment = taken["deployment"].as_str().unwrap_or_default().parse();
        let deployment = deployment.map_err(|error: donjon_policies::name::NameError| unusable(&error))?;
        let sealed = read(file)?;
        let mut refused = told::container(REFUSED, &snapshot::ContainerError::WrongIdentity);
        for identities in all {
            match snapshot::open(&sealed, &key, &deployment, &identities) {
                Ok(opened) => return Ok(opened),
                Err(error) => refused = told::container(REFUSED, &error),
            }
        }
        Err(refused)
    }
}

/// Writes what is needed in the cluster.
fn keep(out: &Path, folder: &Path, reply: &Reply) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Exit::Failed, format!("cannot write to {}", out.display()))
            .because(error)
            .state("the cluster has it all; this store waits until the operator has what is needed there")
            .hint("the same command again, with a folder that can be written")
    };
    let shares = out.join("shares");
    fs::private_folder(&shares).map_err(|error| failed(&error))?;
    for number in 1..=reply.value["shares"].as_u64().unwrap_or_default() {
        let name = format!("{number}.age");
        let share = fs::read_private(&folder.join("shares").join(&name)).map_err(|error| failed(&error))?;
        fs::replace(&shares.join(&name), &share).map_err(|error| failed(&error))?;
    }
    let key = reply.value["key"].as_str().unwrap_or_default();
    fs::replace(&out.join("authority.pem"), key.as_bytes()).map_err(|error| failed(&error))?;
    let Some((token, pairs)) = reply.materials.split_first() else {
        return Err(Failure::new(Exit::Bug, "the daemon has answered without a token"));
    };
    // EXPOSE: the token of the broker there, a declared sink
    fs::replace(&out.join("broker.token"), token.expose()).map_err(|error| failed(&error))?;
    kept::credentials(out, &reply.value, pairs)
}

/// Overwrites a file and removes it.
fn destroy(file: &Path) -> Result<(), Failure> {
    let Ok(length) = std::fs::metadata(file).map(|found| found.len()) else { return Ok(()) };
    let overwrite = || {
        let mut open = OpenOptions::new().write(true).open(file)?;
        let zeros = vec![0; 64 << 10];
        for at in (0..length).step_by(zeros.len()) {
            let rest = usize::try_from(length - at).map_or(zeros.len(), |rest| rest.min(zeros.len()));
            open.write_all(&zeros[..rest])?;
        }
        open.sync_all()?;
        std::fs::remove_file(file)
    };
    overwrite().map_err(|error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot destroy {}", file.display()))
            .because(&error)
            .state("everything else is done: the authority is in the cluster")
            .hint("remove the file; it opens with the old shares and the identity of a recipient")
    })
}

fn private(folder: &Path) -> Result<(), Failure> {
    fs::private_folder(folder).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot make the folder {}", folder.display()))
            .because(&error)
            .state("the snapshot was taken, and nothing was sent to the cluster")
    })
}

fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| Failure::new(Exit::Usage, format!("{} is not text", path.display())))
}

fn planned(value: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let servers = value["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |server: &Value| vec![word(&server["place"]), word(&server["state"]), word(&server["version"])];
    let mut told = show::table(&["SERVER", "STATE", "VERSION"], &servers.iter().map(row).collect::<Vec<_>>());
    let reached = value["step"].as_str();
    let at = STEPS.iter().position(|(step, _)| Some(*step) == reached);
    let row = |(number, (_, what)): (usize, &(&str, &str))| {
        let done = if at.is_some_and(|at| number <= at) { "done" } else { "to do" };
        vec![(*what).to_owned(), done.to_owned()]
    };
    told += "\n";
    told += &show::table(&["STEP", "STATE"], &STEPS.iter().enumerate().map(row).collect::<Vec<_>>());
    told + "nothing was changed\n"
}

fn arrived(value: &Value, out: &Path) -> String {
    let servers = value["servers"].as_array().map_or(0, Vec::len);
    let (out, revoked) = (out.display(), &value["revoked"]);
    format!(
        "the database is in the cluster: {servers} servers vote, and {} of {} new shares open it\n\
         revoked there: {} logins and {} tokens that came along\n\
         the authority is there, and signs with the key {}: this store neither rotates nor signs any more\n\
         {out}/shares: one file for each custodian; after a restart: `age -d -i IDENTITY N.age`, then `bao operator unseal`\n\
         {out}/broker.token: give it to `donjon up` there as BAO_TOKEN, with BAO_ADDR, within the hour; a daemon keeps it alive, and each of its starts needs it again: keep it where root alone reads it\n\
         when it answers, `donjon down` here destroys the temporary Vault\n{OLD_COPY}",
        value["threshold"],
        value["shares"],
        revoked["logins"],
        revoked["tokens"],
        value["authority"].as_str().unwrap_or_default()
    )
}

const OLD_COPY: &str = "warning: an old copy of this database opens with the old shares for ever: destroy copies and backups of DONJON_HOME,\n\
     and rotate there what matters: `donjon rotate apply --all`\n";
const DONE_BEFORE: &str = "the authority is in the cluster already, and the snapshot's file is destroyed\n";
const STEPS: &[(&str, &str)] = &[
    ("taken", "this store fenced, a snapshot taken"),
    ("initialised", "the first server initialised as this Vault was"),
    ("restored", "the snapshot restored there, and opened with this Vault's shares"),
    ("joined", "the others joined, all vote"),
    ("rekeyed", "new shares for the new custodians, a new barrier key"),
    ("arriving", "what came along revoked and removed, a new signing key"),
    ("done", "credentials handed over, this store fenced for good, the file destroyed"),
];
