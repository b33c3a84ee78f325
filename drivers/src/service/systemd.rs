//! A unit of systemd (247 or newer, for start times in microseconds).

use super::{
    Service, ServiceError,
    place::{CHECK, Place, RESTART_TIMEOUT},
};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use jiff::{civil::DateTime, tz::TimeZone};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The driver `systemd`.
pub(super) const DRIVER: Driver<Place, Arc<dyn Service>> = Driver {
    name: "systemd",
    help: "a unit of systemd",
    options: &[
        Description { name: "unit", kind: Kind::Like("mariadb.service"), need: Need::Required, help: "the unit" },
        RESTART_TIMEOUT,
        CHECK,
    ],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        match options.unit.starts_with('-') {
            false => Ok(Arc::new(Systemd { place, options })),
            true => Err(format!("`{}` is no unit", options.unit)),
        }
    },
};

#[derive(Debug, Deserialize)]
struct Options {
    unit: String,
    restart_timeout: u64,
    #[serde(default)]
    check: Vec<String>,
}

/// A unit on a host.
#[derive(Debug)]
struct Systemd {
    place: Place,
    options: Options,
}

#[async_trait]
impl Service for Systemd {
    async fn restart(&self) -> Result<(), ServiceError> {
        let within = Duration::from_secs(self.options.restart_timeout);
        self.place.run("restart", &["systemctl", "restart", &self.options.unit], within).await?;
        match self.started().await? {
            Some(_) => Ok(()),
            None => Err(self.place.failed("restart", format!("{} is not active", self.options.unit))),
        }
    }

    async fn found(&self) -> Result<(), ServiceError> {
        const ACT: &str = "say whether there is such a unit";
        let shown = self.place.ask(ACT, &["systemctl", "show", "--property=LoadState", &self.options.unit]).await?;
        match shown.as_str() {
            "LoadState=loaded" => Ok(()),
            // One that is masked or cannot be read is none that starts, either.
            "LoadState=not-found" | "LoadState=masked" | "LoadState=bad-setting" | "LoadState=error" => {
                Err(self.place.not_there(format!("{}: {shown}", self.options.unit)))
            }
            other => Err(self.place.failed(ACT, format!("{}: {other}", self.options.unit))),
        }
    }

    async fn started(&self) -> Result<Option<i64>, ServiceError> {
        const ACT: &str = "say when it started";
        let words = [
            "systemctl",
            "show",
            "--timestamp=us+utc",
            "--property=ActiveState,ExecMainStartTimestamp",
            &self.options.unit,
        ];
        let shown = self.place.ask(ACT, &words).await?;
        let property = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        match property("ActiveState") {
            Some("active") => {}
            Some(_) => return Ok(None),
            None => return Err(self.place.failed(ACT, "systemctl shows no ActiveState".to_owned())),
        }
        match property("ExecMainStartTimestamp").and_then(microseconds) {
            Some(started) => Ok(Some(started)),
            None => Err(self.place.failed(ACT, "systemctl shows no ExecMainStartTimestamp".to_owned())),
        }
    }

    async fn now(&self) -> Result<i64, ServiceError> {
        self.place.now().await
    }

    async fn check(&self) -> Result<(), ServiceError> {
        self.place.check(&self.options.check).await
    }
}

/// `Sun 2026-11-22 20:34:00.123456 UTC`, in microseconds since 1970.
fn microseconds(text: &str) -> Option<i64> {
    let (_, text) = text.strip_suffix(" UTC")?.split_once(' ')?;
    let time: DateTime = text.replacen(' ', "T", 1).parse().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_has_microseconds() {
        assert_eq!(microseconds("Thu 1970-01-01 00:00:01.000002 UTC"), Some(1_000_002));
        assert_eq!(microseconds("Sun 2026-11-22 20:34:00 UTC"), Some(1_795_379_640_000_000));
        for text in ["", "n/a", "Sun 2026-11-22 20:34:00 CET"] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }
}
