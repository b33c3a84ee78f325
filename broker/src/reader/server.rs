//! The HTTP side of the reader: limits before anyone is believed, time-outs, one answer for each request.

use super::{
    answer::Answer,
    patience::Patient,
    request::Asked,
    serve::{Reader, Visit},
};
use donjon_drivers::material::Material;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

pub use super::{
    listening::{ListenError, Listening},
    tls::{Certificate, Tls, certificates},
};

/// How much anyone may ask for before it is known who asks.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// The same of somebody who has not shown who they are, so that many that never end hold little.
    pub head_of_a_newcomer: usize,
    /// Lines of a request's head.
    pub headers: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// The same of somebody who has not shown who they are: a login is short.
    pub body_of_a_stranger: usize,
    /// How long a TLS handshake, a head or a body may take each, an answer to be taken, and a connection to be idle.
    pub patience: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one user, key or network.
    pub connections_each: usize,
    /// The same of one who has not shown who they are yet; all of them together have a fourth of the connections.
    pub connections_of_a_newcomer: usize,
    /// The same of a user whom no role can be for; they are within that fourth.
    pub connections_of_a_stranger: usize,
    /// How long requests under way may take once the end was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 << 10,
            head_of_a_newcomer: 8 << 10,
            headers: 64,
            body: 64 << 10,
            body_of_a_stranger: 4 << 10,
            patience: Duration::from_secs(15),
            connections: 2048,
            connections_each: 256,
            connections_of_a_newcomer: 64,
            connections_of_a_stranger: 16,
            drain: Duration::from_secs(10),
        }
    }
}

pub(super) async fn connection<S>(
    stream: S,
    reader: Arc<Reader>,
    visit: Visit,
    limits: Limits,
    mut ended: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = if visit.is_of_a_newcomer() { limits.head.min(limits.head_of_a_newcomer) } else { limits.head };
    let visit = Arc::new(visit);
    let (until, answering) = (ended.clone(), Arc::new(Mutex::new(())));
    let under_way = Arc::clone(&answering);
    let service = service_fn(move |request| {
        let (reader, visit, until) = (Arc::clone(&reader), Arc::clone(&visit), until.clone());
        let answering = Arc::clone(&answering);
        async move {
            let _answering = answering.lock().await;
            Ok::<_, Infallible>(respond(reader, visit, request, limits, until).await)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.patience).max_buf_size(head).max_headers(limits.headers);
    let connection = http.serve_connection(TokioIo::new(Patient::new(stream, limits.patience)), service);
    tokio::pin!(connection);
    let finished = tokio::select! {
        result = connection.as_mut() => Some(result),
        _ = ended.changed() => None,
    };
    if finished.is_none() {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            // A peer that goes away in the middle is no concern of anyone else.
            _ = connection => {}
            () = nothing_under_way(&under_way) => {}
        }
    }
}

/// Until no request has been answered for a moment, in which the last answer was taken: what is left then is a part of a head, and
/// the end waits for none that has not been asked for.
async fn nothing_under_way(answering: &Mutex<()>) {
    loop {
        drop(answering.lock().await);
        sleep(TAKEN).await;
        if answering.try_lock().is_ok() {
            return;
        }
    }
}

async fn respond(
    reader: Arc<Reader>,
    visit: Arc<Visit>,
    request: Request<Incoming>,
    limits: Limits,
    until: watch::Receiver<()>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let nothing = Material::new(Vec::new());
    let mut asked = Asked::new(reader.mount(), head.method, &head.uri, &head.headers, nothing);
    let longest = match body.is_end_stream() || reader.knows(&asked, &visit) {
        true => limits.body,
        false => limits.body.min(limits.body_of_a_stranger),
    };
    let too_large = || Answer::errors(413, &["http: request body too large"]);
    if body.size_hint().lower() > longest as u64 {
        return response(reader.unread(&visit, too_large()));
    }
    let answer = match timeout(limits.patience, Limited::new(body, longest).collect()).await {
        Err(_) => reader.unread(&visit, Answer::errors(408, &["the request took too long"])),
        Ok(Err(_)) => reader.unread(&visit, too_large()),
        Ok(Ok(body)) => {
            asked.body = Material::new(body.to_bytes().to_vec());
            match asked.route.keeps() {
                true => to_its_end(reader, visit, asked, until).await,
                false => reader.answer(asked, &visit).await,
            }
        }
    };
    response(answer)
}

/// What changes a token has its line, also where whoever asked leaves in the middle: hyper forgets what it is doing for one that
/// does. The end of the server waits for it, as for a connection.
async fn to_its_end(reader: Arc<Reader>, visit: Arc<Visit>, asked: Asked, until: watch::Receiver<()>) -> Answer {
    let answered = tokio::spawn(async move {
        let answer = reader.answer(asked, &visit).await;
        drop(until);
        answer
    });
    answered.await.unwrap_or_else(|_| Answer::failed())
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let cut = matches!(answer.status, 408 | 413);
    let body = answer.body.map_or_else(Bytes::new, Bytes::from_owner);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let strict = HeaderValue::from_static("max-age=31536000; includeSubDomains");
    headers.insert(header::STRICT_TRANSPORT_SECURITY, strict);
    if answer.status == 429 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if cut {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(Ok(location)) = answer.location.map(HeaderValue::try_from) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// How long an answer may take to be taken, at the end.
const TAKEN: Duration = Duration::from_secs(1);
