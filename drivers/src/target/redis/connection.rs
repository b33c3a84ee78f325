//! One connection to one node, every step of it within its time.

use super::{
    resp::{self, Reply},
    server::{Limits, Member},
};
use crate::{
    material::Material,
    target::{Node, TargetError, stream},
};
use std::io;
use tokio::io::{AsyncWriteExt, BufReader};

/// A connection that has logged in.
pub(super) struct Connection {
    stream: BufReader<Box<dyn stream::Stream>>,
    limits: Limits,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The server answered with an error, of which this is the first word.
    #[error("the server answers {0}")]
    Answered(String),
    /// It did not answer, or not in time, or not understandably.
    #[error("no answer")]
    Silent(#[from] io::Error),
}

impl Connection {
    /// Logs in. Nothing is asked of the server beyond that.
    pub(super) async fn open(member: &Member, user: &str, value: &Material, limits: Limits) -> Result<Self, Fault> {
        let mut connection = Self::greet(member, limits).await?;
        // EXPOSE: sent as every client sends it, which is what a login proves
        connection.ask(&[b"AUTH", user.as_bytes(), value.expose()]).await?;
        Ok(connection)
    }

    /// Connects to a sentinel, which knows no users of its own.
    pub(super) async fn greet(member: &Member, limits: Limits) -> Result<Self, Fault> {
        let connecting = stream::connect(&member.address, member.port, member.tls_ca.as_deref());
        let stream = tokio::time::timeout(limits.answer, connecting).await.map_err(io::Error::from)??;
        Ok(Self { stream: BufReader::new(stream), limits })
    }

    /// Says a command and hears the reply.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply, Fault> {
        let command = resp::command(words);
        let work = async {
            self.stream.write_all(&command).await?;
            self.stream.flush().await?;
            resp::read(&mut self.stream).await
        };
        match tokio::time::timeout(self.limits.answer, work).await.map_err(io::Error::from)?? {
            Reply::Error(kind) => Err(Fault::Answered(kind)),
            reply @ (Reply::Word(_) | Reply::Number(_) | Reply::Bytes(_) | Reply::Nothing | Reply::List(_)) => {
                Ok(reply)
            }
        }
    }

    /// A setting; empty where it has none.
    pub(super) async fn setting(&mut self, name: &str) -> Result<Reply, Fault> {
        let answer = self.ask(&[b"CONFIG", b"GET", name.as_bytes()]).await?;
        Ok(answer.list().into_iter().nth(1).unwrap_or(Reply::Nothing))
    }
}

impl Fault {
    /// The same for the caller, where no change was asked for.
    pub(super) fn at(self, node: &Node) -> TargetError {
        match self {
            Self::Silent(source) => TargetError::Unreachable {
                node: node.name.clone(),
                address: node.address.clone(),
                source: Box::new(source),
            },
            Self::Answered(kind) => {
                TargetError::Unable { node: node.name.clone(), what: format!("the server answers {kind}") }
            }
        }
    }
}
