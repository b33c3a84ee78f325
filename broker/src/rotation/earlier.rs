//! Where a target does not have what is stored: whether it has an earlier value that is still stored, and which.

use super::{
    probe::{self, Found},
    subject::Credential,
    values::Login,
};
use crate::{
    failure::{Exit, Failure},
    records::{
        Layout,
        secrets::{self, Held},
    },
};
use donjon_drivers::{
    store::{Store, VersionState, Which},
    target::Target,
};
use donjon_policies::name::SecretName;

/// The failure, where an earlier stored value is accepted: it says so, and names the version. Else the failure as it was.
pub(super) async fn explained(
    (store, layout): (&dyn Store, &Layout),
    secret: &SecretName,
    (target, credential): (&dyn Target, &Credential),
    current: &Held,
    login: &Login,
    failure: Failure,
) -> Failure {
    if !matches!(failure.code, Exit::Quorum | Exit::Ambiguous) {
        return failure;
    }
    let Ok(versions) = store.versions(&layout.secret(secret)).await else { return failure };
    let mut earlier: Vec<_> = versions
        .iter()
        .filter(|info| info.state == VersionState::Present && info.version < current.version)
        .map(|info| info.version)
        .collect();
    earlier.sort_unstable();
    for version in earlier.into_iter().rev().take(MOST) {
        let Ok(Some(held)) = secrets::read(store, layout, secret, Which::Number(version)).await else { continue };
        if held.record.value.matches(&current.record.value) {
            continue;
        }
        let found = accepted(target, credential, login, &held).await;
        if !found.accepted.is_empty() {
            let cause = format!(
                "version {version} of it, which is stored too, is accepted instead of version {} for {}: it was put back there, or what is stored now never was there",
                current.version,
                probe::places(&found.accepted)
            );
            return Failure::new(Exit::Ambiguous, format!("cannot rotate `{secret}`"))
                .cause(cause)
                .hint(format!("`donjon doctor {secret}` says what to type"));
        }
    }
    failure
}

/// Where one value of a credential is accepted. What cannot be asked is no answer.
async fn accepted(target: &dyn Target, credential: &Credential, login: &Login, held: &Held) -> Found {
    let (values, value) = (login.values(), held.record.value.material());
    let mut found = Found::default();
    for user in &credential.users {
        let Ok(survey) = target.survey(&login.admin(&values, None), user, &[value]).await else { continue };
        let tried = probe::logins(target, &survey.accounts, &survey.entries, value, &mut found).await;
        if tried.is_err() {
            break;
        }
    }
    found
}

/// Earlier versions that are tried: each refused login counts against the account on a server that locks accounts.
const MOST: usize = 2;
