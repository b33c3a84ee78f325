//! `donjon serve revoke` and `donjon serve step`: what changes at a node while its reader serves.

use super::{
    held::{self, PATIENCE},
    load::{ROLE_FILES, ROLES, keep},
};
use crate::{
    cli::{
        Context,
        command::import::{identities, now, private},
        show,
    },
    failure::{Exit, Failure},
    reader::Roles,
    transfer::{
        import::{
            ImportError,
            node::{Node, Reads},
        },
        told,
    },
};
use clap::{Args, ValueEnum};
use donjon_policies::name::RoleName;
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Revoke every token that was given until now. A reader that runs is waited for until it refuses them: a quarter of a second, as a
/// rule, whatever else in its folder it cannot read. Where that cannot be seen, it ends with 6.
///
/// A role's AppRole stays good, and whoever has it logs in again. Where it has leaked, --credential ends that, too: the role gets
/// another one, in the files of before (approle/ROLE), from which its consumers log in anew.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon serve revoke keystone --node /var/lib/donjon-reader\n  donjon serve revoke keystone --credential --node /var/lib/donjon-reader\n  donjon serve revoke --all --node /var/lib/donjon-reader"
)]
pub(super) struct Revoke {
    /// The roles.
    #[arg(required_unless_present = "all")]
    roles: Vec<RoleName>,
    /// Those of every role.
    #[arg(long, conflicts_with = "roles")]
    all: bool,
    /// Their AppRoles too: each role gets another one, in its files in the reader's folder.
    #[arg(long)]
    credential: bool,
}

/// Serve the bundle before the current one, or the current one again, where it can be. Nothing older is accepted meanwhile.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon serve step back --node /var/lib/donjon-reader -i /etc/donjon/node.identity\n  donjon serve step forth --node /var/lib/donjon-reader"
)]
pub(super) struct Step {
    /// Where to.
    to: To,
    /// The age identity file of this node, to be sure that it opens that bundle.
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// To the bundle before.
    Back,
    /// To the newest.
    Forth,
}

impl Revoke {
    pub(super) fn run(&self, context: &Context, folder: &Path) -> Result<(), Failure> {
        let refused = "cannot revoke the tokens";
        // Held, so that no import writes the roles meanwhile.
        let node = Node::open_known(folder).map_err(|error| of_node(refused, &error))?;
        let file = folder.join(ROLES);
        let failed = |error| Failure::new(Exit::Failed, refused).because(&error).state("tokens are good as before");
        let mut roles = Roles::read(&file).map_err(failed)?;
        let unknown = self.roles.iter().find(|name| roles.named(name).is_none());
        if let Some(name) = unknown {
            let known: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
            return Err(Failure::new(Exit::NotThere, format!("this node has no role `{name}`"))
                .state("tokens are good as before")
                .hint(format!("there are: {}", known.join(", "))));
        }
        let named: Vec<_> = roles.iter().filter(|role| self.all || self.roles.contains(&role.name)).cloned().collect();
        let (mut told, mut credentials, mut epochs) = (Vec::new(), Vec::new(), BTreeMap::new());
        for role in named {
            let (revoked, credential) = match self.credential {
                true => role.renewed().map(|(role, credential)| (role, Some(credential))).map_err(failed)?,
                false => (role.revoked(), None),
            };
            told.push(json!({"role": role.name, "epoch": revoked.epoch, "credential": self.credential}));
            epochs.insert(role.name.clone(), revoked.epoch);
            credentials.extend(credential.map(|credential| (role.name, credential)));
            roles.set(revoked);
        }
        // First the end of what has leaked: where the files cannot be written after it, the same command again makes others.
        roles.write(&file).map_err(failed)?;
        for (role, credential) in &credentials {
            keep(folder, role, credential).map_err(|failure| {
                failure
                    .state("tokens and credentials of before are good no longer, and not every new credential is in its file")
                    .hint("the same command again makes other ones")
            })?;
        }
        // The reader takes it in turn.
        drop(node);
        held::obeyed(folder, &epochs, PATIENCE)?;
        show::answer(context.output, &json!({"revoked": told}), || {
            let ended = format!("the tokens of {} roles are good no longer\n", told.len());
            let files = folder.join(ROLE_FILES);
            let anew = format!("nor their AppRoles: consumers log in with the new ones in {}\n", files.display());
            if self.credential { ended + &anew } else { ended }
        })
    }
}

/// Of a node's folder that was not named, where another one may be meant.
fn of_node(message: &str, error: &ImportError) -> Failure {
    let failure = told::import(message, error);
    if let ImportError::Empty { .. } = error {
        return failure.state("nothing was changed").hint("name the folder that the reader serves: --node FOLDER");
    }
    failure
}

impl Step {
    pub(super) fn run(&self, context: &Context, folder: &Path) -> Result<(), Failure> {
        let refused = |error| of_node("cannot step to another bundle", &error);
        let mut node = Node::open_known(folder).map_err(refused)?;
        let reads = match self.to {
            To::Back => Reads::Previous,
            To::Forth => Reads::Current,
        };
        let served = node.reading().map_err(refused)?.epoch;
        let identities = self.identity.as_deref().map(|file| identities(file, &private(file)?)).transpose()?;
        let held = node.step(reads, now(), identities.as_ref()).map_err(|error| {
            let of_the_bundle = matches!(error, ImportError::Bundle(_) | ImportError::File(_));
            let failure = refused(error);
            if !of_the_bundle {
                return failure;
            }
            failure.state(format!("epoch {served} is served as before")).hint(
                "a reader could not start with that one; import a newer one: `donjon export bundle` makes it at the authority",
            )
        })?;
        show::answer(context.output, &json!({"epoch": held.epoch, "digest": held.digest}), || {
            format!("epoch {} is served from now on\n", held.epoch)
        })
    }
}
