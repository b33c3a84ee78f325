//! One request, one answer: who asks, may they, a line for the witness, then the answer.

use super::{
    answer::Answer,
    body::{self, Credential},
    grants::Grants,
    kv, login,
    lookup::{Lookup, Standing},
    pace::{Pace, Paces, Turn},
    peer::Peer,
    records::{self, Said},
    request::{Asked, By, Entry, Itself, Media, Mounts, Namespace, Route, Sealing, Wish},
    roles::Roles,
    room::{Face, Within},
    sys,
    tokens::{Token, Tokens},
    witness::{Act, Outcome, Seen, Witness},
};
use donjon_drivers::{material::Material, store::RecordPath};
use donjon_policies::name::RoleName;
use hyper::Method;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Answers requests.
pub struct Reader {
    mount: RecordPath,
    served: RwLock<Arc<Served>>,
    tokens: Mutex<Tokens>,
    witness: Arc<dyn Witness>,
    clock: fn() -> i64,
    paces: Paces,
}

/// What is read, by whom, and until when.
pub struct Source {
    /// Where the records are.
    pub lookup: Arc<dyn Lookup>,
    /// Who reads which.
    pub roles: Roles,
}

/// A source, with its grants; replaced as a whole.
struct Served {
    lookup: Arc<dyn Lookup>,
    roles: Roles,
    grants: Grants,
    /// Some role is bound to keys. Where none is, there is no such way to log in.
    takes_keys: bool,
}

impl From<Source> for Served {
    fn from(source: Source) -> Self {
        let grants = source.roles.grants();
        let takes_keys = source.roles.iter().any(|role| !role.callers.keys.is_empty());
        Self { lookup: source.lookup, roles: source.roles, grants, takes_keys }
    }
}

/// One connection: who is on its other end, and whether the witness knows that it has read as whom the kernel or TLS know.
pub(super) struct Visit {
    peer: Peer,
    told: AtomicBool,
    /// Its place among those who have not shown who they are, as long as it has not.
    unknown: Mutex<Option<Within>>,
}

impl Visit {
    pub(super) fn new(peer: Peer, unknown: Option<Within>) -> Self {
        Self { peer, told: AtomicBool::new(false), unknown: Mutex::new(unknown) }
    }

    pub(super) fn is_of_a_newcomer(&self) -> bool {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A credential was shown: it leaves its place to the next newcomer.
    fn shown(&self) {
        drop(self.unknown.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Someone who acts as a role.
struct Caller {
    role: RoleName,
    /// The token that was shown, which is good; none where the peer itself is known.
    token: Option<(Material, Token)>,
}

impl Reader {
    /// A reader under a mount. `clock` gives seconds since 1970.
    pub fn new(
        mount: RecordPath,
        source: Source,
        tokens: Tokens,
        witness: Arc<dyn Witness>,
        clock: fn() -> i64,
    ) -> Self {
        let served = RwLock::new(Arc::new(Served::from(source)));
        Self { mount, served, tokens: Mutex::new(tokens), witness, clock, paces: Paces::new(Pace::default()) }
    }

    /// It, letting those that it does not know yet ask at this pace.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Self {
        Self { paces: Paces::new(pace), ..self }
    }

    /// Reads from something else from now on; requests under way end with what they began with.
    pub fn replace(&self, source: Source) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Served::from(source));
    }

    /// Takes over what was revoked, and nothing else: the credentials and epochs that are kept of the roles.
    pub fn obey(&self, kept: &Roles) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        let source = Source { lookup: Arc::clone(&served.lookup), roles: served.roles.as_kept(kept) };
        *served = Arc::new(Served::from(source));
    }

    /// The epoch of each role that is served.
    pub fn epochs(&self) -> impl Iterator<Item = (RoleName, u64)> {
        let served = self.served();
        let all: Vec<_> = served.roles.iter().map(|role| (role.name.clone(), role.epoch)).collect();
        all.into_iter()
    }

    pub(super) fn mount(&self) -> &RecordPath {
        &self.mount
    }

    fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        // Each change of the tokens is a single insertion or removal, so a panic elsewhere leaves them whole.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn answer(&self, asked: Asked, visit: &Visit) -> Answer {
        let peer = &visit.peer;
        let (now, moment) = ((self.clock)(), Instant::now());
        let served = self.served();
        let caller = self.caller(&served, &asked, peer, now);
        // What is written for good has a pace for those that are known, too: their neighbours wait for the same disk.
        if caller.is_none() || asked.route.keeps() {
            match self.paces.turn(peer, moment) {
                Turn::Now => {}
                // One line says that it began; a line for each would let anyone fill the disk.
                Turn::Later => {
                    let about = About { peer, role: None, act: act(&asked.route), path: None };
                    return self.seen(&about, Outcome::Refused, Answer::too_fast());
                }
                Turn::StillLater => return Answer::too_fast(),
            }
        }
        let (known, logs_in) = (caller.is_some(), matches!(asked.route, Route::Login(_)));
        if known {
            visit.shown();
        }
        let answer = self.answer_in_turn(&served, asked, visit, caller, now).await;
        if logs_in && answer.status == 200 {
            visit.shown();
        }
        if !known && matches!(answer.status, 400 | 403 | 404 | 405 | 415 | 500 | 503) {
            self.paces.refused(peer, moment);
        }
        answer
    }

    /// The answer to what was not read to its end, since it was too long or came too slowly. Each has a line, at the pace of
    /// strangers: nobody has been told apart yet.
    pub(super) fn unread(&self, visit: &Visit, answer: Answer) -> Answer {
        let moment = Instant::now();
        let turn = self.paces.turn(&visit.peer, moment);
        self.paces.refused(&visit.peer, moment);
        let about = About { peer: &visit.peer, role: None, act: Act::Read, path: None };
        match turn {
            Turn::Now | Turn::Later => match self.paces.line(&visit.peer, moment) {
                Turn::Now | Turn::Later => self.written(&about, None, Outcome::Refused, answer),
                Turn::StillLater => answer,
            },
            Turn::StillLater => answer,
        }
    }

    async fn answer_in_turn(
        &self,
        served: &Served,
        asked: Asked,
        visit: &Visit,
        caller: Option<Caller>,
        now: i64,
    ) -> Answer {
        let peer = &visit.peer;
        let standing = served.lookup.standing().await;
        if let Some(answer) = open_to_all(&asked, standing, now) {
            return answer;
        }
        let nobody = About { peer, role: None, act: act(&asked.route), path: None };
        let role = caller.as_ref().map(|caller| &caller.role);
        let said = match well_formed(&asked) {
            Ok(said) => said,
            Err(answer) => return self.seen(&About { role, ..nobody }, Outcome::Refused, answer),
        };
        if standing == Standing::Sealed {
            return self.seen(&nobody, Outcome::Failed, Answer::errors(503, &["Vault is sealed"]));
        }
        let meant = About { role, path: record(&asked.route), ..nobody };
        if asked.namespace == Namespace::Other {
            return self.seen(&meant, Outcome::Refused, Answer::errors(404, &["namespace not found"]));
        }
        if asked.wrapped {
            return self.seen(&meant, Outcome::Refused, Answer::errors(400, &["response wrapping is not supported"]));
        }
        if let Some(answer) = impossible(&asked) {
            return self.seen(&meant, Outcome::Refused, answer);
        }
        let by = match (&asked.route, asked.method.as_str()) {
            (Route::Login(By::AppRole), "LIST" | "SCAN") => None,
            (Route::Login(By::Key), _) if !served.takes_keys => None,
            (Route::Login(by), _) => Some(*by),
            _ => None,
        };
        if let Some(by) = by {
            return self.login(served, by, &asked.method, said, peer, now).await;
        }
        let caller = match caller {
            Some(caller) => caller,
            None if asked.route == Route::Mounts(Mounts::All) && asked.token.is_none() => return sys::mounts(None),
            None => return self.seen(&nobody, Outcome::Refused, Answer::stranger()),
        };
        let role = &caller.role;
        match &asked.route {
            Route::Data(path) => {
                let answer = self.data(served, peer, role, path.as_ref(), &asked).await;
                self.arrived(visit, &caller, answer)
            }
            Route::Metadata(entry) => self.metadata(served, peer, role, entry, &asked).await,
            Route::Records => {
                let answer = self.records(served, peer, role, &asked).await;
                self.arrived(visit, &caller, answer)
            }
            Route::Itself(_)
            | Route::Sealing(_)
            | Route::Login(_)
            | Route::Token(_)
            | Route::Mounts(_)
            | Route::Elsewhere(_)
            | Route::Unknown
            | Route::Outside => self.about_tokens(served, peer, &caller, &asked, now).await,
        }
    }

    async fn login(&self, served: &Served, by: By, method: &Method, said: Credential, peer: &Peer, now: i64) -> Answer {
        if !matches!(*method, Method::POST | Method::PUT) {
            let about = About { peer, role: None, act: Act::Login, path: None };
            let answer = match by {
                By::Key => Answer::errors(405, &[UNSUPPORTED]),
                By::AppRole => login::otherwise(said),
            };
            return self.seen(&about, Outcome::Refused, answer);
        }
        let (role, outcome, answer) = match by {
            By::Key => login::login_by_key(&served.roles, &mut self.tokens(), peer, now),
            By::AppRole => login::login(&served.roles, &mut self.tokens(), said, peer, now),
        };
        let (outcome, answer) = self.durable(outcome, answer).await;
        self.seen(&About { peer, role, act: Act::Login, path: None }, outcome, answer)
    }

    /// The answer, once what it says of a token is durable. Nobody else waits for the disk meanwhile.
    async fn durable(&self, outcome: Outcome, answer: Answer) -> (Outcome, Answer) {
        let disk = self.tokens().disk().filter(|_| outcome == Outcome::Done);
        let Some(disk) = disk else { return (outcome, answer) };
        match tokio::task::spawn_blocking(move || disk.sync()).await {
            Ok(Ok(())) => (outcome, answer),
            Ok(Err(_)) | Err(_) => (Outcome::Failed, Answer::failed()),
        }
    }

    /// Who asks: the holder of the token that is shown, or, where none is, whom the kernel or TLS know.
    fn caller(&self, served: &Served, asked: &Asked, peer: &Peer, now: i64) -> Option<Caller> {
        let Some(shown) = asked.token.as_ref() else {
            return served.roles.known(peer).map(|role| Caller { role: role.name.clone(), token: None });
        };
        let token = self.tokens().check(shown, &served.roles, peer, now)?.clone();
        Some(Caller { role: token.role.clone(), token: Some((shown.duplicate(), token)) })
    }

    async fn data(
        &self,
        served: &Served,
        peer: &Peer,
        role: &RoleName,
        path: Option<&RecordPath>,
        asked: &Asked,
    ) -> Answer {
        let granted = kv::granted(&served.grants, role, path).filter(|_| asked.method == Method::GET);
        let (outcome, answer) = match granted {
            Some(path) => kv::data(served.lookup.as_ref(), role, path, &asked.query).await,
            None => (Outcome::Refused, Answer::denied()),
        };
        self.seen(&About { peer, role: Some(role), act: Act::Read, path }, outcome, answer)
    }

    async fn metadata(&self, served: &Served, peer: &Peer, role: &RoleName, entry: &Entry, asked: &Asked) -> Answer {
        let path = record(&asked.route);
        let (outcome, answer) = match (asked.method.as_str(), entry) {
            ("LIST", entry) => kv::names(served.lookup.as_ref(), &served.grants, role, entry).await,
            ("GET", Entry::Named(path)) if kv::granted(&served.grants, role, Some(path)).is_some() => {
                kv::versions(served.lookup.as_ref(), path).await
            }
            _ => (Outcome::Refused, Answer::denied()),
        };
        self.seen(&About { peer, role: Some(role), act: Act::List, path }, outcome, answer)
    }

    async fn records(&self, served: &Served, peer: &Peer, role: &RoleName, asked: &Asked) -> Answer {
        let about = About { peer, role: Some(role), act: Act::Read, path: None };
        if asked.method != Method::POST {
            return self.seen(&about, Outcome::Refused, Answer::denied());
        }
        let (said, mut answer) =
            records::records(served.lookup.as_ref(), &served.grants, role, &self.mount, &asked.body).await;
        let Said { paths, asked, outcome } = said;
        if paths.is_empty() {
            return self.counted(&about, asked, outcome, answer);
        }
        for path in &paths {
            answer = self.counted(&About { path: Some(path), ..about }, asked, outcome, answer);
        }
        answer
    }

    async fn about_tokens(&self, served: &Served, peer: &Peer, caller: &Caller, asked: &Asked, now: i64) -> Answer {
        let reads = asked.method == Method::GET;
        let writes = matches!(asked.method, Method::POST | Method::PUT);
        let token = caller.token.as_ref();
        let (outcome, answer) = match (&asked.route, token, served.roles.named(&caller.role)) {
            (Route::Token(Wish::Lookup), Some((shown, token)), _) if reads => {
                (Outcome::Done, login::lookup(shown, token, now))
            }
            (Route::Mounts(Mounts::All), ..) if reads => (Outcome::Done, sys::mounts(Some(&self.mount))),
            (Route::Mounts(Mounts::Ours), ..) if reads => (Outcome::Done, sys::mount(&self.mount)),
            (Route::Mounts(Mounts::Other), ..) if reads => (Outcome::Refused, Answer::errors(403, &[PREFLIGHT])),
            (Route::Token(Wish::Renewal), Some((shown, token)), Some(role)) if writes => {
                login::renew(&mut self.tokens(), role, shown, token, now)
            }
            (Route::Token(Wish::Revocation), Some((_, token)), _) if writes => login::revoke(&mut self.tokens(), token),
            (Route::Token(_), None, _) => (Outcome::Refused, Answer::stranger()),
            _ => (Outcome::Refused, Answer::denied()),
        };
        let (outcome, answer) = match asked.route.keeps() {
            true => self.durable(outcome, answer).await,
            false => (outcome, answer),
        };
        self.seen(&About { peer, role: Some(&caller.role), act: Act::Token, path: None }, outcome, answer)
    }

    /// Whoever needs no token has logged in with the connection: it counts as that from what it first reads on.
    fn arrived(&self, visit: &Visit, caller: &Caller, answer: Answer) -> Answer {
        if caller.token.is_some() || answer.status != 200 || visit.told.swap(true, Ordering::Relaxed) {
            return answer;
        }
        let about = About { peer: &visit.peer, role: Some(&caller.role), act: Act::Login, path: None };
        self.seen(&about, Outcome::Done, answer)
    }

    /// The line is with the kernel before the answer goes out; without it there is no answer.
    fn seen(&self, about: &About<'_>, outcome: Outcome, answer: Answer) -> Answer {
        self.counted(about, None, outcome, answer)
    }

    /// As [`Self::seen`], of so many that were asked for at once. What is not answered is dear to those that are known, too:
    /// each is a line that tells of nothing but them. All who are unknown share what is written of them.
    fn counted(&self, about: &About<'_>, asked: Option<u32>, outcome: Outcome, answer: Answer) -> Answer {
        let moment = Instant::now();
        let turn = match (about.role, about.act) {
            _ if outcome == Outcome::Done => Turn::Now,
            (None, _) | (Some(_), Act::Login) => self.paces.line(about.peer, moment),
            (Some(_), Act::Read | Act::List | Act::Token) => {
                let turn = self.paces.turn(about.peer, moment);
                if turn == Turn::Now {
                    self.paces.refused(about.peer, moment);
                }
                turn
            }
        };
        match turn {
            Turn::Now => self.written(about, asked, outcome, answer),
            Turn::Later => self.written(about, asked, outcome, Answer::too_fast()),
            Turn::StillLater => Answer::too_fast(),
        }
    }

    fn written(&self, about: &About<'_>, asked: Option<u32>, outcome: Outcome, answer: Answer) -> Answer {
        let About { peer, role, act, path } = *about;
        let path = path.filter(|path| outcome == Outcome::Done || self.served().grants.knows(path));
        match self.witness.record(&Seen { peer: *peer, role, act, path, asked, outcome }) {
            Ok(()) => answer,
            Err(_) => Answer::failed(),
        }
    }

    /// Whether it is known who asks: of others a short body is read, if any.
    pub(super) fn knows(&self, asked: &Asked, visit: &Visit) -> bool {
        self.caller(&self.served(), asked, &visit.peer, (self.clock)()).is_some()
    }

    /// What is known of a peer that has asked for nothing yet.
    pub(super) fn face(&self, peer: &Peer) -> Face {
        let served = self.served();
        match (served.roles.name(peer), served.roles.may_be(peer)) {
            (true, _) => Face::Known,
            (false, true) => Face::Newcomer,
            (false, false) => Face::Stranger,
        }
    }
}

/// What a line is about.
#[derive(Clone, Copy)]
struct About<'a> {
    peer: &'a Peer,
    role: Option<&'a RoleName>,
    act: Act,
    path: Option<&'a RecordPath>,
}

/// The record that a route means, or the folder.
fn record(route: &Route) -> Option<&RecordPath> {
    match route {
        Route::Data(path) => path.as_ref(),
        Route::Metadata(Entry::Named(path) | Entry::Folder(path)) => Some(path),
        Route::Metadata(Entry::Root | Entry::Unnamed)
        | Route::Itself(_)
        | Route::Sealing(_)
        | Route::Login(_)
        | Route::Token(_)
        | Route::Mounts(_)
        | Route::Records
        | Route::Elsewhere(_)
        | Route::Unknown
        | Route::Outside => None,
    }
}

/// What needs no token, and tells nothing of secrets: no line is written of it.
fn open_to_all(asked: &Asked, standing: Standing, now: i64) -> Option<Answer> {
    if asked.route == Route::Outside {
        return Some(Answer::missing());
    }
    let of_server = asked.route.is_of_server();
    if of_server && asked.namespace != Namespace::Unnamed {
        return Some(Answer::errors(400, &["operation unavailable in namespaces"]));
    }
    if of_server && asked.unclear {
        return Some(Answer::errors(400, &[]));
    }
    let answer = match &asked.route {
        Route::Elsewhere(path) if !asked.unclear => return Some(Answer::elsewhere(path.clone())),
        Route::Sealing(Sealing::Unseal) if matches!(asked.method, Method::POST | Method::PUT) => {
            return Some(sys::unseal(&asked.body, standing));
        }
        Route::Sealing(Sealing::Unseal) => return Some(Answer::unsupported()),
        Route::Itself(Itself::Health) => sys::health(now, standing, &asked.query),
        Route::Itself(Itself::SealStatus) => sys::seal_status(standing),
        Route::Itself(Itself::Init) => sys::init(),
        Route::Itself(Itself::Leader) => sys::leader(),
        Route::Sealing(Sealing::Seal)
        | Route::Login(_)
        | Route::Token(_)
        | Route::Mounts(_)
        | Route::Data(_)
        | Route::Metadata(_)
        | Route::Records
        | Route::Elsewhere(_)
        | Route::Unknown
        | Route::Outside => return None,
    };
    let heads = asked.method == Method::HEAD && asked.route == Route::Itself(Itself::Health);
    Some(if asked.method == Method::GET || heads { answer } else { Answer::unsupported() })
}

/// What the body says, of a request that is one. What is none is refused whoever asks, and even where nothing can be read.
fn well_formed(asked: &Asked) -> Result<Credential, Answer> {
    if asked.unclear {
        return Err(Answer::errors(400, &[]));
    }
    let seals = asked.route == Route::Sealing(Sealing::Seal);
    match (asked.method.as_str(), asked.media) {
        ("PATCH", Media::Unclear(why)) => Err(Answer::errors(400, &[why])),
        // Theirs goes on with what was said.
        ("PATCH", Media::Form | Media::Other) => Err(Answer::errors(415, &[NO_PATCH])),
        ("PATCH", _) if seals => body::credential(asked).and_then(|_| Err(Answer::unsupported())),
        ("POST" | "PUT" | "PATCH", _) => body::credential(asked),
        _ if seals => Err(Answer::unsupported()),
        ("GET" | "HEAD" | "DELETE" | "LIST" | "SCAN" | "OPTIONS", _) => Ok(Credential::default()),
        _ => Err(Answer::unsupported()),
    }
}

/// What is refused whoever asks: nothing there can be asked so.
fn impossible(asked: &Asked) -> Option<Answer> {
    match (asked.method.as_str(), &asked.route) {
        ("POST" | "PUT" | "PATCH", _) if asked.folder => {
            Some(Answer::errors(400, &["cannot write to a path ending in '/'"]))
        }
        ("OPTIONS", _) => Some(Answer::errors(400, &["cannot handle internal-only request operation"])),
        ("GET", Route::Mounts(_)) => None,
        ("LIST" | "SCAN", Route::Mounts(Mounts::All)) => Some(Answer::errors(404, &["unsupported path"])),
        (_, Route::Mounts(_)) => Some(Answer::errors(405, &[UNSUPPORTED])),
        _ => None,
    }
}

fn act(route: &Route) -> Act {
    match route {
        Route::Login(_) => Act::Login,
        Route::Metadata(_) => Act::List,
        Route::Token(_) | Route::Mounts(_) => Act::Token,
        Route::Data(_)
        | Route::Records
        | Route::Itself(_)
        | Route::Sealing(_)
        | Route::Elsewhere(_)
        | Route::Unknown
        | Route::Outside => Act::Read,
    }
}

const UNSUPPORTED: &str = "unsupported operation";
const NO_PATCH: &str = "PATCH requires Content-Type of application/merge-patch+json, provided";
const PREFLIGHT: &str = "preflight capability check returned 403, please ensure client's policies grant access to path";
