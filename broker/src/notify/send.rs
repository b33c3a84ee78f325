//! Delivery: a few attempts, each with its time, and no more.

use donjon_drivers::{
    host::{Command, Host, HostError, local::Local},
    material::Material,
};
use donjon_policies::deployment::{Means, Notification};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use std::time::Duration;

/// Why somebody could not be told.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The webhook did not answer, or cannot be asked. Its address may hold a token and is not part of this.
    #[error("the webhook cannot be reached: {}", causes(.0))]
    Webhook(reqwest::Error),
    /// It answered otherwise.
    #[error("the webhook answered {0}")]
    Answer(reqwest::StatusCode),
    /// The command could not be run.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It failed.
    #[error("the command ended with {}", .0.map_or_else(|| "a signal".to_owned(), |code| code.to_string()))]
    Command(Option<i32>),
}

/// Tells somebody, in up to three attempts.
pub async fn send(told: &Notification, text: &str) -> Result<(), NotifyError> {
    let mut attempts = PAUSES.iter();
    loop {
        match once(told, text).await {
            Ok(()) => return Ok(()),
            Err(error) => match attempts.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            },
        }
    }
}

async fn once(told: &Notification, text: &str) -> Result<(), NotifyError> {
    match &told.means {
        Means::Webhook(address) => {
            let hidden = |error: reqwest::Error| NotifyError::Webhook(error.without_url());
            let client = reqwest::Client::builder().timeout(WITHIN).redirect(reqwest::redirect::Policy::none());
            let asked = client.build().map_err(hidden)?.post(address);
            let asked = asked.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(text.to_owned());
            let status = asked.send().await.map_err(hidden)?.status();
            if status.is_success() { Ok(()) } else { Err(NotifyError::Answer(status)) }
        }
        Means::Command(words) => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let input = Material::from(text.to_owned());
            let command = Command { words: &words, input: Some(&input), within: WITHIN };
            let ran = Local::new("local", Vec::new()).run(command).await?;
            if ran.code == Some(0) { Ok(()) } else { Err(NotifyError::Command(ran.code)) }
        }
    }
}

fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

const WITHIN: Duration = Duration::from_secs(10);
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
