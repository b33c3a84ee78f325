//! The protocol of Redis, version 2: commands as arrays of byte strings, and five kinds of replies.

use crate::material::Material;
use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use zeroize::Zeroizing;

/// What a server says.
#[derive(Debug)]
pub(super) enum Reply {
    /// A word, such as `OK`.
    Word(String),
    /// An error's first word, such as `WRONGPASS`. The rest is left out: it may quote the command.
    Error(String),
    /// A number.
    Number(i64),
    /// Bytes, which may be a value.
    Bytes(Material),
    /// Nothing.
    Nothing,
    /// A list.
    List(Vec<Reply>),
}

/// A command as it is sent, wiped when dropped.
pub(super) fn command(words: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length = words.iter().map(|word| word.len() + 32).sum::<usize>() + 32;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Reads one reply. Lists may lie in lists, to a depth that every reply of a server keeps.
pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin + Send)) -> io::Result<Reply> {
    nested(from, MOST_DEEP).await
}

const MOST_DEEP: u32 = 6;
const MOST_BYTES: usize = 1 << 26;

async fn nested(from: &mut (impl AsyncBufRead + Unpin + Send), deep: u32) -> io::Result<Reply> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut line = Vec::new();
    (&mut *from).take(1 << 16).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()).ok_or_else(invalid)?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(invalid)?;
    let length = || -> io::Result<Option<usize>> {
        match rest.parse::<i64>().map_err(|_| invalid())? {
            -1 => Ok(None),
            number => usize::try_from(number).ok().filter(|n| *n <= MOST_BYTES).map(Some).ok_or_else(invalid),
        }
    };
    match kind {
        "+" => Ok(Reply::Word(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.split(' ').next().unwrap_or_default().to_owned())),
        ":" => rest.parse().map(Reply::Number).map_err(|_| invalid()),
        "$" => {
            let Some(length) = length()? else { return Ok(Reply::Nothing) };
            let mut bytes = Zeroizing::new(vec![0; length + 2]);
            from.read_exact(&mut bytes).await?;
            let bytes = bytes.strip_suffix(b"\r\n").ok_or_else(invalid)?;
            Ok(Reply::Bytes(Material::new(bytes.to_vec())))
        }
        "*" => {
            let Some(length) = length()? else { return Ok(Reply::Nothing) };
            let deep = deep.checked_sub(1).ok_or_else(invalid)?;
            let mut list = Vec::new();
            for _ in 0..length {
                list.push(Box::pin(nested(from, deep)).await?);
            }
            Ok(Reply::List(list))
        }
        _ => Err(invalid()),
    }
}

impl Reply {
    /// A word, number or byte string as text; for replies in which no value stands.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.clone()),
            Self::Number(number) => Some(number.to_string()),
            // EXPOSE: asked of names, hashes and lists of clients alone; `masterauth` is kept as it comes
            Self::Bytes(bytes) => bytes.expose_text().ok().map(str::to_owned),
            Self::Error(_) | Self::Nothing | Self::List(_) => None,
        }
    }

    /// The members of a list.
    pub(super) fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            Self::Word(_) | Self::Error(_) | Self::Number(_) | Self::Bytes(_) | Self::Nothing => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> io::Result<Reply> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { read(&mut &bytes[..]).await })
    }

    #[test]
    fn a_command_is_its_words_and_nothing_else() {
        assert_eq!(command(&[b"AUTH", b"u\r\n", b""]).as_slice(), b"*3\r\n$4\r\nAUTH\r\n$3\r\nu\r\n\r\n$0\r\n\r\n");
    }

    #[test]
    fn replies_are_what_they_say() {
        let list = parse(b"*4\r\n$2\r\nab\r\n:7\r\n$-1\r\n*1\r\n+OK\r\n").unwrap().list();
        assert_eq!(list.iter().map(Reply::text).collect::<Vec<_>>(), [Some("ab".into()), Some("7".into()), None, None]);
        assert!(matches!(parse(b"-WRONGPASS invalid canary\r\n"), Ok(Reply::Error(kind)) if kind == "WRONGPASS"));
        for wrong in [&b""[..], b"+OK", b"$9999999999\r\n", b"$-2\r\n", b"?\r\n", b"$1\r\nabc", b"*1\r\n"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse(&b"*1\r\n".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in "[-+$*:0-9a\r\n]{0,40}") {
            let _ = parse(bytes.as_bytes());
        }
    }
}
