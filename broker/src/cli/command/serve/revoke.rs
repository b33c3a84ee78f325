//! `donjon serve revoke` and `donjon serve step`: what changes at a node while its reader serves.

use crate::{
    cli::{Context, show},
    failure::{Exit, Failure},
    reader::Roles,
    transfer::{
        import::node::{Node, Reads},
        told,
    },
};
use clap::{Args, ValueEnum};
use donjon_policies::name::RoleName;
use serde_json::json;
use std::path::Path;

/// Revoke every token that was given until now. A reader that runs refuses them within a quarter of a second.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon serve revoke keystone\n  donjon serve revoke --all")]
pub(super) struct Revoke {
    /// The roles.
    #[arg(required_unless_present = "all")]
    roles: Vec<RoleName>,
    /// Those of every role.
    #[arg(long, conflicts_with = "roles")]
    all: bool,
}

/// Serve the bundle before the current one, or the current one again. Nothing older is accepted meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  donjon serve step back\n  donjon serve step forth")]
pub(super) struct Step {
    /// Where to.
    to: To,
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
        let _node = Node::open_in_turn(folder).map_err(|error| told::import(refused, &error))?;
        let file = folder.join("roles.json");
        let failed = |error| Failure::new(Exit::Failed, refused).because(&error).state("tokens are good as before");
        let mut roles = Roles::read(&file).map_err(failed)?;
        let unknown = self.roles.iter().find(|name| roles.named(name).is_none());
        if let Some(name) = unknown {
            let known: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
            return Err(Failure::new(Exit::NotThere, format!("this node has no role `{name}`"))
                .state("tokens are good as before")
                .hint(format!("there are: {}", known.join(", "))));
        }
        let revoked: Vec<_> =
            roles.iter().filter(|role| self.all || self.roles.contains(&role.name)).map(|r| r.revoked()).collect();
        let told: Vec<_> = revoked.iter().map(|role| json!({"role": role.name, "epoch": role.epoch})).collect();
        revoked.into_iter().for_each(|role| roles.set(role));
        roles.write(&file).map_err(failed)?;
        show::answer(context.output, &json!({"revoked": told}), || {
            format!("the tokens of {} roles are good no longer\n", told.len())
        })
    }
}

impl Step {
    pub(super) fn run(&self, context: &Context, folder: &Path) -> Result<(), Failure> {
        let refused = |error| told::import("cannot step to another bundle", &error);
        let mut node = Node::open_in_turn(folder).map_err(refused)?;
        let reads = match self.to {
            To::Back => Reads::Previous,
            To::Forth => Reads::Current,
        };
        let held = node.step(reads).map_err(refused)?;
        show::answer(context.output, &json!({"epoch": held.epoch, "digest": held.digest}), || {
            format!("epoch {} is served from now on\n", held.epoch)
        })
    }
}
