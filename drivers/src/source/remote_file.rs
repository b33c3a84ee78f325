//! The driver `remote_file`: a file fetched by one GET.
//!
//! As in the original, it is fetched once, when the service starts. Three things differ. The original writes what it got
//! to a temporary file in clear and reads that; here it stays in memory. A redirect is an error, since what is fetched may
//! hold secrets and nobody said that it may come from elsewhere; so is the use of a proxy from the environment. And a
//! server that does not answer, or answers anything but 200, is an error, where the original goes on without the file.

use super::{
    Given, Many, OptionName, Outside, Source, SourceError,
    ini::{Files, Ini},
};
use crate::{
    fs,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use reqwest::{Certificate, Identity, header::CONTENT_TYPE, redirect::Policy};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// A file fetched by one GET.
pub const DRIVER: Driver<Outside, Box<dyn Source>> = Driver {
    name: "remote_file",
    help: "A configuration file fetched by one GET when the service starts.",
    options: &[
        Description { name: "uri", kind: Kind::Text, need: Need::Required, help: "Its address: http or https." },
        Description {
            name: "ca_path",
            kind: Kind::Text,
            need: Need::Optional,
            help: "A file or folder of the certificates that may have signed the server's; the system's where none is named.",
        },
        Description {
            name: "client_cert",
            kind: Kind::Text,
            need: Need::Optional,
            help: "A file with this client's certificate, and its key where `client_key` names none.",
        },
        Description {
            name: "client_key",
            kind: Kind::Text,
            need: Need::Optional,
            help: "A file with this client's key.",
        },
        Description {
            name: "timeout",
            kind: Kind::Number(1, 3600),
            need: Need::Number(60),
            help: "How long the answer may take, in seconds.",
        },
    ],
    open: |_, options| Ok(Box::new(RemoteFile { options: typed(options)?, files: OnceCell::new() })),
};

#[derive(Deserialize)]
struct Options {
    uri: String,
    ca_path: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    timeout: u64,
}

struct RemoteFile {
    options: Options,
    files: OnceCell<Files>,
}

impl RemoteFile {
    async fn files(&self) -> Result<&Files, SourceError> {
        self.files.get_or_try_init(|| self.fetch()).await
    }

    async fn fetch(&self) -> Result<Files, SourceError> {
        let place = || self.options.uri.clone();
        let url = reqwest::Url::parse(&self.options.uri).ok();
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some()) {
            let what = "this is no address: it begins with http:// or https://".to_owned();
            return Err(SourceError::Unusable { place: place(), what });
        }
        let unreachable =
            |error: reqwest::Error| SourceError::Unreachable { place: place(), source: Arc::new(error.without_url()) };
        let answer = self.client()?.get(&self.options.uri).send().await.map_err(unreachable)?;
        if answer.status().as_u16() != 200 {
            return Err(SourceError::Status { place: place(), status: answer.status().as_u16() });
        }
        let encoding = Encoding::of(answer.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default()));
        let mut body = Zeroizing::new(Vec::new());
        let mut answer = answer;
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > LONGEST {
                return Err(SourceError::Unusable { place: place(), what: "it is longer than 4 MiB".to_owned() });
            }
            body.extend_from_slice(&piece);
        }
        let unusable = |what: String| SourceError::Unusable { place: place(), what };
        let text = encoding.decode(&body).map_err(|what| unusable(what.to_owned()))?;
        let file = Ini::remote(place(), text.as_bytes()).map_err(|error| unusable(error.to_string()))?;
        let mut files = Files::default();
        files.push(file);
        Ok(files)
    }

    fn client(&self) -> Result<reqwest::Client, SourceError> {
        let unusable = |path: &Path| {
            let place = path.display().to_string();
            move |_: reqwest::Error| SourceError::Unusable { place, what: "it holds no certificate or key".to_owned() }
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_rustls()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(self.options.timeout));
        if let Some(path) = &self.options.ca_path {
            let mut trusted = Vec::new();
            for file in files_at(path)? {
                trusted.extend(Certificate::from_pem_bundle(&fs::read(&file)?).map_err(unusable(&file))?);
            }
            builder = builder.tls_certs_only(trusted);
        }
        if let Some(path) = &self.options.client_cert {
            let mut pem = Zeroizing::new(fs::read(path)?);
            if let Some(key) = &self.options.client_key {
                pem.extend_from_slice(&Zeroizing::new(fs::read(key)?));
            }
            builder = builder.identity(Identity::from_pem(&pem).map_err(unusable(path))?);
        }
        builder
            .build()
            .map_err(|error| SourceError::Unreachable { place: self.options.uri.clone(), source: Arc::new(error) })
    }
}

#[async_trait]
impl Source for RemoteFile {
    async fn ready(&self) -> Result<(), SourceError> {
        self.files().await.map(drop)
    }

    async fn value(&self, option: &OptionName, many: Many) -> Result<Option<Given>, SourceError> {
        Ok(self.files().await?.find(std::slice::from_ref(option), many))
    }

    fn set(&self) -> Vec<OptionName> {
        self.files.get().map(Files::set).unwrap_or_default()
    }
}

/// How a body is read as text: by its type, as the original's HTTP library has it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Encoding {
    /// UTF-8, where what is not becomes a mark.
    Utf8,
    /// UTF-8; the original guesses, so what is not is an error.
    Guessed,
    /// A byte is a character.
    Latin1,
    /// Another, which cannot be read here.
    Other,
}

impl Encoding {
    fn of(content_type: Option<&str>) -> Self {
        let mut parts = content_type.unwrap_or_default().split(';');
        let kind = parts.next().unwrap_or_default().trim();
        let charset = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_ascii_lowercase());
        match charset.as_deref() {
            Some("utf-8" | "utf8") => Self::Utf8,
            Some("iso-8859-1" | "latin-1" | "latin1") => Self::Latin1,
            Some(_) => Self::Other,
            None if kind.contains("text") => Self::Latin1,
            None if kind.contains("application/json") => Self::Utf8,
            None => Self::Guessed,
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
        match self {
            Self::Utf8 => Ok(Zeroizing::new(String::from_utf8_lossy(bytes).into_owned())),
            Self::Latin1 => Ok(Zeroizing::new(bytes.iter().map(|byte| char::from(*byte)).collect())),
            Self::Guessed => std::str::from_utf8(bytes)
                .map(|text| Zeroizing::new(text.to_owned()))
                .map_err(|_| "it is not UTF-8 text, and its type does not say what it is"),
            Self::Other => Err("it is in a character set that is not read here"),
        }
    }
}

/// The file itself, or those of the folder.
fn files_at(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| SourceError::File(fs::FileError::Io { act: "list", path: path.into(), source });
    let entries: Vec<_> = std::fs::read_dir(path).and_then(Iterator::collect).map_err(failed)?;
    Ok(entries.iter().map(std::fs::DirEntry::path).filter(|path| path.is_file()).collect())
}

const LONGEST: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_its_type_says() {
        let text =
            |content_type, bytes: &[u8]| Encoding::of(content_type).decode(bytes).map(|text| text.to_string()).ok();
        assert_eq!(text(Some("text/plain"), "é".as_bytes()).as_deref(), Some("Ã©"));
        assert_eq!(text(Some("text/plain; charset=UTF-8"), "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(text(Some("application/octet-stream"), "é".as_bytes()).as_deref(), Some("é"));
        assert_eq!(text(None, b"\xff"), None);
        assert_eq!(text(Some("text/plain; charset=koi8-r"), b"a"), None);
    }
}
