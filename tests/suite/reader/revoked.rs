//! A revocation holds once it is told as done, whatever else the reader cannot take over; else it is told as not seen.

use super::{edge::Edge, node};
use rustix::process::{Pid, Signal, kill_process};

#[tokio::test]
async fn what_is_told_as_revoked_is_refused_at_once_whatever_else_is_wrong() {
    let edge = Edge::new().await;
    edge.consumers("app: {reads: [database_password]}\n");
    edge.publish("one").await;
    let (client, serving) = (node::client(), edge.serve());
    let credential = edge.credential("app");
    let token = node::login(&client, &serving.url, &credential).await.expect("a token");
    assert_eq!(node::read(&client, &serving.url, &token).await.0, 200, "the control");
    edge.consumers("app: {reads: [database_password]}}\n");
    let revoke = |words: &[&str]| edge.donjon.run(&[&["serve", "revoke", "--node", &edge.node()], words].concat());
    revoke(&["--all"]).ok();
    assert_eq!(node::read(&client, &serving.url, &token).await.0, 403, "at once");
    let token = node::login(&client, &serving.url, &credential).await.expect("the credential is good still");
    revoke(&["app", "--credential"]).ok();
    assert_eq!(node::read(&client, &serving.url, &token).await.0, 403);
    assert_eq!(node::login(&client, &serving.url, &credential).await, None, "nor is its credential");
    let anew = node::login(&client, &serving.url, &edge.credential("app")).await.expect("the new one is good");
    assert_eq!(node::read(&client, &serving.url, &anew).await.0, 200, "who was served is served on");
    serving.end();
}

#[tokio::test]
async fn a_reader_that_does_not_hear_of_a_revocation_is_told_of() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    let serving = edge.serve();
    let revoke = || edge.donjon.run(&["serve", "revoke", "compute", "--node", &edge.node()]);
    revoke().ok();
    let pid = Pid::from_raw(i32::try_from(serving.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let told = revoke().failed(6);
    kill_process(pid, Signal::CONT).unwrap();
    assert!(told.contains("cannot be seen") && told.contains("systemctl restart donjon-reader"), "{told}");
    revoke().ok();
    serving.end();
    // Where none runs there is nobody to wait for.
    revoke().ok();
}
