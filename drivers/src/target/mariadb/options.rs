//! The options of the driver `mariadb`.

use super::{Limits, Log, MariaDb, Member};
use crate::{
    host::registry::ByName,
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{
        Target,
        described::{ADDRESS, CONNECT_TIMEOUT, NAME, STATEMENT_TIMEOUT, each_once},
        registry::Place,
    },
};
use donjon_policies::deployment::LOCAL;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The driver `mariadb`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
    name: "mariadb",
    help: "MariaDB 10.4 or newer, alone or as a Galera cluster",
    options: &[
        Description {
            name: "nodes",
            kind: Kind::Maps(NODE),
            need: Need::Required,
            help: "every node, not the address that a load balancer has for them",
        },
        CONNECT_TIMEOUT,
        STATEMENT_TIMEOUT,
    ],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        let limits = Limits {
            connect: Duration::from_secs(options.connect_timeout),
            statement: Duration::from_secs(options.statement_timeout),
        };
        let members = options.nodes.into_iter().map(|node| node.member(&place.hosts)).collect::<Result<_, _>>()?;
        Ok(Arc::new(MariaDb::new(members, limits)))
    },
};

const NODE: &[Description] = &[
    NAME,
    ADDRESS,
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(3306), help: "its port" },
    Description {
        name: "socket",
        kind: Kind::Path,
        need: Need::Optional,
        help: "its own socket; only from there can user@localhost be proven",
    },
    Description {
        name: "host",
        kind: Kind::Choice(&["local"]),
        need: Need::Text("local"),
        help: "the host on which that socket lies; only the deployment host itself for now",
    },
    Description {
        name: "log",
        kind: Kind::Path,
        need: Need::Optional,
        help: "its error log: tells who still knocks with an old value",
    },
    Description {
        name: "log_host",
        kind: Kind::Text,
        need: Need::Text("local"),
        help: "the host, of those under `hosts`, on which that log lies",
    },
    Description {
        name: "tls_ca",
        kind: Kind::Path,
        need: Need::Optional,
        help: "the authority that signed its certificate; without it, TCP connections are in clear",
    },
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<Node>,
    connect_timeout: u64,
    statement_timeout: u64,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    address: String,
    port: u16,
    socket: Option<PathBuf>,
    log: Option<PathBuf>,
    log_host: String,
    tls_ca: Option<PathBuf>,
}

impl Node {
    fn member(self, hosts: &ByName) -> Result<Member, String> {
        let Self { name, address, port, socket, log, log_host, tls_ca } = self;
        let log = match log {
            Some(log) if log_host != LOCAL => {
                let host = hosts(&log_host).map_err(|why| format!("the log of `{name}`: {why}"))?;
                Some(Log::On { host, name: log_host, path: log.to_string_lossy().into_owned() })
            }
            here => here.map(Log::Here),
        };
        Ok(Member { name, address, port, socket, log, tls_ca })
    }
}
