//! The options of the driver `command`.

use super::{Command, Settings};
use crate::{
    options::{Description, Kind, Need},
    registry::{Driver, typed},
    target::{
        Node, Sessions, Target, Twins,
        described::{NAME, each_once},
        registry::Place,
    },
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The driver `command`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
    name: "command",
    help: "anything that a program of your own speaks for, by lines and frames on its standard input and output",
    options: &[
        Description {
            name: "program",
            kind: Kind::Words,
            need: Need::Required,
            help: "the program and its arguments; values are never among them",
        },
        Description {
            name: "nodes",
            kind: Kind::Maps(&[
                NAME,
                Description {
                    name: "address",
                    kind: Kind::Like("10.0.0.11"),
                    need: Need::Required,
                    help: "where it is",
                },
            ]),
            need: Need::Required,
            help: "every node; the program is asked about each by itself",
        },
        Description {
            name: "values_at_once",
            kind: Kind::Number(1, 16),
            need: Need::Number(1),
            help: "how many values an account can accept at once",
        },
        Description {
            name: "twins",
            kind: Kind::Switch,
            need: Need::Optional,
            help: "whether it understands `twin` and `remove`; it does not where this is left out",
        },
        Description {
            name: "sessions",
            kind: Kind::Switch,
            need: Need::Optional,
            help: "whether it understands `mark`, `sessions` and `end-sessions`; it does not where this is left out",
        },
        Description {
            name: "timeout",
            kind: Kind::Number(1, 3600),
            need: Need::Number(30),
            help: "how long one answer may take, in seconds",
        },
    ],
    open: |Place { name: target, .. }, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        let settings = Settings {
            target,
            program: options.program,
            values_at_once: options.values_at_once,
            twins: if options.twins { Twins::Yes } else { Twins::No },
            sessions: if options.sessions { Sessions::Told } else { Sessions::Untold },
            within: Duration::from_secs(options.timeout),
        };
        let nodes = options.nodes.into_iter().map(|node| Node { name: node.name, address: node.address }).collect();
        Ok(Arc::new(Command::new(nodes, settings)))
    },
};

#[derive(Deserialize)]
struct Options {
    program: Vec<String>,
    nodes: Vec<Named>,
    values_at_once: usize,
    #[serde(default)]
    twins: bool,
    #[serde(default)]
    sessions: bool,
    timeout: u64,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    address: String,
}
