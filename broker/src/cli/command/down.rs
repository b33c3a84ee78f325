//! `donjon down`: ends the daemon, and the temporary Vault with it.

use crate::{
    cli::{Context, progress::Progress, show},
    failure::Failure,
    socket::message::Request,
};
use clap::Args;

/// End the daemon, and destroy the temporary Vault once its secrets are safe elsewhere.
///
/// Refused until the authority has moved, or a custodians' bundle with everything as it is now was reopened and each
/// recipient of every exported bundle has sent a receipt.
#[derive(Debug, Args)]
pub struct Down {
    /// Destroy the temporary Vault although its secrets are nowhere else.
    #[arg(long)]
    force: bool,
}

impl Down {
    /// Asks the daemon.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut progress = Progress::new(context.output);
        let reply =
            context.client()?.ask(&Request::Down { force: self.force }, Vec::new(), &mut |event| progress.tell(&event));
        progress.end();
        show::answer(context.output, &reply?.value, || "donjon is down\n".to_owned())
    }
}
