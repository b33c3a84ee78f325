//! Receipts by HTTP: a small listener at the authority, and the request by which a site sends one.
//!
//! `POST /` with the receipt's file as the body, at most 128 KiB; any other method or path is answered 404. The answer is
//! 200 with what was recorded, or 409 with the failure, both in JSON. A receipt is signed and holds no secret, so plain
//! HTTP is enough; whoever sends something else is told so and changes nothing. Each address has so many connections and a
//! pace, in which a refused receipt counts for many: 429.

use crate::{
    failure::{Exit, Failure},
    home::Home,
    reader::{Pace, Paces, Peer, Place, Seats, Turn},
    socket::{client::Client, message::Request as Asked},
};
use donjon_drivers::material::Material;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::Semaphore};

/// Listens; what it is bound to is its own to tell.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let failed = |error| Failure::new(Exit::Failed, format!("cannot listen on {address}")).because(&error);
    TcpListener::bind(address).await.map_err(failed)
}

/// Takes receipts until `end`.
pub async fn serve(listener: TcpListener, home: Home, end: impl Future<Output = ()>) {
    let (home, room) = (Arc::new(home), Arc::new(Semaphore::new(AT_ONCE)));
    let (paces, seats) = (Arc::new(Paces::new(PACE)), Seats::default());
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        let Ok((stream, address)) = accepted else {
            // Out of descriptors, or a peer that was gone at once: neither ends the others.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        // From this machine, too, an address is all that is known.
        let peer = Peer { place: Place::Network(address.ip().to_canonical()), key: None };
        let Some(seat) = seats.take(&peer, OF_ONE) else { continue };
        let (home, paces) = (Arc::clone(&home), Arc::clone(&paces));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (home, paces) = (Arc::clone(&home), Arc::clone(&paces));
                async move { Ok::<_, Infallible>(answer(home, &paces, peer, request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10).keep_alive(false);
            // A peer that goes away in the middle is no concern of anyone else.
            let _ = tokio::time::timeout(PATIENCE * 3, http.serve_connection(TokioIo::new(stream), service)).await;
            drop((place, seat));
        });
    }
}

async fn answer(home: Arc<Home>, paces: &Paces, peer: Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if paces.turn(&peer, Instant::now()) != Turn::Now {
        let failure = Failure::new(Exit::Unavailable, "this address sends too much at once").hint("again in a moment");
        return response(StatusCode::TOO_MANY_REQUESTS, serde_json::to_vec(&failure).unwrap_or_default().into());
    }
    let answer = taken(home, request).await;
    if answer.status() != StatusCode::OK {
        paces.refused(&peer, Instant::now());
    }
    answer
}

async fn taken(home: Arc<Home>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::POST || request.uri().path() != "/" {
        return response(StatusCode::NOT_FOUND, Bytes::new());
    }
    let body = tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), LONGEST).collect()).await;
    let Ok(Ok(body)) = body else { return response(StatusCode::BAD_REQUEST, Bytes::new()) };
    let file = body.to_bytes().to_vec();
    let taken = tokio::task::spawn_blocking(move || {
        Client::connect(&home)?.ask_quietly(&Asked::Receipt, vec![Material::new(file)])
    });
    match taken.await {
        Ok(Ok(reply)) => response(StatusCode::OK, reply.value.to_string().into()),
        Ok(Err(failure)) => {
            let text = serde_json::to_vec(&failure).unwrap_or_default();
            response(StatusCode::CONFLICT, text.into())
        }
        Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
    }
}

/// Sends a receipt to the authority.
///
/// # Errors
/// What the authority says of it, or that it did not answer.
pub async fn send(url: &str, receipt: Vec<u8>) -> Result<(), Failure> {
    let unanswered = |error: reqwest::Error| {
        Failure::new(Exit::Unavailable, format!("the authority at {url} did not take the receipt"))
            .because(&error)
            .state("the receipt is signed and written")
            .hint("take the file there, or the same command again")
    };
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.timeout(PATIENCE * 3).build().map_err(unanswered)?;
    let mut answer = client.post(url).body(receipt).send().await.map_err(unanswered)?;
    let status = answer.status();
    let mut said = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unanswered)? {
        said.extend_from_slice(&piece[..piece.len().min(LONGEST - said.len())]);
        if said.len() == LONGEST {
            break;
        }
    }
    let elsewhere = || {
        Failure::new(Exit::Unavailable, format!("{url} answered {status}"))
            .cause("it is not where `donjon receipt --listen` listens")
            .state("the receipt is signed and written")
            .hint("take the file to the authority: `donjon receipt FILE`")
    };
    match status {
        StatusCode::OK if recorded(&said) => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => {
            Err(serde_json::from_slice(&said).map_or_else(|_| elsewhere(), |refusal| refused(url, &refusal)))
        }
        _ => Err(elsewhere()),
    }
}

/// Whether an answer is that of an authority that has recorded a receipt.
fn recorded(said: &[u8]) -> bool {
    serde_json::from_slice::<Value>(said).is_ok_and(|answer| answer["taken"]["epoch"].is_u64())
}

/// What is told where a receipt was refused. Who answers is known by TLS at most, so its words are one cause among ours.
fn refused(url: &str, said: &Failure) -> Failure {
    let code = if [Exit::Integrity, Exit::Unavailable].contains(&said.code) { said.code } else { Exit::Failed };
    let words = said.line();
    Failure::new(code, format!("the authority at {url} refused the receipt"))
        .cause(words.chars().take(LONGEST_WORDS).collect::<String>())
        .state("the receipt is signed and written; nothing else was changed here")
        .hint("`donjon receipt FILE` at the authority says more")
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 128 << 10;
/// How much of what the other side says is told.
const LONGEST_WORDS: usize = 400;
const AT_ONCE: usize = 64;
/// Connections at once of one address.
const OF_ONE: usize = 8;
/// The nodes of a large site behind one address; and a refusal every few seconds.
const PACE: Pace = Pace { each_second: 5.0, at_once: 200.0, refused: 20.0 };
