//! The options of the driver `haproxy`, and how it is opened with them.

use super::{
    channel::{Channel, Way},
    server::Server,
};
use crate::{
    drain::{Drain, registry::Place},
    options::{Description, Kind, Need},
    registry::{Driver, typed},
};
use donjon_policies::deployment::LOCAL;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The driver `haproxy`.
pub(in crate::drain) const DRIVER: Driver<Place, Arc<dyn Drain>> = Driver {
    name: "haproxy",
    help: "servers of HAProxy, by its runtime socket",
    options: &[
        Description {
            name: "backend",
            kind: Kind::Like("keystone_internal_back"),
            need: Need::Required,
            help: "its backend",
        },
        Description {
            name: "server",
            kind: Kind::Text,
            need: Need::Text("{host}"),
            help: "the server in it, where {host} stands for the host's name",
        },
        Description {
            name: "proxies",
            kind: Kind::Maps(PROXY),
            need: Need::Required,
            help: "each HAProxy that leads clients there",
        },
        Description {
            name: "leave",
            kind: Kind::Number(0, 3600),
            need: Need::Number(30),
            help: "how long clients may take to leave, in seconds",
        },
        Description {
            name: "well",
            kind: Kind::Number(1, 3600),
            need: Need::Number(60),
            help: "how long HAProxy may take to see it well again, in seconds",
        },
    ],
    open: |place, checked| {
        let options: Options = typed(checked)?;
        let server = options.server.replace("{host}", &place.host_name);
        for name in [&options.backend, &server] {
            // A blank, a semicolon or a slash would make another command of it.
            if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || ";/\\#".contains(c)) {
                return Err(format!("`{name}` is no name of a backend or server"));
            }
        }
        let proxies: Result<_, _> = options.proxies.into_iter().map(|proxy| proxy.channel(&place)).collect();
        Ok(Arc::new(Server {
            backend: options.backend,
            server,
            proxies: proxies?,
            leave: Duration::from_secs(options.leave),
            well: Duration::from_secs(options.well),
        }))
    },
};

const PROXY: &[Description] = &[
    Description {
        name: "socket",
        kind: Kind::Text,
        need: Need::Required,
        help: "its runtime socket: an absolute path, or address:port",
    },
    Description {
        name: "host",
        kind: Kind::Text,
        need: Need::Optional,
        help: "the host of the socket, where that is not the deployment host",
    },
    Description {
        name: "relay",
        kind: Kind::Words,
        need: Need::Optional,
        help: "a program on that host that passes its input to the socket, such as [socat, -, /run/haproxy.sock]",
    },
];

#[derive(Debug, Deserialize)]
struct Options {
    backend: String,
    server: String,
    proxies: Vec<Proxy>,
    leave: u64,
    well: u64,
}

#[derive(Debug, Deserialize)]
struct Proxy {
    socket: String,
    host: Option<String>,
    relay: Option<Vec<String>>,
}

impl Proxy {
    fn channel(self, place: &Place) -> Result<Channel, String> {
        let Self { socket, host, relay } = self;
        let on = |name: &str| {
            let host = place.hosts.get(name).cloned();
            host.ok_or_else(|| format!("a proxy is on `{name}`, which is not under `hosts`"))
        };
        let is_path = socket.starts_with('/');
        let name = match &host {
            Some(host) => format!("HAProxy at {socket} on {host}"),
            None => format!("HAProxy at {socket}"),
        };
        let way = match (host, relay) {
            (host, Some(words)) => Way::Relay(on(host.as_deref().unwrap_or(LOCAL))?, words),
            (Some(host), None) if is_path => {
                let words = ["python3", "-c", RELAY, &socket].map(str::to_owned);
                Way::Relay(on(&host)?, words.into())
            }
            (None, None) if is_path => Way::Unix(socket.into()),
            (None, None) => match socket.rsplit_once(':').map(|(address, port)| (address, port.parse())) {
                Some((address, Ok(port))) => Way::Tcp(address.trim_matches(['[', ']']).to_owned(), port),
                _ => return Err(format!("`{socket}` is neither an absolute path nor address:port")),
            },
            (Some(_), None) => return Err(format!("`{socket}` on a host is no absolute path")),
        };
        Ok(Channel { name, way })
    }
}

/// Passes its input to a socket, and what comes back to its output.
const RELAY: &str = "import socket,sys
s=socket.socket(socket.AF_UNIX);s.settimeout(10);s.connect(sys.argv[1]);s.sendall(sys.stdin.buffer.read())
while 1:
 b=s.recv(65536)
 if not b:break
 sys.stdout.buffer.write(b)";
