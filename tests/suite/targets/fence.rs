//! A broker that stalled between the answer of its fence and its statement, while another one took over.

use super::scene::{ADMIN, ADMIN_VALUE, account, driver, material, start};
use async_trait::async_trait;
use donjon_drivers::target::{
    Account, Admin, Login, Target, TargetError,
    fence::{Fence, Fenced},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc,
};
use tokio::sync::Notify;

/// A fence that says yes, the first time only once the test lets it.
#[derive(Default)]
struct Stalled {
    asked: Notify,
    go: Notify,
    lost: AtomicBool,
}

#[async_trait]
impl Fence for Stalled {
    fn holder(&self) -> &str {
        "app_password.1"
    }

    async fn holds(&self) -> Result<(), Fenced> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(Fenced::Lost);
        }
        // The answer is yes by now; the broker stalls before it acts on it.
        self.asked.notify_one();
        self.go.notified().await;
        Ok(())
    }
}

/// The fence of whoever took over.
struct Own;

#[async_trait]
impl Fence for Own {
    fn holder(&self) -> &str {
        "app_password.1"
    }

    async fn holds(&self) -> Result<(), Fenced> {
        Ok(())
    }
}

/// A fence that says yes until another broker has taken over.
#[derive(Clone, Default)]
struct Overtaken(Arc<AtomicBool>);

#[async_trait]
impl Fence for Overtaken {
    fn holder(&self) -> &str {
        "app_password.1"
    }

    async fn holds(&self) -> Result<(), Fenced> {
        if self.0.load(Ordering::SeqCst) { Err(Fenced::Lost) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_statement_that_comes_late_changes_nothing() {
    let server = start(&[]).await;
    let driver = driver(&server);
    server.account("app", "%", "old-1").await;
    let (old, new, keeper) = (material("old-1"), material("new-1"), material(ADMIN_VALUE));
    let app = account("app", "%");
    let accepted = async |value| {
        let among: &[Account] = std::slice::from_ref(&app);
        driver.login(&driver.nodes()[0], &app, among, value).await.unwrap() == Login::Accepted
    };

    // One broker is about to leave the new value alone; another one aborts the rotation meanwhile.
    let stalled = Stalled::default();
    let late = Admin { user: ADMIN, values: &[&keeper], fence: Some(&stalled), passes: &[] };
    let took_over = Admin { user: ADMIN, values: &[&keeper], fence: Some(&Own), passes: &[] };
    let alone = [&new];
    let (refused, ()) = tokio::join!(driver.declare(&late, &app, &alone), async {
        stalled.asked.notified().await;
        driver.declare(&took_over, &app, &[&old]).await.unwrap();
        stalled.go.notify_one();
    });
    assert!(matches!(refused, Err(TargetError::Unreachable { .. })), "{refused:?}");
    assert_eq!([accepted(&old).await, accepted(&new).await], [true, false]);

    // One that wakes before it asks is told so, and ends nobody's connection.
    stalled.lost.store(true, Ordering::SeqCst);
    let refused = driver.declare(&late, &app, &[&new]).await;
    assert!(matches!(refused, Err(TargetError::Fenced { source: Fenced::Lost, .. })), "{refused:?}");
    let refused = driver.twin(&late, &app, &account("app_b", "%"), &new).await;
    assert!(matches!(refused, Err(TargetError::Fenced { source: Fenced::Lost, .. })), "{refused:?}");
    let refused = driver.remove(&late, &app).await;
    assert!(matches!(refused, Err(TargetError::Fenced { source: Fenced::Lost, .. })), "{refused:?}");
    assert_eq!([accepted(&old).await, accepted(&new).await], [true, false]);

    // The control: without a fence, the same statement does change it.
    driver.declare(&Admin { fence: None, ..late }, &app, &[&new]).await.unwrap();
    assert_eq!([accepted(&old).await, accepted(&new).await], [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stalls_between_two_accounts_changes_no_second_one() {
    let server = start(&[]).await;
    let driver = Arc::new(driver(&server));
    let accounts = [account("app", "%"), account("app", "localhost")];
    for app in &accounts {
        server.account("app", &app.host, "old-1").await;
    }
    let (told, hears) = mpsc::channel();
    let (goes, go) = mpsc::channel();
    let overtaken = Overtaken::default();
    let late = tokio::spawn({
        let (driver, accounts, fence) = (driver.clone(), accounts.clone(), overtaken.clone());
        async move {
            let (new, keeper, go) = (material("new-1"), material(ADMIN_VALUE), std::sync::Mutex::new(go));
            let admin = Admin { user: ADMIN, values: &[&keeper], fence: Some(&fence), passes: &[] };
            let accounts: Vec<&Account> = accounts.iter().collect();
            let first = AtomicBool::new(true);
            let done = || {
                if first.swap(false, Ordering::SeqCst) {
                    told.send(()).unwrap();
                    tokio::task::block_in_place(|| go.lock().unwrap().recv().unwrap());
                }
            };
            driver.declare_all(&admin, &accounts, &[&new], &done).await
        }
    });
    tokio::task::spawn_blocking(move || hears.recv().unwrap()).await.unwrap();

    let (old, new, keeper) = (material("old-1"), material("new-1"), material(ADMIN_VALUE));
    let took_over = Admin { user: ADMIN, values: &[&keeper], fence: Some(&Own), passes: &[] };
    let both: Vec<&Account> = accounts.iter().collect();
    let accepted = async |value| {
        let mut accepted = Vec::new();
        for app in &accounts {
            let login = driver.login(&driver.nodes()[0], app, &accounts, value).await.unwrap();
            accepted.push(login == Login::Accepted);
        }
        accepted
    };
    assert_eq!(accepted(&new).await, [true, false], "it stands between the two");
    let connections = || async {
        let shown = server.sql("SHOW GLOBAL STATUS LIKE 'Connections'").await;
        shown[0][1].parse::<u64>().unwrap()
    };
    let (before, heard) = (connections().await, AtomicUsize::new(0));
    let done = || {
        heard.fetch_add(1, Ordering::SeqCst);
    };
    driver.declare_all(&took_over, &both, &[&old], &done).await.unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 2);
    assert_eq!(connections().await - before, 2, "one for both accounts, and the one that counts");
    overtaken.0.store(true, Ordering::SeqCst);
    goes.send(()).unwrap();
    let refused = late.await.unwrap();
    // Its connection was ended. That the node is away is not what it hears.
    assert!(matches!(refused, Err(TargetError::Fenced { source: Fenced::Lost, .. })), "{refused:?}");
    assert_eq!([accepted(&old).await, accepted(&new).await], [[true, true], [false, false]]);
}
