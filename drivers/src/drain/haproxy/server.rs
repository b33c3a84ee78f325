//! A server of a backend, with every proxy that leads clients to it.

use super::{
    answer::{Checks, Health, State, sessions, states},
    channel::Channel,
};
use crate::drain::{Drain, DrainError, Left, Mode, Standing};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A server of a backend.
pub(super) struct Server {
    pub(super) backend: String,
    pub(super) server: String,
    pub(super) proxies: Vec<Channel>,
    /// How long clients may take to leave.
    pub(super) leave: Duration,
    /// How long the proxies may take to see it well again.
    pub(super) well: Duration,
}

#[async_trait]
impl Drain for Server {
    async fn standing(&self) -> Result<Standing, DrainError> {
        let modes = self.proxies.iter().map(async |proxy| Ok(self.state(proxy).await?.mode));
        Ok(Standing(try_join_all(modes).await?))
    }

    async fn drain(&self) -> Result<Left, DrainError> {
        let before = self.standing().await?;
        for proxy in self.ready(&before) {
            self.another_serves(proxy).await?;
        }
        let drained = self.drained(&before).await;
        if drained.is_err() {
            // The error that is told is the first; a proxy that cannot be reached now keeps what it was told.
            let _ = self.restore(&before).await;
        }
        drained
    }

    async fn release(&self, before: &Standing) -> Result<(), DrainError> {
        try_join_all(self.ready(before).map(|proxy| self.seen_well(proxy))).await?;
        self.restore(before).await
    }

    async fn restore(&self, before: &Standing) -> Result<(), DrainError> {
        let mut first = Ok(());
        for (proxy, mode) in self.proxies.iter().zip(&before.0) {
            first = first.and(self.put_back(proxy, *mode).await);
        }
        first
    }
}

impl Server {
    /// The proxies that sent clients there.
    fn ready<'a>(&'a self, before: &'a Standing) -> impl Iterator<Item = &'a Channel> {
        let both = self.proxies.iter().zip(&before.0);
        both.filter(|(_, mode)| **mode == Mode::Ready).map(|(proxy, _)| proxy)
    }

    async fn put_back(&self, proxy: &Channel, before: Mode) -> Result<(), DrainError> {
        let (act, what) = match before {
            Mode::Ready => ("let clients back", "state ready"),
            Mode::Drain => ("keep clients away", "state drain"),
            // It was never touched.
            Mode::Maintenance => return Ok(()),
        };
        match self.state(proxy).await?.mode {
            Mode::Ready | Mode::Drain => self.set(proxy, act, what).await,
            Mode::Maintenance => Ok(()),
        }
    }

    async fn drained(&self, before: &Standing) -> Result<Left, DrainError> {
        for proxy in self.ready(before) {
            self.set(proxy, "keep clients away", "state drain").await?;
            // Once more: another may have been drained at the same moment.
            self.another_serves(proxy).await?;
        }
        let deadline = Instant::now() + self.leave;
        loop {
            let counts = try_join_all(self.proxies.iter().map(|proxy| self.sessions(proxy))).await?;
            let left = counts.into_iter().sum();
            if left == 0 || Instant::now() >= deadline {
                return Ok(Left(left));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the proxy's checks have seen it up since now.
    async fn seen_well(&self, proxy: &Channel) -> Result<(), DrainError> {
        let state = self.state(proxy).await?;
        if state.mode == Mode::Drain && state.checks == Checks::On {
            // What was seen before the restart does not count. No client goes there meanwhile anyway.
            self.set(proxy, "forget its health", "health down").await?;
        }
        let deadline = Instant::now() + self.well;
        while self.state(proxy).await?.health != Health::Up {
            if Instant::now() >= deadline {
                let (proxy, server) = (proxy.name.clone(), self.name());
                return Err(DrainError::NotWell { proxy, server, seconds: self.well.as_secs() });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn another_serves(&self, proxy: &Channel) -> Result<(), DrainError> {
        let servers = self.servers(proxy).await?;
        match servers.iter().any(|(name, state)| *name != self.server && state.serves()) {
            true => Ok(()),
            false => Err(DrainError::Last { proxy: proxy.name.clone(), server: self.name() }),
        }
    }

    async fn state(&self, proxy: &Channel) -> Result<State, DrainError> {
        let state = self.servers(proxy).await?.remove(&self.server);
        state.ok_or_else(|| proxy.refused(SHOW, &format!("there is no server {}", self.name())))
    }

    async fn servers(&self, proxy: &Channel) -> Result<BTreeMap<String, State>, DrainError> {
        let text = proxy.ask(&format!("show servers state {}", self.backend)).await?;
        states(&text).ok_or_else(|| proxy.refused(SHOW, &text))
    }

    async fn sessions(&self, proxy: &Channel) -> Result<u64, DrainError> {
        let text = proxy.ask(&format!("show stat {} 4 -1", self.backend)).await?;
        sessions(&text, &self.server).ok_or_else(|| proxy.refused("count its sessions", &text))
    }

    async fn set(&self, proxy: &Channel, act: &'static str, what: &str) -> Result<(), DrainError> {
        let said = proxy.ask(&format!("set server {} {what}", self.name())).await?;
        // It says nothing where it did as it was told.
        if said.trim().is_empty() { Ok(()) } else { Err(proxy.refused(act, &said)) }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.backend, self.server)
    }
}

const SHOW: &str = "show its servers";
const POLL: Duration = Duration::from_millis(25);
