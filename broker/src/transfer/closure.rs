//! The closure: which records a site and role need, by the deployment file and the access rules, and nothing else; with the
//! count of publications, by which readers see that there was one.

use super::export::Wanted;
use crate::records::{Layout, epoch};
use donjon_drivers::store::{Store, StoreError, Which};
use donjon_policies::{
    access::Access,
    catalogue::Catalogue,
    deployment::Deployment,
    name::{RoleName, SiteName},
};

/// The secrets and views of a role at a site, as the deployment file and the access rules say, by their newest version, and
/// the epoch, where anything was published.
pub async fn closure(
    store: &dyn Store,
    deployment: &Deployment,
    catalogue: &Catalogue,
    layout: &Layout,
    site: &SiteName,
    role: &RoleName,
) -> Result<Vec<Wanted>, ClosureError> {
    let known = deployment.sites.get(site).ok_or_else(|| ClosureError::Site { site: site.clone() })?;
    if !known.roles.contains(role) {
        return Err(ClosureError::NotThere { site: site.clone(), role: role.clone() });
    }
    let given = deployment.roles.iter().map(|(role, given)| (role.clone(), given.reads.clone()));
    let access = Access::new(given, catalogue);
    let mut wanted: Vec<_> =
        access.granted(role).map(|name| Wanted { path: layout.secret(name), which: Which::Latest }).collect();
    if wanted.is_empty() {
        return Err(ClosureError::Nothing { role: role.clone() });
    }
    if epoch::read(store, layout).await? > 0 {
        wanted.push(Wanted { path: layout.epoch(), which: Which::Latest });
    }
    Ok(wanted)
}

/// Why a site and role have no closure. What no rule grants is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// The site is not declared.
    #[error("the deployment file names no site `{site}`")]
    Site {
        /// The site.
        site: SiteName,
    },
    /// The role is not the site's.
    #[error("the site `{site}` has no role `{role}` in the deployment file")]
    NotThere {
        /// The site.
        site: SiteName,
        /// The role.
        role: RoleName,
    },
    /// The role reads nothing.
    #[error("the deployment file gives the role `{role}` nothing to read")]
    Nothing {
        /// The role.
        role: RoleName,
    },
    /// The store did not say whether anything was published.
    #[error("cannot read the epoch")]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::store::memory::Memory;

    const DEPLOYMENT: &str = "
deployment: site1
catalogue: kolla-ansible
roles:
  compute: {reads: [nova_database_password, nova.database.connection]}
  control: {reads: [database_password]}
  idle: {reads: []}
views:
  nova.database.connection: 'mysql+pymysql://nova:{nova_database_password:url}@10.0.0.11/nova'
sites:
  edge1: {roles: [compute, idle], recipients: []}
";

    #[tokio::test]
    async fn what_no_rule_grants_is_not_exported() {
        let deployment = Deployment::parse("donjon.yaml", DEPLOYMENT).unwrap();
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let layout = Layout::new(deployment.deployment.clone()).unwrap();
        let store = Memory::default();
        let ask = async |site: &str, role: &str| {
            closure(&store, &deployment, &catalogue, &layout, &site.parse().unwrap(), &role.parse().unwrap()).await
        };
        let paths: Vec<_> =
            ask("edge1", "compute").await.unwrap().iter().map(|wanted| wanted.path.to_string()).collect();
        assert_eq!(paths, ["site1/nova.database.connection", "site1/nova_database_password"]);
        assert!(matches!(ask("edge2", "compute").await, Err(ClosureError::Site { .. })));
        assert!(matches!(ask("edge1", "control").await, Err(ClosureError::NotThere { .. })));
        assert!(matches!(ask("edge1", "idle").await, Err(ClosureError::Nothing { .. })));
    }
}
