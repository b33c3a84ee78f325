//! The deployment host: a daemon on the OpenBao of the comparison, and the real `donjon serve` on what the daemon has.

use super::{GRANTED, MOUNT};
use crate::existing;
use donjon::reader::Outcome;
use donjon_tests::{donjon::Donjon, openbao::OpenBao, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// Both processes; they end when dropped.
pub(super) struct Deployed {
    pub(super) donjon: Donjon,
    reader: Child,
    more: Vec<String>,
    pub(super) urls: Vec<String>,
    _trust: tempfile::TempDir,
}

impl Deployed {
    /// With one role, of this user.
    pub(super) async fn start(server: &OpenBao) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let reads = GRANTED.map(|path| path.strip_prefix("kolla/").expect("it is in the folder of the deployment"));
        let reads = reads.into_iter().filter(|name| !name.contains('/')).collect::<Vec<_>>().join(", ");
        Self::start_with(server, &format!("keystone: {{reads: [{reads}], users: [{own}]}}"), &[], &[]).await
    }

    /// With these `roles:` and files in its folder, listening on loopback and wherever else it is told. `{home}` in a word is
    /// the home.
    pub(super) async fn start_with(server: &OpenBao, roles: &str, files: &[(&str, &str)], more: &[&str]) -> Self {
        let (mut donjon, trust) = (Donjon::verbose(), tempfile::tempdir().unwrap());
        existing::uses(&mut donjon, server, &trust);
        let lookup = donjon.home().join("lookup.sock").display().to_string();
        let lease = LEASE.as_secs();
        donjon.describe(&format!(
            "deployment: kolla\nread_lease: {lease}\nlookup_socket: {lookup}\nroles: {{{roles}}}\n"
        ));
        donjon_drivers::fs::private_folder(&donjon.home().join("node")).unwrap();
        for (name, text) in files {
            donjon_drivers::fs::replace(&donjon.home().join("node").join(name), text.as_bytes()).unwrap();
        }
        donjon.up();
        let (reader, urls) = serve(&donjon, more);
        let more = more.iter().map(ToString::to_string).collect();
        Self { donjon, reader, more, urls, _trust: trust }
    }

    /// Ends the reader, which drains, and starts it again; where it listens at a port that was free, it is another.
    pub(super) fn restart(&mut self) {
        self.terminate();
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        (self.reader, self.urls) = serve(&self.donjon, &more);
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.donjon.home().join(name)
    }

    pub(super) fn credential(&self, role: &str) -> (String, String) {
        let read = |name: &str| std::fs::read_to_string(self.at("node/approle").join(role).join(name)).unwrap();
        (read("role-id"), read("secret-id"))
    }

    pub(super) async fn token(&self, role: &str) -> String {
        self.login(role).await.expect("a token")
    }

    /// Waits until a role has a credential, which may answer to another user.
    pub(super) async fn credential_when_there(&self, role: &str) -> (String, String) {
        let there = async || self.at("node/approle").join(role).join("secret-id").exists().then_some(());
        wait::until("the credential", Duration::from_secs(30), there).await;
        self.credential(role)
    }

    async fn login(&self, role: &str) -> Option<String> {
        let (role_id, secret_id) = self.credential(role);
        let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
        let url = format!("{}/v1/auth/approle/login", self.urls[0]);
        let answer = super::sides::client(None).post(url).body(body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["auth"]["client_token"].as_str().map(str::to_owned)
    }

    /// The status and value of a secret.
    pub(super) async fn read(&self, token: &str, name: &str) -> (u16, Option<String>) {
        let url = format!("{}/v1/{MOUNT}/data/kolla/{name}", self.urls[0]);
        let answer = super::sides::client(None).get(url).header("X-Vault-Token", token).send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        (status, answer["data"]["data"]["password"].as_str().map(str::to_owned))
    }

    /// Waits until nothing is answered any more: what was read is, within the lease, and no question that is asked after it. This
    /// is called once the store has gone.
    pub(super) async fn closed(&self, token: &str) {
        let health = format!("{}/v1/sys/health", self.urls[0]);
        let (gone, mut answered) = (Instant::now(), None);
        wait::until("it to close", Duration::from_secs(30), async || {
            let asked = gone.elapsed();
            let status = self.read(token, "database_password").await.0;
            answered = (status == 200).then_some(asked).or(answered);
            let health = super::sides::client(None).get(&health).send().await.unwrap().status().as_u16();
            (health == 503 && status == 503).then_some(())
        })
        .await;
        assert!(
            answered.is_none_or(|last| last < LEASE),
            "it answered what was asked {answered:?} after the store had gone"
        );
    }

    /// The reader's process.
    pub(super) fn pid(&self) -> u32 {
        self.reader.id()
    }

    /// What the reader has said on standard error.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(self.at("reader.log")).unwrap_or_default()
    }

    pub(super) fn saw(&self, path: Option<&str>, outcome: Outcome) -> bool {
        let told = match outcome {
            Outcome::Done => "done",
            Outcome::Refused => "denied",
            Outcome::Missing | Outcome::Failed => "failed",
        };
        let log = std::fs::read_to_string(self.at("node/audit.jsonl")).unwrap();
        let names: Vec<&str> = path.and_then(|path| path.rsplit('/').next()).into_iter().collect();
        log.lines().any(|line| {
            let line: Value = serde_json::from_str(line).expect("each line is whole");
            line["line"]["names"] == json!(names) && line["line"]["outcome"] == told
        })
    }

    /// Ends the reader, which drains.
    pub(super) fn end(mut self) {
        self.terminate();
    }

    fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.reader), Signal::TERM).unwrap();
        assert!(self.reader.wait().unwrap().success());
    }
}

/// For how long the daemon answers from memory.
const LEASE: Duration = Duration::from_secs(5);

fn serve(donjon: &Donjon, more: &[&str]) -> (Child, Vec<String>) {
    let words = ["serve", "--store", "daemon", "--mount", MOUNT, "--output", "json"];
    let listen = if more.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
    let home = donjon.home().display().to_string();
    let words: Vec<String> = [&words[..], listen, more].concat().iter().map(|w| w.replace("{home}", &home)).collect();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(donjon.home().join("reader.log")).unwrap();
    let mut command = donjon.tied_command(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).expect("it says where it serves");
    let urls = told["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    (child, urls)
}

impl Drop for Deployed {
    fn drop(&mut self) {
        // It may have ended already; then it is only reaped.
        let _ = self.reader.kill();
        let _ = self.reader.wait();
    }
}
