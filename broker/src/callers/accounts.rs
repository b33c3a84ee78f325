//! The users and groups of this host, from `/etc/passwd` and `/etc/group`.

use donjon_policies::deployment::Account;
use std::collections::{BTreeMap, BTreeSet};

/// Names of users and groups, and their numbers.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Clone)]
struct Group {
    gid: u32,
    /// Names of users whom it is given besides their own.
    members: BTreeSet<String>,
}

/// A user of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// The number of its own group.
    pub gid: u32,
}

impl Accounts {
    /// As both files are now. Without them there are numbers alone.
    pub fn of_this_host() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text(USERS), &text(GROUPS))
    }

    /// From the texts of both files (`passwd(5)`, `group(5)`). Both have the name first and the number third; the fourth is the
    /// number of a user's own group, or the names of a group's members with commas.
    pub fn parse(users: &str, groups: &str) -> Self {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let user = |line| {
            let fields = fields(line);
            let user = User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? };
            Some((fields.into_iter().next()?, user))
        };
        let group = |line| {
            let fields = fields(line);
            let members = fields.get(3).into_iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
            let group = Group { gid: fields.get(2)?.parse().ok()?, members };
            Some((fields.into_iter().next()?, group))
        };
        Self { users: users.lines().filter_map(user).collect(), groups: groups.lines().filter_map(group).collect() }
    }

    /// The number of a user; `None` where there is no such user.
    pub fn user(&self, account: &Account) -> Option<u32> {
        match account {
            Account::Number(number) => Some(*number),
            Account::Name(name) => Some(self.users.get(name)?.uid),
        }
    }

    /// The number of a group.
    pub fn group(&self, account: &Account) -> Option<u32> {
        match account {
            Account::Number(number) => Some(*number),
            Account::Name(name) => Some(self.groups.get(name)?.gid),
        }
    }

    /// A user that this host has.
    pub fn known(&self, account: &Account) -> Option<User> {
        let uid = self.user(account)?;
        self.users.values().find(|user| user.uid == uid).copied()
    }

    /// The users of a group: those whose own it is, then those whom it is given.
    pub fn of_group(&self, account: &Account) -> Vec<User> {
        let Some(gid) = self.group(account) else { return vec![] };
        let (own, others): (Vec<_>, Vec<_>) = self.users.iter().partition(|(_, user)| user.gid == gid);
        let given = others.into_iter().filter(|(name, _)| self.groups.values().any(|group| group.is(gid, name)));
        own.into_iter().chain(given).map(|(_, user)| *user).collect()
    }

    /// The numbers of the groups that a user has from its login on (`initgroups(3)`).
    pub fn groups_of(&self, user: User) -> Vec<u32> {
        let names: Vec<&String> =
            self.users.iter().filter(|(_, known)| **known == user).map(|(name, _)| name).collect();
        let given = self.groups.values().filter(|group| names.iter().any(|name| group.members.contains(*name)));
        let numbers: BTreeSet<u32> = given.map(|group| group.gid).chain([user.gid]).collect();
        numbers.into_iter().collect()
    }
}

impl Group {
    fn is(&self, gid: u32, member: &str) -> bool {
        self.gid == gid && self.members.contains(member)
    }
}

/// Where this host's users are.
pub const USERS: &str = "/etc/passwd";
/// Where its groups are.
pub const GROUPS: &str = "/etc/group";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_by_number_and_by_their_groups() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnova:x:162:163::/var/lib/nova:/bin/false\nbroken\n";
        let accounts = Accounts::parse(users, "root:x:0:\nnova:x:163:other\nkvm:x:36:qemu,nova\nqemu:x:107:\n");
        let name = |name: &str| Account::Name(name.to_owned());
        let nova = User { uid: 162, gid: 163 };
        assert_eq!(accounts.known(&name("nova")), Some(nova));
        assert_eq!(accounts.known(&Account::Number(162)), Some(nova));
        assert_eq!((accounts.user(&Account::Number(7)), accounts.known(&Account::Number(7))), (Some(7), None));
        assert_eq!(accounts.known(&name("broken")), None);
        assert_eq!(accounts.of_group(&name("nova")), [nova]);
        assert_eq!(
            accounts.of_group(&name("kvm")),
            [nova],
            "one that it is given besides its own; qemu is no user here"
        );
        assert_eq!((accounts.of_group(&name("qemu")), accounts.of_group(&name("other"))), (vec![], vec![]));
        assert_eq!(accounts.groups_of(nova), [36, 163]);
        assert_eq!(accounts.groups_of(User { uid: 7, gid: 8 }), [8]);
    }
}
