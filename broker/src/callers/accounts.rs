//! The users and groups of this host, from `/etc/passwd` and `/etc/group`.

use donjon_policies::deployment::Account;
use std::collections::BTreeMap;

/// Names of users and groups, and their numbers.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, u32>,
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

    /// From the texts of both files. Both have the name first and the number third; that of a user's own group is the fourth.
    pub fn parse(users: &str, groups: &str) -> Self {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let user = |line| {
            let fields = fields(line);
            let user = User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? };
            Some((fields.into_iter().next()?, user))
        };
        let group = |line| {
            let fields = fields(line);
            let number = fields.get(2)?.parse().ok()?;
            Some((fields.into_iter().next()?, number))
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
            Account::Name(name) => self.groups.get(name).copied(),
        }
    }

    /// A user that this host has.
    pub fn known(&self, account: &Account) -> Option<User> {
        let uid = self.user(account)?;
        self.users.values().find(|user| user.uid == uid).copied()
    }

    /// The users whose own group this is.
    pub fn of_group(&self, account: &Account) -> impl Iterator<Item = User> {
        let gid = self.group(account);
        self.users.values().filter(move |user| Some(user.gid) == gid).copied()
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
    fn users_are_found_by_name_by_number_and_by_their_own_group() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnova:x:162:163::/var/lib/nova:/bin/false\nbroken\n";
        let accounts = Accounts::parse(users, "root:x:0:\nnova:x:163:other\n");
        let name = |name: &str| Account::Name(name.to_owned());
        let nova = User { uid: 162, gid: 163 };
        assert_eq!(accounts.known(&name("nova")), Some(nova));
        assert_eq!(accounts.known(&Account::Number(162)), Some(nova));
        assert_eq!((accounts.user(&Account::Number(7)), accounts.known(&Account::Number(7))), (Some(7), None));
        assert_eq!(accounts.known(&name("broken")), None);
        assert_eq!(accounts.of_group(&name("nova")).collect::<Vec<_>>(), [nova]);
        assert_eq!(accounts.of_group(&name("other")).count(), 0);
    }
}
