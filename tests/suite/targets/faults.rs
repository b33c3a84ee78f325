//! Replies that are lost, held, or of statements that never arrived: an error is not "nothing happened".

use super::scene::{ADMIN, ADMIN_VALUE, account, material, start};
use donjon_drivers::target::{
    Admin, Login, Target, TargetError,
    mariadb::{Limits, MariaDb as Driver, Member},
};
use donjon_tests::{
    mariadb::MariaDb,
    proxy::{Act, Proxy},
    wait,
};
use std::time::Duration;

/// A server behind a proxy on each way to it, and a driver that waits for a statement as long as it does by itself.
async fn behind_proxies(server: &MariaDb) -> (Proxy, Proxy, Driver) {
    let (socket, tcp, [_, patient]) = with_patience(server).await;
    (socket, tcp, patient)
}

/// As that, and before it a driver that gives up soon.
async fn with_patience(server: &MariaDb) -> (Proxy, Proxy, [Driver; 2]) {
    let path = server.folder().join("proxy");
    let socket = Proxy::unix(&path, server.socket()).await;
    let (tcp, port) = Proxy::tcp(([127, 0, 0, 1], server.port).into()).await;
    let member = Member { port, socket: Some(path), ..server.member("db1") };
    let soon = Limits { statement: Duration::from_millis(300), ..Limits::default() };
    let driver = |limits| Driver::new(vec![member.clone()], limits);
    (socket, tcp, [driver(soon), driver(Limits::default())])
}

#[tokio::test]
async fn whatever_reply_is_lost_a_stored_value_works_and_repeating_ends_well() {
    let server = start(&[]).await;
    let (socket, _tcp, [hasty, driver]) = with_patience(&server).await;
    let (old, new, keeper) = (material("old-1"), material("new-1"), material(ADMIN_VALUE));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let app = account("app", "%");
    let login = async |value| driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), value).await.unwrap();
    // What one declaration says, without faults.
    server.account("app", "%", "old-1").await;
    driver.declare(&admin, &app, &[&new, &old]).await.unwrap();
    let said = socket.statements();
    assert!(said.iter().filter(|sql| sql.contains("ALTER USER")).count() == 1, "{said:#?}");
    assert!(said.iter().all(|sql| !sql.contains("new-1") && !sql.contains("old-1")), "{said:#?}");

    let mut changed_unseen = 0;
    for act in [Act::LoseStatement, Act::LoseReply, Act::HoldReply] {
        for (skip, statement) in said.iter().enumerate() {
            // What is lost closes the connection; what is held says nothing more, and who gives up soon may have done so before.
            let (tells, tries) = if act == Act::HoldReply { (&hasty, 5) } else { (&driver, 1) };
            let mut faulty = Ok(());
            for _ in 0..tries {
                server.account("app", "%", "old-1").await;
                socket.set("", skip, act);
                faulty = tells.declare(&admin, &app, &[&new, &old]).await;
                if socket.has_acted() {
                    break;
                }
            }
            assert!(socket.has_acted(), "{act:?} {skip}: no such statement");
            assert!(matches!(faulty, Err(TargetError::Unreachable { .. })), "{act:?} {skip}: {faulty:?}");
            socket.release();
            assert_eq!(login(&old).await, Login::Accepted, "{act:?} at {statement}");
            changed_unseen += u32::from(login(&new).await == Login::Accepted);
            driver.declare(&admin, &app, &[&new, &old]).await.unwrap();
            assert_eq!([login(&old).await, login(&new).await], [Login::Accepted, Login::Accepted]);
        }
    }
    // The control: some of the errors hid a change.
    assert!(changed_unseen >= 2, "{changed_unseen}");
    println!("{} points, {changed_unseen} changes behind an error", said.len() * 3);
}

#[tokio::test]
async fn what_is_there_already_is_not_said_again() {
    let server = start(&[]).await;
    let (socket, _tcp, driver) = behind_proxies(&server).await;
    server.account("app", "%", "old-1").await;
    let (old, new, keeper) = (material("old-1"), material("new-1"), material(ADMIN_VALUE));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    for _ in 0..3 {
        driver.declare(&admin, &account("app", "%"), &[&new, &old]).await.unwrap();
    }
    let changes = socket.statements().iter().filter(|sql| sql.contains("ALTER USER")).count();
    assert_eq!(changes, 1);
}

#[tokio::test]
async fn logins_are_seen_as_from_where_they_come_through_the_proxies_too() {
    let server = start(&[]).await;
    let (_socket, _tcp, driver) = behind_proxies(&server).await;
    for host in ["localhost", "127.0.0.3", "%"] {
        server.account("app", host, &format!("value-{host}")).await;
    }
    let among = ["localhost", "127.0.0.3", "%"].map(|host| account("app", host));
    for entry in &among {
        let value = material(&format!("value-{}", entry.host));
        let login = driver.login(&driver.nodes()[0], entry, &among, &value).await.unwrap();
        assert_eq!(login, Login::Accepted, "{entry}");
    }
}

/// A statement that its sender made up long ago must not undo what another has done since.
#[tokio::test]
async fn a_statement_that_arrives_late_changes_nothing_that_was_changed_since() {
    let server = start(&[]).await;
    let (socket, _tcp, [hasty, _]) = with_patience(&server).await;
    let (old, new, keeper) = (material("old-1"), material("new-1"), material(ADMIN_VALUE));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let app = account("app", "%");
    server.account("app", "%", "old-1").await;
    socket.set("ALTER USER", 0, Act::HoldStatement);
    let late = async { hasty.declare(&admin, &app, &[&new, &old]).await };
    let meanwhile = async {
        wait::until("the statement to be held", Duration::from_secs(20), async || socket.has_acted().then_some(()))
            .await;
        server.account("app", "%", "newer-1").await;
        socket.release();
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    assert!(late.is_err(), "{late:?}");
    assert!(server.logs_in("app", "newer-1").await, "what was set meanwhile stays");
    assert!(!server.logs_in("app", "new-1").await && !server.logs_in("app", "old-1").await);
}
