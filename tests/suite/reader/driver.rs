//! The Python driver in a real oslo.config process, at the reader: over TLS with a client's certificate or an AppRole, and at
//! the reader's socket; all options in one request, and no start on defaults. `donjon config get` tells the same of each.

use super::{
    VALUE,
    deployed::Deployed,
    sides::{flat, prepare},
};
use donjon_tests::{donjon::Ran, openbao::OpenBao, python_driver, recorder::Recorder, tools, traced::Traced};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use std::{
    process::{Command, Output, Stdio},
    sync::Arc,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

const SERVICE: &str = "
import json, sys
from oslo_config import cfg
options = sys.argv[1].split()
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt(option, default='none') for option in options], 'database')
conf(sys.argv[2:], default_config_files=[], default_config_dirs=[])
print(json.dumps([conf.database[option] for option in options]))
";

struct Scene {
    deployed: Deployed,
    package: tempfile::TempDir,
    requests: std::cell::Cell<usize>,
}

impl Scene {
    /// The lines of the audit log that were written since the last look.
    fn new_lines(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.deployed.at("node/audit.jsonl")).unwrap_or_default();
        let all: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        all[self.requests.replace(all.len())..].to_vec()
    }

    /// The service's file, with this in the driver's group, for the reader itself.
    fn configuration(&self, group: &str, options: &str) -> String {
        self.configuration_at(&self.deployed.urls[0], group, options)
    }

    fn configuration_at(&self, url: &str, group: &str, options: &str) -> String {
        let file = |name: &str, text: &str| {
            let path = self.deployed.at(name);
            donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
            path.display().to_string()
        };
        let mapping = file("mapping.conf", options);
        let home = self.deployed.donjon.home().display().to_string();
        let group = group.replace("{home}", &home).replace("{url}", url);
        let service = format!(
            "[DEFAULT]\nconfig_source = s\n[s]\ndriver = donjon\nmapping_file = {mapping}\nmount = kv\ndeployment = kolla\n{group}\n"
        );
        file("service.conf", &service)
    }

    /// Starts the service with this in the driver's group.
    fn start(&self, group: &str, options: &str) -> Output {
        self.start_at(&self.deployed.urls[0], group, "connection password", options)
    }

    /// As [`Self::start`], at some address, and with these options.
    fn start_at(&self, url: &str, group: &str, names: &str, options: &str) -> Output {
        self.command_at(url, group, names, options).stdin(Stdio::null()).output().unwrap()
    }

    fn command(&self, group: &str, options: &str) -> Command {
        self.command_at(&self.deployed.urls[0], group, "connection password", options)
    }

    fn command_at(&self, url: &str, group: &str, names: &str, options: &str) -> Command {
        let configuration = self.configuration_at(url, group, options);
        let mut command = Command::new(tools::program("python"));
        command.arg("-c").arg(SERVICE).arg(names).arg(format!("--config-file={configuration}"));
        command.env_clear().env("PYTHONPATH", self.package.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// What `donjon config get` tells of an option of the same service.
    fn told(&self, group: &str, options: &str, option: &str) -> Ran {
        let configuration = self.configuration(group, options);
        let words = ["config", "get", "--reveal", "--config-file", &configuration, "database", option];
        self.deployed.donjon.run(&words)
    }

    fn refused(&self, group: &str, options: &str) -> String {
        let output = self.start(group, options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "it started: {output:?}");
        assert!(said.contains("does not start") || said.contains("cannot be used"), "{said}");
        said
    }
}

const BOTH: &str = "[database]\nconnection = keystone.database.connection\npassword = database_password\n";
const CERTIFICATE: &str = "address = {url}\nca_file = {home}/node/own.pem\ncert_file = {home}/node/client.pem\nkey_file = {home}/node/client.key";
const APPROLE: &str = "address = {url}\nca_file = {home}/node/own.pem\nrole_id_file = {home}/node/approle/keystone/role-id\nsecret_id_file = {home}/node/approle/keystone/secret-id";
const SOCKET: &str = "address = unix://{home}/s";

/// A reader that serves TLS and a socket to one role, and over TLS one client by its certificate.
async fn scene(server: &OpenBao, reads: &str) -> Scene {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let client = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let files = [
        ("consumers.yaml", format!("far: {{certificates: [client.pem], reads: [{reads}]}}\n")),
        ("client.pem", client.pem()),
        ("client.key", key.serialize_pem()),
        ("clients.pem", authority.pem()),
        ("own.pem", own.cert.pem()),
        ("own.key", own.signing_key.serialize_pem()),
        ("other.pem", other.cert.pem()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let uid = rustix::process::geteuid().as_raw();
    let roles = format!("keystone: {{reads: [{reads}], users: [{uid}]}}");
    let tls = ["--certificate", "{home}/node/own.pem", "--key", "{home}/node/own.key"];
    let more = [&tls[..], &["--client-authority", "{home}/node/clients.pem", "--socket", "{home}/s"]].concat();
    let deployed = Deployed::start_with(server, &roles, &files, &more).await;
    Scene { deployed, package: python_driver::installed(), requests: std::cell::Cell::new(0) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_reads_all_its_options_over_tls_in_one_request_or_does_not_start() {
    let server = OpenBao::start().await;
    prepare(&server, &flat()).await;
    let scene = scene(&server, "database_password, keystone.database.connection, missing").await;
    let connection = super::CONNECTION;
    for group in [CERTIFICATE, APPROLE, SOCKET] {
        scene.new_lines();
        let output = scene.start(group, BOTH);
        let read: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{group}: {output:?}"));
        assert_eq!(read, serde_json::json!([connection, VALUE]), "{group}");
        let lines = scene.new_lines();
        let of = |act: &str| lines.iter().filter(|line| line["line"]["act"] == act).count();
        // A line for each record, and one that it is there, before the one answer.
        assert_eq!((of("login"), of("read"), lines.len()), (1, 2, 3), "{group}: {lines:?}");
        let told = scene.told(group, BOTH, "password").ok();
        let place = group.lines().next().unwrap().trim_start_matches("address = ").split('{').next().unwrap();
        assert!(told.contains(VALUE) && told.contains(place) && told.contains("database_password"), "{group}: {told}");
        assert!(scene.told(group, BOTH, "connection").ok().contains(connection), "{group}");
        // Nor is a file written, as `sources::package` shows of the broker's own socket, with what it would have seen.
        let traced = Traced::run(&scene.command(group, BOTH), &scene.deployed.at("strace"));
        assert!(traced.output.status.success() && traced.opened(&scene.deployed.at("mapping.conf")), "{group}");
        assert_eq!(traced.changes(), [""; 0], "{group}");
    }
    for (group, options, wanted, code) in [
        (CERTIFICATE, "[database]\nconnection = missing\npassword = database_password\n", "`missing`: not there", 4),
        (
            APPROLE,
            "[database]\npassword = database_password\nconnection = other\n",
            "`other`: this service may not read",
            3,
        ),
        (&CERTIFICATE.replace("own.pem", "other.pem"), BOTH, "is not believed", 6),
        (
            &APPROLE.replace("approle/keystone/secret-id", "approle/keystone/role-id"),
            BOTH,
            "does not let this AppRole in",
            3,
        ),
        ("address = {url}\nca_file = {home}/node/own.pem", BOTH, "may not read", 3),
        ("address = http://192.0.2.1:8200", BOTH, "in clear", 2),
        ("address = ctl1:8200", BOTH, "neither https", 2),
        ("address = unix://{home}/nowhere", BOTH, "cannot be asked", 6),
        (&CERTIFICATE.replace("client.key", "none.key"), BOTH, "cannot be used", 2),
        ("address = {url}\ncert_file = {home}/node/client.pem", BOTH, "go together", 2),
        ("address = {url}\nrole_id_file = {home}/node/client.pem", BOTH, "go together", 2),
    ] {
        let said = scene.refused(group, options);
        assert!(said.contains(wanted) && !said.contains(VALUE), "{group}: {said}");
        let told = scene.told(group, options, "connection");
        assert_eq!(told.code, code, "{group}: {}", told.err);
        assert!(!told.err.contains(VALUE) && told.out.is_empty(), "{group}: {}{}", told.out, told.err);
        // It is named where the service's own message names it.
        let named = wanted.split('`').nth(1).unwrap_or_default();
        assert!(told.err.contains(named), "{group}: {}", told.err);
    }
    let optional = scene.start("address = unix://{home}/nowhere\noptional = true", BOTH);
    assert_eq!(String::from_utf8_lossy(&optional.stdout).trim(), "[\"none\", \"none\"]");
    scene.deployed.donjon.kill_daemon();
    let said = scene.refused(CERTIFICATE, BOTH);
    assert!(said.contains("sealed"), "{said}");
    let told = scene.told(CERTIFICATE, BOTH, "connection");
    assert_eq!(told.code, 6, "{}", told.err);
    scene.deployed.end();
}

/// What speaks TLS in the reader's place, and passes what it is told on to a recorder. Each connection ends with the set.
async fn in_tls(scene: &Scene, recorder: &Recorder) -> (String, JoinSet<()>) {
    let file = |name: &str| donjon_drivers::fs::read(&scene.deployed.at("node").join(name)).unwrap();
    let chain = CertificateDer::pem_slice_iter(&file("own.pem")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&file("own.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let behind = recorder.url().trim_start_matches("http://").to_owned();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut running = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            running.spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut recorder = TcpStream::connect(behind).await.unwrap();
                // Who has its answer leaves as it likes.
                let _ = copy_bidirectional(&mut stream, &mut recorder).await;
            });
        }
    });
    (address, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_options_there_are_they_are_one_request() {
    let server = OpenBao::start().await;
    prepare(&server, &flat()).await;
    let names: Vec<String> = (1..=MANY).map(|number| format!("secret_{number}")).collect();
    let scene = scene(&server, &names.join(", ")).await;
    for name in &names {
        scene.deployed.donjon.run_with_input(&["put", name], format!("value-of-{name}").as_bytes()).ok();
    }
    let pem = |name: &str| std::fs::read_to_string(scene.deployed.at("node").join(name)).unwrap();
    let trust = reqwest::Certificate::from_pem(pem("own.pem").as_bytes()).unwrap();
    let identity =
        reqwest::Identity::from_pem(format!("{}{}", pem("client.pem"), pem("client.key")).as_bytes()).unwrap();
    let trusting = || reqwest::Client::builder().tls_certs_only([trust.clone()]).no_proxy();
    let (login, records) = (("POST", LOGIN), ("POST", "/v1/sys/donjon/records"));
    for (group, client, wanted) in [
        (APPROLE, trusting().build().unwrap(), vec![login, records]),
        // The one in between shows the certificate, since it cannot pass on who it was that came to it.
        (CERTIFICATE, trusting().identity(identity).build().unwrap(), vec![records]),
    ] {
        let recorder = Recorder::before(&scene.deployed.urls[0], client.clone()).await;
        let (address, _serving) = in_tls(&scene, &recorder).await;
        for count in [1, MANY] {
            let (some, mut mapping) = (&names[..count], "[database]\n".to_owned());
            some.iter().for_each(|name| mapping.extend([name, " = ", name, "\n"]));
            let output = scene.start_at(&address, group, &some.join(" "), &mapping);
            let read: Vec<String> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
            let values: Vec<String> = some.iter().map(|name| format!("value-of-{name}")).collect();
            assert_eq!(read, values, "{group}");
            let seen = recorder.take();
            let asked: Vec<_> = seen.iter().map(|one| (one.method.as_str(), one.path.as_str())).collect();
            assert_eq!(asked, wanted, "{group}: {count} options");
            assert!(seen.iter().all(|one| one.status == 200), "{group}: {seen:?}");
        }
        // The control: who asked for each option would be seen.
        for name in &names {
            client.get(format!("{}/v1/kv/data/kolla/{name}", recorder.url())).send().await.unwrap();
        }
        let seen = recorder.take();
        assert!(seen.len() == MANY && seen.iter().all(|one| one.method == "GET"), "{seen:?}");
    }
    scene.deployed.end();
}

const LOGIN: &str = "/v1/auth/approle/login";
/// How many options the largest of the services has.
const MANY: usize = 6;
