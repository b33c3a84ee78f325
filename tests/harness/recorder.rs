//! An HTTP proxy before a server: it writes down each request, and how it was answered.

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Exchange>>>,
    task: JoinHandle<()>,
}

/// A request and its answer, without what is secret in them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The path, with its query.
    pub path: String,
    /// The answer's status; 0 where the server did not answer.
    pub status: u16,
    /// The answer's `errors`, as JSON.
    pub errors: Option<String>,
}

impl Recorder {
    /// Listens on loopback, without TLS, and passes everything on to `server` through a client that trusts it.
    pub async fn before(server: &str, client: reqwest::Client) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (server, written): (Arc<str>, _) = (server.into(), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (server, client, seen) = (Arc::clone(&server), client.clone(), Arc::clone(&written));
                let service = service_fn(move |request| {
                    let (server, client, seen) = (Arc::clone(&server), client.clone(), Arc::clone(&seen));
                    async move { Ok::<_, Infallible>(pass(&server, &client, &seen, request).await) }
                });
                // A client that leaves in the middle is no concern of the others.
                running.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, seen, task }
    }

    /// Where clients find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was seen since this was asked last.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    server: &str,
    client: &reqwest::Client,
    seen: &Mutex<Vec<Exchange>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let mut headers = head.headers;
    for hop in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::ACCEPT_ENCODING] {
        headers.remove(hop);
    }
    let passed = client.request(head.method.clone(), format!("{server}{path}")).headers(headers).body(body);
    let (status, kind, location, body) = match passed.send().await {
        Ok(answer) => {
            let named = |name| answer.headers().get(name).cloned();
            let (kind, location) = (named(header::CONTENT_TYPE), named(header::LOCATION));
            (answer.status(), kind, location, answer.bytes().await.unwrap_or_default())
        }
        Err(_) => (StatusCode::BAD_GATEWAY, None, None, Bytes::new()),
    };
    let told: Option<Value> = serde_json::from_slice(&body).ok();
    let errors = told.as_ref().and_then(|told| told.get("errors")).map(ToString::to_string);
    seen.lock().unwrap().push(Exchange { method: head.method.to_string(), path, status: status.as_u16(), errors });
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in [(header::CONTENT_TYPE, kind), (header::LOCATION, location)] {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
