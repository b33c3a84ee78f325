//! What is told. Its fields are named here one by one; none can hold a value.

use donjon_policies::{
    deployment::Happening,
    name::{DeploymentName, SecretName},
};
use serde::Serialize;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What happened.
    pub event: Happening,
    /// To which secrets.
    pub secrets: Vec<SecretName>,
    /// In a line.
    pub message: String,
    /// Why.
    pub causes: Vec<String>,
    /// The rotation, where there is one.
    pub rotation: Option<String>,
    /// What state things are in now.
    pub state: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

#[derive(Serialize)]
struct Told<'a> {
    format: u32,
    to: &'a str,
    deployment: &'a DeploymentName,
    at: i64,
    #[serde(flatten)]
    notice: &'a Notice,
}

impl Notice {
    /// One with no more than a line.
    pub fn new(event: Happening, secrets: &[SecretName], message: &str) -> Self {
        Self {
            event,
            secrets: secrets.to_vec(),
            message: message.to_owned(),
            causes: Vec::new(),
            rotation: None,
            state: None,
            hint: None,
        }
    }

    /// It as JSON, for somebody of this name.
    pub fn told(&self, to: &str, deployment: &DeploymentName) -> String {
        let at = jiff::Timestamp::now().as_second();
        serde_json::to_string(&Told { format: FORMAT, to, deployment, at, notice: self })
            .expect("names, numbers and text are always JSON")
    }
}

const FORMAT: u32 = 1;
