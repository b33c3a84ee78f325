//! A second user with the rights of the first.

use super::{
    Keystone, login, rights,
    session::Session,
    user::{self, User},
};
use crate::{
    material::Material,
    target::{Account, Admin, Login, TargetError},
};
use serde_json::{Map, Value, json};

/// Makes the twin, or brings the one that is there up to date: its rights come last.
pub(super) async fn twin(
    target: &Keystone,
    admin: &Admin<'_>,
    account: &Account,
    twin: &Account,
    value: &Material,
) -> Result<(), TargetError> {
    let mut session = Session::anywhere(target, admin).await?;
    if account == twin || session.is_own(twin) {
        return Err(session.api.unable(format!("{twin} cannot be the twin of {account}")));
    }
    user::speakable(&session, twin, value)?;
    let Some(original) = User::find(&mut session, account).await? else {
        return Err(session.api.unable(format!("there is no user {account}")));
    };
    if twin.host != account.host {
        return Err(session.api.unable(format!("{twin} is of another domain than {account}")));
    }
    rights::nothing_else(&mut session, account, &original.id).await?;
    let wanted = rights::of(&mut session, &original.id).await?;
    let says = description(account);
    let fields = fields(&original, &says);
    let id = match User::find(&mut session, twin).await? {
        None => {
            let mut new = fields;
            new.insert("name".to_owned(), twin.user.as_str().into());
            new.insert("domain_id".to_owned(), original.domain_id.as_str().into());
            user::write(&mut session, twin, None, &new, value).await?;
            let made = User::find(&mut session, twin).await?;
            made.ok_or_else(|| session.api.unable(format!("{twin} was made, but is not there")))?.id
        }
        // Somebody's own user must not be taken over.
        Some(there) if there.description.as_deref() != Some(&says) => {
            return Err(session.api.unable(format!("there is a user {twin} already, and it is no twin of {account}")));
        }
        Some(there) => {
            if fields.iter().any(|(name, wanted)| *wanted != there.field(name)) {
                user::amend(&mut session, twin, &there.id, fields).await?;
            }
            if login::login(target, session.api, twin, value).await? != Login::Accepted {
                user::write(&mut session, twin, Some(&there.id), &Map::new(), value).await?;
            }
            there.id
        }
    };
    rights::make(&mut session, &id, &wanted).await
}

fn description(account: &Account) -> String {
    format!("Twin of {account}, made by Donjon for a rotation")
}

/// What a twin has in common with its original, beside its rights.
fn fields(original: &User, says: &str) -> Map<String, Value> {
    let mut fields: Map<String, Value> = ["enabled", "options", "default_project_id", "email"]
        .into_iter()
        .map(|name| (name.to_owned(), original.field(name)))
        // Keystone takes no null for a new user's project or address.
        .filter(|(_, value)| !value.is_null())
        .collect();
    fields.insert("description".to_owned(), says.into());
    fields
}

impl User {
    fn field(&self, name: &str) -> Value {
        match name {
            "enabled" => self.enabled.into(),
            "options" => json!(self.options),
            "default_project_id" => json!(self.default_project_id),
            "email" => json!(self.email),
            "description" => json!(self.description),
            _ => Value::Null,
        }
    }
}
