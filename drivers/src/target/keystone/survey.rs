//! What is there before a change, and what would make a change unsafe.

use super::{Keystone, login, session::Session, user::User};
use crate::{
    material::Material,
    target::{Account, Admin, Hazard, Login, Survey, TargetError},
};
use jiff::Timestamp;
use serde_json::Value;

/// Asks every instance for the user, and one of them whether it accepts a known value.
pub(super) async fn survey(
    target: &Keystone,
    admin: &Admin<'_>,
    user: &str,
    known: &[&Material],
) -> Result<Survey, TargetError> {
    let account = Account { user: user.to_owned(), host: target.domain.clone() };
    let mut hazards = Vec::new();
    let mut id = None;
    for api in &target.apis {
        let mut say = |what: String| hazards.push(Hazard { node: api.node().name.clone(), what });
        let mut session = Session::open(target, api, admin).await?;
        let Some(found) = User::find(&mut session, &account).await? else {
            say(format!("there is no user {account}"));
            continue;
        };
        if id.get_or_insert_with(|| found.id.clone()) != &found.id {
            say(format!("{account} is another user than on the first node: the nodes do not share one database"));
        }
        unsafe_to_change(&account, &found).into_iter().for_each(&mut say);
    }
    let accounts = if id.is_some() { vec![account.clone()] } else { Vec::new() };
    if let (Some(_), Some(api), true) = (id, target.apis.first(), hazards.is_empty()) {
        let mut say = |what: String| hazards.push(Hazard { node: api.node().name.clone(), what });
        let mut found = Login::Refused;
        for value in known.iter().take(MOST_REFUSED) {
            found = login::login(target, api, &account, value).await?;
            if found != Login::Refused {
                break;
            }
        }
        match found {
            Login::Accepted => {}
            Login::Refused => say(format!(
                "{account} accepts none of the values that are stored here; someone else changed it, or it is locked"
            )),
            Login::Unprovable(why) | Login::Shadowed(why) => say(why),
        }
    }
    Ok(Survey { entries: accounts.clone(), accounts, by_socket: Vec::new(), hazards })
}

fn unsafe_to_change(account: &Account, user: &User) -> Vec<String> {
    let mut found = Vec::new();
    if !user.enabled {
        found.push(format!("{account} is disabled"));
    }
    if user.expired(Timestamp::now()) {
        found.push(format!("the value of {account} has expired"));
    }
    let factors = user.options.get("multi_factor_auth_rules").and_then(Value::as_array);
    let asked = user.options.get("multi_factor_auth_enabled") != Some(&Value::Bool(false));
    if asked && factors.is_some_and(|rules| !rules.is_empty() && !rules.contains(&serde_json::json!(["password"]))) {
        found.push(format!("{account} needs more than a value to log in"));
    }
    found
}

/// Refused logins count towards a lock, so no call makes more.
const MOST_REFUSED: usize = 3;
