//! The end of a daemon at its lookup socket: an answer that is under way arrives, and who asks nothing is not waited for.

use crate::existing;
use donjon::socket::{
    frame::{FrameError, Message},
    message::{Answer, Asked, Request},
};
use donjon_drivers::store::{secret::Part, vault::Trust};
use donjon_tests::{
    donjon::{Donjon, runs},
    openbao::OpenBao,
    process::wait_for,
    recorder::Recorder,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::Read,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

/// Asks for the value, and gives back what is answered; `None` where that is no value.
fn read(mut stream: &UnixStream) -> Result<Option<String>, FrameError> {
    let names = vec![Asked { name: "x".to_owned(), part: Part::Whole }];
    Message::new(&Request::Read { names, version: None, epoch: None }, Vec::new())?.write(&mut stream)?;
    let message = Message::read(&mut stream)?;
    let value = matches!(message.parse()?, Answer::Reply(_)).then(|| message.materials.first()).flatten();
    Ok(value.map(|value| value.expose_text().unwrap().to_owned())) // EXPOSE: a test value
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_an_answer_that_is_under_way_and_for_nobody_idle() {
    let (server, trust) = (OpenBao::start().await, tempfile::tempdir().unwrap());
    let Trust::Only(authority) = &server.address().trust else { panic!("the server has its own authority") };
    let trusted = reqwest::Certificate::from_pem(authority).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
    let recorder = Recorder::before(&server.address().url, client).await;
    let mut donjon = Donjon::new();
    existing::uses(&mut donjon, &server, &trust);
    donjon.set("BAO_ADDR", recorder.url());
    let (socket, own) = (donjon.home().join("lookup.sock"), rustix::process::geteuid().as_raw());
    // Nothing is answered from memory.
    donjon.describe(&format!(
        "deployment: site1\nread_lease: 0\nlookup_socket: {}\nroles: {{web: {{reads: [x], users: [{own}]}}}}\n",
        socket.display()
    ));
    donjon.up();
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    let pid = donjon.daemon().expect("it runs");
    let value = Some("a-value-long-enough".to_owned());
    // Who has asked once is not cut soon for asking nothing more.
    let (mut idle, asking) = (connect(&socket), connect(&socket));
    assert_eq!((read(&idle).unwrap(), read(&asking).unwrap()), (value.clone(), value.clone()), "the control");

    recorder.hold("/data/site1/x");
    let asked = std::thread::spawn(move || (read(&asking), read(&asking)));
    wait_for("the store to be asked", Duration::from_secs(30), || recorder.held() == 1);
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "the connection of who asks nothing closes");
    // Much less than the five seconds that it waits, and more than a daemon takes to end that waits for nothing.
    let closed = Instant::now();
    wait_for("a second to pass", Duration::from_secs(4), || {
        assert!(runs(pid) && recorder.held() == 1, "it did not wait for the answer");
        closed.elapsed() > Duration::from_secs(1)
    });
    recorder.release();
    let (answered, more) = asked.join().unwrap();
    assert_eq!(answered.unwrap(), value, "what was asked before the end is answered");
    assert!(more.is_err(), "and nothing after it");
    wait_for("the daemon to end", Duration::from_secs(30), || !runs(pid));
    let audit = std::fs::read_to_string(donjon.home().join("audit.jsonl")).unwrap();
    let lines = audit.lines().filter(|line| line.contains("\"role\":\"web\"") && line.contains("\"done\""));
    assert_eq!(lines.count(), 3, "each answer has its line: {audit}");
}
