//! `donjon export cancel`: a move of the authority that has not arrived is taken back.

use super::destination::At;
use crate::{
    cli::{Context, show},
    failure::Failure,
    socket::message::{Request, VaultAsked},
};
use clap::Args;
use serde_json::{Value, json};

/// Take back an `export vault` or `export snapshot` that has not arrived: this store rotates and signs again.
///
/// Of a snapshot the temporary Vault knows how far it came, and takes it back itself; what was carried of it is no authority.
/// Of a push the cluster is asked, with an --address of it, whoever leads there now; one that is lost cannot be, and --lost says
/// so in its place: where it is not lost, two stores rotate and sign. What was copied there stays there, and is no authority; a
/// site's store takes in the bundles of its authority again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon export cancel     of a snapshot\n  donjon export cancel --address https://10.0.0.11:8200 --cacert ca.pem --token-file token\n  donjon export cancel --lost"
)]
pub(super) struct Cancel {
    #[command(flatten)]
    at: At,
    /// The KV v2 mount there.
    #[arg(long, default_value = "donjon", requires = "addresses")]
    mount: String,
    /// The cluster is gone for good. The audit log keeps who said so.
    #[arg(long, conflicts_with = "addresses")]
    lost: bool,
}

impl Cancel {
    /// Asks the daemon.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let there = self.at.asked()?.map(|asked| VaultAsked { mount: self.mount, ..asked });
        let token = there.is_some().then(|| self.at.token()).transpose()?;
        let asked = Request::ExportCancel { there, lost: self.lost };
        let value = context.client()?.ask_quietly(&asked, token.into_iter().collect())?.value;
        show::answer(context.output, &json!({"cancelled": value}), || people(&value))
    }
}

fn people(value: &Value) -> String {
    let Some(from) = value["from"].as_str() else {
        return "this store is the authority, and nothing of it is on its way\n".to_owned();
    };
    let told = format!(
        "the authority stays here, and is not on its way to {from} any more: this store rotates and signs again\n"
    );
    match value["snapshot"] == true {
        true => told + COPIES,
        false => told,
    }
}

const COPIES: &str = "destroy every copy of the snapshot's file, and empty the storage of servers that have taken it in: what is in it opens with the\n\
     shares of this Vault\n";
