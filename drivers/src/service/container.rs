//! A container of podman or docker, which answer alike.

use super::{
    Service, ServiceError,
    place::{ASKING, CHECK, Place, RESTART_TIMEOUT},
};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The driver `container`.
pub(super) const DRIVER: Driver<Place, Arc<dyn Service>> = Driver {
    name: "container",
    help: "a container of podman or docker",
    options: &[
        Description { name: "container", kind: Kind::Like("keystone"), need: Need::Required, help: "its name" },
        Description {
            name: "engine",
            kind: Kind::Choice(&["podman", "docker"]),
            need: Need::Text("podman"),
            help: "what runs it",
        },
        Description {
            name: "engine_arguments",
            kind: Kind::Words,
            need: Need::Optional,
            help: "words after the engine's name, such as [--runtime, runc]",
        },
        Description {
            name: "stop_timeout",
            kind: Kind::Number(0, 3600),
            need: Need::Number(10),
            help: "how long it may take to stop before it is killed, in seconds",
        },
        RESTART_TIMEOUT,
        CHECK,
    ],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        match options.container.starts_with('-') {
            false => Ok(Arc::new(Container { place, options })),
            true => Err(format!("`{}` is no name of a container", options.container)),
        }
    },
};

#[derive(Debug, Deserialize)]
struct Options {
    container: String,
    engine: String,
    #[serde(default)]
    engine_arguments: Vec<String>,
    stop_timeout: u64,
    restart_timeout: u64,
    #[serde(default)]
    check: Vec<String>,
}

/// A container on a host.
#[derive(Debug)]
struct Container {
    place: Place,
    options: Options,
}

/// The part of an inspection that is read. Its labels and environment may hold secrets and are not asked for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    started_at: String,
}

impl Container {
    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let engine = std::iter::once(&self.options.engine).chain(&self.options.engine_arguments);
        engine.map(String::as_str).chain(words.iter().copied()).collect()
    }
}

#[async_trait]
impl Service for Container {
    async fn restart(&self) -> Result<(), ServiceError> {
        let stop = self.options.stop_timeout.to_string();
        // The short option: podman and docker have renamed the long one at different times.
        let words = self.words(&["restart", "-t", &stop, &self.options.container]);
        self.place.run("restart", &words, Duration::from_secs(self.options.restart_timeout)).await?;
        match self.started().await? {
            Some(_) => Ok(()),
            None => Err(self.place.failed("restart", format!("{} does not run", self.options.container))),
        }
    }

    async fn found(&self) -> Result<(), ServiceError> {
        let words = self.words(&["inspect", "--type", "container", "--format", "{{.Id}}", &self.options.container]);
        let asked = self.place.output(&words, ASKING).await?;
        // As podman and docker say it, behind whatever a login there prints first.
        if asked.code != Some(0) && asked.err.to_lowercase().contains("no such container") {
            return Err(self.place.not_there(format!("no container `{}`", self.options.container)));
        }
        self.place.must_have_done("say whether there is such a container", &words, &asked)
    }

    async fn started(&self) -> Result<Option<i64>, ServiceError> {
        const ACT: &str = "say when it started";
        let words =
            self.words(&["inspect", "--type", "container", "--format", "{{json .State}}", &self.options.container]);
        let text = self.place.ask(ACT, &words).await?;
        let unknown = || self.place.failed(ACT, "the engine shows no state that is understood".to_owned());
        let state: State = serde_json::from_str(&text).map_err(|_| unknown())?;
        let started: Timestamp = state.started_at.parse().map_err(|_| unknown())?;
        Ok(state.running.then_some(started.as_microsecond()))
    }

    async fn now(&self) -> Result<i64, ServiceError> {
        self.place.now().await
    }

    async fn check(&self) -> Result<(), ServiceError> {
        self.place.check(&self.options.check).await
    }
}
