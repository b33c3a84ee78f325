//! Who changes accounts on a target: what the deployment file says, or what the catalogue has for that sort of server.

use crate::{
    failure::{Exit, Failure},
    rotation::subject::Administrator,
};
use donjon_policies::{
    catalogue::{Catalogue, Class, TargetKind},
    deployment::Setting,
    name::{SecretName, TargetName},
};

/// The option of a target that says who: `administrator: {user: root, secret: database_password}`.
pub(super) const OPTION: &str = "administrator";

pub(super) fn of(
    catalogue: &Catalogue,
    target: &TargetName,
    kind: TargetKind,
    given: Option<&Setting>,
) -> Result<Administrator, Failure> {
    if let Some(given) = given {
        return said(target, given);
    }
    // The one that changes first: a monitoring user changes later. Of several alike none is taken.
    let has = |class: Class| {
        let entries = catalogue.current().filter(|entry| entry.class == class);
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let credential = entry.credentials.iter().find(|c| c.target == kind)?;
                let user = credential.accounts.first()?.user.clone();
                Some((credential.phase, Administrator { user, secret: entry.name.clone() }))
            })
            .collect();
        found.sort_by_key(|(phase, _)| *phase);
        match found.as_slice() {
            [(_, one)] => Some(one.clone()),
            [(first, one), (second, _), ..] if first < second => Some(one.clone()),
            _ => None,
        }
    };
    let found = match kind {
        TargetKind::Mariadb => has(Class::DatabaseRoot),
        TargetKind::Rabbitmq => has(Class::MessageUser),
        TargetKind::Redis => has(Class::KeyValuePassword),
        TargetKind::Keystone => has(Class::KeystoneAdmin),
        TargetKind::Proxysql
        | TargetKind::Keyring
        | TargetKind::Sshkeys
        | TargetKind::Command
        | TargetKind::Consumers => None,
    };
    found.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("who changes accounts on `{target}`?"))
            .cause(format!("the catalogue `{}` has no administrator of {kind}", catalogue.deployer()))
            .state("nothing was changed")
            .hint(format!("say it in donjon.yaml: `targets.{target}.{OPTION}: {{user: NAME, secret: SECRET}}`"))
    })
}

fn said(target: &TargetName, given: &Setting) -> Result<Administrator, Failure> {
    let wrong = || {
        Failure::new(Exit::Usage, format!("`targets.{target}.{OPTION}` is not understood"))
            .state("nothing was changed")
            .hint("it is a map: `{user: NAME, secret: SECRET}`")
    };
    let Setting::Map(map) = given else { return Err(wrong()) };
    let text = |key: &str| match map.get(key) {
        Some(Setting::Text(text)) => Some(text.clone()),
        Some(Setting::Switch(_) | Setting::Number(_) | Setting::List(_) | Setting::Map(_)) | None => None,
    };
    let (Some(user), Some(secret), 2) = (text("user"), text("secret"), map.len()) else { return Err(wrong()) };
    let secret: SecretName = secret.parse().map_err(|_| wrong())?;
    Ok(Administrator { user, secret })
}
