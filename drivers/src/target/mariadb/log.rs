//! A node's error log, where it lies: on this machine, or on a host of the deployment.

use crate::host::{Command, Host};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, SeekFrom},
};

/// An error log.
#[derive(Clone)]
pub enum Log {
    /// A file of this machine.
    Here(PathBuf),
    /// A file of a host.
    On {
        /// The host.
        host: Arc<dyn Host>,
        /// Its name.
        name: String,
        /// The file there.
        path: String,
    },
}

impl Log {
    /// What it has had added since a point, in whole lines, and the point up to which that goes; or where it ends now.
    pub(super) async fn tail(&self, since: Option<u64>) -> io::Result<(u64, String)> {
        let (since, mut bytes) = match (self, since) {
            (Self::Here(path), Some(since)) => read_here(path, since).await?,
            (Self::Here(path), None) => return Ok((tokio::fs::metadata(path).await?.len(), String::new())),
            (Self::On { host, path, .. }, _) => {
                let length = told(&**host, &["stat", "-L", "-c", "%s", "--", path]).await?;
                let end = String::from_utf8_lossy(&length).trim().parse::<u64>().map_err(io::Error::other)?;
                let Some(since) = since else { return Ok((end, String::new())) };
                let since = from(since, end);
                if since == end {
                    return Ok((end, String::new()));
                }
                let (file, skip, count) = (format!("if={path}"), format!("skip={since}"), format!("count={MOST}"));
                let words = ["dd", &file, "iflag=skip_bytes,count_bytes", &skip, &count, "bs=65536", "status=none"];
                (since, told(&**host, &words).await?)
            }
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
        Ok((since + whole as u64, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

async fn read_here(path: &Path, since: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path).await?;
    let since = from(since, file.metadata().await?.len());
    file.seek(SeekFrom::Start(since)).await?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).await?;
    Ok((since, bytes))
}

/// A shorter file is another one: the log was rotated.
fn from(since: u64, end: u64) -> u64 {
    if since > end { 0 } else { since }
}

/// What a command on a host says.
async fn told(host: &dyn Host, words: &[&str]) -> io::Result<Vec<u8>> {
    let output = host.run(Command { words, input: None, within: WITHIN }).await.map_err(io::Error::other)?;
    match output.code {
        Some(0) => Ok(output.out.expose().to_vec()), // EXPOSE: a log, in which a server writes no value
        _ => Err(io::Error::other(output.err.lines().next_back().unwrap_or("it ended by itself").to_owned())),
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(path) => path.display().fmt(f),
            Self::On { name, path, .. } => write!(f, "{path} on {name}"),
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much is read at once: less than a host's command may write.
const MOST: u64 = 1 << 19;
/// How long a command on a host may take.
const WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fs, host::local::Local};

    #[tokio::test]
    async fn a_log_is_read_on_from_where_it_was_left_and_anew_after_it_was_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("error.log");
        let host: Arc<dyn Host> = Arc::new(Local::new("h", vec![]));
        let path = file.display().to_string();
        for log in [Log::Here(file.clone()), Log::On { host, name: "h".to_owned(), path }] {
            fs::replace(&file, b"before\n").unwrap();
            let (point, _) = log.tail(None).await.unwrap();
            assert_eq!(log.tail(Some(point)).await.unwrap(), (7, String::new()), "{log}");
            fs::replace(&file, b"before\nafter\nhal").unwrap();
            let (next, text) = log.tail(Some(point)).await.unwrap();
            assert_eq!((text.as_str(), next), ("after\n", 13), "{log}");
            fs::replace(&file, b"new\n").unwrap();
            assert_eq!(log.tail(Some(next)).await.unwrap(), (4, "new\n".to_owned()), "{log}");
            let mut long = vec![b'x'; MOST as usize];
            long[9] = b'\n';
            fs::replace(&file, &[&b"new\n"[..], &long, b"\nend\n"].concat()).unwrap();
            assert_eq!(log.tail(Some(4)).await.unwrap(), (14, "xxxxxxxxx\n".to_owned()), "{log}: a part at once");
            std::fs::remove_file(&file).unwrap();
            let gone = log.tail(Some(4)).await.unwrap_err();
            assert!(gone.to_string().contains("No such file"), "{log}: {gone}");
        }
    }
}
