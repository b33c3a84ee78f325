//! A short part of the campaign of faults, and the usual ways beside it under the same faults; `make campaign` is the long one.

use donjon_tests::campaign::{Asked, FOUND, Order, Servers, again, lockouts, loses_its_password, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_found_something_once_finds_nothing_any_more() {
    let tally = again(FOUND, |line| println!("{line}")).await;
    println!("{tally}");
    assert_eq!((tally.broken, tally.landed), (Vec::new(), FOUND.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_faults_every_account_accepts_what_the_store_serves_and_nothing_else() {
    let asked =
        Asked { seed: 7, faults: 6, each: 6, servers: Servers::Single, disk: None, tell: |line| println!("{line}") };
    let tally = run(&asked).await;
    println!("seed {}: {tally}", asked.seed);
    assert_eq!((tally.broken, tally.lockouts), (Vec::new(), 0));
}

/// The control: the same stroke on the same servers locks the usual ways out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_orders_and_the_vaults_own_rotation_are_locked_out_by_one_lost_reply() {
    for order in [Order::AlterThenStore, Order::StoreThenAlter] {
        let locked = lockouts(order, 12, 7).await;
        println!("{order:?}: {locked} of 12 locked out");
        assert!(locked > 0, "{order:?}");
    }
    let (lost, locked) = loses_its_password().await;
    println!("database/rotate-root: {locked} of {lost} lost replies locked it out");
    assert!(locked > 0, "of {lost}");
}
