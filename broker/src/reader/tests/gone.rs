//! Who leaves in the middle: what was done for them has its line all the same.

use super::{
    Bound, Callers, Duration, Instant, Limits, Pace, Tokens, over_tls, own_certificate, start, start_for, start_with,
};
use crate::reader::server::Listening;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn who_closes_before_the_answer_has_a_line_for_each_token_that_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let bind = || -> Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None)) };
    let tokens = Tokens::open(&file, 1000).unwrap();
    let running = start_with(tokens, Limits::default(), Callers::default(), Pace::default(), &bind).await;
    let secret_id = running.credential.secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
    let body = format!(r#"{{"role_id":"{}","secret_id":"{secret_id}"}}"#, running.credential.role_id);
    let token = running.login().await;
    let login =
        format!("POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let renew = format!(
        "POST /v1/auth/token/renew-self HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\nContent-Length: 0\r\n\r\n"
    );
    let kept = || std::fs::read_to_string(&file).unwrap().lines().count();
    let lines = || running.lines.outcomes.lock().unwrap().len();
    let mut held = Vec::new();
    for request in [&login, &renew] {
        for _ in 0..10 {
            let mut stream = running.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            held.push(stream);
        }
    }
    let end = Instant::now() + Duration::from_secs(10);
    let mut turns = tokio::time::interval(Duration::from_millis(10));
    // Some leave before their request was looked at; of the others each has changed something.
    let mut same = 0;
    while same < 30 {
        assert!(Instant::now() < end, "{} changes, {} lines", kept(), lines());
        same = if kept() > 1 && kept() == lines() { same + 1 } else { 0 };
        turns.tick().await;
    }
}

#[tokio::test]
async fn who_breaks_off_at_once_is_waited_for_by_nobody() {
    let running = start(Limits::default()).await;
    let mut quickest = Duration::MAX;
    // The machine may be busy for once; a pause for each that has gone is there each time.
    for _ in 0..5 {
        for _ in 0..100 {
            // Nothing else runs meanwhile: each has gone before it is let in.
            let stream = std::net::TcpStream::connect(&running.address).unwrap();
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
        let began = Instant::now();
        let token = running.login().await;
        assert!(running.read(&token).await.contains("value-one"));
        quickest = quickest.min(began.elapsed());
    }
    assert!(quickest < Duration::from_millis(1500), "{quickest:?}");
}

#[tokio::test]
async fn the_end_does_not_wait_for_half_a_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let bind = over_tls(own_certificate(folder.path()).0);
    let running = start_for(Limits::default(), Callers::default(), Pace::default(), &bind).await;
    let mut half = running.connect().await;
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    // Until it is let in: another one's handshake has been answered since.
    let mut later = running.connect().await;
    later.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    later.readable().await.unwrap();
    running.end.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.task).await.expect("it ends").unwrap();
}
