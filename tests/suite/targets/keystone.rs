//! What the Keystone driver sees, changes and proves.

use super::scene::material;
use donjon_drivers::{
    material::Material,
    target::{
        Account, Admin, Login, Node, Survey, Target, TargetError, conformance,
        keystone::{Administration, Keystone as Driver, Limits, Lockout, Member, Scope},
    },
};
use donjon_tests::{
    keystone::{ADMIN, ADMIN_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

fn driver(keystone: &Keystone, lockout: Option<Lockout>) -> Driver {
    let members = keystone.instances.iter().enumerate();
    let members = members
        .map(|(at, instance)| Member { name: format!("keystone{at}"), auth_url: instance.url(), tls_ca: None })
        .collect();
    let scope = Scope::Project { name: "admin".into(), domain: "Default".into() };
    let administration = Administration { domain: "Default".into(), scope };
    Driver::new(members, "Default", administration, Limits { lockout, ..Limits::default() }).unwrap()
}

fn account(user: &str) -> Account {
    Account { user: user.into(), host: "Default".into() }
}

/// A Keystone, its driver, and an administrator who stays.
struct Scenery {
    keystone: Keystone,
    driver: Driver,
    keeper: Material,
    _database: MariaDb,
}

impl Scenery {
    async fn start(setup: Setup, lockout: Option<Lockout>) -> Self {
        let database = MariaDb::start().await;
        let keystone = Keystone::start_with(&database, setup).await;
        let driver = driver(&keystone, lockout);
        Self { keystone, driver, keeper: material(ADMIN_VALUE), _database: database }
    }

    async fn survey(&self, user: &str, known: &[&Material]) -> Survey {
        self.driver
            .survey(&Admin { user: ADMIN, values: &[&self.keeper], fence: None, passes: &[] }, user, known)
            .await
            .unwrap()
    }

    async fn hazards(&self, user: &str, known: &[&Material]) -> Vec<String> {
        self.survey(user, known).await.hazards.into_iter().map(|hazard| hazard.what).collect()
    }

    async fn declare(&self, user: &str, values: &[&Material]) -> Result<(), TargetError> {
        self.driver
            .declare(&Admin { user: ADMIN, values: &[&self.keeper], fence: None, passes: &[] }, &account(user), values)
            .await
    }

    async fn twin(&self, user: &str, twin: &str, value: &Material) -> Result<(), TargetError> {
        let admin = Admin { user: ADMIN, values: &[&self.keeper], fence: None, passes: &[] };
        self.driver.twin(&admin, &account(user), &account(twin), value).await
    }

    async fn remove(&self, user: &str) -> Result<(), TargetError> {
        self.driver
            .remove(&Admin { user: ADMIN, values: &[&self.keeper], fence: None, passes: &[] }, &account(user))
            .await
    }

    async fn login(&self, at: usize, user: &str, value: &Material) -> Login {
        self.driver.login(&self.driver.nodes()[at], &account(user), &[], value).await.unwrap()
    }

    /// A request of the administrator.
    async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let token = self.keystone.admin(0).await;
        let (status, content) = self.keystone.call(0, method, path, &token, body).await;
        assert!(status < 300, "{path}: {status} {content}");
        content
    }
}

#[tokio::test]
async fn users_conform_and_the_administrator_changes_itself() {
    let scenery = Scenery::start(Setup::default(), None).await;
    scenery.keystone.user("app", "current-1").await;
    let scene = conformance::Scene {
        target: &scenery.driver,
        admin: Admin { user: ADMIN, values: &[&scenery.keeper], fence: None, passes: &[] },
        user: "app",
        current: &material("current-1"),
        next: &material("next-1"),
    };
    let open = async |_: &Node| scenery.keystone.token(0, "app", "current-1").await.unwrap();
    if let Err(violation) = conformance::check(&scene, open).await {
        panic!("{violation:?}");
    }
    conformance::check_texts(&scene).await.unwrap_or_else(|violation| panic!("{violation:?}"));

    let (old, new) = (material(ADMIN_VALUE), material("admin-value-2"));
    let admin = Admin { user: ADMIN, values: &[&new, &old], fence: None, passes: &[] };
    // Back and forth, within the second in which tokens of before are counted dead.
    for (from, to) in [(&old, &new), (&new, &old), (&old, &new)] {
        scenery.driver.declare(&admin, &account(ADMIN), &[to]).await.unwrap();
        let logins = [scenery.login(0, ADMIN, to).await, scenery.login(0, ADMIN, from).await];
        assert_eq!(logins, [Login::Accepted, Login::Refused]);
        assert!(scenery.driver.survey(&admin, ADMIN, &[&new, &old]).await.unwrap().hazards.is_empty());
    }
    let stale = Admin { user: ADMIN, values: &[&old], fence: None, passes: &[] };
    let refused = scenery.driver.survey(&stale, ADMIN, &[]).await;
    assert!(matches!(refused, Err(TargetError::AdminRefused { .. })), "{refused:?}");
    let own = scenery.driver.remove(&admin, &account(ADMIN)).await;
    assert!(own.is_err(), "an administrator who removes itself");
}

#[tokio::test]
async fn a_cutover_ends_every_token_of_the_user_and_nobody_elses() {
    let scenery = Scenery::start(Setup { more: 1, ..Setup::default() }, None).await;
    let (old, new) = (material("old-1"), material("new-1"));
    for user in ["app", "other"] {
        scenery.keystone.user(user, "old-1").await;
    }
    let token = async |at: usize, user: &str, value: &str| scenery.keystone.token(at, user, value).await.unwrap();
    let (first, second, other) =
        (token(0, "app", "old-1").await, token(1, "app", "old-1").await, token(0, "other", "old-1").await);
    for at in [0, 1] {
        assert!(scenery.keystone.accepts(at, &first).await && scenery.keystone.accepts(at, &second).await);
        assert_eq!(
            [scenery.login(at, "app", &old).await, scenery.login(at, "app", &new).await],
            [Login::Accepted, Login::Refused]
        );
    }
    assert_eq!(scenery.hazards("app", &[&new, &old]).await, [""; 0]);
    // Declaring what is there already must not end a token.
    scenery.declare("app", &[&old]).await.unwrap();
    assert!(scenery.keystone.accepts(0, &first).await);

    scenery.declare("app", &[&new]).await.unwrap();
    for at in [0, 1] {
        assert!(!scenery.keystone.accepts(at, &first).await && !scenery.keystone.accepts(at, &second).await);
        assert!(scenery.keystone.accepts(at, &other).await, "another user's token lives");
        assert_eq!(
            [scenery.login(at, "app", &old).await, scenery.login(at, "app", &new).await],
            [Login::Refused, Login::Accepted]
        );
    }
    // Those of the second in which it was set are dead too.
    let living = async || {
        let issued = token(0, "app", "new-1").await;
        scenery.keystone.accepts(1, &issued).await.then_some(issued)
    };
    let issued = wait::until("a token of the new value that lives", Duration::from_secs(30), living).await;
    scenery.declare("app", &[&new]).await.unwrap();
    assert!(scenery.keystone.accepts(0, &issued).await);

    let two = scenery.declare("app", &[&new, &old]).await;
    assert!(matches!(&two, Err(TargetError::Unable { what, .. }) if what.contains("one value")), "{two:?}");
    for unfit in ["", &"x".repeat(73), "a\0b"] {
        assert!(scenery.declare("app", &[&material(unfit)]).await.is_err(), "{unfit:?}");
    }
    assert_eq!(scenery.login(0, "app", &new).await, Login::Accepted, "what was refused changed nothing");
}

#[tokio::test]
async fn locked_disabled_expired_and_foreign_users_are_named() {
    let lines = "[security_compliance]\nlockout_failure_attempts = 4\nlockout_duration = 3600\n[auth]\nmethods = password,token,totp\n";
    let setup = Setup { lines: lines.to_owned(), ..Setup::default() };
    let lockout = Lockout { attempts: 4, lasting: Duration::from_secs(3600) };
    let scenery = Scenery::start(setup, Some(lockout)).await;
    let (right, wrong) = (material("right-1"), material("wrong-1"));
    let id = scenery.keystone.user("app", "right-1").await;
    let path = format!("/v3/users/{id}");
    let user = async |change: Value| scenery.admin(Method::PATCH, &path, Some(json!({ "user": change }))).await;

    assert_eq!(scenery.hazards("app", &[&right]).await, [""; 0]);
    assert!(scenery.hazards("nobody", &[&right]).await[0].contains("no user"));
    assert!(scenery.hazards("app", &[&wrong]).await[0].contains("someone else changed it"));
    assert_eq!(scenery.login(0, "app", &right).await, Login::Accepted);
    user(json!({"enabled": false})).await;
    assert!(scenery.hazards("app", &[&right]).await[0].contains("is disabled"));
    user(json!({"enabled": true})).await;
    user(json!({"options": {"multi_factor_auth_enabled": true, "multi_factor_auth_rules": [["password", "totp"]]}}))
        .await;
    assert!(scenery.hazards("app", &[&right]).await[0].contains("needs more than a value"));
    let factor = scenery.login(0, "app", &right).await;
    assert!(matches!(&factor, Login::Unprovable(why) if why.contains("second factor")), "{factor:?}");
    user(json!({"options": {"multi_factor_auth_enabled": false, "multi_factor_auth_rules": null}})).await;
    assert_eq!(scenery.hazards("app", &[&right]).await, [""; 0]);

    // However often it is asked, this driver locks nobody out: others find the right value accepted.
    for round in 0..6 {
        let found = scenery.login(0, "app", &wrong).await;
        let told = matches!(&found, Login::Unprovable(why) if why.contains("could lock"));
        assert!(if round < 3 { found == Login::Refused } else { told }, "{round}: {found:?}");
    }
    assert!(scenery.keystone.token(0, "app", "right-1").await.is_ok());
    // And when others do, the refusal of the right value is no proof that it is wrong.
    let driver = driver(&scenery.keystone, Some(lockout));
    let login = async |value| driver.login(&driver.nodes()[0], &account("app"), &[], value).await.unwrap();
    assert_eq!(login(&right).await, Login::Accepted);
    for _ in 0..4 {
        assert_eq!(scenery.keystone.token(0, "app", "stale-1").await, Err(401));
    }
    assert_eq!(scenery.keystone.token(0, "app", "right-1").await, Err(401), "the control: it is locked");
    let locked = login(&right).await;
    assert!(matches!(&locked, Login::Unprovable(why) if why.contains("have locked it")), "{locked:?}");
}

#[tokio::test]
async fn with_a_twin_no_token_is_refused_until_the_old_user_is_removed() {
    let scenery = Scenery::start(Setup::default(), None).await;
    let (old, new) = (material("old-1"), material("new-1"));
    let id = scenery.keystone.user("app", "old-1").await;
    let made = async |path: &str, body: Value| -> String {
        let made = scenery.admin(Method::POST, path, Some(body)).await;
        let made = made.as_object().unwrap().values().find_map(|inner| inner["id"].as_str());
        made.unwrap().to_owned()
    };
    let project = made("/v3/projects", json!({"project": {"name": "service", "domain_id": "default"}})).await;
    let group = made("/v3/groups", json!({"group": {"name": "g", "domain_id": "default"}})).await;
    let roles = scenery.admin(Method::GET, "/v3/roles", None).await;
    let role = |name: &str| {
        let roles = roles["roles"].as_array().unwrap();
        roles.iter().find(|role| role["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (admin, member, reader) = (role("admin"), role("member"), role("reader"));
    for path in [
        format!("/v3/projects/{project}/users/{id}/roles/{admin}"),
        format!("/v3/domains/default/users/{id}/roles/{reader}"),
        format!("/v3/system/users/{id}/roles/{reader}"),
        format!("/v3/OS-INHERIT/domains/default/users/{id}/roles/{member}/inherited_to_projects"),
        format!("/v3/groups/{group}/users/{id}"),
    ] {
        scenery.admin(Method::PUT, &path, None).await;
    }
    let body = json!({"user": {"default_project_id": project, "options": {"ignore_password_expiry": true}}});
    scenery.admin(Method::PATCH, &format!("/v3/users/{id}"), Some(body)).await;

    /// What a user may do and is, without its name.
    async fn rights(scenery: &Scenery, name: &str) -> Value {
        let users = scenery.admin(Method::GET, &format!("/v3/users?name={name}"), None).await;
        let user = &users["users"][0];
        let id = user["id"].as_str().unwrap();
        let held = scenery.admin(Method::GET, &format!("/v3/role_assignments?user.id={id}"), None).await;
        let mut held: Vec<String> = held["role_assignments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|held| format!("{} {}", held["role"]["id"], held["scope"]))
            .collect();
        held.sort();
        let groups = scenery.admin(Method::GET, &format!("/v3/users/{id}/groups"), None).await;
        json!([held, groups["groups"][0]["id"], user["default_project_id"], user["enabled"], user["options"]])
    }

    let token = scenery.keystone.token(0, "app", "old-1").await.unwrap();
    scenery.twin("app", "app_b", &new).await.unwrap();
    let wanted = rights(&scenery, "app").await;
    assert_eq!(wanted[0].as_array().unwrap().len(), 4, "{wanted}");
    assert_eq!(rights(&scenery, "app_b").await, wanted);
    let twin = scenery.admin(Method::GET, "/v3/users?name=app_b", None).await["users"][0].clone();
    assert_eq!(twin["description"], "Twin of app@Default, made by Donjon for a rotation");
    let theirs = scenery.keystone.token(0, "app_b", "new-1").await.unwrap();
    scenery.twin("app", "app_b", &new).await.unwrap();
    assert!(scenery.keystone.accepts(0, &theirs).await, "repeating it ends no token");
    // Rights of its own go, missing ones come, and what is right already ends no token.
    let id_b = twin["id"].as_str().unwrap();
    scenery.admin(Method::PUT, &format!("/v3/projects/{project}/users/{id_b}/roles/{member}"), None).await;
    scenery.admin(Method::DELETE, &format!("/v3/groups/{group}/users/{id_b}"), None).await;
    assert_ne!(rights(&scenery, "app_b").await, wanted, "the control: rights that differ are seen");
    scenery.twin("app", "app_b", &new).await.unwrap();
    assert_eq!(rights(&scenery, "app_b").await, wanted);
    assert_eq!(
        [scenery.login(0, "app", &old).await, scenery.login(0, "app_b", &new).await],
        [Login::Accepted, Login::Accepted]
    );
    assert!(scenery.keystone.accepts(0, &token).await, "the old user's token lives beside the twin");

    let taken = scenery.twin("app", ADMIN, &new).await;
    assert!(taken.is_err(), "{taken:?}");
    scenery.keystone.user("stranger", "own-1").await;
    let taken = scenery.twin("app", "stranger", &new).await;
    assert!(matches!(&taken, Err(TargetError::Unable { what, .. }) if what.contains("no twin of")), "{taken:?}");
    let credential = json!({"credential": {"type": "ec2", "user_id": id, "project_id": project, "blob": "{\"access\":\"a\",\"secret\":\"b\"}"}});
    let credential = made("/v3/credentials", credential).await;
    for refused in [scenery.twin("app", "app_c", &new).await, scenery.remove("app").await] {
        assert!(
            matches!(&refused, Err(TargetError::Unable { what, .. }) if what.contains("credentials (1)")),
            "{refused:?}"
        );
    }
    scenery.admin(Method::DELETE, &format!("/v3/credentials/{credential}"), None).await;
    assert!(scenery.keystone.accepts(0, &token).await, "nor did anything refused end it");

    for _ in 0..2 {
        scenery.remove("app").await.unwrap();
    }
    assert!(!scenery.keystone.accepts(0, &token).await, "it ends with its user");
    assert_eq!(
        [scenery.login(0, "app", &old).await, scenery.login(0, "app_b", &new).await],
        [Login::Refused, Login::Accepted]
    );
    assert!(scenery.keystone.accepts(0, &scenery.keystone.token(0, "app_b", "new-1").await.unwrap()).await);
    // And the other way round, for the next rotation.
    scenery.twin("app_b", "app", &old).await.unwrap();
    assert_eq!(rights(&scenery, "app").await, wanted);
}
