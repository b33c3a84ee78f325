//! The options of the driver `redis`.

use super::{Limits, Member, Redis, Sentinel};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{
        Target,
        described::{ADDRESS, NAME, TLS_CA, each_once},
        registry::Place,
    },
};
use donjon_policies::name::SecretName;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The driver `redis`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
    name: "redis",
    help: "Redis 6 or newer, or Valkey, alone or with replicas",
    options: &[
        Description {
            name: "nodes",
            kind: Kind::Maps(NODE),
            need: Need::Required,
            help: "every node, replicas too: none of them learns of users from another",
        },
        Description {
            name: "sentinels",
            kind: Kind::Maps(SENTINEL),
            need: Need::Optional,
            help: "every sentinel that watches these nodes: each is told what it logs in with",
        },
        Description {
            name: "answer_timeout",
            kind: Kind::Number(1, 300),
            need: Need::Number(5),
            help: "how long connecting or one answer may take, in seconds",
        },
    ],
    open: |_, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        each_once("sentinels", options.sentinels.iter().map(|sentinel| sentinel.node.name.as_str()))?;
        let limits = Limits { answer: Duration::from_secs(options.answer_timeout) };
        let sentinel = |watcher: Watcher| Sentinel {
            member: watcher.node.member(),
            master: watcher.master,
            secret: watcher.secret,
        };
        let redis = Redis::new(options.nodes.into_iter().map(Node::member).collect(), limits);
        Ok(Arc::new(redis.watched_by(options.sentinels.into_iter().map(sentinel).collect())))
    },
};

const NODE: &[Description] = &[
    NAME,
    ADDRESS,
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(6379), help: "its port" },
    TLS_CA,
];

const SENTINEL: &[Description] = &[
    NAME,
    ADDRESS,
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(26379), help: "its port" },
    Description {
        name: "master",
        kind: Kind::Like("mymaster"),
        need: Need::Optional,
        help: "by which name it watches these nodes; all that it watches where not given",
    },
    Description {
        name: "secret",
        kind: Kind::Like("redis_sentinel_password"),
        need: Need::Optional,
        help: "the secret that holds its own password (requirepass), where it asks for one",
    },
    TLS_CA,
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<Node>,
    #[serde(default)]
    sentinels: Vec<Watcher>,
    answer_timeout: u64,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    address: String,
    port: u16,
    tls_ca: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Watcher {
    #[serde(flatten)]
    node: Node,
    master: Option<String>,
    secret: Option<SecretName>,
}

impl Node {
    fn member(self) -> Member {
        let Self { name, address, port, tls_ca } = self;
        Member { name, address, port, tls_ca }
    }
}
