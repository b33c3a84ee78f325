//! `donjon serve --store daemon`: for whom it answers, what a publication changes at once, and what it does not outlive.

use super::{
    MOUNT, VALUE,
    deployed::Deployed,
    edge::as_user,
    sides::{flat, prepare},
};
use donjon_tests::{openbao::OpenBao, wait};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt, time::Duration};

const NOVA: u32 = 42_436;
const KEYSTONE: u32 = 42_425;

async fn server() -> OpenBao {
    let server = OpenBao::start().await;
    prepare(&server, &flat()).await;
    server
}

/// What `curl` is answered as some user.
fn curl(uid: u32, arguments: &[&str]) -> String {
    let output = as_user(uid, "curl").args(["-s", "--max-time", "20"]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_of_the_deployment_file_is_its_users_alone() {
    let server = server().await;
    let roles = format!(
        "nova: {{reads: [database_password], users: [{NOVA}]}}, keystone: {{reads: [other], users: [{KEYSTONE}]}}, \
         unit: {{reads: [database_password], users: [7], units: [x.service]}}"
    );
    // Other users are to reach the socket in it.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let socket = folder.path().join("s").display().to_string();
    let deployed = Deployed::start_with(&server, &roles, &[], &["--socket", &socket]).await;
    let at_socket = |uid, name: &str| {
        curl(uid, &["--unix-socket", &socket, &format!("http://reader/v1/{MOUNT}/data/kolla/{name}")])
    };
    assert!(at_socket(NOVA, "database_password").contains(VALUE), "{}", at_socket(NOVA, "database_password"));
    assert!(at_socket(KEYSTONE, "other").contains("not-for-this-role"));
    for (uid, name) in [
        (NOVA, "other"),
        (KEYSTONE, "database_password"),
        (0, "database_password"),
        // Of a role that is for its unit alone, which HTTP cannot tell.
        (7, "database_password"),
    ] {
        let answer = at_socket(uid, name);
        assert!(answer.contains("permission denied") && !answer.contains(VALUE), "{uid} {name}: {answer}");
    }
    // On loopback its AppRole is asked for besides, and it is worth nothing to others, root among them.
    let (role_id, secret_id) = deployed.credential("nova");
    let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
    let url = &deployed.urls[0];
    let login = |uid| curl(uid, &["-d", &body, &format!("{url}/v1/auth/approle/login")]);
    let answer: Value = serde_json::from_str(&login(NOVA)).unwrap();
    let header = format!("X-Vault-Token: {}", answer["auth"]["client_token"].as_str().expect("a token"));
    let read = |uid| curl(uid, &["-H", &header, &format!("{url}/v1/{MOUNT}/data/kolla/database_password")]);
    assert!(read(NOVA).contains(VALUE), "the control");
    for stranger in [0, KEYSTONE, 7] {
        assert!(login(stranger).contains("invalid role or secret ID"), "{stranger}");
        assert!(read(stranger).contains("permission denied"), "{stranger}");
    }
    // Both logs have it: the reader's with the user, the daemon's with the role.
    let lines = |name: &str| std::fs::read_to_string(deployed.at(name)).unwrap();
    let (own, daemons) = (lines("node/audit.jsonl"), lines("audit.jsonl"));
    assert!(own.lines().any(|line| line.contains(&format!("\"uid\":{NOVA},")) && line.contains("database_password")));
    assert!(daemons.lines().any(|line| line.contains("\"role\":\"nova\"") && line.contains("database_password")));
    assert!(!daemons.lines().any(|line| line.contains("\"role\":\"unit\"")), "nothing was read for it");
    deployed.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_is_answered_at_once_and_nothing_without_the_daemon() {
    let server = server().await;
    let deployed = Deployed::start(&server).await;
    let token = deployed.token("keystone").await;
    let read = async || deployed.read(&token, "database_password").await;
    assert_eq!(read().await, (200, Some(VALUE.to_owned())));
    assert_eq!(read().await, (200, Some(VALUE.to_owned())), "from memory");
    for value in ["published-1", "published-2"] {
        deployed.donjon.run_with_input(&["put", "database_password"], value.as_bytes()).ok();
        assert_eq!(read().await, (200, Some(value.to_owned())), "the first answer after the publication");
    }
    deployed.donjon.kill_daemon();
    deployed.closed(&token).await;
    deployed.donjon.up();
    let back = async || (read().await == (200, Some("published-2".to_owned()))).then_some(());
    wait::until("the daemon that came back", Duration::from_secs(30), back).await;
    // Who is granted nothing any more is refused, with the token that was good.
    let lookup = deployed.at("lookup.sock").display().to_string();
    let own = rustix::process::geteuid().as_raw();
    let role = |reads: &str| format!("{{keystone: {{reads: [{reads}], users: [{own}]}}}}");
    deployed.donjon.describe(&format!("deployment: kolla\nlookup_socket: {lookup}\nroles: {}\n", role("other")));
    let refused = async || (read().await.0 == 403).then_some(());
    wait::until("the other grants", Duration::from_secs(30), refused).await;
    assert_eq!(deployed.read(&token, "other").await.0, 200);
    // A mistake in the file leaves those served that were.
    deployed.donjon.describe("deployment: kolla\nroles: none\n");
    wait::until("it to be told", Duration::from_secs(30), async || {
        (deployed.said().contains("has mistakes")).then_some(())
    })
    .await;
    assert_eq!(deployed.read(&token, "other").await.0, 200);
    deployed.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_vault_away_it_answers_within_the_lease_and_not_after() {
    let mut server = server().await;
    let deployed = Deployed::start(&server).await;
    let token = deployed.token("keystone").await;
    let read = async || deployed.read(&token, "database_password").await;
    wait::until("the value to be kept", Duration::from_secs(60), async || {
        assert_eq!(read().await, (200, Some(VALUE.to_owned())));
        (deployed.donjon.run(&["status", "--output", "json"]).json()["memory"]["kept"] != 0).then_some(())
    })
    .await;
    assert_eq!(read().await.0, 200);
    server.kill();
    assert_eq!(read().await, (200, Some(VALUE.to_owned())), "the control: within it");
    deployed.closed(&token).await;
    assert_eq!(read().await, (503, None), "and it stays so");
    deployed.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_outlive_a_restart_and_a_reload_and_end_with_a_revocation() {
    let server = server().await;
    let mut deployed = Deployed::start(&server).await;
    let token = deployed.token("keystone").await;
    let status = async |deployed: &Deployed, token: &str, name: &str| deployed.read(token, name).await.0;
    let granted = |deployed: &Deployed, reads: &str| {
        let (lookup, own) = (deployed.at("lookup.sock").display().to_string(), rustix::process::geteuid().as_raw());
        let role = format!("{{keystone: {{reads: [{reads}], users: [{own}]}}}}");
        deployed.donjon.describe(&format!("deployment: kolla\nlookup_socket: {lookup}\nroles: {role}\n"));
    };
    assert_eq!(status(&deployed, &token, "other").await, 403, "the control: not granted yet");
    deployed.restart();
    assert_eq!(status(&deployed, &token, "database_password").await, 200, "after a restart");
    granted(&deployed, "database_password, other");
    let reloaded = async || (status(&deployed, &token, "other").await == 200).then_some(());
    wait::until("the same token to read more", Duration::from_secs(30), reloaded).await;
    assert!(deployed.donjon.run(&["serve", "revoke", "nobody"]).failed(4).contains("keystone"));
    // Of a folder that no reader serves nothing is revoked, and it is not made.
    let nowhere = deployed.donjon.home().join("nowhere");
    for act in [&["revoke", "--all"][..], &["step", "back"]] {
        let words = [&["serve"], act, &["--node", nowhere.to_str().unwrap()]].concat();
        assert!(deployed.donjon.run(&words).failed(4).contains("--node"));
    }
    assert!(!nowhere.exists());
    assert_eq!(status(&deployed, &token, "database_password").await, 200, "that was nobody's");
    deployed.donjon.run(&["serve", "revoke", "keystone"]).ok();
    let refused = async || (status(&deployed, &token, "database_password").await == 403).then_some(());
    wait::until("the revocation", Duration::from_secs(30), refused).await;
    let renewed = deployed.token("keystone").await;
    assert_eq!(status(&deployed, &renewed, "database_password").await, 200, "the credential is good still");
    // What is revoked stays so, also for a reader that never saw it be good, and whatever else the file says by then.
    deployed.restart();
    assert_eq!(status(&deployed, &token, "database_password").await, 403, "after a restart");
    assert_eq!(status(&deployed, &renewed, "database_password").await, 200, "and the other one is good still");
    granted(&deployed, "database_password");
    let reloaded = async || (status(&deployed, &renewed, "other").await == 403).then_some(());
    wait::until("the other grants", Duration::from_secs(30), reloaded).await;
    assert_eq!(status(&deployed, &token, "database_password").await, 403, "after a reload");
    assert_eq!(status(&deployed, &renewed, "database_password").await, 200);
    deployed.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_client_certificate_reads_what_consumers_yaml_says() {
    let server = server().await;
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let authority = rcgen::CertifiedIssuer::self_signed(parameters, rcgen::KeyPair::generate().unwrap()).unwrap();
    let client = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        (made.pem(), format!("{}{}", made.pem(), key.serialize_pem()))
    };
    let ((known, identity), (_, impostor)) = (client("monitoring"), client("monitoring"));
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let files = [
        ("consumers.yaml", "monitoring: {certificates: [monitoring.pem], reads: [database_password]}\n"),
        ("monitoring.pem", &known),
        ("clients.pem", &authority.pem()),
        ("own.pem", &own.cert.pem()),
        ("own.key", &own.signing_key.serialize_pem()),
    ];
    let tls = ["--certificate", "{home}/node/own.pem", "--key", "{home}/node/own.key"];
    let more = [&tls[..], &["--client-authority", "{home}/node/clients.pem"]].concat();
    let deployed = Deployed::start_with(&server, "", &files, &more).await;
    let read = async |identity: Option<&str>, name: &str| {
        let trust = reqwest::Certificate::from_pem(own.cert.pem().as_bytes()).unwrap();
        let mut builder = reqwest::Client::builder().tls_certs_only([trust]).no_proxy();
        if let Some(pem) = identity {
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        }
        let url = format!("{}/v1/{MOUNT}/data/kolla/{name}", deployed.urls[0]);
        let answer = builder.build().unwrap().get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap().contains(VALUE))
    };
    assert_eq!(read(Some(&identity), "database_password").await, (200, true));
    assert_eq!(read(Some(&identity), "other").await, (403, false));
    assert_eq!(read(Some(&impostor), "database_password").await, (403, false), "of the same name, with another key");
    assert_eq!(read(None, "database_password").await, (403, false));
    deployed.end();
}
