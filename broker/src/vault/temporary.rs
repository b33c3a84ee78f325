//! The temporary Vault: made once, brought back as often as it must be, destroyed at the end.

use super::{
    binary,
    configuration::Reach,
    custody::{Custody, Mode},
    error::VaultError,
    launch::{self, Running},
    making,
    place::Place,
    process::Process,
    server::{Server, Token},
    setup,
    shares::{self, Offered},
    state::{Phase, State},
    step::{Step, Watcher},
};
use donjon_drivers::{
    fs,
    material::Material,
    store::vault::{Address, CallError, Connection, Vault},
};
use donjon_policies::access::BROKER;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What a bring-up needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Vault's folder.
    pub folder: PathBuf,
    /// Who is to hold the shares; `None` for "as it is", and for a new one this host.
    pub custody: Option<Custody>,
    /// DONJON_VAULT_BIN.
    pub named: Option<OsString>,
    /// PATH.
    pub search: Option<OsString>,
}

/// Whether the Vault serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Ready,
    /// It waits for shares.
    Waiting {
        /// How many were given.
        given: usize,
        /// How many it takes.
        needed: usize,
        /// What for.
        why: Why,
    },
    /// Its server has died and is being brought back.
    Down,
    /// It was destroyed; files of it may be left.
    Over,
}

/// What shares are needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The Vault is sealed.
    Sealed,
    /// The Vault is open, but the broker that had a credential for it has died.
    NoCredential,
}

/// A temporary Vault. Whoever holds it calls [`Temporary::tend`] in the background.
pub struct Temporary {
    pub(super) place: Place,
    state: Mutex<State>,
    mode: Mode,
    pub(super) connection: Arc<Connection>,
    pub(super) watcher: Watcher,
    settings: Settings,
    process: Mutex<Arc<Process>>,
    url: Mutex<String>,
    standing: watch::Sender<Standing>,
    offered: tokio::sync::Mutex<Offered>,
    renewal: Mutex<Instant>,
    /// Held while the server is started again or ended for good.
    server: tokio::sync::Mutex<Course>,
}

/// Whether the server is to be brought back when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    GoingOn,
    Over,
}

impl Temporary {
    /// Makes the Vault, or brings it back: alone in host mode, as far as waiting for shares with custodians.
    pub async fn bring_up(settings: Settings, watcher: Watcher) -> Result<Arc<Self>, VaultError> {
        let place = Place::new(&settings.folder);
        fs::private_folder(place.folder())?;
        match State::read(&place)? {
            Some(state) if state.phase == Phase::Ready => {
                if settings.custody.as_ref().is_some_and(|custody| !state.fits(custody)) {
                    return Err(VaultError::OtherCustody);
                }
                Self::come_back(settings, place, state, watcher).await
            }
            Some(_) => {
                watcher(Step::Clearing);
                launch::end_leftover(&place).await?;
                place.clear()?;
                Self::make(settings, place, watcher).await
            }
            None if place.storage().exists() => {
                Err(VaultError::Storage { storage: place.storage(), found: "is there, but its state.json is gone" })
            }
            None => Self::make(settings, place, watcher).await,
        }
    }

    async fn make(settings: Settings, place: Place, watcher: Watcher) -> Result<Arc<Self>, VaultError> {
        let custody = settings.custody.clone().unwrap_or(Custody::Host);
        let binary = binary::find(settings.named.as_deref(), settings.search.as_deref())?;
        let reach = Reach::of(binary.flavour, &place);
        let mut state = State::making(&custody, reach);
        state.write(&place)?;
        watcher(Step::Starting);
        let running = launch::start(&place, &binary, (custody.mode(), reach)).await?;
        let connection = Arc::clone(&running.connection);
        let made = making::fill(&place, &custody, &mut state, &connection, binary.flavour, &watcher).await;
        let lives = match made {
            Ok(lives) => lives,
            Err(error) => {
                running.process.stop().await?;
                return Err(error);
            }
        };
        watcher(Step::Ready);
        Ok(Arc::new(Self::new(settings, place, state, connection, running, watcher, Standing::Ready, lives)))
    }

    async fn come_back(
        settings: Settings,
        place: Place,
        state: State,
        watcher: Watcher,
    ) -> Result<Arc<Self>, VaultError> {
        let found = launch::find(&place, state.reach).await?;
        let was_running = found.is_some();
        let running = match found {
            Some(running) => {
                watcher(Step::Found);
                running
            }
            None => {
                watcher(Step::Starting);
                let binary = binary::find(settings.named.as_deref(), settings.search.as_deref())?;
                launch::start(&place, &binary, (state.mode, state.reach)).await?
            }
        };
        let connection = Arc::clone(&running.connection);
        let waiting = Standing::Waiting { given: 0, needed: state.threshold, why: Why::Sealed };
        let vault = Self::new(settings, place, state, connection, running, watcher, waiting, Duration::ZERO);
        match vault.settle().await {
            Ok(()) => Ok(Arc::new(vault)),
            // It hangs. What it acknowledged is in its storage.
            Err(VaultError::Call { source: CallError::Unreachable { .. }, .. }) if was_running => {
                vault.process().kill().await?;
                vault.restart().await?;
                Ok(Arc::new(vault))
            }
            Err(error) => {
                if !was_running {
                    vault.stop().await?;
                }
                Err(error)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of the whole, and both callers have them at hand")]
    fn new(
        settings: Settings,
        place: Place,
        state: State,
        connection: Arc<Connection>,
        running: Running,
        watcher: Watcher,
        standing: Standing,
        lives: Duration,
    ) -> Self {
        Self {
            place,
            mode: state.mode,
            state: Mutex::new(state),
            connection,
            watcher,
            settings,
            process: Mutex::new(running.process),
            url: Mutex::new(running.url),
            standing: watch::Sender::new(standing),
            offered: tokio::sync::Mutex::default(),
            renewal: Mutex::new(renew_in(lives)),
            server: tokio::sync::Mutex::new(Course::GoingOn),
        }
    }

    /// Whether it serves.
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Follows whether it serves.
    pub fn follow(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Who holds the shares.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What is written down of it.
    pub(super) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes down how it is now, durably.
    pub(super) fn write_state(&self, state: State) -> Result<(), VaultError> {
        state.write(&self.place)?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// The store in it. It stays the same over restarts; while the Vault does not serve, it says so.
    pub fn store(&self) -> Vault {
        let mount = setup::MOUNT.parse().unwrap_or_else(|_| unreachable!("`donjon` is a path"));
        Vault::new(Arc::clone(&self.connection), mount).on_disk(self.place.folder().to_path_buf())
    }

    /// The connection with the broker's token.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The id of the server's process.
    pub fn pid(&self) -> i32 {
        self.process().mark().pid
    }

    /// The custodians' keys, and how many of them unseal; none of a Vault that this host opens.
    pub fn custodians(&self) -> (Vec<String>, Option<usize>) {
        let state = self.state();
        let threshold = (state.mode == Mode::Custodians).then_some(state.threshold);
        (state.custodians, threshold)
    }

    /// The address at which others than the broker reach the server.
    pub fn url(&self) -> String {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder of all that is its own.
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// Takes a custodian's share in. With enough of them the Vault is opened, and all are forgotten whatever comes of it.
    pub async fn offer(&self, share: Material) -> Result<Standing, VaultError> {
        let mut offered = self.offered.lock().await;
        let standing = self.standing();
        let why = match standing {
            Standing::Waiting { why, .. } => why,
            Standing::Ready | Standing::Down | Standing::Over => return Ok(standing),
        };
        let state = self.state();
        let given = offered.add(&state, share)?;
        let needed = state.threshold;
        self.stand(Standing::Waiting { given, needed, why });
        if let Some((generation, shares)) = offered.enough(&state) {
            match self.open(&shares).await {
                Ok(()) => self.opened_by(generation)?,
                // The other generation may be the one that opens it.
                Err(error) => {
                    self.stand(Standing::Waiting { given: offered.count(), needed, why });
                    if offered.count() == 0 || state.next.is_none() {
                        return Err(error);
                    }
                }
            }
        }
        Ok(self.standing())
    }

    /// Ends the server for good. Its storage stays, and a later bring-up brings it back.
    pub async fn stop(&self) -> Result<(), VaultError> {
        *self.server.lock().await = Course::Over;
        Ok(self.process().stop().await?)
    }

    /// Revokes every token, seals and ends the server, and removes all that was in it, its keys first of all.
    pub async fn destroy(&self) -> Result<(), VaultError> {
        if self.connection.has_token() {
            // They die with the storage in any case; a server that is down can neither revoke nor seal.
            let server = Server(&self.connection);
            let ended = async {
                server.revoke_others().await?;
                server.seal_up().await
            };
            if let Err(error) = ended.await {
                tracing::warn!(%error, "the Vault server was ended without having revoked its tokens and sealed itself");
            }
            self.connection.forget_token();
        }
        *self.server.lock().await = Course::Over;
        self.process().kill().await?;
        // From here on nothing in it counts: a daemon that dies now leaves something that the next one wipes.
        self.stand(Standing::Over);
        self.write_state(State { phase: Phase::Making, ..self.state() })?;
        Ok(self.place.clear_all()?)
    }

    /// Brings it as far as it can come without custodians: after a start, or when it was found running.
    pub(super) async fn settle(&self) -> Result<(), VaultError> {
        let server = Server(&self.connection);
        let seal = server.seal().await.map_err(VaultError::call("ask the Vault server whether it is sealed"))?;
        if !seal.initialized {
            return Err(VaultError::Storage { storage: self.place.storage(), found: "is empty" });
        }
        match self.mode {
            Mode::Host => {
                if seal.sealed {
                    self.unseal_by_host().await?;
                }
                self.log_in().await?;
                self.stand(Standing::Ready);
                (self.watcher)(Step::Ready);
            }
            Mode::Custodians => {
                let why = match (seal.sealed, self.connection.has_token()) {
                    (false, true) if self.renew().await.is_ok() => {
                        self.stand(Standing::Ready);
                        return Ok(());
                    }
                    (true, _) => Why::Sealed,
                    (false, _) => Why::NoCredential,
                };
                let given = self.offered.lock().await.count();
                self.stand(Standing::Waiting { given, needed: self.state().threshold, why });
                (self.watcher)(Step::Waiting);
            }
        }
        Ok(())
    }

    /// Starts the server again and settles it, unless it was ended for good.
    pub(super) async fn restart(&self) -> Result<Course, VaultError> {
        let course = self.server.lock().await;
        if *course == Course::Over {
            return Ok(Course::Over);
        }
        (self.watcher)(Step::Died);
        let binary = binary::find(self.settings.named.as_deref(), self.settings.search.as_deref())?;
        (self.watcher)(Step::Starting);
        let running = launch::start(&self.place, &binary, (self.mode, self.state().reach)).await?;
        self.connection.move_to(&running.address)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = running.process;
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = running.url;
        drop(course);
        self.settle().await?;
        Ok(Course::GoingOn)
    }

    /// Makes the broker's token live longer. An error leaves open whether it still lives.
    pub(super) async fn renew(&self) -> Result<(), VaultError> {
        let token = Server(&self.connection).renew().await.map_err(VaultError::call("renew the broker's token"))?;
        self.renewed(&token);
        Ok(())
    }

    /// When the token is to be renewed.
    pub(super) fn renewal(&self) -> Instant {
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    pub(super) fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn renewed(&self, token: &Token) {
        let due = renew_in(Duration::from_secs(token.lives));
        *self.renewal.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Unseals it with the share that this host keeps. While the shares are being renewed there are two, of which one does.
    async fn unseal_by_host(&self) -> Result<(), VaultError> {
        let mut failed = VaultError::StillSealed;
        for generation in self.state().generations() {
            match self.unseal(&[shares::of_host(&self.place, generation)?]).await {
                Ok(()) => return self.opened_by(generation),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn unseal(&self, shares: &[Material]) -> Result<(), VaultError> {
        (self.watcher)(Step::Unsealing);
        making::unseal(&self.connection, shares).await
    }

    pub(super) async fn log_in(&self) -> Result<(), VaultError> {
        (self.watcher)(Step::LoggingIn);
        let credential = shares::credential(&self.place)?;
        let token = Server(&self.connection).login(&credential).await;
        let token = token.map_err(VaultError::call("log the broker in"))?;
        self.renewed(&token);
        self.connection.use_token(token.token);
        Ok(())
    }

    /// It is known now which generation of shares opens it: the other one goes.
    pub(super) fn opened_by(&self, generation: u32) -> Result<(), VaultError> {
        let state = self.state();
        if state.next.is_none() {
            return Ok(());
        }
        let shares = state.digests(generation).to_vec();
        self.write_state(State { generation, shares, next: None, ..state })?;
        Ok(shares::forget(&self.place, &self.state())?)
    }

    /// Opens it with enough shares, and gives the broker a credential where it has none.
    pub(super) async fn open(&self, shares: &[Material]) -> Result<(), VaultError> {
        let server = Server(&self.connection);
        let seal = server.seal().await.map_err(VaultError::call("ask the Vault server whether it is sealed"))?;
        if seal.sealed {
            self.unseal(shares).await?;
        }
        if !self.connection.has_token() || self.renew().await.is_err() {
            self.token_from(shares).await?;
        }
        self.stand(Standing::Ready);
        (self.watcher)(Step::Ready);
        Ok(())
    }
}

impl Temporary {
    /// Makes the broker another token by way of root, which the shares give for a moment.
    pub(super) async fn token_from(&self, shares: &[Material]) -> Result<(), VaultError> {
        let socket = Connection::open(&Address::of_socket(self.place.socket()))?;
        let root = Server(&socket).root_from(shares).await;
        let root = root.map_err(VaultError::call("make a root token from the shares"))?;
        let token = Server(&self.connection).orphan(&root, BROKER, setup::PERIOD).await;
        // Root goes whether the token was made or not.
        making::revoke_root(&self.connection, &root).await?;
        let token = token.map_err(VaultError::call("make the broker's token"))?;
        self.renewed(&token);
        self.connection.use_token(token.token);
        Ok(())
    }
}

impl std::fmt::Debug for Temporary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Temporary")
            .field("place", &self.place)
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

/// Renewed early and often: the clock that this is measured by stands still while a host sleeps, the token's does not.
fn renew_in(lives: Duration) -> Instant {
    Instant::now() + (lives / 3).min(Duration::from_secs(60))
}
