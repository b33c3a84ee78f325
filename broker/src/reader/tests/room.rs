//! What those who are known, and those who are not, can take from the others: lines of the log, seats, memory.

use super::{
    Bound, CANARY, Callers, Duration, Instant, Limits, Outcome, Pace, Running, hasty, over_tls, own_certificate, start,
    start_for,
};
use crate::reader::server::Listening;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RECORDS: &str = "POST /v1/sys/donjon/records HTTP/1.1";

async fn records(running: &Running, token: &str, paths: &[&str]) -> String {
    let body = serde_json::json!({"mount": "kv", "paths": paths}).to_string();
    running.request(&format!("{RECORDS}\r\nX-Vault-Token: {token}"), &body).await
}

#[tokio::test]
async fn many_at_once_are_a_line_for_each_that_was_read_and_one_for_all_that_were_not() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    let added = || std::mem::take(&mut *running.lines.named.lock().unwrap());
    added();
    assert!(records(&running, &token, &["d/a"; 500]).await.starts_with("HTTP/1.1 200"));
    assert_eq!(added(), [(Some("d/a".to_owned()), None)]);
    let refused: Vec<String> = (0..1000).map(|number| format!("d/{CANARY}{number}")).collect();
    let mut paths: Vec<&str> = refused.iter().map(String::as_str).collect();
    assert!(records(&running, &token, &paths).await.starts_with("HTTP/1.1 403"));
    assert_eq!(added(), [(None, Some(1000))], "what nobody may read is no name");
    paths.truncate(1);
    assert!(records(&running, &token, &paths).await.starts_with("HTTP/1.1 403"));
    assert_eq!(added(), [(None, Some(1))]);
    // One at a time, it is the same.
    let head = format!("GET /v1/kv/data/d/{CANARY} HTTP/1.1\r\nX-Vault-Token: {token}");
    assert!(running.request(&head, "").await.starts_with("HTTP/1.1 403"));
    assert_eq!(added(), [(None, None)]);
    let head = format!("GET /v1/kv/metadata/d/a?list=true HTTP/1.1\r\nX-Vault-Token: {token}");
    running.request(&head, "").await;
    let head = format!("DELETE /v1/kv/data/d/a HTTP/1.1\r\nX-Vault-Token: {token}");
    assert!(running.request(&head, "").await.starts_with("HTTP/1.1 403"));
    assert!(added().contains(&(Some("d/a".to_owned()), None)), "the control: what somebody may read is named");
}

#[tokio::test]
async fn who_is_known_and_asks_for_what_is_not_theirs_is_slowed_down_and_reads_on() {
    let pace = Pace { each_second: 0.0, at_once: 50.0, refused: 5.0 };
    let bind = || -> Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None)) };
    let running = start_for(Limits::default(), Callers::default(), pace, &bind).await;
    let token = running.login().await;
    let mut statuses = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..40 {
        let answer = records(&running, &token, &["d/b"]).await;
        *statuses.entry(answer.split(' ').nth(1).unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(statuses, [("403".to_owned(), 10), ("429".to_owned(), 30)].into());
    let refused = running.lines.outcomes.lock().unwrap().iter().filter(|one| **one == Outcome::Refused).count();
    assert_eq!(refused, 11, "and one line for all that came too fast");
    assert!(running.read(&token).await.contains("value-one"), "what is theirs is answered");
}

#[tokio::test]
async fn users_whom_no_role_is_for_leave_seats_to_the_others() {
    let own = rustix::process::geteuid().as_raw();
    let limits = Limits { connections: 16, connections_of_a_stranger: 3, ..Limits::default() };
    let bind = || -> Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None)) };
    let health = "GET /v1/sys/health HTTP/1.1";
    // How many connections stay open, and then none more.
    let most = async |uid: u32, limits: Limits| {
        let running =
            start_for(limits, Callers { uids: [uid].into(), ..Callers::default() }, Pace::default(), &bind).await;
        let mut held = Vec::new();
        while running.request(health, "").await.starts_with("HTTP/1.1 200") {
            held.push(running.connect().await);
            // It has its seat once it is answered.
            let mut one = held.pop().unwrap();
            one.write_all(format!("{health}\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let _ = one.readable().await;
            held.push(one);
            assert!(held.len() < 40);
        }
        held.len()
    };
    assert_eq!(most(own + 1, limits).await, 3, "of one stranger");
    assert_eq!(most(own + 1, Limits { connections_of_a_stranger: 16, ..limits }).await, 4, "of all of them");
    assert_eq!(most(own, limits).await, 16, "the control: whom a role is for has all of them");
}

#[tokio::test]
async fn who_has_shown_nothing_shares_a_part_of_the_room_and_leaves_it_with_a_credential() {
    let limits = Limits { connections: 16, connections_of_a_newcomer: 8, ..Limits::default() };
    let running = start(limits).await;
    let token = running.login().await;
    let read = format!("GET /v1/kv/data/d/a HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\n\r\n");
    // Whether it is answered; one that has no seat is closed at once.
    let asks = async |stream: &mut tokio::net::TcpStream| {
        let _ = stream.write_all(read.as_bytes()).await;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).starts_with("HTTP/1.1 200")
    };
    // One that has shown a token is none of those that share.
    let mut shown = Vec::new();
    for _ in 0..6 {
        let mut stream = running.connect().await;
        assert!(asks(&mut stream).await);
        shown.push(stream);
    }
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = running.connect().await;
        let _ = stream.write_all(b"G").await;
        held.push(stream);
    }
    let mut next = running.connect().await;
    assert!(!asks(&mut next).await, "the part is taken");
    for stream in &mut shown {
        assert!(asks(stream).await, "and those who are known are served on");
    }
    let mut open = 0;
    for stream in &mut held {
        let waiting = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut [0; 1])).await;
        open += usize::from(waiting.is_err());
    }
    assert_eq!(open, 4, "a fourth of all");
}

#[tokio::test]
async fn who_has_not_said_who_they_are_sends_little() {
    let running = start(Limits::default()).await;
    let token = running.login().await;
    let long = format!(r#"{{"role_id":"{}"}}"#, "x".repeat(5_000));
    let login = running.request("POST /v1/auth/approle/login HTTP/1.1", &long).await;
    assert!(login.starts_with("HTTP/1.1 413"), "{login}");
    let guessed = records(&running, "hvs.no-such-token", &["d/a"; 800]).await;
    assert!(guessed.starts_with("HTTP/1.1 413"), "a token that is none makes nobody known: {guessed}");
    assert!(records(&running, &token, &["d/a"; 800]).await.starts_with("HTTP/1.1 200"), "the control");
    // In pieces, without saying how long it will be.
    let mut stream = running.connect().await;
    let head = "POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while stream.write_all(b"400\r\n").await.is_ok() && stream.write_all(&[b'x'; 1024]).await.is_ok() {
        let _ = stream.write_all(b"\r\n").await;
        assert!(Instant::now() < end, "it is taken without end");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_and_leaves_its_seat() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, own) = own_certificate(folder.path());
    let bind = over_tls(certificate);
    let limits = Limits { connections_each: 3, ..hasty() };
    let running = start_for(limits, Callers::default(), Pace::default(), &bind).await;
    let began = Instant::now();
    let mut silent = running.connect().await;
    let (mut half, mut dripping) = (running.connect().await, running.connect().await);
    // The beginning of a greeting that would be longer.
    for stream in [&mut half, &mut dripping] {
        stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    }
    let mut turns = tokio::time::interval(limits.patience / 8);
    let mut drops = 0;
    while dripping.write_all(&[0]).await.is_ok() {
        turns.tick().await;
        drops += 1;
        assert!(drops < 200, "a byte now and then is no handshake");
    }
    for stream in [&mut silent, &mut half] {
        let cut = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
        assert!(cut.is_ok(), "it was left hanging");
    }
    assert!(began.elapsed() >= limits.patience, "not cut before its time");
    let trust = reqwest::Certificate::from_pem(own.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([trust]).no_proxy().build().unwrap();
    let health = format!("https://{}/v1/sys/health", running.address);
    let end = Instant::now() + Duration::from_secs(10);
    while client.get(&health).send().await.is_err() {
        assert!(Instant::now() < end, "the seats stayed taken");
    }
}
