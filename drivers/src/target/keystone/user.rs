//! What a user is, and how it is changed and removed.

use super::{Keystone, login, request, session::Session};
use crate::{
    material::Material,
    target::{Account, Admin, Login, TargetError},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A user, as the API shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    name: String,
    pub(super) domain_id: String,
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) default_project_id: Option<String>,
    #[serde(default)]
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    password_expires_at: Option<String>,
    #[serde(default)]
    pub(super) options: Map<String, Value>,
}

impl User {
    /// The user of an account; `None` where there is no such user, or no such domain.
    pub(super) async fn find(session: &mut Session<'_>, account: &Account) -> Result<Option<Self>, TargetError> {
        #[derive(Deserialize)]
        struct Domains {
            domains: Vec<Domain>,
        }
        #[derive(Deserialize)]
        struct Domain {
            id: String,
            name: String,
        }
        #[derive(Deserialize)]
        struct Users {
            users: Vec<User>,
        }
        let Domains { domains } = session.read(&["domains"], &[("name", &account.host)]).await?;
        let Some(domain) = domains.into_iter().find(|domain| domain.name == account.host) else { return Ok(None) };
        let query = [("name", account.user.as_str()), ("domain_id", &domain.id)];
        let Users { users } = session.read(&["users"], &query).await?;
        Ok(users.into_iter().find(|user| user.name == account.user && user.domain_id == domain.id))
    }

    /// Whether its value has expired. Keystone writes the time without a zone and means UTC.
    pub(super) fn expired(&self, now: Timestamp) -> bool {
        let Some(text) = &self.password_expires_at else { return false };
        let time = text.trim_end_matches('Z').parse::<DateTime>().and_then(|time| time.to_zoned(TimeZone::UTC));
        // A time that cannot be read is one that cannot be relied on.
        time.map_or(true, |time| time.timestamp() <= now)
    }
}

/// Sets the one value of an account, unless it is accepted already.
pub(super) async fn declare(
    target: &Keystone,
    admin: &Admin<'_>,
    account: &Account,
    values: &[&Material],
) -> Result<(), TargetError> {
    let mut session = Session::anywhere(target, admin).await?;
    let value = match values {
        [value] => *value,
        [] => return Err(session.api.unable(format!("{account} is left as it is: no value at all would lock it"))),
        _ => return Err(session.api.unable(format!("{account} is left as it is: a user has one value"))),
    };
    speakable(&session, account, value)?;
    let Some(user) = User::find(&mut session, account).await? else {
        return Err(session.api.unable(format!("there is no user {account}")));
    };
    // Setting it again would end every token that was given since.
    if login::login(target, session.api, account, value).await? == Login::Accepted {
        return Ok(());
    }
    write(&mut session, account, Some(&user.id), &Map::new(), value).await
}

/// Creates a user, or changes the one with this id, with some fields and a value.
pub(super) async fn write(
    session: &mut Session<'_>,
    account: &Account,
    id: Option<&str>,
    fields: &Map<String, Value>,
    value: &Material,
) -> Result<(), TargetError> {
    let body = request::user(fields, value).ok_or_else(|| session.api.unable("the value is not text"))?;
    let answer = match id {
        Some(id) => session.call(Method::PATCH, &["users", id], &[], Some(&body)).await?,
        None => session.call(Method::POST, &["users"], &[], Some(&body)).await?,
    };
    #[derive(Deserialize)]
    struct Changed {
        user: User,
    }
    match answer.status {
        200 | 201 => {
            let Changed { user } = answer.parse(session.api)?;
            session.target.tries.right(account, value);
            if user.expired(Timestamp::now()) {
                return Err(session.api.unable(format!(
                    "what an administrator sets expires at once here (`change_password_upon_first_use`); give {account} \
                     the option `ignore_change_password_upon_first_use`"
                )));
            }
            Ok(())
        }
        status => Err(refused(session, account, status)),
    }
}

/// Changes fields of a user other than its value.
pub(super) async fn amend(
    session: &mut Session<'_>,
    account: &Account,
    id: &str,
    fields: Map<String, Value>,
) -> Result<(), TargetError> {
    let body = Material::from(serde_json::json!({ "user": fields }).to_string());
    match session.call(Method::PATCH, &["users", id], &[], Some(&body)).await?.status {
        200 => Ok(()),
        status => Err(refused(session, account, status)),
    }
}

/// Removes an account, unless something that is no twin's would go with it.
pub(super) async fn remove(target: &Keystone, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
    let mut session = Session::anywhere(target, admin).await?;
    if session.is_own(account) {
        return Err(session.api.unable(format!("{account} is the administrator who would remove it")));
    }
    let Some(user) = User::find(&mut session, account).await? else { return Ok(()) };
    super::rights::nothing_else(&mut session, account, &user.id).await?;
    match session.call(Method::DELETE, &["users", &user.id], &[], None).await?.status {
        204 | 404 => {
            target.tries.forget(account);
            Ok(())
        }
        status => Err(refused(&session, account, status)),
    }
}

/// Refuses a value with which nobody, or anybody, could log in.
pub(super) fn speakable(session: &Session<'_>, account: &Account, value: &Material) -> Result<(), TargetError> {
    let bytes = value.expose(); // EXPOSE: looked at for what Keystone would not take as it is
    let why = match (bytes.len(), bytes.contains(&0), std::str::from_utf8(bytes)) {
        (0, _, _) => "an empty value would open it to all",
        (73.., _, _) => "Keystone reads no more than 72 bytes of a value",
        (_, true, _) => "Keystone's hash takes no NUL",
        (_, _, Err(_)) => "the value is not text",
        (_, false, Ok(_)) => return Ok(()),
    };
    Err(session.api.unable(format!("{account} is left as it is: {why}")))
}

fn refused(session: &Session<'_>, account: &Account, code: u16) -> TargetError {
    match code {
        500.. => session.api.odd(code, "told to change a user"),
        _ => TargetError::Refused { node: session.api.node().name.clone(), account: account.clone(), code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expiry_is_read_as_keystone_writes_it() {
        let user = |at: Value| -> User {
            let user = json!({"id": "1", "name": "a", "domain_id": "d", "enabled": true, "password_expires_at": at});
            serde_json::from_value(user).unwrap()
        };
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for (at, expired) in [
            (Value::Null, false),
            ("2026-11-22T12:00:01.000000".into(), false),
            ("2026-11-22T11:59:59.000000".into(), true),
            ("2026-11-22T11:59:59.000000Z".into(), true),
            ("soon".into(), true),
        ] {
            assert_eq!(user(at.clone()).expired(now), expired, "{at}");
        }
    }
}
