//! The closure: which records a site and role need, by the deployment file and the access rules, and nothing else.

use super::export::Wanted;
use crate::records::Layout;
use donjon_drivers::store::Which;
use donjon_policies::{
    access::Access,
    catalogue::Catalogue,
    deployment::Deployment,
    name::{RoleName, SiteName},
};

/// The secrets and views of a role at a site, as the deployment file and the access rules say, by their newest version.
pub fn closure(
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
    let wanted: Vec<_> =
        access.granted(role).map(|name| Wanted { path: layout.secret(name), which: Which::Latest }).collect();
    if wanted.is_empty() { Err(ClosureError::Nothing { role: role.clone() }) } else { Ok(wanted) }
}

/// Why a site and role have no closure. What no rule grants is not exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_no_rule_grants_is_not_exported() {
        let deployment = Deployment::parse("donjon.yaml", DEPLOYMENT).unwrap();
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let layout = Layout::new(deployment.deployment.clone()).unwrap();
        let ask = |site: &str, role: &str| {
            closure(&deployment, &catalogue, &layout, &site.parse().unwrap(), &role.parse().unwrap())
        };
        let paths: Vec<_> = ask("edge1", "compute").unwrap().iter().map(|wanted| wanted.path.to_string()).collect();
        assert_eq!(paths, ["site1/nova.database.connection", "site1/nova_database_password"]);
        assert!(matches!(ask("edge2", "compute"), Err(ClosureError::Site { .. })));
        assert!(matches!(ask("edge1", "control"), Err(ClosureError::NotThere { .. })));
        assert!(matches!(ask("edge1", "idle"), Err(ClosureError::Nothing { .. })));
    }
}
