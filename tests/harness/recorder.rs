//! An HTTP proxy before a server: it writes down each request, and how it was answered, and holds those that it is told to.

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
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Recorder {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    client: reqwest::Client,
    seen: Mutex<Vec<Exchange>>,
    /// What is in the paths of requests that wait.
    holds: watch::Sender<Option<String>>,
    held: AtomicUsize,
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
        let (server, holds) = (server.to_owned(), watch::Sender::new(None));
        let shared = Arc::new(Shared { server, client, seen: Mutex::default(), holds, held: AtomicUsize::new(0) });
        let passing = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&passing);
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(shared.pass(request).await) }
                });
                // A client that leaves in the middle is no concern of the others.
                running.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, shared, task }
    }

    /// Where clients find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was seen since this was asked last.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// From now on requests with this in their path wait, before the server hears of them, until [`Self::release`].
    pub fn hold(&self, part: &str) {
        self.shared.holds.send_replace(Some(part.to_owned()));
    }

    /// How many wait.
    pub fn held(&self) -> usize {
        self.shared.held.load(SeqCst)
    }

    /// Lets those through that wait.
    pub fn release(&self) {
        self.shared.holds.send_replace(None);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn pass(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        self.wait(&path).await;
        let mut headers = head.headers;
        for hop in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::ACCEPT_ENCODING] {
            headers.remove(hop);
        }
        let passed =
            self.client.request(head.method.clone(), format!("{}{path}", self.server)).headers(headers).body(body);
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
        self.seen.lock().unwrap().push(Exchange {
            method: head.method.to_string(),
            path,
            status: status.as_u16(),
            errors,
        });
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        for (name, value) in [(header::CONTENT_TYPE, kind), (header::LOCATION, location)] {
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }

    /// Until nothing holds it any more.
    async fn wait(&self, path: &str) {
        let holds = |part: &Option<String>| part.as_ref().is_some_and(|part| path.contains(part.as_str()));
        let mut told = self.holds.subscribe();
        if holds(&told.borrow_and_update()) {
            self.held.fetch_add(1, SeqCst);
            // The sender lives as long as this.
            let _ = told.wait_for(|part| !holds(part)).await;
            self.held.fetch_sub(1, SeqCst);
        }
    }
}
