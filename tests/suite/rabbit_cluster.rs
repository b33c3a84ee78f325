//! A real RabbitMQ cluster of three: a user is there on each node before anybody is told of it, connections are counted on
//! each, a node that is away or parted is named and keeps the old user, and in the end that one is gone everywhere.

use donjon_drivers::{
    material::Material,
    target::{
        Account, Admin, Began, Login, Node, Target, TargetError, conformance,
        rabbitmq::{Limits, RabbitMq as Driver},
    },
};
use donjon_tests::{donjon::Donjon, rabbitmq::RabbitMq, wait};
use std::time::Duration;

const OLD: &str = "the-first-message-password-4711";
const SECRET: &str = "rabbitmq_password";
const NAMES: [&str; 3] = ["mq1", "mq2", "mq3"];

fn material(text: &str) -> Material {
    Material::from(text.to_owned())
}

fn account(user: &str) -> Account {
    Account { user: user.to_owned(), host: String::new() }
}

fn driver(nodes: &[RabbitMq]) -> Driver {
    Driver::new(nodes.iter().zip(NAMES).map(|(node, name)| node.member(name)).collect(), Limits::default())
}

fn describe(donjon: &Donjon, nodes: &[RabbitMq]) {
    let lines = nodes.iter().zip(NAMES).map(|(node, name)| {
        let member = node.member(name);
        format!(
            "      - {{name: {name}, address: 127.0.0.1, port: {}, management_port: {}}}\n",
            member.port, member.management_port
        )
    });
    let lines: String = lines.collect();
    donjon.describe(&format!(
        "deployment: site1\ndrain: 1\ntargets:\n  rabbit:\n    driver: rabbitmq\n    nodes:\n{lines}"
    ));
}

async fn users(node: &RabbitMq) -> Vec<String> {
    let users = node.api("GET", "users", None).await;
    let users = users.as_array().expect("a list").iter();
    users.map(|user| user["name"].as_str().expect("a name").to_owned()).filter(|name| name != "harness").collect()
}

/// Whether a user is let in, at each node.
async fn let_in(nodes: &[RabbitMq], user: &str, value: &str) -> Vec<bool> {
    let (driver, user, value) = (driver(nodes), account(user), material(value));
    let mut found = Vec::new();
    for node in driver.nodes() {
        let login = driver.login(node, &user, std::slice::from_ref(&user), &value).await.expect("it answers");
        found.push(login == Login::Accepted);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_is_asked_and_one_that_is_away_or_parted_keeps_the_old_user() {
    let mut nodes = RabbitMq::cluster();
    for (user, value) in [("keeper", "keeper-value-1"), ("app", "current-1"), ("openstack", OLD)] {
        nodes[0].user(user, value).await;
    }
    changes_conform(&nodes).await;

    let donjon = Donjon::new();
    describe(&donjon, &nodes);
    donjon.up();
    donjon.run_with_input(&["put", SECRET], OLD.as_bytes()).ok();

    // A connection to the last node alone is found, and keeps the old user.
    let pooled = nodes[2].session("openstack", OLD);
    let waits = donjon.run(&["rotate", "apply", SECRET]).failed(13);
    let line = waits.lines().find(|line| line.contains("a session of openstack")).unwrap_or_else(|| panic!("{waits}"));
    assert!(line.contains("on mq3)") && !waits.contains("on mq1)") && !waits.contains("on mq2)"), "{waits}");
    let new = donjon.run(&["get", SECRET]).ok();
    assert_eq!(let_in(&nodes, "openstack_b", &new).await, [true; 3], "what is served is let in everywhere");
    drop(pooled);

    // One that is parted lets clients in still, and might be the one whose users win.
    let (first, third) = nodes.split_at(2);
    third[0].part_from(&[&first[0], &first[1]]);
    wait::until("the others to miss it", Duration::from_secs(60), async || {
        first[0].api("GET", "nodes", None).await.as_array()?.iter().any(|node| node["running"] == false).then_some(())
    })
    .await;
    let parted = donjon.run(&["rotate", "resume"]).failed(11);
    assert!(parted.contains("n3@localhost of its cluster does not run"), "{parted}");
    assert_eq!(let_in(&nodes, "openstack", OLD).await, [true; 3], "the old user stays");
    assert_eq!(let_in(&nodes, "openstack_b", &new).await, [true; 3]);
    // Nor does another rotation begin.
    let (keeper, current) = (material("keeper-value-1"), material("current-1"));
    let admin = Admin { user: "keeper", values: &[&keeper], fence: None, passes: &[] };
    let hazards = driver(&nodes).survey(&admin, "app", &[&current]).await.unwrap().hazards;
    assert!(hazards.iter().any(|hazard| hazard.node == "mq1" && hazard.what.contains("n3@localhost")), "{hazards:?}");

    // One that is away is named; where it is not even described, the others tell of it.
    nodes[2].kill();
    let away = donjon.run(&["rotate", "resume"]).failed(6);
    assert!(away.contains("node mq3 did not answer"), "{away}");
    let told = driver(&nodes[..2]).survey(&admin, "app", &[&current]).await.unwrap().hazards;
    assert!(told.iter().any(|hazard| hazard.what == "n3@localhost of its cluster does not run"), "{told:?}");
    assert_eq!(let_in(&nodes[..2], "openstack", OLD).await, [true; 2]);

    nodes[2].restart();
    wait::until("it to be one of them again", Duration::from_secs(60), async || {
        let seen = nodes[0].api("GET", "nodes", None).await;
        seen.as_array()?.iter().all(|node| node["running"] == true).then_some(())
    })
    .await;
    donjon.run(&["rotate", "resume"]).ok();
    for node in &nodes {
        assert_eq!(users(node).await, ["app", "keeper", "openstack_b"]);
    }
    assert_eq!(let_in(&nodes, "openstack_b", &new).await, [true; 3]);
    assert_eq!(let_in(&nodes, "openstack", OLD).await, [false; 3]);
}

/// The driver on each node: what the kit asks, a twin that is there on each, connections of each, and its end on each.
async fn changes_conform(nodes: &[RabbitMq]) {
    let driver = driver(nodes);
    let (keeper, current, next) = (material("keeper-value-1"), material("current-1"), material("next-1"));
    let admin = Admin { user: "keeper", values: &[&keeper], fence: None, passes: &[] };
    let scene = conformance::Scene { target: &driver, admin, user: "app", current: &current, next: &next };
    let open = async |node: &Node| {
        let at = NAMES.iter().position(|name| *name == node.name).expect("one of them");
        nodes[at].session("app", "current-1")
    };
    if let Err(violation) = conformance::check(&scene, open).await {
        panic!("{violation:?}");
    }
    let (app, twin) = (account("app"), account("app_b"));
    driver.twin(&admin, &app, &twin, &next).await.unwrap();
    for node in nodes {
        assert_eq!(users(node).await, ["app", "app_b", "keeper", "openstack"]);
    }
    assert_eq!(let_in(nodes, "app_b", "next-1").await, [true; 3]);
    let open = [nodes[0].session("app_b", "next-1"), nodes[2].session("app_b", "next-1")];
    let counted = async || {
        let mut counted = Vec::new();
        for node in driver.nodes() {
            counted.push(driver.sessions(&admin, node, "app_b", Began::AnyTime).await.unwrap().len());
        }
        counted
    };
    assert_eq!(counted().await, [1, 0, 1]);
    driver.remove(&admin, &twin).await.unwrap();
    assert_eq!(let_in(nodes, "app_b", "next-1").await, [false; 3]);
    wait::until("its connections to end with it", Duration::from_secs(60), async || {
        (counted().await == [0, 0, 0]).then_some(())
    })
    .await;
    drop(open);
    let away = Driver::new(
        vec![donjon_drivers::target::rabbitmq::Member {
            management_port: donjon_tests::port::free(),
            ..nodes[1].member("mq2")
        }],
        Limits::default(),
    );
    let asked = away.survey(&admin, "app", &[]).await;
    assert!(matches!(&asked, Err(TargetError::Unreachable { node, .. }) if node == "mq2"), "{asked:?}");
}
