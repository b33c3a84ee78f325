//! The server's configuration file.

use super::{binary::Flavour, custody::Mode, place::Place};
use serde_json::{Value, json};

/// The two ports of the server, both on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ports {
    /// The API.
    pub api: u16,
    /// Raft, which insists on one though it is alone.
    pub cluster: u16,
}

impl Ports {
    /// Two that are free now.
    pub(super) fn free() -> std::io::Result<Self> {
        let one = std::net::TcpListener::bind("127.0.0.1:0")?;
        let two = std::net::TcpListener::bind("127.0.0.1:0")?;
        Ok(Self { api: one.local_addr()?.port(), cluster: two.local_addr()?.port() })
    }

    /// Whether both are free now.
    pub(super) fn are_free(self) -> bool {
        [self.api, self.cluster].iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
    }

    /// The address of the API.
    pub(super) fn url(self) -> String {
        format!("https://127.0.0.1:{}", self.api)
    }
}

/// On which way the broker talks to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Over the server's socket: no handshake, and nobody else on this host comes near it. The broker's credential is bound to
    /// no address then, since a socket has none.
    Socket,
    /// Over TLS on loopback, as of a server that was made before there was the other, or that is not known to have it.
    #[default]
    Network,
}

impl Reach {
    /// The one for a server that is about to be made.
    pub(super) fn of(flavour: Flavour, place: &Place) -> Self {
        let fits = place.socket().as_os_str().len() <= LONGEST_SOCKET;
        if flavour == Flavour::OpenBao && fits { Self::Socket } else { Self::Network }
    }
}

/// How soon raft's only node elects itself when the storage is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Election {
    /// After 0.2 to 0.4 s.
    Quick,
    /// After 1 to 2 s.
    Documented,
}

impl Election {
    /// The value of `performance_multiplier`.
    ///
    /// The smallest that is documented is 1: a random 1 to 2 s in which a node that is alone waits for a leader that
    /// cannot come. The server multiplies 1 s by it in 64-bit arithmetic that wraps around, so the inverse of 5 modulo
    /// 2^64 makes that a fifth of a second. There is one voter, so nothing else depends on it. A server that refuses
    /// the number ends at once, and is started with the documented one.
    fn multiplier(self) -> &'static str {
        match self {
            Self::Quick => "57646075230342349",
            Self::Documented => "1",
        }
    }
}

/// Writes the configuration for one start. It holds no secret: the server's key comes on its standard input.
pub(super) fn render(
    place: &Place,
    ports: Ports,
    flavour: Flavour,
    (mode, reach): (Mode, Reach),
    election: Election,
) -> Value {
    let tcp = json!({
        "address": format!("127.0.0.1:{}", ports.api),
        "cluster_address": format!("127.0.0.1:{}", ports.cluster),
        "tls_cert_file": place.certificate(),
        "tls_key_file": "/proc/self/fd/0",
        "tls_min_version": "tls13",
    });
    let mut listeners = vec![json!({"tcp": tcp})];
    if mode == Mode::Custodians || reach == Reach::Socket {
        let mut unix = json!({"address": place.socket(), "tls_disable": true});
        // Anybody who reaches these endpoints can cancel what custodians do, so only the owner of the folder can.
        if mode == Mode::Custodians && flavour == Flavour::OpenBao {
            unix["disable_unauthed_generate_root_endpoints"] = json!(false);
        }
        listeners.push(json!({"unix": unix}));
    }
    let mut configuration = json!({
        "storage": {"raft": {
            "path": place.storage(),
            "node_id": "donjon",
            "performance_multiplier": election.multiplier(),
            // A record holds its value twice, in hex and as text.
            "max_entry_size": "16777216",
            "max_transaction_size": "33554432",
        }},
        "listener": listeners,
        "api_addr": ports.url(),
        "cluster_addr": format!("https://127.0.0.1:{}", ports.cluster),
        "ui": false,
        "log_level": "info",
        "raw_storage_endpoint": false,
    });
    match flavour {
        Flavour::OpenBao => {
            // HCL reads an object with one key as a longer name, so there is a second key.
            let device = json!({"description": "all that is asked of this server", "options": audit_options(place)});
            configuration["audit"] = json!([{"file": {"donjon": device}}]);
        }
        // OpenBao has no mlock any more; Vault refuses to start with raft unless it is told.
        Flavour::HashiCorp => configuration["disable_mlock"] = json!(true),
    }
    configuration
}

/// The audit device's options, which HashiCorp Vault takes by API.
pub(super) fn audit_options(place: &Place) -> Value {
    json!({"file_path": place.audit(), "mode": "0600"})
}

/// The longest path of a socket, without the byte that ends it.
const LONGEST_SOCKET: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_election_is_a_fifth_of_a_second() {
        let second: i64 = 1_000_000_000;
        let multiplier: i64 = Election::Quick.multiplier().parse().unwrap();
        assert_eq!(second.wrapping_mul(multiplier), second / 5);
        assert_eq!((second / 2).wrapping_mul(multiplier), second / 10, "the leader's lease is half a second");
    }

    #[test]
    fn the_socket_is_for_a_server_that_is_known_to_have_one_and_a_path_that_fits() {
        let of = |flavour, length| {
            let home = format!("/{}", "h".repeat(length - "//vault/api.sock".len()));
            Reach::of(flavour, &Place::new(&std::path::Path::new(&home).join("vault")))
        };
        assert_eq!(of(Flavour::OpenBao, 107), Reach::Socket);
        assert_eq!(of(Flavour::OpenBao, 108), Reach::Network);
        assert_eq!(of(Flavour::HashiCorp, 50), Reach::Network);
        assert_eq!(serde_json::to_value(Reach::Socket).unwrap(), "socket");
    }

    #[test]
    fn endpoints_without_a_credential_are_on_the_socket_alone_and_only_for_custodians() {
        let place = Place::new(std::path::Path::new("/h/vault"));
        let ports = Ports { api: 1, cluster: 2 };
        let open = "disable_unauthed_generate_root_endpoints";
        let rendered = |mode, reach| render(&place, ports, Flavour::OpenBao, (mode, reach), Election::Quick);
        let host = rendered(Mode::Host, Reach::Socket);
        assert!(!host.to_string().contains(open));
        assert_eq!(host["listener"][1]["unix"]["address"], "/h/vault/api.sock");
        assert_eq!(rendered(Mode::Host, Reach::Network)["listener"].as_array().map(Vec::len), Some(1));
        let custodians = rendered(Mode::Custodians, Reach::Network);
        assert_eq!(custodians["listener"][1]["unix"][open], false);
        assert!(custodians["listener"][0]["tcp"].get(open).is_none());
    }
}
