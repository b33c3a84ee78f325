//! A check that is fed a value: it tries a login with what it reads, and must fail when that is wrong.
//!
//! With `fed: NAME` beside a service's `check`, the check gets the value of that secret or view on standard input and ends
//! with 0 where a login with it succeeds, from where the consumer logs in, on the path that it takes: through its proxy,
//! inside its container. Before a rotation trusts such a check it is fed a value that never was one, and then the one in
//! force: only a check that tells them apart becomes a [`Proven`], and only a [`Proven`] can say that a new value works.
//!
//! ```yaml
//! services:
//!   keystone:
//!     driver: systemd
//!     unit: apache2.service
//!     uses: [keystone_database_password]
//!     fed: keystone_database_password
//!     check: [/usr/local/sbin/try-database, keystone, 10.0.0.10]
//! ```
//! with, as `try-database`, a program that keeps the value out of its arguments, such as
//!
//! ```sh
//! #!/bin/sh
//! { printf '[client]\npassword="'; cat; printf '"\n'; } |
//!     mariadb --defaults-file=/dev/stdin --user="$1" --host="$2" --execute='SELECT 1'
//! ```

use super::{ServiceError, place::Place};
use crate::{material::Material, options::Mistake};
use donjon_policies::deployment::Setting;
use std::collections::BTreeMap;

/// A check that nobody has put to the test yet.
#[derive(Debug, Clone)]
pub struct Fed {
    place: Place,
    words: Vec<String>,
}

/// A check that was seen to fail on a wrong value and to pass on the right one.
#[derive(Debug)]
pub struct Proven(Fed);

/// Why a check is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// It passes on a value that never was one.
    #[error("the check of {service} on {host} passes whatever it is fed: it passed on a value that never was one")]
    Blind {
        /// The service.
        service: String,
        /// The host.
        host: String,
    },
    /// It fails on the value in force.
    #[error("the check of {service} on {host} fails on the value in force")]
    Fails {
        /// The service.
        service: String,
        /// The host.
        host: String,
        /// How.
        source: ServiceError,
    },
    /// It could not be run.
    #[error("the check of {service} on {host} cannot be put to the test")]
    Untested {
        /// The service.
        service: String,
        /// The host.
        host: String,
        /// Why.
        source: ServiceError,
    },
}

impl Fed {
    /// The `check` of a service whose settings stand at `at` in a file. Nothing is run yet.
    pub fn open(place: Place, settings: &BTreeMap<String, Setting>, at: &str) -> Result<Self, Mistake> {
        let expected = || Mistake::new(format!("{at}.check"), "a list of words, the program first is expected here");
        let Some(Setting::List(list)) = settings.get("check") else { return Err(expected()) };
        let word = |setting: &Setting| match setting {
            Setting::Text(text) => Some(text.clone()),
            Setting::Number(number) => Some(number.to_string()),
            Setting::Switch(_) | Setting::List(_) | Setting::Map(_) => None,
        };
        let words: Vec<String> = list.iter().map(word).collect::<Option<_>>().ok_or_else(expected)?;
        if words.is_empty() { Err(expected()) } else { Ok(Self { place, words }) }
    }

    /// Puts the check to the test: it must fail on `wrong`, a value that was made up for this and never was in force, and
    /// pass on `current`, the one in force. The wrong one goes first and once: a failed login may count against a limit.
    pub async fn prove(self, wrong: &Material, current: &Material) -> Result<Proven, Distrust> {
        let (service, host) = (self.place.service.clone(), self.place.host_name.clone());
        match self.run(wrong).await {
            Err(ServiceError::Failed { .. }) => {}
            Ok(()) => return Err(Distrust::Blind { service, host }),
            Err(source @ (ServiceError::Host { .. } | ServiceError::NotThere { .. })) => {
                return Err(Distrust::Untested { service, host, source });
            }
        }
        match self.run(current).await {
            Ok(()) => Ok(Proven(self)),
            Err(source @ ServiceError::Failed { .. }) => Err(Distrust::Fails { service, host, source }),
            Err(source @ (ServiceError::Host { .. } | ServiceError::NotThere { .. })) => {
                Err(Distrust::Untested { service, host, source })
            }
        }
    }

    async fn run(&self, value: &Material) -> Result<(), ServiceError> {
        self.place.check_with(&self.words, Some(value)).await
    }
}

impl Proven {
    /// Whether a login with this value succeeds from there; `Ok` where it does.
    pub async fn passes(&self, value: &Material) -> Result<(), ServiceError> {
        self.0.run(value).await
    }
}
