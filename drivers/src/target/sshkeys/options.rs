//! The options of the driver `sshkeys`.

use super::{Member, Settings, SshKeys};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{
        Target,
        described::{NAME, each_once},
        registry::Place,
    },
};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The driver `sshkeys`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
    name: "sshkeys",
    help: "authorized_keys of users on hosts that OpenSSH reaches; the administrator's value is a key too",
    options: &[
        Description { name: "nodes", kind: Kind::Maps(NODE), need: Need::Required, help: "every host" },
        Description {
            name: "file",
            kind: Kind::Text,
            need: Need::Text(".ssh/authorized_keys"),
            help: "where a user's keys are: in the home, or absolute with %u for the user's name",
        },
        Description {
            name: "known_hosts",
            kind: Kind::Path,
            need: Need::Optional,
            help: "the file of hosts' keys; a host that is not in it is not believed",
        },
        Description {
            name: "config",
            kind: Kind::Path,
            need: Need::Optional,
            help: "OpenSSH's configuration file, such as for a jump host; without it, none is read",
        },
        Description {
            name: "before",
            kind: Kind::Words,
            need: Need::Optional,
            help: "words before each of the administrator's commands, such as [sudo, -n, --]",
        },
        Description {
            name: "answer_timeout",
            kind: Kind::Number(1, 300),
            need: Need::Number(10),
            help: "how long connecting may take, and the command again, in seconds",
        },
    ],
    open: |Place { name, .. }, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        let settings = Settings {
            mark: format!("donjon:{name}"),
            file: options.file,
            known_hosts: options.known_hosts,
            config: options.config,
            before: options.before,
            answer: Duration::from_secs(options.answer_timeout),
        };
        Ok(Arc::new(SshKeys::new(options.nodes.into_iter().map(Node::member).collect(), settings)))
    },
};

const NODE: &[Description] = &[
    NAME,
    Description {
        name: "address",
        kind: Kind::Like("10.0.0.11"),
        need: Need::Required,
        help: "its name, address or alias",
    },
    Description { name: "port", kind: Kind::Number(1, 65535), need: Need::Number(22), help: "its port" },
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<Node>,
    file: String,
    known_hosts: Option<PathBuf>,
    config: Option<PathBuf>,
    #[serde(default)]
    before: Vec<String>,
    answer_timeout: u64,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    address: String,
    port: u16,
}

impl Node {
    fn member(self) -> Member {
        let Self { name, address, port } = self;
        Member { name, address, port }
    }
}
