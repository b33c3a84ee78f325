//! As much of AMQP 0-9-1 as a login needs: the server's greeting, the user's answer, and what the server thinks of it.

use super::server::Member;
use crate::{material::Material, target::stream};
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// What the server thinks of a login.
pub(super) enum Answer {
    /// It goes on.
    In(Line),
    /// It ends with "access refused".
    Refused,
    /// It ends for another reason, or cannot be tried by a value.
    Other(String),
}

/// A connection that has logged in.
pub(super) struct Line {
    stream: Box<dyn stream::Stream>,
    within: Duration,
}

/// Logs in. `name` is what the server's list shows of it.
pub(super) async fn log_in(
    member: &Member,
    user: &str,
    value: &Material,
    name: &str,
    within: Duration,
) -> io::Result<Answer> {
    let work = async {
        let mut stream = stream::connect(&member.address, member.port, member.tls_ca.as_deref()).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        let greeting = Method::read(&mut stream).await?;
        if greeting.id != START {
            return Ok(Answer::Other("it does not greet as AMQP 0-9-1 does".to_owned()));
        }
        if !greeting.offers_plain() {
            return Ok(Answer::Other("it lets nobody in by a value (the mechanism PLAIN is off)".to_owned()));
        }
        stream.write_all(&start_ok(user, value, name)).await?;
        let answer = Method::read(&mut stream).await?;
        Ok(match (answer.id, answer.code()) {
            (TUNE, _) => Answer::In(Line { stream, within }),
            (CLOSE, Some(403)) => Answer::Refused,
            (CLOSE, Some(code)) => Answer::Other(format!("the login ends with {code}")),
            (_, _) => Answer::Other("it does not answer a login as AMQP 0-9-1 does".to_owned()),
        })
    };
    tokio::time::timeout(within, work).await?
}

impl Line {
    /// Enters a virtual host, so that the connection is listed. `false` where it may not.
    pub(super) async fn enter(&mut self, vhost: &str) -> io::Result<bool> {
        let work = async {
            // No channel is ever opened, and no heartbeat is due.
            self.stream.write_all(&method(TUNE_OK, &[0, 1, 0, 2, 0, 0, 0, 0])).await?;
            self.stream.write_all(&method(OPEN, &[&short(vhost)[..], &short(""), &[0]].concat())).await?;
            Ok(Method::read(&mut self.stream).await?.id == OPEN_OK)
        };
        tokio::time::timeout(self.within, work).await?
    }

    /// Says good-bye; a server that does not answer is no error.
    pub(super) async fn close(mut self) {
        let bye = method(CLOSE, &[&[0, 200][..], &short(""), &[0; 4]].concat());
        let work = async {
            self.stream.write_all(&bye).await?;
            Method::read(&mut self.stream).await.map(|_| ())
        };
        let _ = tokio::time::timeout(self.within, work).await;
    }
}

type Id = (u16, u16);

const START: Id = (10, 10);
const START_OK: Id = (10, 11);
const TUNE: Id = (10, 30);
const TUNE_OK: Id = (10, 31);
const OPEN: Id = (10, 40);
const OPEN_OK: Id = (10, 41);
const CLOSE: Id = (10, 50);

/// A method that the server says.
struct Method {
    id: Id,
    arguments: Vec<u8>,
}

impl Method {
    async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Self> {
        let mut head = [0; 7];
        from.read_exact(&mut head).await?;
        let [kind, _, _, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        // A server of another protocol answers `AMQP` and the version that it speaks.
        if kind != 1 || !(4..=MOST).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)? + 1];
        from.read_exact(&mut body).await?;
        if body.pop() != Some(END) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let arguments = body.split_off(4);
        let id = (u16::from_be_bytes([body[0], body[1]]), u16::from_be_bytes([body[2], body[3]]));
        Ok(Self { id, arguments })
    }

    /// The reply code of a close.
    fn code(&self) -> Option<u16> {
        Some(u16::from_be_bytes([*self.arguments.first()?, *self.arguments.get(1)?]))
    }

    /// Whether the mechanism PLAIN is among those of a greeting: two bytes of version, a table, then their names.
    fn offers_plain(&self) -> bool {
        let long = |from: &[u8]| -> Option<usize> { usize::try_from(u32::from_be_bytes(*from.first_chunk()?)).ok() };
        let mechanisms = || -> Option<&[u8]> {
            let after_table = self.arguments.get(2 + 4 + long(self.arguments.get(2..)?)?..)?;
            after_table.get(4..)?.get(..long(after_table)?)
        };
        mechanisms().is_some_and(|names| names.split(|b| *b == b' ').any(|name| name == b"PLAIN"))
    }
}

const MOST: u32 = 1 << 17;
const END: u8 = 0xce;

/// The user's answer to a greeting, wiped when dropped.
fn start_ok(user: &str, value: &Material, name: &str) -> Zeroizing<Vec<u8>> {
    // The server tells a refusal by its code only to those who say that they understand it.
    let abilities = [&short("authentication_failure_close")[..], b"t\x01"].concat();
    let properties =
        [&short("capabilities")[..], b"F", &long(&abilities), &short("connection_name"), b"S", &long(name.as_bytes())]
            .concat();
    // EXPOSE: sent as every client of AMQP sends it, which is what the login proves
    let response = Zeroizing::new([&b"\0"[..], user.as_bytes(), b"\0", value.expose()].concat());
    let response = Zeroizing::new(long(&response));
    let arguments = Zeroizing::new([&long(&properties)[..], &short("PLAIN"), &response, &short("en_US")].concat());
    Zeroizing::new(method(START_OK, &arguments))
}

/// A method on the connection itself, as a frame.
fn method(id: Id, arguments: &[u8]) -> Vec<u8> {
    let length = u32::try_from(arguments.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[1, 0, 0], &length[..], &id.0.to_be_bytes(), &id.1.to_be_bytes(), arguments, &[END]].concat()
}

fn short(text: &str) -> Vec<u8> {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    let mut short = vec![u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
    short.extend(bytes);
    short
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()[..], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_login_is_the_frame_that_the_specification_shows() {
        let frame = start_ok("u", &Material::from("v".to_owned()), "n");
        assert_eq!(&frame[..3], [1, 0, 0]);
        assert_eq!(usize::try_from(u32::from_be_bytes(frame[3..7].try_into().unwrap())).unwrap(), frame.len() - 8);
        assert!(frame.ends_with(b"\x05PLAIN\x00\x00\x00\x04\0u\0v\x05en_US\xce"));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64), framed in any::<bool>()) {
            let bytes = if framed { method((10, 10), &bytes) } else { bytes };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(read) = runtime.block_on(Method::read(&mut &bytes[..])) {
                let _ = (read.code(), read.offers_plain());
            }
        }
    }
}
