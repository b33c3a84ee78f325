//! The driver `repository`: a folder of keys on each node, such as Keystone's for Fernet tokens and for credentials.

use super::{Haste, Keyring, KeyringError, Node, Reading, document::Repository, listing, registry::Place, script};
use crate::{
    host::{Command, Host, Output},
    material::Material,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use async_trait::async_trait;
use donjon_policies::keyring::{self, Act, Change, Ring};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The driver `repository`.
pub(super) const DRIVER: Driver<Place, Arc<dyn Keyring>> = Driver {
    name: "repository",
    help: "a folder of numbered keys on each node, as Keystone has for Fernet tokens and for credentials",
    options: &[
        Description { name: "nodes", kind: Kind::Maps(NODE), need: Need::Required, help: "every node that has one" },
        Description {
            name: "most",
            kind: Kind::Number(3, 64),
            need: Need::Number(3),
            help: "how many keys are kept, the staged one among them: Keystone's `max_active_keys`",
        },
        Description {
            name: "life",
            kind: Kind::Number(0, 100_000_000),
            need: Need::Required,
            help: "how long what a key signed lives, in seconds: tokens' `expiration` and `allow_expired_window` together",
        },
        Description {
            name: "before_prune",
            kind: Kind::Words,
            need: Need::Optional,
            help: "a program on the node that leaves nothing on old keys, such as `keystone-manage credential_migrate …`",
        },
        Description {
            name: "owner",
            kind: Kind::Text,
            need: Need::Optional,
            help: "whose the files are; without it, whose the folder is",
        },
        Description {
            name: "group",
            kind: Kind::Text,
            need: Need::Optional,
            help: "which group's they are; without it, the folder's",
        },
        Description {
            name: "mode",
            kind: Kind::Choice(&["u=rw", "u=r", "u=rw,g=r", "u=r,g=r"]),
            need: Need::Text("u=rw"),
            help: "their mode, as chmod reads it",
        },
        Description {
            name: "timeout",
            kind: Kind::Number(1, 3600),
            need: Need::Number(60),
            help: "how long one command on a node may take, in seconds",
        },
    ],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        let mut members = Vec::new();
        for NodeOptions { name, host, path } in &options.nodes {
            let found = place.hosts.get(host).ok_or_else(|| format!("there is no host `{host}`"))?;
            if members.iter().any(|member: &Member| member.node.name == *name) {
                return Err(format!("two nodes are called `{name}`"));
            }
            let node = Node { name: name.clone(), place: format!("{host}:{path}") };
            members.push(Member { node, host: Arc::clone(found), path: path.clone() });
        }
        Ok(Arc::new(KeyRepository::new(members, options.rules())))
    },
};

const NODE: &[Description] = &[
    Description { name: "name", kind: Kind::Like("node1"), need: Need::Required, help: "its name" },
    Description { name: "host", kind: Kind::Text, need: Need::Text("local"), help: "the host on which it lies" },
    Description {
        name: "path",
        kind: Kind::Path,
        need: Need::Required,
        help: "the folder, which is there already: /etc/keystone/fernet-keys",
    },
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<NodeOptions>,
    most: usize,
    life: u64,
    #[serde(default)]
    before_prune: Vec<String>,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    group: String,
    mode: String,
    timeout: u64,
}

#[derive(Deserialize)]
struct NodeOptions {
    name: String,
    host: String,
    path: String,
}

impl Options {
    fn rules(self) -> Rules {
        Rules {
            most: self.most,
            life: Duration::from_secs(self.life),
            before_prune: self.before_prune,
            owner: self.owner,
            group: self.group,
            mode: self.mode,
            within: Duration::from_secs(self.timeout),
        }
    }
}

/// A folder of keys on each node.
pub struct KeyRepository {
    nodes: Vec<Node>,
    members: Vec<Member>,
    rules: Rules,
}

/// One node and how it is reached.
#[derive(Clone)]
pub struct Member {
    /// Its name, and where its keys are, for messages.
    pub node: Node,
    /// Its host.
    pub host: Arc<dyn Host>,
    /// The folder there.
    pub path: String,
}

/// What holds for all nodes of a repository.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many keys are kept.
    pub most: usize,
    /// How long what a key signed lives.
    pub life: Duration,
    /// What runs on a node before keys go.
    pub before_prune: Vec<String>,
    /// Whose the files are; empty for whose the folder is.
    pub owner: String,
    /// Which group's they are; empty for the folder's.
    pub group: String,
    /// Their mode, as `chmod` changes 0600 into it: `u=rw`, `u=rw,g=r`.
    pub mode: String,
    /// How long one command may take.
    pub within: Duration,
}

impl KeyRepository {
    /// A repository on these nodes.
    pub fn new(members: Vec<Member>, rules: Rules) -> Self {
        Self { nodes: members.iter().map(|member| member.node.clone()).collect(), members, rules }
    }

    fn member(&self, node: &Node) -> Result<&Member, KeyringError> {
        let found = self.members.iter().find(|member| member.node.name == node.name);
        found.ok_or_else(|| KeyringError::Unknown { node: node.name.clone() })
    }

    async fn run(&self, member: &Member, words: &[&str], input: Option<&Material>) -> Result<Output, KeyringError> {
        member.host.run(Command { words, input, within: self.rules.within }).await.map_err(|source| {
            let Node { name, place } = member.node.clone();
            KeyringError::Host { node: name, place, source }
        })
    }

    /// Runs the node's program with an input.
    async fn tell(&self, member: &Member, input: &Material) -> Result<Reading, KeyringError> {
        let Rules { owner, group, mode, .. } = &self.rules;
        let words = ["sh", "-c", script::PROGRAM, "donjon", &member.path, owner, group, mode];
        let output = self.run(member, &words, Some(input)).await?;
        match output.code {
            // EXPOSE: indices and fingerprints, as the program prints them
            Some(0) => output
                .out
                .expose_text()
                .ok()
                .and_then(listing::parse)
                .ok_or_else(|| member.failed("its program printed something else than a listing".to_owned())),
            Some(script::NO_FOLDER) => {
                Err(member.failed("there is no such folder, or it may not be entered".to_owned()))
            }
            Some(script::CHANGED) => {
                let Node { name, place } = member.node.clone();
                Err(KeyringError::Changed { node: name, place })
            }
            Some(code) => Err(member.failed(format!("its program ended with {code}{}", first_line(&output.err)))),
            None => Err(member.failed("its program was ended by a signal".to_owned())),
        }
    }

    /// Leaves nothing on old keys.
    async fn before_prune(&self, member: &Member) -> Result<(), KeyringError> {
        let words: Vec<&str> = self.rules.before_prune.iter().map(String::as_str).collect();
        let Some(program) = words.first() else { return Ok(()) };
        match self.run(member, &words, None).await?.code {
            Some(0) => Ok(()),
            // What it said is left out: it may have looked at a secret.
            Some(code) => Err(member.failed(format!("{program} ended with {code}, so no key goes"))),
            None => Err(member.failed(format!("{program} was ended by a signal, so no key goes"))),
        }
    }
}

impl Member {
    fn failed(&self, what: String) -> KeyringError {
        let Node { name, place } = self.node.clone();
        KeyringError::Failed { node: name, place, what }
    }
}

#[async_trait]
impl Keyring for KeyRepository {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn life(&self) -> Duration {
        self.rules.life
    }

    fn most(&self) -> usize {
        self.rules.most
    }

    async fn read(&self, node: &Node) -> Result<Reading, KeyringError> {
        self.tell(self.member(node)?, &listing::question()).await
    }

    async fn write(
        &self,
        node: &Node,
        act: Act,
        haste: Haste,
        wanted: &Repository,
        known: &[&Repository],
    ) -> Result<Reading, KeyringError> {
        let member = self.member(node)?;
        let refused = |source| KeyringError::Refused { node: node.name.clone(), source };
        let before = self.read(node).await?;
        let known = known.iter().flat_map(|repository| repository.ring().0.into_values()).collect();
        let changes = keyring::changes(act, &before.ring, &wanted.ring(), &known).map_err(refused)?;
        if changes.is_empty() {
            return Ok(before);
        }
        if changes.iter().any(|change| matches!(change, Change::Drop(_))) {
            if haste == Haste::Outlived {
                let life = i64::try_from(self.rules.life.as_secs()).unwrap_or(i64::MAX);
                keyring::outlived(&changes, &before.since, before.now, life).map_err(refused)?;
            }
            self.before_prune(member).await?;
        }
        let order = listing::order(&before.ring, &changes, wanted)
            .ok_or_else(|| member.failed("a key to write is not in the repository".to_owned()))?;
        let after = self.tell(member, &order).await?;
        match after.ring == changed(before.ring, &changes, &wanted.ring()) {
            true => Ok(after),
            false => Err(member.failed("it holds something else than what was written".to_owned())),
        }
    }
}

/// What a node holds once these changes are made.
fn changed(mut ring: Ring, changes: &[Change], wanted: &Ring) -> Ring {
    for change in changes {
        match change {
            Change::Put { at, key } => ring.0.extend(wanted.0.get(key).map(|print| (*at, *print))),
            Change::Drop(index) => drop(ring.0.remove(index)),
        }
    }
    ring
}

fn first_line(err: &str) -> String {
    err.lines().next().map_or_else(String::new, |line| format!(": {}", line.chars().take(200).collect::<String>()))
}
