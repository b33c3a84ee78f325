//! A site of the campaign: MariaDB behind a proxy, OpenBao behind another, two brokers, and a client that sees it from outside.

use super::{
    broker::Broker,
    outside::{Gate, NEAR},
    store::{SITE, Store},
};
use crate::{
    galera,
    mariadb::{MariaDb, native_hash},
    openbao::OpenBao,
    proxy::Proxy,
    wire::Wire,
};
use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf};
use tempfile::TempDir;

/// Everything that a fault can meet.
pub(super) struct Site {
    /// The servers: one, or a cluster of three.
    pub(super) nodes: Vec<MariaDb>,
    /// Before all of them.
    pub(super) proxy: Proxy,
    /// The store's server.
    pub(super) vault: OpenBao,
    /// Before it.
    pub(super) wire: Wire,
    /// The store as anybody sees it.
    pub(super) store: Store,
    /// The servers as anybody sees them.
    pub(super) gates: Vec<Gate>,
    /// The broker that rotates.
    pub(super) broker: Broker,
    /// Another one on the same store.
    pub(super) other: Broker,
    /// Where the store's data lies, if that is a small disk of its own.
    pub(super) disk: Option<PathBuf>,
    /// A node that clients cannot rely on now: paused, or outside the primary component.
    pub(super) away: Option<usize>,
    folder: TempDir,
}

/// Each secret with the user whose accounts accept it.
pub(super) const ACCOUNTS: [(&str, &str); 2] = [("database_password", "root"), ("nova_database_password", "nova")];

/// The host entries of a user.
pub(super) fn account_hosts(user: &str) -> &'static [&'static str] {
    if user == "root" { &["localhost", NEAR, "%"] } else { &["localhost", "%"] }
}

impl Site {
    /// Starts one. `disk` is a small one for the store, where there is one.
    pub(super) async fn start(clustered: bool, disk: Option<PathBuf>) -> Self {
        let setup = accounts();
        let statements: Vec<&str> = setup.iter().map(String::as_str).collect();
        let nodes: Vec<MariaDb> = if clustered {
            galera::start(&statements).await.into()
        } else {
            let server = MariaDb::start_with(&["--max-connect-errors=1000000"]).await;
            for statement in &statements {
                server.sql(statement).await;
            }
            vec![server]
        };
        let folder = tempfile::Builder::new().prefix("campaign.").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let data = disk.as_ref().map_or_else(|| folder.path().join("vault"), |disk| disk.join("vault"));
        // A former site's data may lie on the small disk.
        let _ = std::fs::remove_dir_all(&data);
        let vault = OpenBao::start_on(&data).await;
        let address = &vault.address().url;
        let port: u16 = address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        let wire = Wire::before(([127, 0, 0, 1], port).into()).await;
        // EXPOSE: the root token of a server that lives for one site
        let token = vault.root().expose_text().unwrap().to_owned();
        let store = Store::new(address, &vault.authority(), &token);
        let environment = [
            ("BAO_ADDR", format!("https://127.0.0.1:{}", wire.port)),
            ("BAO_CACERT", vault.authority().display().to_string()),
            ("DONJON_MOUNT", "kv".to_owned()),
        ];
        let (broker, other) = (Broker::new(&environment, &token), Broker::new(&environment, &token));
        let mut proxy = Proxy::unix(&folder.path().join("n0"), nodes[0].socket()).await;
        let mut described = Vec::new();
        let mut gates = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let socket = folder.path().join(format!("n{number}"));
            if number > 0 {
                proxy.and_unix(&socket, node.socket());
            }
            let port = proxy.and_tcp(([127, 0, 0, 1], node.port).into()).await;
            described
                .push(format!("{{name: n{number}, address: 127.0.0.1, port: {port}, socket: {}}}", socket.display()));
            gates.push(Gate::to(node).await);
        }
        let mut site = Self { nodes, proxy, vault, wire, store, gates, broker, other, disk, away: None, folder };
        let yaml = site.described(&described.join(", "));
        site.broker.describe(&yaml);
        site.other.describe(&yaml);
        std::fs::create_dir(site.service()).unwrap();
        donjon_drivers::fs::replace(&site.service().join("restarts"), b"").unwrap();
        donjon_drivers::fs::replace(&site.service().join("refuse"), b"0\n").unwrap();
        site.broker.start("");
        for (secret, user) in ACCOUNTS {
            site.broker.put(secret, &first(user));
        }
        site
    }

    /// Whether a node is one that clients use now.
    pub(super) fn takes_part(&self, number: usize) -> bool {
        self.away != Some(number)
    }

    /// The folder of the service that consumes.
    pub(super) fn service(&self) -> PathBuf {
        self.folder.path().join("service")
    }

    /// How often its instances were restarted.
    pub(super) fn restarts(&self) -> usize {
        std::fs::read_to_string(self.service().join("restarts")).unwrap_or_default().lines().count()
    }

    /// From now on the next restart ends with a check that fails; those after it do not.
    pub(super) fn refuse_next(&self) {
        let number = format!("{}\n", self.restarts() + 1);
        donjon_drivers::fs::replace(&self.service().join("refuse"), number.as_bytes()).unwrap();
    }

    fn described(&self, nodes: &str) -> String {
        let at = self.service().display().to_string();
        let restart = format!("date +%s%6N > {at}/started; echo $(cat {at}/started) >> {at}/restarts");
        let check = format!("test $(wc -l < {at}/restarts) -ne $(cat {at}/refuse)");
        let views: String = ACCOUNTS
            .iter()
            .map(|(secret, user)| format!("  {user}_url: 'mysql+pymysql://{user}:{{{secret}:url}}@127.0.0.1/{user}'\n"))
            .collect();
        format!(
            "deployment: {SITE}\nhosts: {{h1: {{driver: local}}, h2: {{driver: local}}}}\n\
             targets:\n  mariadb: {{driver: mariadb, connect_timeout: 2, statement_timeout: 2, nodes: [{nodes}]}}\n\
             services:\n  api: {{driver: command, hosts: [h1, h2], settle: 1, proof: check, uses: [{}], \
             restart: [sh, -c, {restart:?}], started: [cat, {at}/started], check: [sh, -c, {check:?}]}}\n\
             views:\n{views}",
            super::outside::CONSUMED,
        )
    }
}

/// The first value of a user.
fn first(user: &str) -> String {
    format!("the-first-value-of-{user}-4711")
}

fn accounts() -> Vec<String> {
    let one = |user: &str, host: &str| {
        let name = format!("{user}@'{host}'");
        [
            format!("CREATE USER IF NOT EXISTS {name}"),
            format!("ALTER USER {name} IDENTIFIED VIA mysql_native_password USING '{}'", native_hash(&first(user))),
            format!("GRANT ALL ON *.* TO {name} WITH GRANT OPTION"),
        ]
    };
    ACCOUNTS
        .iter()
        .flat_map(|(_, user)| account_hosts(user).iter().flat_map(move |host| one(user, host)))
        .chain(["SET GLOBAL max_connect_errors = 1000000".to_owned()])
        .collect()
}
