//! Each refusal has its line before it is told, and without the line there is another answer; what tells nothing has none.

use super::{Limits, Outcome, Running, hasty, start, start_for};
use crate::reader::{Callers, Pace, server::Listening};
use std::sync::atomic::Ordering;

const READ: &str = "GET /v1/kv/data/d/a HTTP/1.1";

impl Running {
    /// The status of the answer, and the lines that were written for it.
    async fn lines_of(&self, head: &str, body: &str) -> (String, Vec<Outcome>) {
        let before = self.lines.outcomes.lock().unwrap().len();
        let answer = self.request(head, body).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        (status, self.lines.outcomes.lock().unwrap()[before..].to_vec())
    }
}

#[tokio::test]
async fn a_refusal_has_its_line_and_what_tells_nothing_has_none() {
    let running = start(hasty()).await;
    let token = running.login().await;
    let known = format!("\r\nX-Vault-Token: {token}");
    let (space, wrapped) = ("\r\nX-Vault-Namespace: team", "\r\nX-Vault-Wrap-TTL: 60");
    let login = "POST /v1/auth/approle/login HTTP/1.1";
    let mut refused = vec![
        ("403", READ.to_owned()),
        ("404", format!("{READ}{space}")),
        ("404", format!("{READ}{space}{known}")),
        ("404", format!("{login}{space}")),
        ("400", format!("{READ}{wrapped}")),
        ("400", format!("{READ}{wrapped}{known}")),
        ("400", format!("{login}{wrapped}")),
        ("403", format!("LIST /v1/kv/metadata/d HTTP/1.1{known}x")),
        ("403", format!("GET /v1/sys/internal/ui/mounts/other/x HTTP/1.1{known}")),
        ("403", "GET /v1/sys/internal/ui/mounts HTTP/1.1\r\nX-Vault-Token: wrong".to_owned()),
        ("403", "GET /v1/nothing HTTP/1.1".to_owned()),
        ("500", "GET /v1/auth/approle/login HTTP/1.1".to_owned()),
        ("405", "POST /v1/sys/internal/ui/mounts HTTP/1.1".to_owned()),
        ("400", "PATCH /v1/nothing HTTP/1.1".to_owned()),
        ("415", format!("PATCH /v1/nothing HTTP/1.1\r\nContent-Type: text/plain{known}")),
        ("405", "BREW /v1/nothing HTTP/1.1".to_owned()),
    ];
    for (status, head) in &refused {
        assert_eq!(running.lines_of(head, "").await, ((*status).to_owned(), vec![Outcome::Refused]), "{head}");
    }
    let large = "x".repeat(Limits::default().body + 1);
    assert_eq!(running.lines_of(READ, &large).await, ("413".to_owned(), vec![Outcome::Refused]));
    let before = running.lines.outcomes.lock().unwrap().len();
    let slow = running.raw(b"POST /v1/auth/approle/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    assert_eq!(running.lines.outcomes.lock().unwrap()[before..], [Outcome::Refused]);
    for (status, place) in [
        ("200", "/v1/sys/health"),
        ("200", "/v1/sys/seal-status"),
        ("200", "/v1/sys/init"),
        ("200", "/v1/sys/leader"),
        ("200", "/v1/sys/internal/ui/mounts"),
        ("307", "/v1//kv/data/d/a"),
        ("404", "/outside"),
    ] {
        let head = format!("GET {place} HTTP/1.1");
        assert_eq!(running.lines_of(&head, "").await, (status.to_owned(), vec![]), "{place}");
    }
    // Nothing is told where the line cannot be kept, not even why it is refused.
    running.lines.broken.store(true, Ordering::Relaxed);
    refused.push(("413", format!("{READ}\r\nX-Large: yes")));
    for (status, head) in &refused {
        let body = if *status == "413" { &large } else { "" };
        assert_eq!(running.lines_of(head, body).await.0, "500", "{head}");
    }
}

#[tokio::test]
async fn who_sends_more_than_is_read_fills_no_log() {
    let pace = Pace { each_second: 0.001, at_once: 10.0, refused: 1.0 };
    let bind = || -> super::Bound<'static> { Box::pin(Listening::bind("127.0.0.1:0".parse().unwrap(), None)) };
    let running = start_for(Limits::default(), Callers::default(), pace, &bind).await;
    let large = "x".repeat(Limits::default().body + 1);
    for _ in 0..40 {
        assert_eq!(running.lines_of(READ, &large).await.0, "413");
    }
    let lines = running.lines.outcomes.lock().unwrap().len();
    assert!((10..=12).contains(&lines), "{lines}: the pace, and one for all that came too fast");
}
