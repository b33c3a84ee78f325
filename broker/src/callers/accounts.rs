//! The numbers of users and groups, from the texts of `/etc/passwd` and `/etc/group`.

use donjon_policies::deployment::Account;
use std::collections::BTreeMap;

/// Names of users and groups, and their numbers.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// From the texts of both files. Both have the name first and the number third.
    pub fn parse(users: &str, groups: &str) -> Self {
        let read = |text: &str| {
            let lines = text.lines().filter_map(|line| {
                let mut fields = line.split(':');
                Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
            });
            lines.collect()
        };
        Self { users: read(users), groups: read(groups) }
    }

    /// The number of a user; `None` where there is no such user.
    pub fn user(&self, account: &Account) -> Option<u32> {
        number(&self.users, account)
    }

    /// The number of a group.
    pub fn group(&self, account: &Account) -> Option<u32> {
        number(&self.groups, account)
    }
}

fn number(known: &BTreeMap<String, u32>, account: &Account) -> Option<u32> {
    match account {
        Account::Number(number) => Some(*number),
        Account::Name(name) => known.get(name).copied(),
    }
}
