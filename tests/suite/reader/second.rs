//! A second reader on a folder that is served: it changes nothing there, and says what to do.

use super::{edge::Edge, node};
use std::process::Output;

fn serve(edge: &Edge, address: &str) -> Output {
    let (identity, socket) = (edge.at("identity").display().to_string(), edge.at("s").display().to_string());
    let words = ["serve", "-i", &identity, "--listen", address, "--socket", &socket, "--node", &edge.node()];
    edge.donjon.command(&words).output().unwrap()
}

#[tokio::test]
async fn a_second_reader_of_a_folder_brings_nothing_back_and_forks_no_log() {
    let edge = Edge::new().await;
    edge.publish("one").await;
    let (client, serving) = (node::client(), edge.serve());
    let token = node::login(&client, &serving.url, &edge.credential("compute")).await.expect("a token");
    for address in ["127.0.0.1:0", serving.address()] {
        let second = serve(&edge, address);
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(5), "{said}");
        assert!(said.contains("another reader serves this folder") && said.contains("SIGTERM"), "{said}");
    }
    let revoke = client.post(format!("{}/v1/auth/token/revoke-self", serving.url)).header("X-Vault-Token", &token);
    assert_eq!(revoke.send().await.unwrap().status().as_u16(), 204);
    serving.end();
    let serving = edge.serve();
    let client = node::client();
    assert_eq!(node::read(&client, &serving.url, &token).await.0, 403, "what was given up stays so");
    serving.end();
    edge.donjon.run(&["audit", "verify", "--node", &edge.node()]).ok();
}

#[tokio::test]
async fn a_reader_that_cannot_listen_changes_nothing() {
    let edge = Edge::new().await;
    let file = edge.bundle("one").await.display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (identity, address) = (edge.at("identity").display().to_string(), taken.local_addr().unwrap().to_string());
    let store = format!("bundle:{file}");
    let words = ["serve", "--store", &store, "-i", &identity, "--listen", &address, "--node", &edge.node()];
    edge.donjon.run(&words).failed(1);
    let names = std::fs::read_dir(edge.at("node")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["lock", "reader.lock"], "nothing was taken in");
    drop(taken);
    // The control.
    edge.publish("two").await;
    edge.serve().end();
    assert!(edge.at("node/tokens").exists());
}
