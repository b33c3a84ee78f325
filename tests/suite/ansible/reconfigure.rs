//! The real `kolla-ansible deploy` and `reconfigure` of Keystone, before and after `donjon wire kolla --runtime`: on a node with
//! systemd and podman, by kolla's own modules, units and scripts. The Keystone in kolla's container reads its secrets itself.
//!
//! Real: kolla-ansible, its toolbox with the modules that it runs there, Keystone under uWSGI, MariaDB, OpenBao, the reader, castellan.
//! Not kolla's: the images, which are of Debian 12, with kolla's scripts from its package and Python packages from PyPI. There
//! is no RabbitMQ, memcached or HAProxy, and Keystone does without.

use super::{
    genconfig::{Operator, Serving},
    site::Search,
};
use donjon_tests::{kolla::Node, mariadb::MariaDb, port, python_driver, wait};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

/// Keystone's user in kolla's images.
const KEYSTONE: &str = "42425";
const SECRET: &str = "keystone_database_password";
const UNIT: &str = "kolla-keystone-container.service";
/// What lines of kolla-ansible have that say why it failed.
const ERRORS: [&str; 4] = ["ERROR", "fatal:", "failed:", "unreachable="];
/// What it and its server say, in kolla's volume of logs.
const LOGS: &str = "/var/lib/containers/storage/volumes/kolla_logs/_data/keystone";
/// Its socket, as the node and its containers see it.
const READER: &str = "unix:///test/reader/s";

struct Site {
    operator: Operator,
    node: Node,
    database: MariaDb,
    port: u16,
    reader_port: u16,
    http: reqwest::Client,
}

impl std::ops::Deref for Site {
    type Target = Operator;
    fn deref(&self) -> &Operator {
        &self.operator
    }
}

impl Site {
    async fn new() -> Self {
        let (database, node) = tokio::join!(MariaDb::start(), Node::boot());
        let operator = Operator::new();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let site = Self { operator, node, database, port: port::free(), reader_port: port::free(), http };
        site.describe();
        site.donjon.up();
        site.donjon.run(&["generate", "--catalogue", "kolla-ansible"]).ok();
        site.database.root_accounts(&site.value("database_password")).await;
        site.configure();
        fs::create_dir(site.node.folder().join("reader")).unwrap();
        site
    }

    /// What is where. kolla sets Keystone up by its container's root, so its role is root's too.
    fn describe(&self) {
        let login = self.node.login();
        let text = |path: Option<PathBuf>| path.expect("it was made").display().to_string();
        self.donjon.describe(&format!(
            "deployment: site1
lookup_socket: {lookup}
roles: {{keystone: {{reads: [{SECRET}, rabbitmq_password], users: [{KEYSTONE}, root]}}}}
hosts:
  node: {{driver: ssh, address: {address}, port: {ssh}, user: root, identity: {identity}, known_hosts: {known}, config: /dev/null}}
targets:
  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {port}, socket: {socket}}}]}}
services:
  keystone: {{driver: systemd, unit: {UNIT}, hosts: [node], uses: [{SECRET}], check: [sh, /test/check.sh]}}
",
            lookup = self.at("lookup.sock").display(),
            address = login.address,
            ssh = login.port.expect("it has one of its own"),
            identity = text(login.identity),
            known = text(login.known_hosts),
            port = self.database.port,
            socket = self.database.socket().display(),
        ));
        // Whom Keystone does not know it has looked for in its database.
        let body = request("nobody", "nothing").to_string();
        let url = format!("http://127.0.0.1:{}/v3/auth/tokens", self.port);
        let check = format!(
            "test \"$(curl -s --retry 60 --retry-delay 1 --retry-all-errors -o /dev/null -w '%{{http_code}}' \
             -H 'Content-Type: application/json' -d '{body}' {url})\" = 401\n"
        );
        donjon_drivers::fs::replace(&self.node.folder().join("check.sh"), check.as_bytes()).unwrap();
    }

    /// kolla's configuration, as an operator has it.
    fn configure(&self) {
        for folder in ["etc/config", "etc/globals.d"] {
            fs::create_dir_all(self.at(folder)).unwrap();
        }
        let off = ["fluentd", "cron", "haproxy", "loadbalancer", "proxysql", "mariadb", "memcached", "rabbitmq"];
        let off: String = off.iter().map(|service| format!("enable_{service}: false\n")).collect();
        let globals = format!(
            "kolla_base_distro: debian\nkolla_container_engine: podman\ndocker_registry: localhost\ndocker_namespace: kolla\n\
             openstack_tag: test\nkolla_internal_vip_address: 127.0.0.1\nnetwork_interface: lo\napi_interface_address: 127.0.0.1\n\
             neutron_external_interface: none\nenable_external_mariadb_load_balancer: true\nenable_container_healthchecks: false\n\
             database_port: {}\nkeystone_internal_port: {port}\nkeystone_public_listen_port: {port}\nkeystone_ssh_port: {}\n\
             openstack_service_workers: 1\nnode_config: {}\n{off}",
            self.database.port,
            port::free(),
            self.at("etc").display(),
            port = self.port,
        );
        self.write("etc/globals.yml", &globals);
        // An operator's own settings beside what is wired: there is no memcached, and the images have Debian 12's Python.
        self.write("etc/config/global.conf", "[cache]\nenabled = false\n");
        self.write("etc/globals.d/site.yml", "donjon_python: python3.11\n");
        self.donjon.run(&["wire", "kolla", "-o", &self.text("etc/passwords.yml")]).ok();
        let given = Operator::given_inventory();
        let (before, after) = given.split_once("[deployment]").expect("kolla's inventory has that group");
        let here = "localhost       ansible_connection=local";
        assert!(before.contains(here) && after.contains(here), "{given}");
        let own = format!("{here} ansible_python_interpreter='{{{{ ansible_playbook_python }}}}'");
        let before = before.replace(here, &self.node.inventory_line());
        self.write("inventory", &format!("{before}[deployment]{}", after.replace(here, &own)));
    }

    fn value(&self, name: &str) -> String {
        self.donjon.run(&["get", name]).ok().trim_end().to_owned()
    }

    fn kolla(&self, action: &str, roles: &str) {
        let (begun, inventory, config) = (Instant::now(), self.text("inventory"), self.text("etc"));
        let words = ["run", "--deploy", "--", "kolla-ansible", action, "-i", &inventory, "--configdir", &config];
        let mut command = self.donjon.tied_command(&[&words[..], &["--tags", roles]].concat());
        self.environment(&mut command);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let errors: Vec<&str> = said.lines().filter(|line| ERRORS.iter().any(|word| line.contains(word))).collect();
        let log = || self.node.exec(&["sh", "-c", &format!("tail -n 30 {LOGS}/*")]).stdout;
        assert!(output.status.success(), "{action}: {errors:#?}\n{}", String::from_utf8_lossy(&log()));
        println!("kolla-ansible {action} --tags {roles}: {:.1} s", begun.elapsed().as_secs_f32());
    }

    fn serve(&self) -> Serving {
        let socket = self.node.folder().join("reader/s").display().to_string();
        let (certificate, key) = (self.text("own.pem"), self.text("own.key"));
        let tls = ["--certificate", &certificate, "--key", &key];
        Serving::start_with(&self.donjon, &socket, &format!("127.0.0.1:{}", self.reader_port), &tls)
    }

    /// Whether the administrator gets a token; `None` where Keystone does not answer.
    async fn token(&self) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}/v3/auth/tokens", self.port);
        let body = request("admin", &self.value("keystone_admin_password")).to_string();
        let asked = self.http.post(url).header("Content-Type", "application/json").body(body).send().await;
        asked.ok().map(|answer| answer.status().as_u16())
    }

    async fn issues_tokens(&self) {
        wait::until("Keystone to issue a token", Duration::from_secs(180), async || {
            (self.token().await == Some(201)).then_some(())
        })
        .await;
    }

    /// Everything that says how the container is set up, on the node and in it, and what its processes were given.
    fn shown(&self) -> String {
        let inside = "cat /etc/keystone/* $(find /proc/[0-9]*/environ /proc/[0-9]*/cmdline) 2>/dev/null; true";
        [
            self.node.told(&["sh", "-c", "find /etc/kolla -type f ! -name 'id_rsa*' -exec cat {} +"]),
            self.node.podman(&["inspect", "keystone", "keystone_fernet", "kolla_toolbox"]),
            self.node.podman(&["exec", "keystone", "sh", "-c", inside]),
            self.node.told(&["cat", &format!("/etc/systemd/system/{UNIT}")]),
        ]
        .concat()
    }

    /// Ends the reader, starts the container anew, and sees what it says instead of going on with less; with the reader it is
    /// there again by itself.
    async fn does_not_start_without(&self, reader: Serving, says: &str) -> Serving {
        drop(reader);
        let log = || self.node.told(&["cat", &format!("{LOGS}/keystone-uwsgi.log")]);
        let before = log().matches(says).count();
        self.node.told(&["systemctl", "restart", UNIT]);
        wait::until("Keystone to say why it does not start", Duration::from_secs(120), async || {
            // castellan's is asked for by the first who asks Keystone.
            assert_ne!(self.token().await, Some(201), "without a reader");
            (log().matches(says).count() > before).then_some(())
        })
        .await;
        let reader = self.serve();
        self.issues_tokens().await;
        reader
    }
}

fn request(user: &str, value: &str) -> Value {
    let user = json!({"name": user, "domain": {"id": "default"}, "password": value});
    json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keystone_reads_its_secrets_itself_in_the_container_that_kolla_reconfigures() {
    let site = Site::new().await;
    let authority = certificates(&site);
    let old = site.value(SECRET);
    let values = [SECRET, "rabbitmq_password", "database_password"].map(|name| site.value(name));
    let search = Search::new(values.iter().map(String::as_str));

    // The control: as kolla is, the values are in its file, and in the container.
    site.kolla("deploy", "kolla_toolbox,keystone");
    site.issues_tokens().await;
    let conf = site.node.told(&["cat", "/etc/kolla/keystone/keystone.conf"]);
    let inside = || site.node.podman(&["exec", "keystone", "cat", "/etc/keystone/keystone.conf"]);
    assert!(conf.contains(&old) && inside().contains(&old) && search.finds(site.shown()));
    let deployed = site.node.container("keystone");

    // Donjon's driver, with its package on the node.
    let package = python_driver::installed();
    let copied = site.node.folder().join("python");
    assert!(std::process::Command::new("cp").arg("-r").args([package.path(), &copied]).status().unwrap().success());
    site.node.told(&["mkdir", "-p", "/usr/share/donjon"]);
    site.node.told(&["cp", "-r", "/test/python", "/usr/share/donjon/python"]);
    site.node.told(&["chmod", "-R", "a+rX", "/usr/share/donjon"]);
    let reader = site.serve();
    let told = site.wire("donjon", &["--reader", READER]);
    assert!(
        told["needs"].to_string().contains("users: [42425, root]"),
        "what is declared above is what is told: {told}"
    );
    site.kolla("reconfigure", "keystone");
    site.issues_tokens().await;
    let wired = site.node.container("keystone");
    assert_ne!(wired.0, deployed.0, "kolla has made another container");
    assert!(inside().contains("driver = donjon\n") && !search.finds(site.shown()));

    // The container that rotates its keys has no driver and needs none.
    site.node.podman(&["exec", "keystone_fernet", "/usr/bin/fernet-rotate.sh"]);

    // What kolla itself gives away, and that is told: the administrator's, on a command line, which the journal keeps.
    let administrators = site.value("keystone_admin_password");
    let journal = site.node.told(&["journalctl", "--output=export", "--no-pager"]);
    assert!(journal.contains(&administrators) && !search.finds(&journal));
    let tells = |clear: &Value| {
        let secrets = clear["secrets"].as_array().unwrap();
        clear["place"].as_str().unwrap().contains("journal") && secrets.contains(&"keystone_admin_password".into())
    };
    assert!(told["clear"].as_array().unwrap().iter().any(tells), "{told}");

    // A rotation restarts kolla's own unit, and a reconfigure after it finds nothing to do.
    let applied = site.donjon.run(&["rotate", "apply", SECRET, "--output", "json"]).json();
    assert_eq!(applied["rotations"][0]["state"], "retired", "{applied}");
    let rotated = site.node.container("keystone");
    assert_eq!(rotated.0, wired.0);
    assert_ne!(rotated.1, wired.1, "it was restarted");
    site.issues_tokens().await;
    assert!(!site.database.logs_in("keystone", &old).await, "the old one is refused");
    site.kolla("reconfigure", "keystone");
    site.issues_tokens().await;
    assert_eq!(site.node.container("keystone"), rotated, "nothing had changed");
    let current = site.value(SECRET);
    let search = Search::new(values.iter().chain([&current]).map(String::as_str));
    assert!(!search.finds(site.shown()) && site.database.logs_in("keystone", &current).await);
    let reader = site.does_not_start_without(reader, "donjon: the secrets of [donjon] cannot be read").await;

    // castellan, unchanged, over TLS, with the credential of the role.
    let told = site.wire("castellan", &[]);
    assert!(told["needs"].to_string().contains("/etc/donjon/ROLE/castellan.conf"), "{told}");
    let credential =
        |name: &str| fs::read_to_string(site.donjon.home().join("node/approle/keystone").join(name)).unwrap();
    let castellan = format!(
        "[key_manager]\nbackend = vault\n[vault]\nvault_url = https://127.0.0.1:{}\nuse_ssl = true\nssl_ca_crt_file = /etc/donjon/ca.pem\n\
         kv_mountpoint = donjon\napprole_role_id = {}\napprole_secret_id = {}\n",
        site.reader_port,
        credential("role-id"),
        credential("secret-id")
    );
    let own = site.node.folder().join("castellan");
    fs::create_dir(&own).unwrap();
    for (name, text) in [
        ("castellan.conf", castellan),
        ("ca.pem", authority),
        ("mapping.conf", fs::read_to_string(site.at("etc/donjon/mapping.conf")).unwrap()),
    ] {
        donjon_drivers::fs::replace(&own.join(name), text.as_bytes()).unwrap();
    }
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    site.node.told(&["mkdir", "-p", "/etc/donjon"]);
    site.node.told(&["cp", "-r", "/test/castellan", "/etc/donjon/keystone"]);
    site.node.told(&["chown", "-R", KEYSTONE, "/etc/donjon/keystone"]);
    site.kolla("reconfigure", "keystone");
    site.issues_tokens().await;
    assert_ne!(site.node.container("keystone").0, rotated.0, "kolla has made another container");
    assert!(inside().contains("driver = castellan\n") && !search.finds(site.shown()));
    let reader = site.does_not_start_without(reader, "no source before [donjon] in config_source has").await;
    drop(reader);
}

/// Makes the reader's certificate, and an authority that has signed it; that one's certificate.
fn certificates(site: &Site) -> String {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    // Of the same name as what it signs, it would be taken for that.
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut own = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    own.distinguished_name.push(rcgen::DnType::CommonName, "reader");
    let own = own.signed_by(&key, &authority).unwrap();
    site.write("own.pem", &own.pem());
    site.write("own.key", &key.serialize_pem());
    authority.pem()
}
