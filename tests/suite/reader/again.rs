//! What a reader could not take over at first: it tries again, says so once, and says what to do.

use super::{edge::Edge, node};
use donjon_tests::wait;
use rustix::fs::{FlockOperation, flock};
use std::time::{Duration, Instant};

fn limit() -> Duration {
    Duration::from_secs(30)
}

#[tokio::test]
async fn what_met_a_busy_folder_is_taken_over_once_it_is_that_no_longer() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    let (log, client) = (edge.at("log"), node::client());
    let serving = edge.serve_into(&log);
    let said = |what: &str| std::fs::read_to_string(&log).unwrap().matches(what).count();
    // As an import holds it that takes long.
    let held = std::fs::File::open(edge.at("node/lock")).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    edge.consumers("nova: {reads: [nova_password]}\n");
    let busy = "is in use by another donjon";
    wait::until("it to say so", limit(), async || (said(busy) > 0).then_some(())).await;
    flock(&held, FlockOperation::Unlock).unwrap();
    let credential = edge.at("node/approle/nova/secret-id");
    wait::until("the new role", limit(), async || credential.exists().then_some(())).await;
    let known = async || node::login(&client, &serving.url, &edge.credential("nova")).await.map(|_| ());
    wait::until("the new role to be served", limit(), known).await;
    assert_eq!(said(busy), 1);

    // A mistake stays one, is tried again, and is told once.
    let mistake = "cannot tell who reads what";
    edge.consumers("nova: {uids: none}\n");
    wait::until("it to say so", limit(), async || (said(mistake) > 0).then_some(())).await;
    let begin = Instant::now();
    wait::until("a few tries", limit(), async || (begin.elapsed() > Duration::from_secs(3)).then_some(())).await;
    assert_eq!(said(mistake), 1);
    edge.consumers("nova: {}\n");
    edge.publish("two").await;
    let token = node::login(&client, &serving.url, &edge.credential("compute")).await.expect("a token");
    let two = async || (node::read(&client, &serving.url, &token).await == (200, Some("two".into()))).then_some(());
    wait::until("the new bundle", limit(), two).await;
    edge.consumers("nova: {uids: none}\n");
    wait::until("it to say so again", limit(), async || (said(mistake) > 1).then_some(())).await;
    serving.end();
}

#[tokio::test]
async fn a_bundle_for_a_new_identity_is_served_once_the_reader_starts_again() {
    let mut edge = Edge::new().await;
    edge.publish("one").await;
    let log = edge.at("log");
    let serving = edge.serve_into(&log);
    edge.renew_identity();
    edge.publish("two").await;
    let hint = "`systemctl restart donjon-reader`";
    let told = async || std::fs::read_to_string(&log).unwrap().contains(hint).then_some(());
    wait::until("the hint", limit(), told).await;
    let client = node::client();
    let token = node::login(&client, &serving.url, &edge.credential("compute")).await.expect("a token");
    assert_eq!(node::read(&client, &serving.url, &token).await, (200, Some("one".into())), "as before");
    serving.end();
    let serving = edge.serve();
    let client = node::client();
    assert_eq!(node::read(&client, &serving.url, &token).await, (200, Some("two".into())), "what the hint says");
    serving.end();
}
