//! What readers may read there: a policy and an AppRole for each role of the deployment, and the broker's own policy.

use super::{
    Destination, PushError, WithCredentials,
    destination::{Answer, body},
    revoke::HOST,
};
use donjon_drivers::{
    material::Material,
    store::vault::{Call, CallError, Method, Reason},
};
use donjon_policies::{
    access::{Access, BROKER, BROKER_POLICY, READER_PREFIX, at_mount},
    name::{DeploymentName, HostName, RoleName},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// One policy, and the AppRole that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose it is; the broker's own where there is no role.
    pub role: Option<RoleName>,
    /// The name of the policy and the AppRole.
    pub name: String,
    /// What is to happen there.
    pub change: GrantChange,
    policy: String,
}

/// What is to happen to a policy and its AppRole there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantChange {
    /// They are made.
    Create,
    /// They are there and say something else.
    Replace,
    /// They are the same.
    Keep,
}

/// What consumers of a role log in with.
#[derive(Debug)]
pub struct Credential {
    /// The role.
    pub role: RoleName,
    /// The host that it is for.
    pub host: Option<HostName>,
    /// Which role it is, to the Vault.
    pub role_id: Material,
    /// What proves it.
    pub secret_id: Material,
}

/// An AppRole's settings, as they are compared.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Settings {
    token_policies: Vec<String>,
    token_no_default_policy: bool,
    token_ttl: u64,
    token_max_ttl: u64,
}

/// What each role is to be granted there, and whether it is already.
pub(super) async fn compare(
    destination: &Destination,
    access: &Access,
    roles: impl Iterator<Item = RoleName>,
    deployment: &DeploymentName,
) -> Result<Vec<Grant>, PushError> {
    let own = (None, BROKER.to_owned(), at_mount(BROKER_POLICY, destination.mount.as_str()));
    let roles = wanted(destination, access, roles, deployment)?;
    compare_each(destination, [own].into_iter().chain(roles)).await
}

type Wanted = (Option<RoleName>, String, String);

fn wanted(
    destination: &Destination,
    access: &Access,
    roles: impl Iterator<Item = RoleName>,
    deployment: &DeploymentName,
) -> Result<Vec<Wanted>, PushError> {
    let mount = destination.mount.as_str();
    let each = roles.map(|role| {
        let policy = access.vault_policy(deployment, &role);
        let policy = policy.map_err(|source| PushError::Policy { role: role.clone(), source })?;
        Ok((Some(role.clone()), format!("{READER_PREFIX}{role}"), at_mount(&policy, mount)))
    });
    each.collect()
}

async fn compare_each(
    destination: &Destination,
    wanted: impl Iterator<Item = Wanted>,
) -> Result<Vec<Grant>, PushError> {
    let mut grants = Vec::new();
    for (role, name, policy) in wanted {
        let held = destination.policy(&name).await?;
        // Its readers would be cut off, and what they log in with would read this one's.
        if let Some(whose) = held.as_deref().and_then(|held| another(held, &policy)) {
            return Err(PushError::Foreign { name, whose });
        }
        let settings = match role {
            Some(_) => destination.settings(&name).await?,
            None => Some(Settings::of(&name)),
        };
        let change = match (held, settings) {
            (None, _) | (_, None) => GrantChange::Create,
            (Some(held), Some(settings)) if held == policy && settings == Settings::of(&name) => GrantChange::Keep,
            (Some(_), Some(_)) => GrantChange::Replace,
        };
        grants.push(Grant { role, name, change, policy });
    }
    Ok(grants)
}

/// The place that a policy there is for, where that is another than the one that is to be written: each names the record of its
/// deployment's epoch in its mount, or, the broker's own, all records of its mount. One that names neither is nobody's.
fn another(held: &str, wanted: &str) -> Option<String> {
    let place = |policy: &str| {
        let paths = policy.lines().filter_map(|line| line.strip_prefix("path \"")?.split_once('"'));
        let place = |path: &str| match path.strip_suffix("/data/*") {
            Some(mount) => Some(mount.to_owned()),
            None => path
                .strip_suffix("/epoch")?
                .split_once("/data/donjon-public/")
                .map(|(mount, of)| format!("{mount}/{of}")),
        };
        paths.filter_map(|(path, _)| place(path)).next()
    };
    place(held).filter(|held| Some(held) != place(wanted).as_ref())
}

/// Writes what is not there yet.
pub(super) async fn write(destination: &Destination, grants: &[Grant]) -> Result<(), PushError> {
    if grants.iter().any(|grant| grant.role.is_some() && grant.change != GrantChange::Keep) {
        destination.enable_approle().await?;
    }
    write_each(destination, grants).await
}

async fn write_each(destination: &Destination, grants: &[Grant]) -> Result<(), PushError> {
    for grant in grants.iter().filter(|grant| grant.change != GrantChange::Keep) {
        let policy = BTreeMap::from([("policy", &grant.policy)]);
        let written = destination.post(&format!("sys/policies/acl/{}", grant.name), &policy).await;
        written.map_err(PushError::call("write a policy there"))?;
        if grant.role.is_some() {
            let written =
                destination.post(&format!("auth/approle/role/{}", grant.name), &one_policy(&grant.name)).await;
            written.map_err(PushError::call("write an AppRole there"))?;
        }
    }
    Ok(())
}

/// The settings as they are written: the broker's own policy lets a reader's role have one policy, and no list of them.
fn one_policy(policy: &str) -> serde_json::Value {
    json!({
        "token_policies": policy,
        "token_no_default_policy": true,
        "token_ttl": TOKEN_LIVES,
        "token_max_ttl": TOKEN_LIVES_AT_MOST,
    })
}

/// A new credential for each role, and for each host where any are named.
pub(super) async fn credentials(
    destination: &Destination,
    grants: &[Grant],
    hosts: &[HostName],
) -> Result<Vec<Credential>, PushError> {
    #[derive(Deserialize)]
    struct RoleId {
        role_id: Material,
    }
    #[derive(Deserialize)]
    struct SecretId {
        secret_id: Material,
    }
    let doing = PushError::call("make a role's credential there");
    let mut credentials = Vec::new();
    for grant in grants {
        let Some(role) = grant.role.clone() else { continue };
        let path = format!("auth/approle/role/{}", grant.name);
        let id = destination.connection.call(Call::new(Method::Get, format!("{path}/role-id"))).await;
        let RoleId { role_id } = id.and_then(|answer| answer.parse::<Answer<RoleId>>()).map_err(&doing)?.data;
        let each = hosts.iter().map(Some).chain(hosts.is_empty().then_some(None));
        for host in each {
            // The Vault takes it as a text that holds JSON, and gives it to each token that comes of it.
            let metadata = host.map(|host| json!({HOST: host}).to_string()).unwrap_or_default();
            let asked = body(&BTreeMap::from([("metadata", metadata)]));
            let made = destination.connection.call(Call::post(format!("{path}/secret-id"), asked)).await;
            let SecretId { secret_id } =
                made.and_then(|answer| answer.parse::<Answer<SecretId>>()).map_err(&doing)?.data;
            let (role, role_id) = (role.clone(), role_id.duplicate());
            credentials.push(Credential { role, host: host.cloned(), role_id, secret_id });
        }
    }
    Ok(credentials)
}

impl GrantChange {
    /// How a program is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Keep => "keep",
        }
    }
}

impl Settings {
    fn of(policy: &str) -> Self {
        Self {
            token_policies: vec![policy.to_owned()],
            token_no_default_policy: true,
            token_ttl: TOKEN_LIVES,
            token_max_ttl: TOKEN_LIVES_AT_MOST,
        }
    }
}

impl Destination {
    /// What each role is granted, where the broker's own policy and AppRole logins are already; with a credential for each
    /// role where that is asked for.
    pub(in crate::transfer) async fn grant(
        &self,
        access: &Access,
        roles: impl Iterator<Item = RoleName>,
        deployment: &DeploymentName,
        with: &WithCredentials,
    ) -> Result<Vec<Credential>, PushError> {
        let grants = compare_each(self, wanted(self, access, roles, deployment)?.into_iter()).await?;
        write_each(self, &grants).await?;
        match with {
            WithCredentials::Yes(hosts) => credentials(self, &grants, hosts).await,
            WithCredentials::No => Ok(Vec::new()),
        }
    }

    /// What roles are granted there, and whether they are already. Nothing is written.
    pub(in crate::transfer) async fn granted(
        &self,
        access: &Access,
        roles: impl Iterator<Item = RoleName>,
        deployment: &DeploymentName,
    ) -> Result<Vec<Grant>, PushError> {
        compare_each(self, wanted(self, access, roles, deployment)?.into_iter()).await
    }

    /// Writes that, with AppRole logins where there are none; with a credential for each role where that is asked for.
    pub(in crate::transfer) async fn give(
        &self,
        grants: &[Grant],
        with: &WithCredentials,
    ) -> Result<Vec<Credential>, PushError> {
        write(self, grants).await?;
        match with {
            WithCredentials::Yes(hosts) => credentials(self, grants, hosts).await,
            WithCredentials::No => Ok(Vec::new()),
        }
    }

    async fn policy(&self, name: &str) -> Result<Option<String>, PushError> {
        #[derive(Deserialize)]
        struct Policy {
            policy: String,
        }
        let asked = Call::new(Method::Get, format!("sys/policies/acl/{name}"));
        let found: Option<Policy> = self.found(asked, "read the policies there").await?;
        Ok(found.map(|policy| policy.policy))
    }

    async fn settings(&self, name: &str) -> Result<Option<Settings>, PushError> {
        self.found(Call::new(Method::Get, format!("auth/approle/role/{name}")), "read the AppRoles there").await
    }

    pub(super) async fn found<T: serde::de::DeserializeOwned>(
        &self,
        call: Call,
        doing: &'static str,
    ) -> Result<Option<T>, PushError> {
        match self.connection.call(call).await {
            Ok(answer) => Ok(Some(answer.parse::<Answer<T>>().map_err(PushError::call(doing))?.data)),
            // A method that is not enabled has no route, and answers 404 with words.
            Err(CallError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(PushError::call(doing)(error)),
        }
    }

    async fn enable_approle(&self) -> Result<(), PushError> {
        #[derive(Serialize)]
        struct Enabled {
            r#type: &'static str,
        }
        let doing = PushError::call("enable AppRole logins there");
        let methods = self.connection.call(Call::new(Method::Get, "sys/auth")).await.map_err(&doing)?;
        let methods: Answer<BTreeMap<String, serde_json::Value>> = methods.parse().map_err(&doing)?;
        if methods.data.contains_key("approle/") {
            return Ok(());
        }
        match self.post("sys/auth/approle", &Enabled { r#type: "approle" }).await {
            // Somebody else was quicker.
            Ok(()) | Err(CallError::Refused { reason: Reason::BadRequest, .. }) => Ok(()),
            Err(error) => Err(doing(error)),
        }
    }
}

const TOKEN_LIVES: u64 = 3600;
const TOKEN_LIVES_AT_MOST: u64 = 86400;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_policies::catalogue::Catalogue;

    #[test]
    fn a_policy_of_another_deployment_or_mount_is_nobody_elses_to_write() {
        let role: RoleName = "compute".parse().unwrap();
        let policy = |deployment: &str, mount: &str, secrets: &[&str]| {
            let reads = secrets.iter().map(|name| name.parse().unwrap()).collect();
            let access = Access::new([(role.clone(), reads)], &Catalogue::named("kolla-ansible").unwrap());
            at_mount(&access.vault_policy(&deployment.parse().unwrap(), &role).unwrap(), mount)
        };
        let own = policy("site1", "donjon", &["a"]);
        assert_eq!(another(&policy("site1", "donjon", &["b", "c"]), &own), None, "it changes with its role");
        assert_eq!(another("", &own), None);
        assert_eq!(another(&policy("evil", "donjon", &["a"]), &own), Some("donjon/evil".to_owned()));
        assert_eq!(another(&policy("site1", "kv/m4", &["a"]), &own), Some("kv/m4/site1".to_owned()));
        let brokers = at_mount(BROKER_POLICY, "m4");
        assert_eq!(another(&brokers, BROKER_POLICY), Some("m4".to_owned()));
        assert_eq!(another(BROKER_POLICY, BROKER_POLICY), None);
    }
}
