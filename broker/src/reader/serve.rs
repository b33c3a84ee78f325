//! One request, one answer: who asks, may they, a line for the witness, then the answer.

use super::{
    answer::Answer,
    grants::Grants,
    kv::{self, Wish},
    login,
    lookup::Lookup,
    request::{Asked, Entry, Namespace, Route},
    roles::Roles,
    sys::{self, Sealed},
    tokens::{Token, Tokens},
    witness::{Act, Outcome, Seen, Witness},
};
use donjon_drivers::{material::Material, store::RecordPath};
use donjon_policies::name::RoleName;
use hyper::Method;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Answers requests.
pub struct Reader {
    mount: RecordPath,
    served: RwLock<Arc<Served>>,
    tokens: Mutex<Tokens>,
    witness: Arc<dyn Witness>,
    clock: fn() -> i64,
}

/// What is read, by whom, and until when.
pub struct Source {
    /// Where the records are.
    pub lookup: Arc<dyn Lookup>,
    /// Who reads which.
    pub roles: Roles,
    /// After this nothing is read any more, in seconds since 1970.
    pub ends: Option<i64>,
}

/// A source, with its grants; replaced as a whole.
struct Served {
    lookup: Arc<dyn Lookup>,
    roles: Roles,
    grants: Grants,
    /// After this second nothing is read any more: a bundle has an end.
    ends: i64,
}

impl From<Source> for Served {
    fn from(source: Source) -> Self {
        let grants = source.roles.grants();
        Self { lookup: source.lookup, roles: source.roles, grants, ends: source.ends.unwrap_or(i64::MAX) }
    }
}

/// Someone whose token is good.
struct Caller {
    shown: Material,
    token: Token,
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
        Self { mount, served, tokens: Mutex::new(tokens), witness, clock }
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

    pub(super) async fn answer(&self, asked: Asked) -> Answer {
        let now = (self.clock)();
        if let Some(answer) = self.open_to_all(&asked, now) {
            return answer;
        }
        let served = self.served();
        if now > served.ends {
            let answer = malformed(&asked).unwrap_or_else(|| Answer::errors(503, &["Vault is sealed"]));
            return self.seen(None, act(&asked.route), None, Outcome::Failed, answer);
        }
        if asked.namespace == Namespace::Other {
            return Answer::errors(404, &["namespace not found"]);
        }
        if asked.wrapped {
            return Answer::errors(400, &["response wrapping is not supported"]);
        }
        if asked.route == Route::Login {
            return self.login(&served, &asked, now);
        }
        let caller = match self.caller(&served, &asked, now) {
            Some(caller) => caller,
            None if asked.route == Route::Mounts && asked.token.is_none() => return sys::mounts(None),
            None => return self.seen(None, act(&asked.route), None, Outcome::Refused, Answer::stranger()),
        };
        let role = &caller.token.role;
        match &asked.route {
            Route::Data(path) => self.data(&served, role, path.as_ref(), &asked).await,
            Route::Metadata(entry) => self.metadata(&served, role, entry, &asked).await,
            Route::Health
            | Route::SealStatus
            | Route::Init
            | Route::Leader
            | Route::Login
            | Route::LookupSelf
            | Route::RenewSelf
            | Route::RevokeSelf
            | Route::Mounts
            | Route::Mount { .. }
            | Route::Elsewhere(_)
            | Route::Unknown
            | Route::Outside => self.about_tokens(&served, &caller, &asked, now),
        }
    }

    /// What needs no token.
    fn open_to_all(&self, asked: &Asked, now: i64) -> Option<Answer> {
        let answer = match &asked.route {
            Route::Outside => return Some(Answer::missing()),
            Route::Elsewhere(path) => return Some(Answer::elsewhere(path.clone())),
            Route::Health => sys::health(now, self.sealed(now), &asked.query),
            Route::SealStatus => sys::seal_status(self.sealed(now)),
            Route::Init => sys::init(),
            Route::Leader => sys::leader(),
            Route::Login
            | Route::LookupSelf
            | Route::RenewSelf
            | Route::RevokeSelf
            | Route::Mounts
            | Route::Mount { .. }
            | Route::Data(_)
            | Route::Metadata(_)
            | Route::Unknown => return None,
        };
        Some(match asked.method {
            Method::GET | Method::HEAD if asked.namespace == Namespace::Unnamed => answer,
            Method::GET | Method::HEAD => Answer::errors(400, &["operation unavailable in namespaces"]),
            _ => Answer::unsupported(),
        })
    }

    /// A bundle that has ended is as good as a sealed Vault.
    fn sealed(&self, now: i64) -> Sealed {
        if now > self.served().ends { Sealed::Yes } else { Sealed::No }
    }

    fn login(&self, served: &Served, asked: &Asked, now: i64) -> Answer {
        if !matches!(asked.method, Method::POST | Method::PUT) {
            return Answer::errors(405, &["unsupported operation"]);
        }
        let (role, outcome, answer) = login::login(&served.roles, &mut self.tokens(), &asked.body, now);
        self.seen(role, Act::Login, None, outcome, answer)
    }

    fn caller(&self, served: &Served, asked: &Asked, now: i64) -> Option<Caller> {
        let shown = asked.token.as_ref()?;
        let token = self.tokens().check(shown, &served.roles, now)?.clone();
        Some(Caller { shown: shown.duplicate(), token })
    }

    async fn data(&self, served: &Served, role: &RoleName, path: Option<&RecordPath>, asked: &Asked) -> Answer {
        let granted = kv::granted(&served.grants, role, path).filter(|_| asked.method == Method::GET);
        let (outcome, answer) = match granted {
            Some(path) => kv::data(served.lookup.as_ref(), path, &asked.query).await,
            None => (Outcome::Refused, Answer::denied()),
        };
        self.seen(Some(role), Act::Read, path, outcome, answer)
    }

    async fn metadata(&self, served: &Served, role: &RoleName, entry: &Entry, asked: &Asked) -> Answer {
        let path = match entry {
            Entry::Named(path) | Entry::Folder(path) => Some(path),
            Entry::Root | Entry::Unnamed => None,
        };
        let (outcome, answer) = match (kv::wish(&asked.method, &asked.query), entry) {
            (Wish::Names, entry) => kv::names(served.lookup.as_ref(), &served.grants, role, entry).await,
            (Wish::Versions, Entry::Named(path)) if kv::granted(&served.grants, role, Some(path)).is_some() => {
                kv::versions(served.lookup.as_ref(), path).await
            }
            (Wish::Versions, _) => (Outcome::Refused, Answer::denied()),
            (Wish::Nothing(answer), _) => (Outcome::Refused, answer),
        };
        self.seen(Some(role), Act::List, path, outcome, answer)
    }

    fn about_tokens(&self, served: &Served, caller: &Caller, asked: &Asked, now: i64) -> Answer {
        let Caller { shown, token } = caller;
        let role = &token.role;
        let writes = matches!(asked.method, Method::POST | Method::PUT);
        let (outcome, answer) = match (&asked.route, served.roles.named(role)) {
            (Route::LookupSelf, _) if asked.method == Method::GET => return login::lookup(shown, token, now),
            (Route::Mounts, _) if asked.method == Method::GET => return sys::mounts(Some(&self.mount)),
            (Route::Mount { ours: true }, _) if asked.method == Method::GET => return sys::mount(&self.mount),
            (Route::Mount { ours: false }, _) if asked.method == Method::GET => {
                (Outcome::Refused, Answer::errors(403, &[PREFLIGHT]))
            }
            (Route::RenewSelf, Some(role)) if writes => login::renew(&mut self.tokens(), role, shown, token, now),
            (Route::RevokeSelf, _) if writes => login::revoke(&mut self.tokens(), token),
            _ => (Outcome::Refused, Answer::denied()),
        };
        self.seen(Some(role), Act::Token, None, outcome, answer)
    }

    /// The line is with the kernel before the answer goes out; without it there is no answer.
    fn seen(
        &self,
        role: Option<&RoleName>,
        act: Act,
        path: Option<&RecordPath>,
        outcome: Outcome,
        answer: Answer,
    ) -> Answer {
        match self.witness.record(&Seen { role, act, path, outcome }) {
            Ok(()) => answer,
            Err(_) => Answer::failed(),
        }
    }
}

/// What is refused even where nothing can be read.
fn malformed(asked: &Asked) -> Option<Answer> {
    let writes = matches!(asked.method, Method::POST | Method::PUT);
    if asked.route == Route::Login && writes {
        return login::undecoded(&asked.body);
    }
    if !matches!(asked.route, Route::Metadata(_)) || asked.method != Method::GET {
        return None;
    }
    match kv::wish(&asked.method, &asked.query) {
        Wish::Nothing(answer) => Some(answer),
        Wish::Versions | Wish::Names => None,
    }
}

fn act(route: &Route) -> Act {
    match route {
        Route::Login => Act::Login,
        Route::Metadata(_) => Act::List,
        Route::LookupSelf | Route::RenewSelf | Route::RevokeSelf | Route::Mounts | Route::Mount { .. } => Act::Token,
        Route::Data(_)
        | Route::Health
        | Route::SealStatus
        | Route::Init
        | Route::Leader
        | Route::Elsewhere(_)
        | Route::Unknown
        | Route::Outside => Act::Read,
    }
}

const PREFLIGHT: &str = "preflight capability check returned 403, please ensure client's policies grant access to path";
