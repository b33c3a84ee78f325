//! The options of the driver `keystone`.

use super::{Administration, Keystone, Limits, Lockout, Member, Scope};
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

/// The driver `keystone`.
pub(in crate::target) const DRIVER: Driver<Place, Arc<dyn Target>> = Driver {
    name: "keystone",
    help: "Keystone users; a change of a value ends every token that the user has, a twin user ends none",
    options: &[
        Description {
            name: "nodes",
            kind: Kind::Maps(NODE),
            need: Need::Required,
            help: "every instance, or the address that a load balancer has for them; they share one database",
        },
        Description {
            name: "domain",
            kind: Kind::Text,
            need: Need::Text("Default"),
            help: "the name of the domain of the users",
        },
        Description {
            name: "admin_domain",
            kind: Kind::Text,
            need: Need::Text("Default"),
            help: "the name of the administrator's domain",
        },
        Description {
            name: "admin_scope",
            kind: Kind::Choice(&["project", "system"]),
            need: Need::Text("project"),
            help: "where the administrator has its rights",
        },
        Description {
            name: "admin_project",
            kind: Kind::Text,
            need: Need::Text("admin"),
            help: "the name of the administrator's project, where that is its scope",
        },
        Description {
            name: "admin_project_domain",
            kind: Kind::Text,
            need: Need::Text("Default"),
            help: "the name of that project's domain",
        },
        Description {
            name: "lockout_attempts",
            kind: Kind::Number(1, 10_000),
            need: Need::Optional,
            help: "the server's `lockout_failure_attempts`, where it has one: fewer wrong values are tried in a row",
        },
        Description {
            name: "lockout_duration",
            kind: Kind::Number(1, 1_000_000),
            need: Need::Number(1800),
            help: "the server's `lockout_duration`, in seconds",
        },
        Description {
            name: "connect_timeout",
            kind: Kind::Number(1, 300),
            need: Need::Number(5),
            help: "how long connecting may take, in seconds",
        },
        Description {
            name: "timeout",
            kind: Kind::Number(1, 3600),
            need: Need::Number(30),
            help: "how long one request may take, in seconds",
        },
    ],
    open: |_, checked| {
        let options: Options = typed(checked)?;
        each_once("nodes", options.nodes.iter().map(|node| node.name.as_str()))?;
        let scope = match options.admin_scope.as_str() {
            "system" => Scope::System,
            _ => Scope::Project { name: options.admin_project, domain: options.admin_project_domain },
        };
        let administration = Administration { domain: options.admin_domain, scope };
        let limits = Limits {
            connect: Duration::from_secs(options.connect_timeout),
            request: Duration::from_secs(options.timeout),
            lockout: options
                .lockout_attempts
                .map(|attempts| Lockout { attempts, lasting: Duration::from_secs(options.lockout_duration) }),
        };
        let members = options.nodes.into_iter().map(Node::member).collect();
        Ok(Arc::new(Keystone::new(members, options.domain, administration, limits)?))
    },
};

const NODE: &[Description] = &[
    NAME,
    Description {
        name: "auth_url",
        kind: Kind::Like("https://keystone.example:5000"),
        need: Need::Required,
        help: "its address; over http:// values travel in clear",
    },
    Description {
        name: "tls_ca",
        kind: Kind::Path,
        need: Need::Optional,
        help: "the authority that signed its certificate; without it, those the system trusts",
    },
];

#[derive(Deserialize)]
struct Options {
    nodes: Vec<Node>,
    domain: String,
    admin_domain: String,
    admin_scope: String,
    admin_project: String,
    admin_project_domain: String,
    lockout_attempts: Option<usize>,
    lockout_duration: u64,
    connect_timeout: u64,
    timeout: u64,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    auth_url: String,
    tls_ca: Option<PathBuf>,
}

impl Node {
    fn member(self) -> Member {
        let Self { name, auth_url, tls_ca } = self;
        Member { name, auth_url, tls_ca }
    }
}
