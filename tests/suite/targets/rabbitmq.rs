//! What the RabbitMQ driver sees, changes and proves, on a real node with its management plugin.

use super::scene::{ADMIN, ADMIN_VALUE, account, material};
use donjon_drivers::target::{
    Account, Admin, Began, Login, Node, Target, TargetError, conformance,
    rabbitmq::{Limits, Member, RabbitMq as Driver},
};
use donjon_tests::{rabbitmq::RabbitMq, search, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// A node with an administrator who stays, and `app` with the value `current-1`.
async fn start() -> (RabbitMq, Driver) {
    let server = RabbitMq::start_managed();
    let driver = Driver::new(vec![server.member("mq1")], Limits::default());
    let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
    for (user, value, tags) in [(ADMIN, ADMIN_VALUE, "administrator"), ("app", "current-1", "monitoring")] {
        server.api("PUT", &format!("users/{user}"), Some(json!({"password": value, "tags": tags}))).await;
        server.api("PUT", &format!("permissions/%2f/{user}"), Some(everything.clone())).await;
    }
    (server, driver)
}

fn app() -> Account {
    account("app", "")
}

async fn login(driver: &Driver, user: &str, value: &str) -> Login {
    let tried = account(user, "");
    driver.login(&driver.nodes()[0], &tried, std::slice::from_ref(&tried), &material(value)).await.unwrap()
}

/// What a user may do, without its name.
async fn rights(server: &RabbitMq, user: &str) -> Value {
    let mut all = json!({
        "tags": server.api("GET", &format!("users/{user}"), None).await["tags"],
        "limits": server.api("GET", &format!("user-limits/{user}"), None).await,
        "permissions": server.api("GET", &format!("users/{user}/permissions"), None).await,
        "topics": server.api("GET", &format!("users/{user}/topic-permissions"), None).await,
    });
    for kind in ["limits", "permissions", "topics"] {
        for right in all[kind].as_array_mut().unwrap() {
            right.as_object_mut().unwrap().remove("user");
        }
    }
    all
}

#[tokio::test]
async fn users_conform_and_twins_have_the_same_rights() {
    let (server, driver) = start().await;
    let (keeper, current, next) = (material(ADMIN_VALUE), material("current-1"), material("next-1"));
    let admin = || Admin { user: ADMIN, values: &[], fence: None, passes: &[] };
    let scene = conformance::Scene {
        target: &driver,
        admin: Admin { values: &[&keeper], ..admin() },
        user: "app",
        current: &current,
        next: &next,
    };
    let open = async |_: &Node| server.session("app", "current-1");
    if let Err(violation) = conformance::check(&scene, open).await {
        panic!("{violation:?}");
    }
    conformance::check_texts(&scene).await.unwrap_or_else(|violation| panic!("{violation:?}"));
    let written = search::in_any_form(server.folder(), &conformance::TEXTS);
    assert_eq!(written, [] as [std::path::PathBuf; 0], "no server writes it down");

    server.api("PUT", "vhosts/odd%20%2F%25", None).await;
    let right = |pattern: &str| json!({"configure": "", "write": pattern, "read": "^a\"b'$"});
    server.api("PUT", "permissions/odd%20%2F%25/app", Some(right("^nova$"))).await;
    for exchange in ["amq.topic", "topic/two"] {
        let topic = json!({"exchange": exchange, "write": "^a", "read": ".*"});
        server.api("PUT", "topic-permissions/%2f/app", Some(topic)).await;
    }
    server.api("PUT", "user-limits/app/max-connections", Some(json!({"value": 50}))).await;
    let spoil = async |twin: &Account| {
        let twin = &twin.user;
        server.api("DELETE", &format!("permissions/%2f/{twin}"), None).await;
        server.api("PUT", "vhosts/more", None).await;
        server.api("PUT", &format!("permissions/more/{twin}"), Some(right(".*"))).await;
        server.api("PUT", &format!("permissions/odd%20%2F%25/{twin}"), Some(right("other"))).await;
        let topic = json!({"exchange": "too-much", "write": "", "read": ""});
        server.api("PUT", &format!("topic-permissions/%2f/{twin}"), Some(topic)).await;
        server.api("PUT", &format!("user-limits/{twin}/max-channels"), Some(json!({"value": 1}))).await;
    };
    let told = async |account: &Account| rights(&server, &account.user).await;
    if let Err(violation) = conformance::check_rights(&scene, told, spoil).await {
        panic!("{violation:?}");
    }
    let copied = rights(&server, "app").await;
    assert_eq!(copied["permissions"].as_array().unwrap().len(), 2, "{copied}");
    assert_eq!(copied["topics"].as_array().unwrap().len(), 2, "{copied}");
    no_value_is_on_disk(&server, &driver).await;
}

/// The rest of the story on the same node, since one takes seconds to start.
async fn no_value_is_on_disk(server: &RabbitMq, driver: &Driver) {
    // The control: what the server stores as it is given, a parameter, is found in its files.
    server.api("PUT", "global-parameters/canary", Some(json!({"value": "PlaintextCanary4711"}))).await;
    wait::until("the control to be on disk", Duration::from_secs(60), async || {
        (!search::holding(server.folder(), b"PlaintextCanary4711").is_empty()).then_some(())
    })
    .await;
    let keeper = material(ADMIN_VALUE);
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let texts = ["OldValueCanary0815", "NewValueCanary2342"];
    let (old, new) = (material(texts[0]), material(texts[1]));
    driver.declare(&admin, &app(), &[&old]).await.unwrap();
    driver.twin(&admin, &app(), &account("app_b", ""), &new).await.unwrap();
    for user in ["app", "app_b"] {
        for text in texts {
            login(driver, user, text).await;
        }
    }
    assert_eq!(
        [login(driver, "app", texts[0]).await, login(driver, "app_b", texts[1]).await],
        [(); 2].map(|()| Login::Accepted)
    );
    // What came after them is on disk too, so they would be.
    server.api("PUT", "global-parameters/canary", Some(json!({"value": "PlaintextCanary4712"}))).await;
    wait::until("the second control to be on disk", Duration::from_secs(60), async || {
        (!search::holding(server.folder(), b"PlaintextCanary4712").is_empty()).then_some(())
    })
    .await;
    for text in texts {
        for part in [text, &text[..9], &text[9..]] {
            let found = search::holding(server.folder(), part.as_bytes());
            assert!(found.is_empty(), "{part}: {found:?}");
        }
    }
}

#[tokio::test]
async fn what_is_unsafe_is_named_and_old_connections_end_with_their_user() {
    let (server, driver) = start().await;
    let (keeper, value) = (material(ADMIN_VALUE), material("current-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let node = &driver.nodes()[0];
    let hazards = async |user: &str| -> Vec<String> {
        let survey = driver.survey(&admin, user, &[&value]).await.unwrap();
        survey.hazards.into_iter().map(|hazard| hazard.what).collect()
    };
    assert_eq!(hazards("app").await, [""; 0]);
    assert!(hazards("nobody").await[0].contains("no user"));
    for (body, expected) in [
        (json!({"password": "other", "tags": ""}), "someone else changed it"),
        (json!({"password_hash": "", "tags": ""}), "no value at all"),
        (
            json!({"password_hash": "AAAAAAAA", "hashing_algorithm": "rabbit_password_hashing_md5", "tags": ""}),
            "cannot be compared",
        ),
    ] {
        server.api("PUT", "users/app", Some(body)).await;
        let found = hazards("app").await;
        assert!(found.iter().any(|what| what.contains(expected)), "{expected}: {found:?}");
    }
    // Names that are steps of a path reach nobody.
    for name in ["..", "."] {
        let refused = driver.declare(&admin, &account(name, ""), &[&value]).await;
        assert!(matches!(refused, Err(TargetError::Unable { .. })), "{refused:?}");
    }
    for name in ["o'brien", "a/b %2f..", "名前;\"\\", "a?b=c#d", "../users/keeper"] {
        let odd = account(name, "");
        server.api("PUT", "users/app", Some(json!({"password": "current-1", "tags": ["management"]}))).await;
        driver.twin(&admin, &app(), &odd, &value).await.unwrap();
        assert_eq!(login(&driver, name, "current-1").await, Login::Accepted, "{name}");
        let users = server.api("GET", "users", None).await;
        assert!(users.as_array().unwrap().iter().any(|user| user["name"] == *name), "{name}: {users}");
        driver.remove(&admin, &odd).await.unwrap();
        assert_eq!(login(&driver, name, "current-1").await, Login::Refused, "{name}");
        assert_eq!(server.api("GET", "users", None).await.as_array().unwrap().len(), 3);
    }

    let _session = server.session("app", "current-1");
    let mark = driver.mark(&admin, node).await.unwrap();
    let open = driver.sessions(&admin, node, "app", Began::NoLaterThan(mark)).await.unwrap();
    assert!(open.len() == 1 && open[0].from.starts_with("127.0.0.1:"), "{open:?}");
    // A ghost: the server noted the end of a connection before its begin, so it lists it for ever.
    let begin = "rabbit_connection_tracking:handle_cast({connection_created, [{name, <<\"ghost\">>}, {node, node()}, \
                 {vhost, <<\"/\">>}, {user, <<\"app\">>}, {type, network}]}).";
    let noted = server.control(&["eval", begin]);
    assert!(noted.status.success(), "{noted:?}");
    let listed = server.api("GET", "connections/username/app", None).await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "the control: {listed}");
    let all = driver.sessions(&admin, node, "app", Began::AnyTime).await.unwrap();
    assert!(all == open && all[0].since.is_some(), "{all:?}");
    assert!(driver.remove(&admin, &account(ADMIN, "")).await.is_err(), "nobody removes itself");
    driver.remove(&admin, &app()).await.unwrap();
    wait::until("the connection to end with its user", Duration::from_secs(60), async || {
        driver.sessions(&admin, node, "app", Began::NoLaterThan(mark)).await.unwrap().is_empty().then_some(())
    })
    .await;

    // Nobody listens there: an error, not a refusal.
    let away = Driver::new(
        vec![Member {
            port: donjon_tests::port::free(),
            management_port: donjon_tests::port::free(),
            ..server.member("mq1")
        }],
        Limits::default(),
    );
    let tried = away.login(&away.nodes()[0], &app(), &[app()], &value).await;
    assert!(matches!(tried, Err(TargetError::Unreachable { .. })), "{tried:?}");
    let asked = away.survey(&admin, "app", &[]).await;
    assert!(matches!(asked, Err(TargetError::Unreachable { .. })), "{asked:?}");
}
