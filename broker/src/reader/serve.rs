//! One request, one answer: who asks, may they, a line for the witness, then the answer.

use super::{
    answer::Answer,
    body,
    grants::Grants,
    kv::{self, Wish},
    login,
    lookup::{Lookup, Standing},
    pace::{Pace, Paces, Turn},
    peer::Peer,
    records::{self, Said},
    request::{Asked, Entry, Media, Namespace, Route},
    roles::Roles,
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
}

impl Visit {
    pub(super) fn of(peer: Peer) -> Self {
        Self { peer, told: AtomicBool::new(false) }
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
        if caller.is_none() || keeps(&asked.route) {
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
        let (known, elsewhere) = (caller.is_some(), asked.namespace == Namespace::Other);
        let answer = self.answer_in_turn(&served, asked, visit, caller, now).await;
        if !known && (matches!(answer.status, 400 | 403 | 405 | 415 | 500 | 503) || (elsewhere && answer.status == 404))
        {
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
            Turn::Now | Turn::Later => self.seen(&about, Outcome::Refused, answer),
            Turn::StillLater => answer,
        }
    }

    async fn answer_in_turn(
        &self,
        served: &Served,
        mut asked: Asked,
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
        let checked = match asked.meant() {
            Some(method) => {
                asked.method = method;
                malformed(&asked, standing)
            }
            None => Err(Answer::errors(400, &[])),
        };
        if let Err(answer) = checked {
            return self.seen(&About { role, ..nobody }, Outcome::Refused, answer);
        }
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
        let by_role = asked.route == Route::Login && !matches!(asked.method.as_str(), "LIST" | "SCAN");
        if by_role || (asked.route == Route::LoginByKey && served.takes_keys) {
            return self.login(served, &asked, peer, now).await;
        }
        let caller = match caller {
            Some(caller) => caller,
            None if asked.route == Route::Mounts && asked.token.is_none() => return sys::mounts(None),
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
            Route::Health
            | Route::SealStatus
            | Route::Init
            | Route::Leader
            | Route::Seal
            | Route::Unseal
            | Route::Login
            | Route::LoginByKey
            | Route::LookupSelf
            | Route::RenewSelf
            | Route::RevokeSelf
            | Route::Mounts
            | Route::Mount { .. }
            | Route::Elsewhere(_)
            | Route::Unknown
            | Route::Outside => self.about_tokens(served, peer, &caller, &asked, now).await,
        }
    }

    async fn login(&self, served: &Served, asked: &Asked, peer: &Peer, now: i64) -> Answer {
        if !matches!(asked.method, Method::POST | Method::PUT) {
            let about = About { peer, role: None, act: Act::Login, path: None };
            let answer = match asked.route == Route::LoginByKey {
                true => Answer::errors(405, &[UNSUPPORTED]),
                false => login::otherwise(asked),
            };
            return self.seen(&about, Outcome::Refused, answer);
        }
        let (role, outcome, answer) = match asked.route == Route::LoginByKey {
            true => login::login_by_key(&served.roles, &mut self.tokens(), peer, now),
            false => login::login(&served.roles, &mut self.tokens(), asked, peer, now),
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
        let (outcome, answer) = match (kv::wish(&asked.method), entry) {
            (Some(Wish::Names), entry) => kv::names(served.lookup.as_ref(), &served.grants, role, entry).await,
            (Some(Wish::Versions), Entry::Named(path)) if kv::granted(&served.grants, role, Some(path)).is_some() => {
                kv::versions(served.lookup.as_ref(), path).await
            }
            (Some(Wish::Versions) | None, _) => (Outcome::Refused, Answer::denied()),
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
            (Route::LookupSelf, Some((shown, token)), _) if reads => (Outcome::Done, login::lookup(shown, token, now)),
            (Route::Mounts, ..) if reads => (Outcome::Done, sys::mounts(Some(&self.mount))),
            (Route::Mount { ours: true }, ..) if reads => (Outcome::Done, sys::mount(&self.mount)),
            (Route::Mount { ours: false }, ..) if reads => (Outcome::Refused, Answer::errors(403, &[PREFLIGHT])),
            (Route::RenewSelf, Some((shown, token)), Some(role)) if writes => {
                login::renew(&mut self.tokens(), role, shown, token, now)
            }
            (Route::RevokeSelf, Some((_, token)), _) if writes => login::revoke(&mut self.tokens(), token),
            (Route::LookupSelf | Route::RenewSelf | Route::RevokeSelf, None, _) => {
                (Outcome::Refused, Answer::stranger())
            }
            _ => (Outcome::Refused, Answer::denied()),
        };
        let (outcome, answer) = match keeps(&asked.route) {
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
    /// each is a line that tells of nothing but them.
    fn counted(&self, about: &About<'_>, asked: Option<u32>, outcome: Outcome, answer: Answer) -> Answer {
        let About { peer, role, act, path } = *about;
        let path = path.filter(|path| outcome == Outcome::Done || self.served().grants.knows(path));
        let mut answer = answer;
        if role.is_some() && act != Act::Login && outcome != Outcome::Done {
            let moment = Instant::now();
            match self.paces.turn(peer, moment) {
                Turn::Now => self.paces.refused(peer, moment),
                Turn::Later => answer = Answer::too_fast(),
                Turn::StillLater => return Answer::too_fast(),
            }
        }
        match self.witness.record(&Seen { peer: *peer, role, act, path, asked, outcome }) {
            Ok(()) => answer,
            Err(_) => Answer::failed(),
        }
    }

    /// Whether it is known who asks: of others a short body is read, if any.
    pub(super) fn knows(&self, asked: &Asked, visit: &Visit) -> bool {
        self.caller(&self.served(), asked, &visit.peer, (self.clock)()).is_some()
    }

    /// Whether nobody here can be this peer: it is a user of this machine, and every role is for others.
    pub(super) fn is_stranger(&self, peer: &Peer) -> bool {
        !self.served().roles.may_be(peer)
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
        | Route::Health
        | Route::SealStatus
        | Route::Init
        | Route::Leader
        | Route::Seal
        | Route::Unseal
        | Route::Login
        | Route::LoginByKey
        | Route::LookupSelf
        | Route::RenewSelf
        | Route::RevokeSelf
        | Route::Mounts
        | Route::Mount { .. }
        | Route::Records
        | Route::Elsewhere(_)
        | Route::Unknown
        | Route::Outside => None,
    }
}

/// What needs no token, and tells nothing of secrets: no line is written of it.
fn open_to_all(asked: &Asked, standing: Standing, now: i64) -> Option<Answer> {
    let answer = match &asked.route {
        Route::Outside => return Some(Answer::missing()),
        Route::Elsewhere(path) => return Some(Answer::elsewhere(path.clone())),
        Route::Health => sys::health(now, standing, &asked.query),
        Route::SealStatus => sys::seal_status(standing),
        Route::Init => sys::init(),
        Route::Leader => sys::leader(),
        Route::Seal
        | Route::Unseal
        | Route::Login
        | Route::LoginByKey
        | Route::LookupSelf
        | Route::RenewSelf
        | Route::RevokeSelf
        | Route::Mounts
        | Route::Mount { .. }
        | Route::Data(_)
        | Route::Metadata(_)
        | Route::Records
        | Route::Unknown => return None,
    };
    if asked.meant().is_none() {
        return Some(Answer::errors(400, &[]));
    }
    let heads = asked.method == Method::HEAD && asked.route == Route::Health;
    if asked.method != Method::GET && !heads {
        return Some(Answer::unsupported());
    }
    Some(match asked.namespace {
        Namespace::Unnamed => answer,
        Namespace::Root | Namespace::Other => Answer::errors(400, &["operation unavailable in namespaces"]),
    })
}

/// What is refused whoever asks, and even where nothing can be read: it is no request.
fn malformed(asked: &Asked, standing: Standing) -> Result<(), Answer> {
    match (asked.method.as_str(), &asked.route, asked.media) {
        ("POST" | "PUT", Route::Unseal, _) => Err(sys::unseal(&asked.body, standing)),
        (_, Route::Unseal, _) => Err(Answer::unsupported()),
        ("PATCH", _, Media::Unclear(why)) => Err(Answer::errors(400, &[why])),
        // Theirs goes on with what was said.
        ("PATCH", _, Media::Form | Media::Other) => Err(Answer::errors(415, &[NO_PATCH])),
        ("PATCH", Route::Seal, _) => body::decoded(asked).and_then(|_| Err(Answer::unsupported())),
        ("POST" | "PUT" | "PATCH", ..) => body::decoded(asked).map(drop),
        (_, Route::Seal, _) => Err(Answer::unsupported()),
        ("GET" | "HEAD" | "DELETE" | "LIST" | "SCAN" | "OPTIONS", ..) => Ok(()),
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
        ("GET", Route::Mounts | Route::Mount { .. }) => None,
        ("LIST" | "SCAN", Route::Mounts) => Some(Answer::errors(404, &["unsupported path"])),
        (_, Route::Mounts | Route::Mount { .. }) => Some(Answer::errors(405, &[UNSUPPORTED])),
        _ => None,
    }
}

/// Whether the answer stands on something that is written for good.
fn keeps(route: &Route) -> bool {
    matches!(route, Route::Login | Route::LoginByKey | Route::RenewSelf | Route::RevokeSelf)
}

fn act(route: &Route) -> Act {
    match route {
        Route::Login | Route::LoginByKey => Act::Login,
        Route::Metadata(_) => Act::List,
        Route::LookupSelf | Route::RenewSelf | Route::RevokeSelf | Route::Mounts | Route::Mount { .. } => Act::Token,
        Route::Data(_)
        | Route::Records
        | Route::Health
        | Route::SealStatus
        | Route::Init
        | Route::Leader
        | Route::Seal
        | Route::Unseal
        | Route::Elsewhere(_)
        | Route::Unknown
        | Route::Outside => Act::Read,
    }
}

const UNSUPPORTED: &str = "unsupported operation";
const NO_PATCH: &str = "PATCH requires Content-Type of application/merge-patch+json, provided";
const PREFLIGHT: &str = "preflight capability check returned 403, please ensure client's policies grant access to path";
