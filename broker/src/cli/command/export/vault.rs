//! `donjon export vault`: everything into a Vault cluster that is there, and the authority with it.

use super::{destination::At, kept};
use crate::{
    cli::{Context, progress::Progress, show},
    failure::{Exit, Failure},
    socket::message::{Request, VaultAsked},
};
use clap::Args;
use donjon_policies::name::HostName;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Push everything into a Vault or OpenBao cluster that is there, and make it the authority.
///
/// Every record goes along with its version numbers, its labels and its views, as castellan and kolla read it; a policy
/// and an AppRole are made for each role of the deployment file. Each write is compare-and-set, all of it is read back,
/// and only then the authority moves: from there on this store neither rotates nor signs (exit 5), and the new one signs
/// with a key of its own that the old key vouches for. A push that was interrupted is ended by the same command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon export vault --address https://10.0.0.11:8200 --cacert ca.pem --token-file token --plan\n  donjon export vault --address https://10.0.0.11:8200 --address https://10.0.0.12:8200 --cacert ca.pem --token-file token\n  BAO_TOKEN=… donjon export vault --address https://10.0.0.11:8200 --credentials /root/approle"
)]
pub(super) struct Vault {
    #[command(flatten)]
    at: At,
    /// The KV v2 mount there; it is made where it is missing.
    #[arg(long, default_value = "donjon")]
    mount: String,
    /// Show what would change, and change nothing.
    #[arg(long)]
    plan: bool,
    /// Make a credential for each role and write it below this folder: <role>/role-id and <role>/secret-id.
    #[arg(long, value_name = "FOLDER", conflicts_with = "plan")]
    credentials: Option<PathBuf>,
    /// A host that the credentials are for, below a folder of its own; `retire-host` can revoke them by that name.
    #[arg(long = "host", value_name = "HOST", requires = "credentials")]
    hosts: Vec<HostName>,
}

impl Vault {
    /// Asks the daemon, and writes the credentials.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let no_address = || {
            Failure::new(Exit::Usage, "no address of a Vault was given")
                .state("nothing was changed")
                .hint("--address https://HOST:PORT, one for each node of the cluster")
        };
        let asked = VaultAsked {
            mount: self.mount,
            plan: self.plan,
            credentials: self.credentials.is_some(),
            hosts: self.hosts,
            ..self.at.asked()?.ok_or_else(no_address)?
        };
        let token = self.at.token()?;
        let mut progress = Progress::new(context.output);
        let reply =
            context.client()?.ask(&Request::ExportVault(asked), vec![token], &mut |event| progress.tell(&event));
        progress.end();
        let reply = reply?;
        if let Some(folder) = &self.credentials {
            kept::credentials(folder, &reply.value, &reply.materials)?;
        }
        let (value, plan) = (reply.value, self.plan);
        show::answer(context.output, &json!({"vault": value}), || people(&value, plan))
    }
}

fn people(value: &Value, plan: bool) -> String {
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    let place = word(value, "place");
    let records = list("records");
    let count = |change: &str| records.iter().filter(|record| record["change"] == change).count();
    let mut told = String::new();
    if plan {
        let row = |entry: &Value| {
            let versions = entry["versions"].as_u64().filter(|n| *n > 0).map_or_else(String::new, |n| n.to_string());
            vec![word(entry, "name"), word(entry, "change"), versions]
        };
        let rows: Vec<_> = records.iter().chain(&list("grants")).map(row).collect();
        told += &show::table(&["NAME", "CHANGE", "VERSIONS"], &rows);
        if value["mounted"] == false {
            told += &format!("the mount `{}` would be made at {place}\n", word(value, "mount"));
        }
        told += &format!(
            "{} to create, {} to extend, {} the same, {} that differ; the authority {}\nnothing was changed\n",
            count("create"),
            count("extend"),
            count("keep"),
            count("differs"),
            if value["moved"] == true { "is there already" } else { "would move there" },
        );
        return told;
    }
    told += &format!(
        "{} records are at {place} and read back as they are here; {} were written now\n\
         the authority is there, and signs with the key {}: this store neither rotates nor signs any more\n",
        value["verified"],
        value["written"],
        word(value, "authority")
    );
    told += "a broker there: give `donjon up` BAO_ADDR and, as BAO_TOKEN, a periodic token with the policy donjon-broker\n\
             when it answers, `donjon down` here destroys the temporary Vault\n";
    told
}
