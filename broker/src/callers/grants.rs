//! Which roles a caller is, and which of them grants what it asks for.

use super::{Accounts, Peer, Standing};
use crate::reader::consumers::OVERFLOW;
use donjon_policies::{
    access::{Access, Decision},
    catalogue::Catalogue,
    deployment::Deployment,
    name::{RoleName, SecretName},
};
use std::collections::{BTreeMap, BTreeSet};

/// The callers of a deployment and their grants.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    access: Access,
    roles: BTreeMap<RoleName, Members>,
    /// Every name that the deployment file or its catalogue has.
    names: BTreeSet<SecretName>,
}

#[derive(Debug, Clone)]
struct Members {
    users: BTreeSet<u32>,
    groups: BTreeSet<u32>,
    units: BTreeSet<String>,
}

/// No role of the caller grants this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no role of the caller reads `{0}`")]
pub struct Denied(pub SecretName);

impl Callers {
    /// As the deployment file says. A user or group that is not known here is nobody, and so is the one that the kernel tells of
    /// everybody whom it has no number for.
    pub fn new(deployment: &Deployment, catalogue: &Catalogue, accounts: &Accounts) -> Self {
        let given = deployment.roles.iter().map(|(role, reads)| (role.clone(), reads.reads.clone()));
        let told = |number: &u32| *number != OVERFLOW;
        let members = |(role, reads): (&RoleName, &donjon_policies::deployment::Reads)| {
            let users = reads.users.iter().filter_map(|user| accounts.user(user)).filter(told).collect();
            let groups = reads.groups.iter().filter_map(|group| accounts.group(group)).filter(told).collect();
            (role.clone(), Members { users, groups, units: reads.units.clone() })
        };
        let roles = deployment.roles.iter().map(members).collect();
        let read = deployment.roles.values().flat_map(|reads| &reads.reads);
        let named = catalogue.entries().map(|entry| &entry.name).chain(catalogue.older_names());
        let names = read.chain(deployment.views.keys()).chain(named).cloned().collect();
        Self { access: Access::new(given, catalogue), roles, names }
    }

    /// Whether it is a name that an operator knows. Any other was made up by who asks, and may be a value that slipped into
    /// the place of a name: most values are good names.
    pub fn knows(&self, name: &SecretName) -> bool {
        self.names.contains(name)
    }

    /// Whether some role names it.
    pub fn standing(&self, peer: &Peer) -> Standing {
        if self.roles.values().any(|members| members.include(peer)) { Standing::Known } else { Standing::Stranger }
    }

    /// The one decision: every name must be granted by a role of the caller. Which role reads, for the audit log.
    pub fn decide(&self, peer: &Peer, names: &[SecretName]) -> Result<Option<RoleName>, Denied> {
        let own: Vec<&RoleName> =
            self.roles.iter().filter(|(_, members)| members.include(peer)).map(|(role, _)| role).collect();
        let mut reading = None;
        for name in names {
            let granting = own.iter().find(|role| self.access.decide(role, name) == Decision::Granted);
            let granting = granting.ok_or_else(|| Denied(name.clone()))?;
            reading.get_or_insert_with(|| (*granting).clone());
        }
        Ok(reading)
    }
}

impl Members {
    fn include(&self, peer: &Peer) -> bool {
        let known = self.users.contains(&peer.uid) || self.groups.iter().any(|group| peer.in_group(*group));
        known && (self.units.is_empty() || self.units.iter().any(|unit| peer.runs_in(unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::{Kind, apart, timed};

    const DEPLOYMENT: &str = "
deployment: d
catalogue: kolla-ansible
roles:
  keystone: {reads: [keystone_database_password], users: [keystone]}
  nova: {reads: [nova_database_password], groups: [42436], units: [nova.service]}
  site: {reads: [database_password]}
  other: {reads: [heat_database_password], users: [nobody, 65534], groups: [65534]}
";

    fn callers() -> Callers {
        let deployment = Deployment::parse("f", DEPLOYMENT).unwrap();
        let accounts = Accounts::parse(
            "root:x:0:0::/:/bin/sh\nkeystone:x:42425:42425::/:/x\nnobody:x:65534:65534::/:/x\nbad\n",
            "",
        );
        Callers::new(&deployment, &Catalogue::named("kolla-ansible").unwrap(), &accounts)
    }

    fn decide(uid: u32, gid: u32, cgroup: &str, names: &[&str]) -> Result<Option<RoleName>, Denied> {
        let names: Vec<SecretName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let peer = Peer { uid, gid, groups: vec![], pid: 1, cgroup: cgroup.to_owned() };
        callers().decide(&peer, &names)
    }

    #[test]
    fn a_role_is_its_users_and_groups_within_its_units() {
        let (own, other) = ("keystone_database_password", "nova_database_password");
        assert_eq!(decide(42425, 1, "", &[own]), Ok(Some("keystone".parse().unwrap())));
        assert_eq!(decide(1, 42425, "", &[own]), Err(Denied(own.parse().unwrap())), "a user is no group");
        assert_eq!(decide(42425, 1, "", &[own, other]), Err(Denied(other.parse().unwrap())));
        assert_eq!(decide(1, 42436, "", &[other]), Err(Denied(other.parse().unwrap())), "outside of its unit");
        let inside = "0::/system.slice/nova.service\n";
        assert_eq!(decide(1, 42436, inside, &[other]), Ok(Some("nova".parse().unwrap())));
        assert_eq!(decide(7, 7, inside, &[other]), Err(Denied(other.parse().unwrap())), "a unit alone is nobody");
    }

    #[test]
    fn whoever_the_kernel_has_no_number_for_is_nobody() {
        let name = "heat_database_password";
        for (uid, gid) in [(65534, 65534), (65534, 7), (7, 65534)] {
            assert_eq!(decide(uid, gid, "", &[name]), Err(Denied(name.parse().unwrap())), "{uid} {gid}");
        }
    }

    /// Of a name that another reads, and of one that nobody has ever heard of, as long and as late in the alphabet.
    #[tokio::test]
    async fn a_refusal_does_not_tell_in_time_which_names_there_are() {
        let callers = callers();
        let peer = Peer { uid: 42425, gid: 42425, groups: vec![], pid: 1, cgroup: String::new() };
        let [known, unknown]: [[SecretName; 1]; 2] =
            [["nova_database_password".parse().unwrap()], ["nova_database_passwore".parse().unwrap()]];
        let decide = async |kind: Kind, leak: bool| {
            // At the same place in memory: where a name lies is not what is asked.
            let names = &if kind == Kind::One { known.clone() } else { unknown.clone() };
            let (time, decided) = timed(async {
                // The control: whoever looks first whether somebody reads it has one more to look for.
                if leak && callers.roles.keys().any(|role| callers.access.decide(role, &names[0]) == Decision::Granted)
                {
                    std::hint::black_box(callers.decide(&peer, names).is_err());
                }
                callers.decide(&peer, names)
            })
            .await;
            assert!(decided.is_err());
            time
        };
        let control = apart(async |kind| decide(kind, true).await).await;
        assert!(control > 0.0, "the control: one more look is seen");
        let own = apart(async |kind| decide(kind, false).await).await;
        assert!(own < control / 16.0, "{own} ns, where one more look is {control} ns");
    }

    #[test]
    fn what_no_user_has_nobody_reads() {
        for uid in [0, 1, 42425] {
            let denied = Err(Denied("database_password".parse().unwrap()));
            assert_eq!(decide(uid, uid, "", &["database_password"]), denied);
        }
    }
}
