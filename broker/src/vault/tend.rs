//! Looking after a temporary Vault: its token renewed, its server brought back.

use super::{
    custody::Mode,
    error::VaultError,
    server::Server,
    step::Step,
    temporary::{Course, Standing, Temporary},
};
use donjon_drivers::{
    fs::FileError,
    store::vault::{CallError, Reason},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Temporary {
    /// Looks after it until it is stopped or destroyed, or the caller drops this.
    pub async fn tend(self: Arc<Self>) {
        loop {
            let process = self.process();
            tokio::select! {
                () = process.ended() => if self.bring_back().await == Course::Over {
                    return;
                },
                () = tokio::time::sleep(LOOK_EVERY) => self.look().await,
            }
        }
    }

    /// The server has died: it is started again, as often as it takes.
    async fn bring_back(&self) -> Course {
        self.stand(Standing::Down);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.restart().await {
                Ok(course) => return course,
                Err(error) => tracing::warn!(error = %chain(&error), "the Vault server could not be brought back"),
            }
            (self.watcher)(Step::Retrying);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sees that it is not sealed, and that the token lives.
    async fn look(&self) {
        let looked = match self.standing() {
            Standing::Ready => self.look_at_ready().await,
            Standing::Down => self.settle().await,
            // Somebody may have unsealed it by hand, but a credential still takes shares.
            Standing::Waiting { .. } | Standing::Over => Ok(()),
        };
        if let Err(error) = looked {
            tracing::warn!(error = %chain(&error), "the Vault server was looked after in vain; trying again");
        }
        if let Err(error) = self.bound_audit() {
            tracing::warn!(error = %chain(&error), "the Vault server's audit log grows on");
        }
    }

    /// Begins a new audit log of the server where it has grown long; the one before is kept, and no more: what the broker
    /// did is in its own, which nothing shortens. A busy server writes megabytes a minute, and none may fill the disk.
    fn bound_audit(&self) -> Result<(), VaultError> {
        let (log, earlier) = (self.place.audit(), self.place.earlier_audit());
        if std::fs::metadata(&log).map_or(0, |found| found.len()) < LONGEST_AUDIT {
            return Ok(());
        }
        let failed = |source| FileError::Io { act: "rename", path: log.clone(), source };
        std::fs::rename(&log, &earlier).map_err(failed)?;
        Ok(self.process().reopen_logs()?)
    }

    async fn look_at_ready(&self) -> Result<(), VaultError> {
        let seal = Server(&self.connection).seal().await;
        let seal = seal.map_err(VaultError::call("ask the Vault server whether it is sealed"))?;
        if seal.sealed {
            return self.settle().await;
        }
        if Instant::now() < self.renewal() { Ok(()) } else { self.refresh().await }
    }

    /// Makes the broker's token live longer, or gets another where it has died: it was revoked, or this host slept.
    pub async fn refresh(&self) -> Result<(), VaultError> {
        match self.renew().await {
            // The token has died: a host logs in again, custodians are needed for another.
            Err(VaultError::Call { source: CallError::Refused { reason: Reason::Denied, .. }, .. }) => {
                if self.mode() == Mode::Custodians {
                    self.connection.forget_token();
                }
                self.settle().await
            }
            other => other,
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// In bytes.
const LONGEST_AUDIT: u64 = 64 << 20;
const LOOK_EVERY: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
