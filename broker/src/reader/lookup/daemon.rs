//! The daemon of this host: asked over its own socket for every answer, so that its cache, its lease and its epochs hold here
//! too. Nothing is kept in this process.

use super::{Lookup, Standing};
use crate::{
    failure::Exit,
    records::Layout,
    socket::{
        frame::{FrameError, Message},
        message::{Answer, Of, Request, VersionAsked},
    },
};
use async_trait::async_trait;
use donjon_drivers::{
    material::Material,
    store::{Document, RecordPath, StoreError, Stored, Version, VersionInfo, VersionState, Which},
};
use donjon_policies::name::{RoleName, SecretName};
use serde::Deserialize;
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::UnixStream, time::timeout};

/// The daemon that listens at a socket.
#[derive(Debug)]
pub struct OfDaemon {
    socket: PathBuf,
    layout: Layout,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<UnixStream>>,
    /// How it stood a moment ago.
    stood: Mutex<Option<(Instant, Standing)>>,
}

#[derive(Deserialize)]
struct Read {
    versions: Vec<Version>,
    created: Vec<i64>,
}

#[derive(Deserialize)]
struct History {
    versions: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    version: Version,
    created: i64,
    state: String,
}

#[derive(Deserialize)]
struct Names {
    names: Vec<String>,
}

impl OfDaemon {
    /// The daemon at this socket, whose records lie so.
    pub fn new(socket: PathBuf, layout: Layout) -> Self {
        Self { socket, layout, idle: Mutex::default(), stood: Mutex::default() }
    }

    /// Asks, and gives back what was answered; `None` where there is no such thing.
    async fn ask(&self, request: &Request) -> Result<Option<(Value, Vec<Material>)>, StoreError> {
        let away = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Unreachable {
            place: self.socket.display().to_string(),
            source,
        };
        let answered = timeout(PATIENCE, self.exchange(request)).await.map_err(|late| away(Box::new(late)))?;
        let message = answered.map_err(|error| away(Box::new(error)))?;
        match message.parse::<Answer>().map_err(|error| away(Box::new(error)))? {
            Answer::Reply(value) => Ok(Some((value, message.materials))),
            Answer::Error(failure) if failure.code == Exit::NotThere => Ok(None),
            Answer::Error(failure) => Err(away(Box::new(failure))),
            Answer::Event(_) | Answer::Piece(_) => Err(away(Box::new(FrameError::Malformed))),
        }
    }

    /// A connection that was idle may be to a daemon that has ended since: reading is repeated on a fresh one.
    async fn exchange(&self, request: &Request) -> Result<Message, FrameError> {
        // It may have been started for another than the reader has read of: names are the same in both.
        let asked = Message::new(&Of { deployment: self.layout.deployment(), request }, Vec::new())?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut stream) = idle
            && let Ok(answer) = exchange_on(&mut stream, &asked).await
        {
            self.keep(stream);
            return Ok(answer);
        }
        let mut stream = self.connect().await?;
        let answer = exchange_on(&mut stream, &asked).await?;
        self.keep(stream);
        Ok(answer)
    }

    async fn connect(&self) -> Result<UnixStream, FrameError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(FrameError::Io)?;
        // Whoever could put a socket there could answer for the daemon.
        let owner = stream.peer_cred().map_err(FrameError::Io)?.uid();
        let own = rustix::process::geteuid().as_raw();
        if owner == own || owner == 0 { Ok(stream) } else { Err(FrameError::Malformed) }
    }

    fn keep(&self, stream: UnixStream) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(stream);
        }
    }

    /// Records in the order of their paths, from one request, which answers with those of one epoch; `None` where one is not there.
    async fn records(
        &self,
        role: &RoleName,
        paths: &[RecordPath],
        version: Option<VersionAsked>,
    ) -> Result<Option<Vec<Stored>>, StoreError> {
        let (Some(names), Some(path)) = (paths.iter().map(|path| self.name(path)).collect(), paths.first()) else {
            return Ok(paths.is_empty().then(Vec::new));
        };
        let answered = self.ask(&Request::Record { role: role.clone(), names, version }).await?;
        let Some((reply, materials)) = answered else { return Ok(None) };
        let damaged = || StoreError::Damaged { path: path.clone(), what: "the daemon's answer cannot be understood" };
        let Read { versions, created } = serde_json::from_value(reply).map_err(|_| damaged())?;
        if [versions.len(), created.len(), materials.len()] != [paths.len(); 3] {
            return Err(damaged());
        }
        let stored = |((version, created), text): ((Version, i64), Material)| {
            Ok(Stored { document: Document::from_json(text).map_err(|_| damaged())?, version, created })
        };
        versions.into_iter().zip(created).zip(materials).map(stored).collect::<Result<_, _>>().map(Some)
    }

    /// The secret that lies at a path, where one can.
    fn name(&self, path: &RecordPath) -> Option<SecretName> {
        let folder = self.layout.folder();
        path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?.parse().ok()
    }
}

async fn exchange_on(stream: &mut UnixStream, asked: &Message) -> Result<Message, FrameError> {
    asked.send(stream).await?;
    Message::receive(stream).await
}

#[async_trait]
impl Lookup for OfDaemon {
    async fn standing(&self) -> Standing {
        let stood = *self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, standing)) = stood.filter(|(at, _)| at.elapsed() < REMEMBERED) {
            return standing;
        }
        let standing = match self.ask(&Request::Ready).await {
            Ok(Some(_)) => Standing::Open,
            Ok(None) | Err(_) => Standing::Sealed,
        };
        *self.stood.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), standing));
        standing
    }

    async fn read(&self, role: &RoleName, path: &RecordPath, which: Which) -> Result<Option<Stored>, StoreError> {
        let version = match which {
            Which::Latest => None,
            Which::Number(Version(number)) => Some(VersionAsked::Number(number)),
        };
        let read = self.records(role, std::slice::from_ref(path), version).await?;
        Ok(read.and_then(|mut one| one.pop()))
    }

    async fn read_together(&self, role: &RoleName, paths: &[RecordPath]) -> Result<Vec<Option<Stored>>, StoreError> {
        for _ in 0..MOST_RACES {
            if let Some(all) = self.records(role, paths, None).await? {
                return Ok(all.into_iter().map(Some).collect());
            }
            // The daemon says that one is not there, and not which.
            let mut each = Vec::with_capacity(paths.len());
            for path in paths {
                each.push(self.read(role, path, Which::Latest).await?);
            }
            if each.iter().any(Option::is_none) {
                return Ok(each);
            }
        }
        let place = self.socket.display().to_string();
        Err(StoreError::Unreachable { place, source: "records come faster than they can be read together".into() })
    }

    async fn versions(&self, path: &RecordPath) -> Result<Vec<VersionInfo>, StoreError> {
        let Some(name) = self.name(path) else { return Ok(Vec::new()) };
        let answered = self.ask(&Request::History { name: name.to_string() }).await?;
        let Some((reply, _)) = answered else { return Ok(Vec::new()) };
        let damaged = |_| StoreError::Damaged { path: path.clone(), what: "the daemon's answer cannot be understood" };
        let History { versions } = serde_json::from_value(reply).map_err(damaged)?;
        let info = |Line { version, created, state }: Line| VersionInfo {
            version,
            created,
            state: if state == "present" { VersionState::Present } else { VersionState::Destroyed },
        };
        Ok(versions.into_iter().map(info).collect())
    }

    async fn list(&self, folder: &RecordPath) -> Result<Vec<String>, StoreError> {
        if *folder != self.layout.folder() {
            return Ok(Vec::new());
        }
        let Some((reply, _)) = self.ask(&Request::Names).await? else { return Ok(Vec::new()) };
        let damaged =
            |_| StoreError::Damaged { path: folder.clone(), what: "the daemon's answer cannot be understood" };
        let Names { names } = serde_json::from_value(reply).map_err(damaged)?;
        Ok(names)
    }
}

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long it is not asked again how it stands. Values are never answered from what is remembered.
const REMEMBERED: Duration = Duration::from_millis(250);
const MOST_IDLE: usize = 64;
/// How often records are read together again, where one came to be after it had been missed.
const MOST_RACES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{failure::Failure, socket::message::Whose};
    use serde_json::json;

    fn lookup(socket: PathBuf) -> OfDaemon {
        OfDaemon::new(socket, Layout::new("d".parse().unwrap()).unwrap())
    }

    #[test]
    fn only_what_lies_in_the_deployments_own_folder_has_a_name() {
        let lookup = lookup(PathBuf::new());
        let name = |path: &str| lookup.name(&path.parse().unwrap()).map(|name| name.to_string());
        assert_eq!(name("d/a.b"), Some("a.b".to_owned()));
        for path in ["d", "dd/a", "d/a/b", "donjon-private/d/a", "donjon-public/d/epoch"] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn without_a_daemon_it_is_sealed_and_one_that_came_back_is_asked_anew() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let lookup = lookup(socket.clone());
        let (role, path): (RoleName, RecordPath) = ("r".parse().unwrap(), "d/a".parse().unwrap());
        assert_eq!(lookup.standing().await, Standing::Sealed);
        let refused = lookup.read(&role, &path, Which::Latest).await;
        assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
        // Each daemon answers one request and is gone.
        for number in 1..=2 {
            let listener = tokio::net::UnixListener::bind(&socket).unwrap();
            let answering = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                Message::receive(&mut stream).await.unwrap();
                let reply = Answer::Reply(json!({"versions": [number], "created": [7]}));
                let record = Material::from(r#"{"password":"v"}"#.to_owned());
                Message::new(&reply, vec![record]).unwrap().send(&mut stream).await.unwrap();
            });
            let stored = lookup.read(&role, &path, Which::Latest).await.unwrap().unwrap();
            assert_eq!((stored.version, stored.created), (Version(number), 7));
            answering.await.unwrap();
            std::fs::remove_file(&socket).unwrap();
        }
        let gone = lookup.read(&role, &path, Which::Latest).await;
        assert!(matches!(gone, Err(StoreError::Unreachable { .. })), "{gone:?}");
    }

    #[tokio::test]
    async fn what_the_daemon_refuses_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for code in [Exit::NotThere, Exit::Unavailable, Exit::Integrity] {
                Message::receive(&mut stream).await.unwrap();
                let refused = Answer::Error(Failure::new(code, "no"));
                Message::new(&refused, Vec::new()).unwrap().send(&mut stream).await.unwrap();
            }
        });
        let lookup = lookup(socket);
        let (role, path): (RoleName, RecordPath) = ("r".parse().unwrap(), "d/a".parse().unwrap());
        assert!(lookup.read(&role, &path, Which::Latest).await.unwrap().is_none(), "it is not there");
        for _ in 0..2 {
            assert!(lookup.read(&role, &path, Which::Latest).await.is_err());
        }
        answering.await.unwrap();
    }

    /// Answers each request by what is to be said of its names, and tells how often it was asked.
    async fn answering(listener: tokio::net::UnixListener, there: &[&str]) -> usize {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = 0;
        while let Ok(message) = Message::receive(&mut stream).await {
            assert_eq!(message.parse::<Whose>().unwrap().deployment, Some("d".parse().unwrap()));
            let Request::Record { names, version: None, .. } = message.parse::<Request>().unwrap() else {
                panic!("records were asked for")
            };
            asked += 1;
            let all = names.iter().all(|name| there.contains(&name.as_str()));
            let (answer, materials) = match all {
                true => {
                    let values = names.iter().map(|name| Material::from(format!(r#"{{"password":"{name}"}}"#)));
                    let numbers = vec![1; names.len()];
                    (Answer::Reply(json!({"versions": numbers, "created": numbers})), values.collect())
                }
                false => (Answer::Error(Failure::new(Exit::NotThere, "no")), Vec::new()),
            };
            Message::new(&answer, materials).unwrap().send(&mut stream).await.unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn records_that_are_read_together_come_from_one_request() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let daemon = tokio::spawn(answering(listener, &["a", "b"]));
        let lookup = lookup(socket);
        let role: RoleName = "r".parse().unwrap();
        let paths =
            |names: &[&str]| -> Vec<RecordPath> { names.iter().map(|n| format!("d/{n}").parse().unwrap()).collect() };
        let both = lookup.read_together(&role, &paths(&["a", "b"])).await.unwrap();
        assert!(both.len() == 2 && both.iter().all(Option::is_some));
        // One request for all; then, since one is not there, one for each.
        let some = lookup.read_together(&role, &paths(&["a", "none", "b"])).await.unwrap();
        assert_eq!(some.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
        assert!(lookup.read_together(&role, &[]).await.unwrap().is_empty());
        drop(lookup);
        assert_eq!(daemon.await.unwrap(), 1 + 4);
    }
}
