//! The HTTP client below vaultrs' requests: as rustify's own, but an answer ends somewhere, whoever it is of.

use async_trait::async_trait;
use http::{Request, Response};
use rustify::{client::Client, errors::ClientError};

/// A client for one server, and how many bytes an answer may have.
pub(super) struct Bounded<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) base: &'a str,
    pub(super) most: usize,
}

/// An answer went on after it should have ended.
#[derive(Debug, thiserror::Error)]
#[error("its answer has more than {most} bytes")]
struct Endless {
    most: usize,
}

#[async_trait]
impl Client for Bounded<'_> {
    fn base(&self) -> &str {
        self.base
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        let request =
            reqwest::Request::try_from(request).map_err(|source| ClientError::ReqwestBuildError { source })?;
        let (url, method) = (request.url().to_string(), request.method().to_string());
        let answered = self.http.execute(request).await;
        let mut answer = answered.map_err(|source| ClientError::RequestError { source: source.into(), url, method })?;
        let mut head = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            head = head.header(name, value);
        }
        let broken = |source: reqwest::Error| ClientError::ResponseError { source: source.into() };
        // Of what the server says that there will be; what it sends counts.
        let said = answer.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let mut body = Vec::with_capacity(said.min(self.most).min(FIRST));
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            if piece.len() > self.most - body.len() {
                return Err(ClientError::ResponseError { source: Endless { most: self.most }.into() });
            }
            body.extend_from_slice(&piece);
        }
        head.body(body).map_err(|source| ClientError::ResponseError { source: source.into() })
    }
}

/// What is set aside at once for an answer.
const FIRST: usize = 1 << 20;
