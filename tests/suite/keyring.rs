//! Key repositories under a real Keystone.

use donjon_tests::{
    keystone::{Keystone, Setup},
    mariadb::MariaDb,
};

#[tokio::test]
async fn two_instances_with_the_same_keys_take_each_others_tokens() {
    let database = MariaDb::start().await;
    let keystone = Keystone::start_with(&database, Setup { more: 1, ..Setup::default() }).await;
    keystone.user("app", "value-1").await;
    for (from, at) in [(0, 1), (1, 0)] {
        let token = keystone.token(from, "app", "value-1").await.unwrap();
        assert!(keystone.accepts(at, &token).await);
    }
    assert_eq!(keystone.token(1, "app", "value-2").await, Err(401));
}
