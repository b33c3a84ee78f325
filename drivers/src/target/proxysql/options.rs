//! The options of the driver `proxysql`.

use super::{Member, ProxySql};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{Target, mariadb::Limits},
};
use serde::Deserialize;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

/// The driver `proxysql`.
pub(in crate::target) const DRIVER: Driver<String, Arc<dyn Target>> = Driver {
    name: "proxysql",
    help: "ProxySQL in front of MariaDB, changed through its admin interface",
    options: &[
        Description {
            name: "nodes",
            kind: Kind::Maps(NODE),
            need: Need::Required,
            help: "every proxy, not the address that a load balancer has for them",
        },
        Description {
            name: "additional_password",
            kind: Kind::Switch,
            need: Need::Optional,
            help: "whether it accepts a second password of a user (`attributes`, ProxySQL 3)",
        },
        Description {
            name: "connect_timeout",
            kind: Kind::Number(1, 300),
            need: Need::Number(5),
            help: "how long connecting and logging in may take, in seconds",
        },
        Description {
            name: "statement_timeout",
            kind: Kind::Number(1, 3600),
            need: Need::Number(15),
            help: "how long one statement may take, in seconds",
        },
    ],
    open: |_, checked| {
        let options: Options = typed(checked)?;
        let mut names = BTreeSet::new();
        if let Some(twice) = options.nodes.iter().find(|node| !names.insert(&node.name)) {
            return Err(format!("two nodes are called `{}`", twice.name));
        }
        let limits = Limits {
            connect: Duration::from_secs(options.connect_timeout),
            statement: Duration::from_secs(options.statement_timeout),
        };
        let values_at_once = if options.additional_password { 2 } else { 1 };
        Ok(Arc::new(ProxySql::new(options.nodes.into_iter().map(Node::member).collect(), values_at_once, limits)))
    },
};

const NODE: &[Description] = &[
    Description { name: "name", kind: Kind::Text, need: Need::Required, help: "its name" },
    Description {
        name: "address",
        kind: Kind::Text,
        need: Need::Required,
        help: "where it listens: a name or address",
    },
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(6033), help: "its port for clients" },
    Description {
        name: "admin_port",
        kind: Kind::Number(1, 65535),
        need: Need::Number(6032),
        help: "the port of its admin interface",
    },
    Description {
        name: "tls_ca",
        kind: Kind::Path,
        need: Need::Optional,
        help: "the authority that signed its certificate; without it, connections are in clear",
    },
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<Node>,
    #[serde(default)]
    additional_password: bool,
    connect_timeout: u64,
    statement_timeout: u64,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    address: String,
    port: u16,
    admin_port: u16,
    tls_ca: Option<PathBuf>,
}

impl Node {
    fn member(self) -> Member {
        let Self { name, address, port, admin_port, tls_ca } = self;
        Member { name, address, port, admin_port, tls_ca }
    }
}
