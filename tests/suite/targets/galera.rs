//! A Galera cluster: one change reaches every node, and a node that is away is named instead of believed.

use super::scene::{ADMIN, ADMIN_VALUE, account, material};
use donjon_drivers::{
    material::Material,
    target::{
        Admin, Login, Target, TargetError,
        mariadb::{Limits, MariaDb as Driver},
    },
};
use donjon_tests::{
    galera,
    mariadb::{MariaDb, native_hash},
    wait,
};
use std::time::Duration;

#[tokio::test]
async fn a_change_reaches_every_node_and_a_lost_one_is_named() {
    let made = |user: &str, host: &str, value: &str| {
        [
            format!("CREATE USER {user}@'{host}' IDENTIFIED VIA mysql_native_password USING '{}'", native_hash(value)),
            format!("GRANT ALL ON *.* TO {user}@'{host}' WITH GRANT OPTION"),
        ]
    };
    let setup = [
        made(ADMIN, "localhost", ADMIN_VALUE),
        made("app", "%", "OldCanary-1"),
        made("app", "localhost", "OldCanary-1"),
    ];
    let setup: Vec<&str> = setup.iter().flatten().map(String::as_str).collect();
    let nodes = galera::start(&setup).await;
    let members: Vec<_> = ["n1", "n2", "n3"].into_iter().zip(&nodes).map(|(name, node)| node.member(name)).collect();
    let soon = Limits { connect: Duration::from_secs(2), statement: Duration::from_secs(2) };
    let (hasty, driver) = (Driver::new(members.clone(), soon), Driver::new(members, Limits::default()));
    let (keeper, old, new) = (material(ADMIN_VALUE), material("OldCanary-1"), material("NewCanary-1"));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let survey = driver.survey(&admin, "app", &[&old]).await.unwrap();
    assert!(survey.hazards.is_empty(), "{:?}", survey.hazards);
    assert_eq!(survey.accounts, [account("app", "%"), account("app", "localhost")]);
    let login = async |node: usize, value: &Material| {
        driver.login(&driver.nodes()[node], &survey.accounts[0], &survey.entries, value).await.unwrap()
    };

    for account in &survey.accounts {
        driver.declare(&admin, account, &[&new, &old]).await.unwrap();
    }
    for node in 0..3 {
        assert_eq!([login(node, &old).await, login(node, &new).await], [Login::Accepted, Login::Accepted]);
    }
    for canary in ["OldCanary-1", "NewCanary-1"] {
        assert!(nodes.iter().all(|node| node.holds(canary.as_bytes()).is_empty()));
    }
    // The statement was said on the first node alone, and its effect is in the others' write sets.
    assert_eq!(nodes.each_ref().map(said), [2, 0, 0]);

    galera::isolate(&nodes[2], true).await;
    wait::until("the third node to be alone", Duration::from_secs(20), async || {
        let rows = nodes[2].try_sql("SHOW STATUS LIKE 'wsrep_cluster_status'").await.ok()?;
        (rows[0][1] != "Primary").then_some(())
    })
    .await;
    wait::until("the others to be without it", Duration::from_secs(20), async || {
        let rows = nodes[0].try_sql("SHOW STATUS LIKE 'wsrep_cluster_size'").await.ok()?;
        (rows[0][1] == "2").then_some(())
    })
    .await;
    let survey = driver.survey(&admin, "app", &[&old, &new]).await.unwrap();
    assert!(
        survey.hazards.iter().any(|hazard| hazard.node == "n3" && hazard.what.contains("primary component")),
        "{survey:?}"
    );
    let lost = driver.declare(&admin, &survey.accounts[0], &[&new]).await;
    assert!(matches!(&lost, Err(TargetError::Unable { node, .. }) if node == "n3"), "{lost:?}");
    assert_eq!([login(0, &old).await, login(1, &old).await], [Login::Refused, Login::Refused]);
    galera::isolate(&nodes[2], false).await;
    galera::ready(&nodes[2]).await;
    driver.declare(&admin, &survey.accounts[0], &[&new]).await.unwrap();
    assert_eq!(login(2, &old).await, Login::Refused);

    // A node that hangs makes a change hang: an error in time, and the truth by asking again.
    nodes[1].pause();
    let hung = hasty.declare(&admin, &survey.accounts[0], &[&new, &old]).await;
    nodes[1].resume();
    assert!(matches!(hung, Err(TargetError::Unreachable { .. })), "{hung:?}");
    for node in &nodes {
        galera::ready(node).await;
    }
    driver.declare(&admin, &survey.accounts[0], &[&new, &old]).await.unwrap();
    for node in 0..3 {
        assert_eq!([login(node, &old).await, login(node, &new).await], [Login::Accepted, Login::Accepted]);
    }

    // A twin is on every node, and gone from every node.
    let (app, twin) = (&survey.accounts[0], account("app_b", "%"));
    let twinned = async |node: usize| {
        driver.login(&driver.nodes()[node], &twin, std::slice::from_ref(&twin), &new).await.unwrap()
    };
    driver.twin(&admin, app, &twin, &new).await.unwrap();
    assert_eq!([twinned(0).await, twinned(1).await, twinned(2).await], [(); 3].map(|()| Login::Accepted));
    driver.remove(&admin, &twin).await.unwrap();
    assert_eq!([twinned(0).await, twinned(1).await, twinned(2).await], [(); 3].map(|()| Login::Refused));
}

/// How many changes of accounts were said to a node by clients.
fn said(node: &MariaDb) -> usize {
    let log = std::fs::read_to_string(node.folder().join("general.log")).unwrap();
    log.lines().filter(|line| line.contains("Query\tBEGIN NOT ATOMIC")).count()
}
