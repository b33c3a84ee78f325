//! What is sent: JSON texts that hold a value, written once into memory that is wiped.

use super::Scope;
use crate::{material::Material, target::Account};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The request for a token. `None` where the value is no text.
pub(super) fn token(account: &Account, value: &Material, scope: &Scope) -> Option<Material> {
    let password = value.expose_text().ok()?; // EXPOSE: written into the request, which is held as Material again
    let user = Login { name: &account.user, domain: Named { name: &account.host }, password };
    let identity = Identity { methods: ["password"], password: Password { user } };
    text(&Request { auth: Auth { identity, scope } }, value)
}

/// A user with a value, to be created or changed. `None` where the value is no text.
pub(super) fn user(fields: &serde_json::Map<String, serde_json::Value>, value: &Material) -> Option<Material> {
    let password = value.expose_text().ok()?; // EXPOSE: written into the request, which is held as Material again
    text(&Wrapped { user: WithValue { fields, password } }, value)
}

fn text(request: &impl Serialize, value: &Material) -> Option<Material> {
    // Room for the worst case of escapes, so that the buffer does not move and leave a copy behind.
    let mut json = Vec::with_capacity(4096 + 6 * value.len());
    serde_json::to_writer(&mut json, request).ok()?;
    Some(Material::new(json))
}

#[derive(Serialize)]
struct Request<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: Identity<'a>,
    scope: &'a Scope,
}

#[derive(Serialize)]
struct Identity<'a> {
    methods: [&'static str; 1],
    password: Password<'a>,
}

#[derive(Serialize)]
struct Password<'a> {
    user: Login<'a>,
}

#[derive(Serialize)]
struct Login<'a> {
    name: &'a str,
    domain: Named<'a>,
    password: &'a str,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Project<'a> {
    name: &'a str,
    domain: Named<'a>,
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct All {
            all: bool,
        }
        match self {
            // Named, or a user with a default project would get a token for that.
            Self::None => to.serialize_str("unscoped"),
            Self::Project { name, domain } => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("project", &Project { name, domain: Named { name: domain } })?;
                map.end()
            }
            Self::System => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("system", &All { all: true })?;
                map.end()
            }
        }
    }
}

#[derive(Serialize)]
struct Wrapped<'a> {
    user: WithValue<'a>,
}

#[derive(Serialize)]
struct WithValue<'a> {
    #[serde(flatten)]
    fields: &'a serde_json::Map<String, serde_json::Value>,
    password: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(material: &Material) -> Value {
        serde_json::from_slice(material.expose()).unwrap() // EXPOSE: a test value
    }

    #[test]
    fn odd_values_arrive_as_they_are() {
        let odd = "\"\\\u{1}\u{1F600}$%@:/";
        let account = Account { user: "a\"b".into(), host: "Default".into() };
        let sent = parsed(&token(&account, &Material::from(odd.to_owned()), &Scope::None).unwrap());
        let user = &sent["auth"]["identity"]["password"]["user"];
        assert_eq!(user, &json!({"name": "a\"b", "domain": {"name": "Default"}, "password": odd}));
        assert_eq!(sent["auth"]["scope"], "unscoped");
        assert!(token(&account, &Material::new(vec![0xff]), &Scope::None).is_none());
    }

    #[test]
    fn scopes_are_what_keystone_reads() {
        let account = Account { user: "a".into(), host: "d".into() };
        let value = Material::from("v".to_owned());
        let scope = |scope| parsed(&token(&account, &value, &scope).unwrap())["auth"]["scope"].clone();
        let project = Scope::Project { name: "p".into(), domain: "d".into() };
        assert_eq!(scope(project), json!({"project": {"name": "p", "domain": {"name": "d"}}}));
        assert_eq!(scope(Scope::System), json!({"system": {"all": true}}));
    }

    #[test]
    fn a_user_has_its_fields_and_its_value() {
        let fields = json!({"name": "a", "enabled": true});
        let sent = user(fields.as_object().unwrap(), &Material::from("v".to_owned())).unwrap();
        assert_eq!(parsed(&sent), json!({"user": {"name": "a", "enabled": true, "password": "v"}}));
    }
}
