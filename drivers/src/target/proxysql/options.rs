//! The options of the driver `proxysql`.

use super::{Member, ProxySql};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{
        Target,
        described::{ADDRESS, CONNECT_TIMEOUT, NAME, STATEMENT_TIMEOUT, TLS_CA, each_once},
        mariadb::Limits,
        registry::Place,
    },
};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The driver `proxysql`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
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
        CONNECT_TIMEOUT,
        STATEMENT_TIMEOUT,
    ],
    open: |_, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        let limits = Limits {
            connect: Duration::from_secs(options.connect_timeout),
            statement: Duration::from_secs(options.statement_timeout),
        };
        let values_at_once = if options.additional_password { 2 } else { 1 };
        Ok(Arc::new(ProxySql::new(options.nodes.into_iter().map(Node::member).collect(), values_at_once, limits)))
    },
};

const NODE: &[Description] = &[
    NAME,
    ADDRESS,
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(6033), help: "its port for clients" },
    Description {
        name: "admin_port",
        kind: Kind::Number(1, 65535),
        need: Need::Number(6032),
        help: "the port of its admin interface",
    },
    TLS_CA,
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
