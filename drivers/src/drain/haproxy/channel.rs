//! One question to a runtime socket and its answer, whichever way it is reached.

use crate::{
    drain::DrainError,
    host::{Command, Host},
    material::Material,
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// A proxy's runtime socket.
pub(super) struct Channel {
    /// What it is called in messages.
    pub(super) name: String,
    /// How it is reached.
    pub(super) way: Way,
}

/// How a runtime socket is reached.
pub(super) enum Way {
    /// A unix socket of this machine.
    Unix(PathBuf),
    /// An address and a port.
    Tcp(String, u16),
    /// A program on a host.
    Relay(Arc<dyn Host>, Vec<String>),
}

impl Channel {
    /// The whole answer to one command. The socket closes after it.
    pub(super) async fn ask(&self, command: &str) -> Result<String, DrainError> {
        let line = format!("{command}\n");
        let bytes = match &self.way {
            Way::Unix(path) => self.within(async { talk(UnixStream::connect(path).await?, &line).await }).await?,
            Way::Tcp(address, port) => {
                self.within(async { talk(TcpStream::connect((address.as_str(), *port)).await?, &line).await }).await?
            }
            Way::Relay(host, words) => return self.relayed(host.as_ref(), words, line).await,
        };
        String::from_utf8(bytes).map_err(|_| self.unreachable(io::ErrorKind::InvalidData.into()))
    }

    async fn within(&self, talk: impl Future<Output = io::Result<Vec<u8>>>) -> Result<Vec<u8>, DrainError> {
        let ended = tokio::time::timeout(ANSWER, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        ended.map_err(|source| self.unreachable(source))
    }

    async fn relayed(&self, host: &dyn Host, words: &[String], line: String) -> Result<String, DrainError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let line = Material::from(line);
        let command = Command { words: &words, input: Some(&line), within: ANSWER };
        let output = host.run(command).await.map_err(|source| DrainError::Host { proxy: self.name.clone(), source })?;
        let program = words.first().copied().unwrap_or_default();
        match output.code {
            Some(0) => {}
            Some(code) => return Err(self.unreachable(io::Error::other(format!("{program} ended with {code}")))),
            None => return Err(self.unreachable(io::Error::other(format!("{program} was ended by a signal")))),
        }
        // EXPOSE: states and counts of servers, as HAProxy prints them
        let text = output.out.expose_text().map_err(|_| self.unreachable(io::ErrorKind::InvalidData.into()))?;
        Ok(text.to_owned())
    }

    fn unreachable(&self, source: io::Error) -> DrainError {
        DrainError::Unreachable { proxy: self.name.clone(), source }
    }

    /// What it refused or did not say clearly.
    pub(super) fn refused(&self, act: &'static str, what: &str) -> DrainError {
        let what = what.trim().chars().take(200).collect();
        DrainError::Refused { proxy: self.name.clone(), act, what }
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, line: &str) -> io::Result<Vec<u8>> {
    stream.write_all(line.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The longest answer: a backend of thousands of servers fits.
const MOST: u64 = 1 << 22;
