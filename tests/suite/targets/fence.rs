//! A broker that stalled between the answer of its fence and its statement, while another one took over.

use super::scene::{ADMIN, ADMIN_VALUE, account, driver, material, start};
use async_trait::async_trait;
use donjon_drivers::target::{
    Account, Admin, Login, Target, TargetError,
    fence::{Fence, Fenced},
};
use std::sync::atomic::{AtomicBool, Ordering};
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
