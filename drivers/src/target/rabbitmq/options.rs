//! The options of the driver `rabbitmq`.

use super::{Limits, Member, RabbitMq};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{
        Target,
        described::{ADDRESS, NAME, each_once},
        registry::Place,
    },
};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The driver `rabbitmq`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
    name: "rabbitmq",
    help: "RabbitMQ 3.8 or newer with its management plugin, alone or as a cluster",
    options: &[
        Description {
            name: "nodes",
            kind: Kind::Maps(NODE),
            need: Need::Required,
            help: "every node, not the address that a load balancer has for them",
        },
        Description {
            name: "answer_timeout",
            kind: Kind::Number(1, 300),
            need: Need::Number(10),
            help: "how long a login or one answer of the API may take, in seconds",
        },
        Description {
            name: "statistics_timeout",
            kind: Kind::Number(1, 600),
            need: Need::Number(30),
            help: "how long to wait until a connection is listed with its time, in seconds; more than \
                   collect_statistics_interval",
        },
    ],
    open: |_, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        let limits = Limits {
            answer: Duration::from_secs(options.answer_timeout),
            statistics: Duration::from_secs(options.statistics_timeout),
        };
        Ok(Arc::new(RabbitMq::new(options.nodes.into_iter().map(Node::member).collect(), limits)))
    },
};

const NODE: &[Description] = &[
    NAME,
    ADDRESS,
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(5672), help: "its port for AMQP" },
    Description {
        name: "management_port",
        kind: Kind::Number(1, 65535),
        need: Need::Number(15672),
        help: "its port for the management API",
    },
    Description {
        name: "tls_ca",
        kind: Kind::Path,
        need: Need::Optional,
        help: "the authority that signed its certificate, for both ports; without it, both are in clear",
    },
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<Node>,
    answer_timeout: u64,
    statistics_timeout: u64,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    address: String,
    port: u16,
    management_port: u16,
    tls_ca: Option<PathBuf>,
}

impl Node {
    fn member(self) -> Member {
        let Self { name, address, port, management_port, tls_ca } = self;
        Member { name, address, port, management_port, tls_ca }
    }
}
