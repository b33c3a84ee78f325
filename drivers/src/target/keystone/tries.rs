//! How often wrong values were tried, so that this driver locks nobody out, and does not take a lock for a wrong value.

use super::Lockout;
use crate::{material::Material, target::Account};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// What was seen of each user's logins, where the server has a rule for wrong values.
#[derive(Debug)]
pub(super) struct Tries {
    lockout: Option<Lockout>,
    salt: [u8; 32],
    seen: Mutex<BTreeMap<Account, Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    refused: usize,
    last: Option<Instant>,
    /// The digest of the value that was accepted, or set, last.
    right: Option<[u8; 32]>,
}

impl Tries {
    pub(super) fn new(lockout: Option<Lockout>) -> Self {
        Self { lockout, salt: rand::random(), seen: Mutex::default() }
    }

    /// Whether one more value may be tried now; why not, where not.
    pub(super) fn may(&self, account: &Account, now: Instant) -> Result<(), String> {
        let Some(lockout) = self.lockout else { return Ok(()) };
        let mut seen = self.seen();
        let Some(seen) = seen.get_mut(account) else { return Ok(()) };
        if seen.last.is_some_and(|last| now.duration_since(last) >= lockout.lasting) {
            seen.refused = 0;
        }
        if seen.refused + 1 < lockout.attempts {
            return Ok(());
        }
        Err(format!(
            "{} wrong values were tried in a row and the next one could lock {account}; ask again in {} s",
            seen.refused,
            lockout.lasting.as_secs()
        ))
    }

    /// The value was accepted, or has just been set.
    pub(super) fn right(&self, account: &Account, value: &Material) {
        if self.lockout.is_some() {
            let right = Some(self.digest(value));
            self.seen().insert(account.clone(), Seen { refused: 0, last: None, right });
        }
    }

    /// The value was refused; what that may mean beside that it is wrong.
    pub(super) fn refused(&self, account: &Account, value: &Material, now: Instant) -> Option<String> {
        self.lockout?;
        let digest = self.digest(value);
        let mut seen = self.seen();
        let seen = seen.entry(account.clone()).or_default();
        seen.refused += 1;
        seen.last = Some(now);
        (seen.right == Some(digest)).then(|| {
            format!("{account} accepted this value before: it was changed, or wrong values of others have locked it")
        })
    }

    /// The user is gone.
    pub(super) fn forget(&self, account: &Account) {
        self.seen().remove(account);
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<Account, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, value: &Material) -> [u8; 32] {
        // EXPOSE: digested with a salt that nobody else has
        Sha256::new().chain_update(self.salt).chain_update(value.expose()).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn account() -> Account {
        Account { user: "a".into(), host: "Default".into() }
    }

    #[test]
    fn the_limit_is_never_reached_and_time_and_success_clear_it() {
        let tries = Tries::new(Some(Lockout { attempts: 3, lasting: Duration::from_secs(60) }));
        let (wrong, right) = (Material::from("w".to_owned()), Material::from("r".to_owned()));
        let begin = Instant::now();
        for _ in 0..2 {
            assert!(tries.may(&account(), begin).is_ok());
            assert_eq!(tries.refused(&account(), &wrong, begin), None);
        }
        assert!(tries.may(&account(), begin).is_err());
        assert!(tries.may(&account(), begin + Duration::from_secs(59)).is_err());
        assert!(tries.may(&account(), begin + Duration::from_secs(60)).is_ok());
        tries.refused(&account(), &wrong, begin);
        tries.right(&account(), &right);
        assert!(tries.may(&account(), begin).is_ok());
        assert!(tries.refused(&account(), &right, begin).is_some(), "the right value was refused");
        tries.forget(&account());
        assert_eq!(tries.refused(&account(), &right, begin), None);
    }

    #[test]
    fn without_a_rule_nothing_is_counted() {
        let tries = Tries::new(None);
        let value = Material::from("v".to_owned());
        tries.right(&account(), &value);
        for _ in 0..100 {
            assert_eq!(tries.refused(&account(), &value, Instant::now()), None);
        }
        assert!(tries.may(&account(), Instant::now()).is_ok());
    }
}
