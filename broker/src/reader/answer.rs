//! Answers in Vault's form. Error texts are fixed, so that nothing a client typed can come back in one.

use crate::transfer::json;
use serde::Serialize;
use zeroize::Zeroizing;

/// What goes back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    /// For a redirection: where to. Made of checked names only.
    pub(super) location: Option<String>,
}

#[derive(Serialize)]
struct Reply<D, A> {
    request_id: String,
    lease_id: &'static str,
    renewable: bool,
    lease_duration: u32,
    data: Option<D>,
    wrap_info: Option<()>,
    warnings: Option<()>,
    auth: Option<A>,
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: &'a [&'static str],
}

impl Answer {
    /// Data in the usual envelope.
    pub(super) fn data<D: Serialize>(data: D) -> Self {
        Self::reply(Some(data), None::<()>)
    }

    /// A login's answer in the usual envelope.
    pub(super) fn auth<A: Serialize>(auth: A) -> Self {
        Self::reply(None::<()>, Some(auth))
    }

    fn reply<D: Serialize, A: Serialize>(data: Option<D>, auth: Option<A>) -> Self {
        let mut id = [0; 16];
        if aws_lc_rs::rand::fill(&mut id).is_err() {
            return Self::failed();
        }
        Self::plain(&Reply {
            request_id: uuid::Builder::from_random_bytes(id).into_uuid().to_string(),
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data,
            wrap_info: None,
            warnings: None,
            auth,
        })
    }

    /// JSON without the envelope, as `sys/health` answers.
    pub(super) fn plain<T: Serialize>(value: &T) -> Self {
        match json::exact(value) {
            Ok(body) => Self { status: 200, body: Some(body), location: None },
            Err(_) => Self::failed(),
        }
    }

    /// Done, and nothing to say.
    pub(super) fn done() -> Self {
        Self { status: 204, body: None, location: None }
    }

    /// The errors of a refusal.
    pub(super) fn errors(status: u16, errors: &[&'static str]) -> Self {
        let body = json::exact(&Errors { errors }).expect("fixed texts always have a JSON text");
        Self { status, body: Some(body), location: None }
    }

    /// There is no such thing.
    pub(super) fn missing() -> Self {
        Self::errors(404, &[])
    }

    /// No token, or none that is good.
    pub(super) fn stranger() -> Self {
        Self::errors(403, &["permission denied"])
    }

    /// A good token, and no grant.
    pub(super) fn denied() -> Self {
        Self::errors(403, &["1 error occurred:\n\t* permission denied\n\n"])
    }

    /// Not with this method.
    pub(super) fn unsupported() -> Self {
        Self::errors(405, &[])
    }

    /// Too much was asked before it was known who asks.
    pub(super) fn too_fast() -> Self {
        Self::errors(429, &["rate limit quota exceeded"])
    }

    /// It cannot be told here why; the log says.
    pub(super) fn failed() -> Self {
        Self::errors(500, &["internal error"])
    }

    /// The same thing under its one name.
    pub(super) fn elsewhere(location: String) -> Self {
        Self { status: 307, body: None, location: Some(location) }
    }
}
