//! What a user may do, and what is bound to it by its id.

use super::session::Session;
use crate::target::{Account, TargetError};
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeSet;

/// One thing that makes a user able to do something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// A role somewhere.
    Role {
        /// The role's id.
        role: String,
        /// Where.
        on: On,
        /// For what is below, or for the place itself.
        reach: Reach,
    },
    /// Being one of a group, by its id.
    Member(String),
}

/// Where a role is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum On {
    /// On a project, by its id.
    Project(String),
    /// On a domain, by its id.
    Domain(String),
    /// On the whole deployment.
    System,
}

/// How far a role reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// The place itself.
    Here,
    /// The projects below it.
    Below,
}

impl Right {
    /// Where a user has this right in the API.
    fn path<'a>(&'a self, user: &'a str) -> Vec<&'a str> {
        match self {
            Self::Member(group) => vec!["groups", group, "users", user],
            Self::Role { role, on, reach } => {
                let place = match on {
                    On::Project(id) => vec!["projects", id],
                    On::Domain(id) => vec!["domains", id],
                    On::System => vec!["system"],
                };
                let holder = ["users", user, "roles", role];
                match reach {
                    Reach::Here => place.into_iter().chain(holder).collect(),
                    Reach::Below => {
                        ["OS-INHERIT"].into_iter().chain(place).chain(holder).chain(["inherited_to_projects"]).collect()
                    }
                }
            }
        }
    }
}

/// Every right of a user, those it has as one of a group left to the group.
pub(super) async fn of(session: &mut Session<'_>, user: &str) -> Result<BTreeSet<Right>, TargetError> {
    #[derive(Deserialize)]
    struct Assignments {
        role_assignments: Vec<Assignment>,
    }
    #[derive(Deserialize)]
    struct Groups {
        groups: Vec<Id>,
    }
    let Assignments { role_assignments } = session.read(&["role_assignments"], &[("user.id", user)]).await?;
    let Groups { groups } = session.read(&["users", user, "groups"], &[]).await?;
    let held = role_assignments.into_iter().map(|assignment| assignment.right());
    let held: Option<BTreeSet<Right>> =
        held.chain(groups.into_iter().map(|group| Some(Right::Member(group.id)))).collect();
    held.ok_or_else(|| session.api.unable("a role is held on something unknown"))
}

/// Gives a user exactly these rights: first what is missing, then what is too much goes.
pub(super) async fn make(session: &mut Session<'_>, user: &str, wanted: &BTreeSet<Right>) -> Result<(), TargetError> {
    let present = of(session, user).await?;
    let give = wanted.difference(&present).map(|right| (Method::PUT, right));
    for (method, right) in give.chain(present.difference(wanted).map(|right| (Method::DELETE, right))) {
        let path = right.path(user);
        match session.call(method.clone(), &path, &[], None).await?.status {
            204 => {}
            404 if method == Method::DELETE => {}
            status => return Err(session.api.odd(status, &format!("told to {method} {}", path.join("/")))),
        }
    }
    Ok(())
}

/// Refuses a user to whom something is bound by its id: no twin could have it, and it dies with the user.
pub(super) async fn nothing_else(session: &mut Session<'_>, account: &Account, user: &str) -> Result<(), TargetError> {
    #[derive(Deserialize)]
    struct Bound {
        #[serde(alias = "application_credentials", alias = "credentials", alias = "trusts")]
        found: Vec<Id>,
    }
    let own = ["users", user, "application_credentials"];
    for Bonds { what, path, query } in [
        Bonds { what: "application credentials", path: &own, query: None },
        Bonds { what: "credentials", path: &["credentials"], query: Some("user_id") },
        Bonds { what: "trusts that it gave", path: &["OS-TRUST", "trusts"], query: Some("trustor_user_id") },
        Bonds { what: "trusts that were given to it", path: &["OS-TRUST", "trusts"], query: Some("trustee_user_id") },
    ] {
        let query: Vec<_> = query.map(|name| (name, user)).into_iter().collect();
        let answer = session.call(Method::GET, path, &query, None).await?;
        let found = match answer.status {
            200 => answer.parse::<Bound>(session.api)?.found.len(),
            // This Keystone has no such thing.
            404 => 0,
            status => return Err(session.api.odd(status, &format!("asked for {what}"))),
        };
        if found > 0 {
            return Err(session.api.unable(format!(
                "{account} has {what} ({found}), which no twin can have and which die with it; change it by `cutover`, or remove them"
            )));
        }
    }
    Ok(())
}

/// Where the API lists what is bound to a user.
struct Bonds<'a> {
    what: &'static str,
    path: &'a [&'a str],
    query: Option<&'static str>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Assignment {
    role: Id,
    scope: Place,
}

#[derive(Deserialize)]
struct Place {
    project: Option<Id>,
    domain: Option<Id>,
    system: Option<serde::de::IgnoredAny>,
    #[serde(rename = "OS-INHERIT:inherited_to")]
    inherited: Option<String>,
}

impl Assignment {
    fn right(self) -> Option<Right> {
        let on = match self.scope {
            Place { project: Some(Id { id }), domain: None, system: None, .. } => On::Project(id),
            Place { project: None, domain: Some(Id { id }), system: None, .. } => On::Domain(id),
            Place { project: None, domain: None, system: Some(_), .. } => On::System,
            Place { .. } => return None,
        };
        let reach = match self.scope.inherited.as_deref() {
            None => Reach::Here,
            Some("projects") => Reach::Below,
            Some(_) => return None,
        };
        Some(Right::Role { role: self.role.id, on, reach })
    }
}
