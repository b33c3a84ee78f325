//! Whatever is sent to a daemon, by its owner or by anybody at the lookup socket, nothing of the wrong type in it comes back in an
//! answer, and none of it stands in a log, at the finest level.

use super::{GRANTED, Scene, strangers::every_request};
use donjon::socket::frame::Message;
use donjon_tests::{
    confused::{CANARY, instead, texts},
    donjon::Donjon,
    process::wait_for,
};
use serde_json::{Value, json};
use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// What a socket answers to a header, which need not be one; nothing where it closes. Who came too fast asks again.
fn ask(socket: &Path, header: &str) -> Option<String> {
    let mut said = None;
    wait_for("a request to be looked at", Duration::from_secs(30), || {
        let mut stream = UnixStream::connect(socket).expect("the daemon listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let message = Message { header: header.as_bytes().to_vec(), materials: Vec::new() };
        message.write(&mut stream).expect("it is short");
        said = Message::read(&mut stream).ok().map(|answer| String::from_utf8(answer.header).expect("JSON is text"));
        !said.as_ref().is_some_and(|said| said.contains("asks for too much"))
    });
    said
}

/// Sends each, and returns how many were refused in words.
#[track_caller]
fn refused(socket: &Path, headers: &[String]) -> usize {
    let mut count = 0;
    for header in headers {
        let Some(said) = ask(socket, header) else { continue };
        assert!(!said.contains(CANARY), "{header}: {said}");
        let answer: Value = serde_json::from_str(&said).expect("it answers in JSON");
        assert!(answer.get("error").is_some(), "{header}: {said}");
        count += 1;
    }
    count
}

#[test]
fn nothing_of_a_wrong_type_comes_back_or_is_logged() {
    let scene = Scene::of(Donjon::verbose(), "vault", GRANTED);
    let own = scene.donjon.home().join("run/donjon.sock");
    let requests: Vec<Value> = every_request().iter().map(|one| serde_json::to_value(one).unwrap()).collect();
    assert!(
        ask(&own, &json!({"v": 1, "op": "ready"}).to_string()).is_some_and(|said| said.contains("epoch")),
        "the control"
    );
    let mut of_owner: Vec<String> = requests.iter().flat_map(instead).map(|one| one.to_string()).collect();
    let of_anybody = texts("names").into_iter().map(|text| text.replacen('{', r#"{"op":"read","#, 1));
    let mut of_anybody: Vec<String> = of_anybody.chain(texts("op")).chain(texts("materials")).collect();
    of_owner.extend(of_anybody.clone());
    assert!(of_owner.len() > 150, "{}", of_owner.len());
    let words = refused(&own, &of_owner);
    assert!(words > of_owner.len() * 3 / 4, "the control: {words} of {} were told why", of_owner.len());

    of_anybody.push(json!({"op": "read", "names": [{"name": CANARY}]}).to_string());
    let denied = || scene.audit().lines().filter(|line| line.contains("\"denied\"")).count();
    let before = denied();
    refused(&scene.socket(), &of_anybody);
    assert!(denied() - before > of_anybody.len() * 3 / 4, "the control: they were looked at");
    assert_eq!(scene.donjon.tells(&[CANARY]), [] as [PathBuf; 0]);
    assert_eq!(scene.donjon.run(&["get", "x"]).ok(), "the-value-of-x", "and it runs");
}
