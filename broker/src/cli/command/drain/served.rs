//! What the consumers of a node read: the node's own reader, or the Vault of its site. Each knows since when it serves the
//! bundle and who has logged in, and has a key that signs receipts.

use super::Drain;
use crate::{
    audit::{Act, Outcome, following::Following, line::Line},
    cli::{
        Context,
        command::{
            audit::OF_NODE,
            import::{identities, now, private, read},
        },
    },
    daemon::push::named,
    failure::{Exit, Failure},
    socket::message::VaultAsked,
    transfer::{
        bundle::{Checks, Opened, Scope},
        drained::Drained,
        import::{node::Node, vault},
        push::Destination,
        told,
    },
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Where consumers read.
pub(super) enum Served {
    /// At the reader of this node, from its folder.
    Node(PathBuf, Mutex<Logins>),
    /// In the Vault of the site.
    Vault(Box<Destination>),
}

/// Who has logged in at a node's reader, as far as its log was read.
pub(super) struct Logins {
    log: Following,
    /// When, in microseconds since 1970, with the line's number: a log that was elsewhere for a while, and is read from its
    /// beginning again, has each of its lines once.
    at: BTreeSet<(i64, u64)>,
}

impl Served {
    /// The bundle that is drained, and where it is served.
    pub(super) async fn open(drain: &Drain, context: &Context) -> Result<(Self, Opened), Failure> {
        let identities = identities(&drain.identity, &private(&drain.identity)?)?;
        let checks = Checks { now: now(), ..Checks::default() };
        let Some(asked) = drain.at.asked()? else {
            let folder = drain.node.clone().unwrap_or_else(|| context.home.folder().join("node"));
            let refused = format!("cannot read the bundle of {}", folder.display());
            let node = Node::open_known(&folder).map_err(|error| told::import(&refused, &error))?;
            let (file, _) = node.current().map_err(|error| told::import(&refused, &error))?;
            let verified = node.verify(&file, &checks).map_err(|error| told::import(&refused, &error))?;
            let opened = verified.open(&identities).map_err(|error| told::bundle(&refused, &error))?;
            let logins = Logins { log: Following::of(folder.join(OF_NODE)), at: BTreeSet::new() };
            return Ok((Self::Node(folder, Mutex::new(logins)), opened));
        };
        let Some(bundle) = &drain.bundle else {
            return Err(Failure::new(Exit::Usage, "it is not said which bundle the Vault of the site has")
                .state("nothing was signed")
                .hint("--bundle FILE: the one that was imported there last"));
        };
        let refused = format!("cannot drain {}", bundle.display());
        let file = read(bundle)?;
        let asked = named(VaultAsked { mount: drain.mount.clone(), ..asked }, vec![drain.at.token()?])?;
        let there = Destination::open(asked).await.map_err(|error| told::looked(&refused, &error))?;
        let verified = vault::verify(&there, &file, &checks).await;
        let verified = verified.map_err(|error| told::import(&refused, &error).state("nothing was signed"))?;
        let opened = verified.open(&identities).map_err(|error| told::bundle(&refused, &error))?;
        Ok((Self::Vault(Box::new(there)), opened))
    }

    /// Since when it serves this bundle, in microseconds since 1970; `None` where it serves another.
    pub(super) async fn since(&self, opened: &Opened) -> Result<Option<i64>, Failure> {
        let since = match self {
            Self::Node(folder, _) => Node::open_in_turn(folder).and_then(|node| match node.is_newest(opened) {
                true => node.serving(),
                false => Ok(None),
            }),
            Self::Vault(there) => vault::serving(there, opened).await,
        };
        since.map_err(|error| told::import("cannot see since when the bundle is served", &error))
    }

    /// Whether the bundle is where it is only because it was taken in there.
    pub(super) fn is_vault(&self) -> bool {
        matches!(self, Self::Vault(_))
    }

    /// Where it serves another bundle.
    pub(super) fn not_yet(&self) -> &'static str {
        match self {
            Self::Node(..) => "the reader does not serve the present bundle yet",
            Self::Vault(_) => "the Vault of the site has another bundle",
        }
    }

    /// What to do there.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Node(..) => "`donjon serve` for this folder, or SIGHUP for the one that runs",
            Self::Vault(_) => {
                "`donjon import` it there with the same --address, or name the one that was imported last"
            }
        }
    }

    /// What to do where that time has not come yet.
    pub(super) fn clock(&self) -> String {
        match self {
            Self::Node(folder, _) => format!(
                "set the clocks right; where the reader's was ahead when it took the bundle over, remove {}, then SIGHUP to the reader",
                folder.join("serving.json").display()
            ),
            Self::Vault(_) => "set the clocks of the Vault of the site and of that host right".to_owned(),
        }
    }

    /// When anybody has logged in, in microseconds since 1970.
    pub(super) async fn logins(&self, opened: &Opened) -> Result<Vec<i64>, Failure> {
        match self {
            Self::Node(folder, logins) => logins.lock().unwrap_or_else(PoisonError::into_inner).all(folder),
            Self::Vault(there) => {
                let Scope::Site { role, .. } = &opened.manifest().scope else { return Ok(Vec::new()) };
                let logins = there.logins(role).await;
                logins.map_err(|error| told::looked("cannot see who has logged in", &error).state("nothing was signed"))
            }
        }
    }

    /// The receipt of a node whose consumers run on the bundle.
    pub(super) async fn sign(&self, opened: &Opened, drained: Vec<Drained>) -> Result<Vec<u8>, Failure> {
        let receipt = match self {
            Self::Node(folder, _) => {
                Node::open_in_turn(folder).and_then(|mut node| node.drained(opened, drained, now()))
            }
            Self::Vault(there) => vault::drained(there, opened, drained, now()).await,
        };
        receipt.map_err(|error| told::import("cannot sign the receipt", &error))
    }

    /// Where the receipt goes where nobody said.
    pub(super) fn receipt(&self, drain: &Drain) -> PathBuf {
        match (self, &drain.bundle) {
            (Self::Node(folder, _), _) => folder.join("drained"),
            (Self::Vault(_), bundle) => {
                let mut name = bundle.clone().unwrap_or_default().into_os_string();
                name.push(".drained");
                name.into()
            }
        }
    }
}

impl Logins {
    /// All of them. Where no reader has served yet, nobody has logged in.
    fn all(&mut self, folder: &Path) -> Result<Vec<i64>, Failure> {
        let at = &mut self.at;
        let mut take = |line: Line| {
            if line.act == Act::Login && line.outcome == Outcome::Done {
                at.insert((line.at, line.sequence));
            }
        };
        self.log.read(&mut take).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot read {}", folder.join(OF_NODE).display()))
                .because(&error)
                .state("nothing was signed")
        })?;
        Ok(self.at.iter().map(|(at, _)| *at).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, Log};

    /// Each login proves one consumer, and one that is read twice would prove two.
    #[test]
    fn a_log_that_was_elsewhere_for_a_while_has_each_login_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join(OF_NODE), folder.path().join("elsewhere"));
        let login = || {
            let log = Log::open(&path).unwrap();
            log.record(Actor { uid: 0, pid: 1 }, Act::Login, Vec::new(), Outcome::Done).unwrap();
        };
        let mut logins = Logins { log: Following::of(path.clone()), at: BTreeSet::new() };
        login();
        assert_eq!(logins.all(folder.path()).unwrap().len(), 1);
        // Another file, with what the first one had and one more.
        std::fs::rename(&path, &elsewhere).unwrap();
        assert_eq!(logins.all(folder.path()).unwrap().len(), 1);
        donjon_drivers::fs::replace(&path, &std::fs::read(&elsewhere).unwrap()).unwrap();
        login();
        assert_eq!(logins.all(folder.path()).unwrap().len(), 2);
    }
}
