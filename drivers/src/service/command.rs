//! A service that the operator's own programs restart.

use super::{
    Service, ServiceError,
    place::{ASKING, CHECK, Place, RESTART_TIMEOUT},
};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The driver `command`.
pub(super) const DRIVER: Driver<Place, Arc<dyn Service>> = Driver {
    name: "command",
    help: "a service that your own programs restart",
    options: &[
        Description {
            name: "restart",
            kind: Kind::Words,
            need: Need::Required,
            help: "a program that restarts it and ends with 0 once it runs",
        },
        Description {
            name: "started",
            kind: Kind::Words,
            need: Need::Required,
            help: "a program that prints when it started, in microseconds since 1970, or nothing while it does not run",
        },
        RESTART_TIMEOUT,
        CHECK,
    ],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        Ok(Arc::new(Own { place, options }))
    },
};

#[derive(Debug, Deserialize)]
struct Options {
    restart: Vec<String>,
    started: Vec<String>,
    restart_timeout: u64,
    #[serde(default)]
    check: Vec<String>,
}

/// A service on a host.
#[derive(Debug)]
struct Own {
    place: Place,
    options: Options,
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[async_trait]
impl Service for Own {
    async fn restart(&self) -> Result<(), ServiceError> {
        let within = Duration::from_secs(self.options.restart_timeout);
        self.place.run("restart", &words(&self.options.restart), within).await?;
        match self.started().await? {
            Some(_) => Ok(()),
            None => Err(self.place.failed("restart", "it does not run".to_owned())),
        }
    }

    async fn found(&self) -> Result<(), ServiceError> {
        let Some(program) = self.options.restart.first() else { return Ok(()) };
        const ACT: &str = "say whether there is such a program";
        // Found by the shell as the host would find it, and not begun.
        let words = ["sh", "-c", "command -v -- \"$1\" >/dev/null", "sh", program];
        match self.place.run(ACT, &words, ASKING).await {
            Err(ServiceError::Failed { .. }) => Err(self.place.not_there(format!("no program `{program}`"))),
            asked => asked.map(drop),
        }
    }

    async fn started(&self) -> Result<Option<i64>, ServiceError> {
        const ACT: &str = "say when it started";
        let text = self.place.ask(ACT, &words(&self.options.started)).await?;
        match text.as_str() {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| self.place.failed(ACT, format!("{} printed no number", self.options.started[0]))),
        }
    }

    async fn now(&self) -> Result<i64, ServiceError> {
        self.place.now().await
    }

    async fn check(&self) -> Result<(), ServiceError> {
        self.place.check(&self.options.check).await
    }
}
