//! The consumer, as one broker reaches it, and the clocks: that of the brokers, and that of its host, which may differ.

use super::{Fails, Seen, World, text};
use async_trait::async_trait;
use donjon_drivers::{
    drain::{Drain, DrainError, Left, Mode, Standing},
    host::HostError,
    material::Material,
    service::{Service, ServiceError},
};
use std::io;

/// In microseconds, as all times here.
pub(in super::super) const MINUTE: i64 = 60_000_000;
/// As before.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// As before.
pub(in super::super) const DAY: i64 = 24 * HOUR;

impl World {
    /// The time by the brokers' clock.
    pub(super) fn time(&self) -> i64 {
        self.inner.lock().unwrap().time
    }

    /// Time goes by.
    pub(super) fn pass(&self, time: i64) {
        self.inner.lock().unwrap().time += time;
    }

    /// The clock of the consumer's host is ahead of the brokers' from now on, by this much.
    pub(in super::super) fn skew(&self, skew: i64) {
        self.inner.lock().unwrap().skew = skew;
    }

    /// How often a broker has restarted the consumer.
    pub(in super::super) fn restarts(&self) -> usize {
        self.inner.lock().unwrap().restarts
    }

    /// The broker that meets the faults can restart it so often, and then cannot reach its host.
    pub(in super::super) fn goes_away_after(&self, restarts: usize) {
        self.inner.lock().unwrap().reachable = Some(restarts);
    }

    /// It ends, and its sessions with it.
    pub(in super::super) fn ends(&self) {
        self.inner.lock().unwrap().sessions.clear();
    }

    /// Whether clients are led to it.
    pub(in super::super) fn is_led(&self) -> bool {
        self.inner.lock().unwrap().led == Led::There
    }

    /// From now on nobody can tell the proxy anything.
    pub(in super::super) fn proxy_goes_away(&self) {
        self.inner.lock().unwrap().led = Led::Away { told: false };
    }

    /// Whether a rotation has told something.
    pub(in super::super) fn told(&self, part: &str) -> bool {
        self.inner.lock().unwrap().told.iter().any(|told| told.contains(part))
    }

    /// The consumer reads what is served, and logs in.
    pub(super) async fn start(&self) {
        let mut read = Vec::new();
        for (name, base, _) in self.users() {
            read.push((name.parse().unwrap(), self.served(name, base).await));
        }
        self.pass(MINUTE);
        let mut inner = self.inner.lock().unwrap();
        inner.started = inner.time;
        inner.sessions.clear();
        for (name, (user, value)) in read {
            inner.counter += 1;
            let number = inner.counter;
            inner.sessions.push((user.clone(), number));
            inner.consumer.insert(name, (user, value));
        }
    }
}

#[async_trait]
impl Service for Seen {
    async fn found(&self) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn restart(&self) -> Result<(), ServiceError> {
        let reachable = self.world.inner.lock().unwrap().reachable;
        if self.faulty && reachable.is_some_and(|most| self.world.restarts() >= most) {
            return Err(away());
        }
        let (done, told) = self.effect().await;
        if done {
            self.world.inner.lock().unwrap().restarts += 1;
            self.world.start().await;
        }
        if told { Ok(()) } else { Err(unwell("restart")) }
    }

    async fn started(&self) -> Result<Option<i64>, ServiceError> {
        let inner = self.world.inner.lock().unwrap();
        Ok(Some(inner.started + inner.skew))
    }

    async fn now(&self) -> Result<i64, ServiceError> {
        if self.dead() {
            return Err(unwell("tell the time"));
        }
        if self.is_away() {
            return Err(away());
        }
        let inner = self.world.inner.lock().unwrap();
        Ok(inner.time + inner.skew)
    }

    async fn check(&self) -> Result<(), ServiceError> {
        if self.is_away() {
            return Err(away());
        }
        let (new, alone) = self.stands();
        match self.world.scenario.fails {
            Fails::OnNew if new => Err(unwell("pass its check")),
            Fails::Unlike if new => Err(away()),
            Fails::InTrial if new && alone && self.faulty => Err(unwell("pass its check")),
            Fails::Never | Fails::OnNew | Fails::Unlike | Fails::InTrial | Fails::AwayInTrial | Fails::AwayOnNew => {
                Ok(())
            }
        }
    }
}

/// How clients are led to the consumer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Led {
    #[default]
    There,
    /// Away, and whether the proxy can be told otherwise.
    Away { told: bool },
}

impl Seen {
    /// Whether the consumer runs on new values, and whether these are the only ones that are accepted.
    fn stands(&self) -> (bool, bool) {
        let inner = self.world.inner.lock().unwrap();
        let new = inner.consumer.values().any(|(_, value)| text(value).starts_with("new"));
        let first = |value: &Material| {
            self.world.scenario.secrets.iter().any(|(name, ..)| text(value) == format!("first-{name}"))
        };
        (new, !inner.accounts.values().flatten().any(first))
    }

    /// Whether this broker cannot reach its host.
    fn is_away(&self) -> bool {
        let (new, alone) = self.stands();
        self.faulty
            && match self.world.scenario.fails {
                Fails::AwayInTrial => new && alone,
                Fails::AwayOnNew => new,
                Fails::Never | Fails::OnNew | Fails::Unlike | Fails::InTrial => false,
            }
    }

    /// Leads clients otherwise.
    async fn lead(&self, led: Led) -> Result<(), DrainError> {
        let unanswered = || DrainError::Unreachable { proxy: "lb1".into(), source: io::ErrorKind::TimedOut.into() };
        if self.world.inner.lock().unwrap().led == (Led::Away { told: false }) {
            return Err(unanswered());
        }
        let (done, told) = self.effect().await;
        if done {
            self.world.inner.lock().unwrap().led = led;
        }
        if told { Ok(()) } else { Err(unanswered()) }
    }
}

#[async_trait]
impl Drain for Seen {
    async fn standing(&self) -> Result<Standing, DrainError> {
        let mode = if self.world.is_led() { Mode::Ready } else { Mode::Drain };
        Ok(Standing(vec![mode]))
    }

    async fn drain(&self) -> Result<Left, DrainError> {
        self.lead(Led::Away { told: true }).await.map(|()| Left(0))
    }

    async fn release(&self, before: &Standing) -> Result<(), DrainError> {
        self.restore(before).await
    }

    async fn restore(&self, before: &Standing) -> Result<(), DrainError> {
        let led = if before.0 == [Mode::Ready] { Led::There } else { Led::Away { told: true } };
        self.lead(led).await
    }
}

fn away() -> ServiceError {
    let source = HostError::Unreachable { host: "h".into(), source: io::ErrorKind::HostUnreachable.into() };
    ServiceError::Host { service: "api".into(), host: "h".into(), source }
}

fn unwell(act: &'static str) -> ServiceError {
    ServiceError::Failed { service: "api".into(), host: "h".into(), act, what: "fault".into() }
}
