//! The real `bao agent` stays: it renews its token, and renders anew by itself what is published later.

use super::{Served, VALUE, deployed::Deployed, sides};
use donjon_drivers::fs;
use donjon_tests::{
    openbao::OpenBao,
    process::{Guard, tied},
    recorder::{Exchange, Recorder},
    tools,
    wait::until,
};
use std::{cell::RefCell, process::Stdio, time::Duration};

/// An agent before a reader, and what it has asked.
struct Agent {
    folder: tempfile::TempDir,
    recorder: Recorder,
    seen: RefCell<Vec<Exchange>>,
    _process: Guard,
}

impl Agent {
    async fn start(url: &str, role_id: &str, secret_id: &str) -> Self {
        let (folder, recorder) = (tempfile::tempdir().unwrap(), Recorder::before(url, sides::client(None)).await);
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::replace(&at(name), text.as_bytes()).unwrap();
        write("role_id", role_id);
        write("secret_id", secret_id);
        write("template", r#"{{ with secret "kv/data/kolla/database_password" }}{{ .Data.data.password }}{{ end }}"#);
        let method = r#"method "approle" {
            config = { role_id_file_path = "role_id", secret_id_file_path = "secret_id", remove_secret_id_file_after_reading = false }
          }"#;
        let configuration = format!(
            "vault {{ address = \"{}\" }}\nauto_auth {{\n{method}\n}}\n\
             template_config {{ static_secret_render_interval = \"1s\" }}\n\
             template {{\n  source = \"template\"\n  destination = \"rendered\"\n}}\n",
            recorder.url()
        );
        write("agent.hcl", &configuration);
        write("log", "");
        let log = || std::fs::OpenOptions::new().append(true).open(at("log")).unwrap();
        let mut command = tied(tools::program("bao"));
        command
            .args(["agent", "-config=agent.hcl"])
            .env_clear()
            .env("HOME", folder.path())
            .env("PATH", "/usr/bin:/bin");
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log()).stderr(log());
        let process = Guard::start(&mut command).unwrap();
        Self { folder, recorder, seen: RefCell::default(), _process: process }
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until it has rendered a value.
    async fn renders(&self, value: &str) {
        let rendered = async || (self.text("rendered") == value).then_some(());
        until("the agent to render the value", Duration::from_secs(30), rendered).await;
    }

    /// The statuses of all its requests of a path so far.
    fn asked(&self, path: &str) -> Vec<u16> {
        let mut seen = self.seen.borrow_mut();
        seen.extend(self.recorder.take());
        seen.iter().filter(|exchange| exchange.path == path).map(|exchange| exchange.status).collect()
    }
}

const LOGIN: &str = "/v1/auth/approle/login";
const RENEWAL: &str = "/v1/auth/token/renew-self";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_renders_what_the_deployment_host_publishes_while_it_runs() {
    let server = OpenBao::start().await;
    sides::prepare(&server, &sides::flat()).await;
    let deployed = Deployed::start(&server).await;
    let (role_id, secret_id) = deployed.credential("keystone");
    let agent = Agent::start(&deployed.urls[0], &role_id, &secret_id).await;
    agent.renders(VALUE).await;
    for value in ["published-while-it-runs-1", "published-while-it-runs-2"] {
        assert_ne!(agent.text("rendered"), value);
        deployed.donjon.run_with_input(&["put", "database_password"], value.as_bytes()).ok();
        agent.renders(value).await;
    }
    assert_eq!(agent.asked(LOGIN), [200], "{}", agent.text("log"));
    drop(agent);
    deployed.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlives_its_tokens_first_lease_by_renewals() {
    let served = Served::start_for(None, Some(LIVES)).await;
    let agent = Agent::start(&served.url, &served.credential.role_id, served.secret_id()).await;
    agent.renders(VALUE).await;
    let renewed = async || (agent.asked(RENEWAL).len() >= 2).then_some(());
    until("two renewals", Duration::from_secs(120), renewed).await;
    served.publish(2, "of-a-bundle-of-later");
    agent.renders("of-a-bundle-of-later").await;
    let (logins, renewals) = (agent.asked(LOGIN), agent.asked(RENEWAL));
    assert_eq!(logins, [200], "with the one token: {}", agent.text("log"));
    assert!(renewals.len() >= 2 && renewals.iter().all(|status| *status == 200), "{renewals:?}: {}", agent.text("log"));
    drop(agent);
    served.end().await;
}

/// How many seconds a token lives that is not renewed.
const LIVES: u32 = 15;
