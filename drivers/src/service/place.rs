//! A service's place: its host, its clock, its health check, and what a failed command says.

use super::ServiceError;
use crate::{
    host::{Command, Host, HostError, Output},
    material::Material,
    options::{Description, Kind, Need},
};
use std::{fmt, sync::Arc, time::Duration};

/// Where a service runs.
#[derive(Clone)]
pub struct Place {
    /// The service's name in the deployment file.
    pub service: String,
    /// The host's name in the deployment file.
    pub host_name: String,
    /// The host.
    pub host: Arc<dyn Host>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.service, self.host_name)
    }
}

/// The option of every service: how to see that it is well.
pub(super) const CHECK: Description = Description {
    name: "check",
    kind: Kind::Words,
    need: Need::Optional,
    help: "a program on the host that ends with 0 when the service is well, and fails when fed a wrong value",
};

/// The option of every service: how long a restart may take.
pub(super) const RESTART_TIMEOUT: Description = Description {
    name: "restart_timeout",
    kind: Kind::Number(1, 3600),
    need: Need::Number(120),
    help: "how long a restart may take, in seconds",
};

/// How long a question to a service manager may take.
pub(super) const ASKING: Duration = Duration::from_secs(15);

impl Place {
    /// Runs a command that must end with 0.
    pub(super) async fn run(
        &self,
        act: &'static str,
        words: &[&str],
        within: Duration,
    ) -> Result<Output, ServiceError> {
        let output = self.output(words, within).await?;
        self.must_have_done(act, words, &output)?;
        Ok(output)
    }

    /// What a command printed, however it ended.
    pub(super) async fn output(&self, words: &[&str], within: Duration) -> Result<Output, ServiceError> {
        self.host.run(Command { words, input: None, within }).await.map_err(|source| self.error(source))
    }

    /// An error where a command did not end with 0.
    pub(super) fn must_have_done(&self, act: &'static str, words: &[&str], ended: &Output) -> Result<(), ServiceError> {
        match ended.code {
            Some(0) => Ok(()),
            Some(code) => Err(self.failed(act, format!("{} ended with {code}{}", words[0], first_line(&ended.err)))),
            None => Err(self.failed(act, format!("{} was ended by a signal", words[0]))),
        }
    }

    /// As [`Self::run`], and what it printed must be text.
    pub(super) async fn ask(&self, act: &'static str, words: &[&str]) -> Result<String, ServiceError> {
        let output = self.run(act, words, ASKING).await?;
        // EXPOSE: a start time or a state, as a service manager prints it
        let text = output.out.expose_text().map_err(|_| self.failed(act, format!("{} printed no text", words[0])))?;
        Ok(text.trim().to_owned())
    }

    /// The host's clock, in microseconds since 1970.
    pub(super) async fn now(&self) -> Result<i64, ServiceError> {
        const ACT: &str = "tell the time";
        let text = self.ask(ACT, &["date", "+%s%6N"]).await?;
        text.parse().map_err(|_| self.failed(ACT, "date printed no number".to_owned()))
    }

    /// Runs a health check. What it printed is left out: it may have looked at a secret.
    pub(super) async fn check(&self, words: &[String]) -> Result<(), ServiceError> {
        self.check_with(words, None).await
    }

    /// As [`Self::check`], with a value on its standard input.
    pub(super) async fn check_with(&self, words: &[String], input: Option<&Material>) -> Result<(), ServiceError> {
        const ACT: &str = "pass its check";
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some(program) = words.first() else { return Ok(()) };
        let command = Command { words: &words, input, within: ASKING };
        match self.host.run(command).await.map_err(|source| self.error(source))?.code {
            Some(0) => Ok(()),
            Some(code) => Err(self.failed(ACT, format!("{program} ended with {code}"))),
            None => Err(self.failed(ACT, format!("{program} was ended by a signal"))),
        }
    }

    pub(super) fn not_there(&self, what: String) -> ServiceError {
        ServiceError::NotThere { service: self.service.clone(), host: self.host_name.clone(), what }
    }

    pub(super) fn failed(&self, act: &'static str, what: String) -> ServiceError {
        ServiceError::Failed { service: self.service.clone(), host: self.host_name.clone(), act, what }
    }

    fn error(&self, source: HostError) -> ServiceError {
        ServiceError::Host { service: self.service.clone(), host: self.host_name.clone(), source }
    }
}

fn first_line(err: &str) -> String {
    match err.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!(": {}", line.chars().take(200).collect::<String>()),
        None => String::new(),
    }
}
