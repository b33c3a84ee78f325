//! A site shows that its services run on a new bundle: restarted since, seen to log in, signed, by file and by HTTP.

use donjon_tests::{
    donjon::{Donjon, Ran},
    process::{Guard, write_program},
    tools,
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// One secret that a site with one role reads.
pub(super) const DEPLOYMENT: &str = "
deployment: site1
catalogue: kolla-ansible
roles:
  cache: {reads: [memcache_secret_key]}
sites:
  edge1: {roles: [cache], recipients: [RECIPIENT]}
";

/// A service that logs in when it is started, as one with castellan does.
pub(super) const SERVICE: &str = "#!/bin/sh
set -e
cd FOLDER
[ -e ca.pem ] && export BAO_CACERT=$PWD/ca.pem
case $2 in
restart)
    echo $1 >> restarted
    date +%s%6N > $1.started
    [ -e $1.mute ] || BAO_ADDR=$(cat url) PROGRAM write auth/approle/login \
        role_id=@node/approle/cache/role-id secret_id=@node/approle/cache/secret-id > /dev/null ;;
started) cat $1.started 2>/dev/null || true ;;
esac
";

/// What a node says that has two of them, `api` and `web`.
pub(super) fn two_services(program: &str) -> String {
    let service = |name: &str, order: u32| {
        format!(
            "  {name}: {{driver: command, order: {order}, settle: 5, uses: [memcache_secret_key], \
             restart: [{program}, {name}, restart], started: [{program}, {name}, started]}}\n"
        )
    };
    format!("deployment: site1\nservices:\n{}{}", service("api", 1), service("web", 2))
}

/// The authority, and one node of a site with two services.
struct Place {
    authority: Donjon,
    node: Donjon,
    files: tempfile::TempDir,
    serving: Option<Guard>,
}

impl Place {
    fn new() -> Self {
        use age::secrecy::ExposeSecret;
        let key = age::x25519::Identity::generate();
        let files = tempfile::tempdir().unwrap();
        let place = Self { authority: Donjon::new(), node: Donjon::new(), files, serving: None };
        donjon_drivers::fs::replace(&place.path("identity"), key.to_string().expose_secret().as_bytes()).unwrap();
        place.authority.describe(&DEPLOYMENT.replace("RECIPIENT", &key.to_public().to_string()));
        place.authority.up();
        place.authority.run_with_input(&["put", "memcache_secret_key"], b"shared-4711").ok();
        let (folder, bao) = (place.files.path().display().to_string(), tools::program("bao").display().to_string());
        let script = SERVICE.replace("FOLDER", &folder).replace("PROGRAM", &bao);
        write_program(&place.path("service"), &script);
        place.node.describe(&two_services(&place.text("service")));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A new bundle goes to the node, which answers that it is there.
    fn publish(&self, file: &str) {
        let file = self.text(file);
        self.authority.run(&["export", "bundle", "--site", "edge1", "--role", "cache", "-o", &file]).ok();
        let (identity, node) = (self.text("identity"), self.text("node"));
        self.node.run(&["import", &file, "-i", &identity, "--into", &node]).ok();
        self.authority.run(&["receipt", &format!("{file}.receipt")]).ok();
    }

    fn serve(&mut self) {
        self.serving = None;
        let (identity, node, socket) = (self.text("identity"), self.text("node"), self.text("s"));
        let words = ["serve", "-i", &identity, "--node", &node, "--listen", "127.0.0.1:0", "--socket", &socket];
        let words = [&words[..], &["--output", "json"]].concat();
        let (guard, line) = first_line(self.node.command(&words).stdout(Stdio::piped()));
        self.serving = Some(guard);
        donjon_drivers::fs::replace(&self.path("url"), line["url"].as_str().unwrap().as_bytes()).unwrap();
    }

    fn drain(&self, more: &[&str]) -> Ran {
        let (identity, node, receipt) = (self.text("identity"), self.text("node"), self.text("drained"));
        let words = ["drain", "-i", &identity, "--node", &node, "--receipt", &receipt, "--output", "json"];
        self.node.run(&[&words, more].concat())
    }

    /// As somebody does by hand; it logs in from now on.
    fn restart(&self, name: &str) {
        std::fs::remove_file(self.path(&format!("{name}.mute"))).unwrap();
        assert!(Command::new(self.path("service")).args([name, "restart"]).status().unwrap().success());
    }

    fn standing(&self) -> Value {
        self.authority.run(&["receipt", "--output", "json"]).json()["standing"]["sites"][0].clone()
    }
}

/// Starts a command that prints one line of JSON once it is ready.
fn first_line(command: &mut Command) -> (Guard, Value) {
    let mut child: Child = command.spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let guard = Guard::from(child);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).unwrap();
    (guard, serde_json::from_str(&line).expect("it says where it listens"))
}

#[test]
fn who_needs_no_credential_has_logged_in_with_what_it_reads_first() {
    let mut place = Place::new();
    let script = std::fs::read_to_string(place.path("service")).unwrap();
    let (start, end) = (script.find("BAO_ADDR=").unwrap(), script.find(" > /dev/null").unwrap());
    let asks = "curl --fail --silent --noproxy '*' --unix-socket s http://localhost/v1";
    let reads = format!("{asks}/donjon/data/site1/memcache_secret_key");
    // What is no reading of a secret is no login, as often as it is asked.
    let script = script.replace(&script[start..end], &format!("{reads} && {asks}/sys/health"));
    let script = script.replace("esac", &format!("health) {asks}/sys/health ;;\nesac"));
    write_program(&place.path("service"), &script);
    place.publish("one");
    let uid = rustix::process::geteuid().as_raw();
    let known = format!("cache: {{uids: [{uid}], reads: [memcache_secret_key]}}\n");
    donjon_drivers::fs::replace(&place.path("node/consumers.yaml"), known.as_bytes()).unwrap();
    place.serve();
    std::fs::File::create_new(place.path("web.mute")).unwrap();
    assert!(place.drain(&["--restart"]).failed(13).contains("web@local has restarted and not been seen to log in"));
    let health = Command::new(place.path("service")).args(["web", "health"]).output().unwrap();
    assert!(String::from_utf8_lossy(&health.stdout).contains("sealed"), "{health:?}");
    assert!(place.drain(&[]).failed(13).contains("web@local has restarted and not been seen to log in"));
    // However often it is looked for: it is not seen, so another restart would show nothing either.
    let restarted = || std::fs::read_to_string(place.path("restarted")).unwrap();
    let again = place.drain(&["--restart"]).failed(13);
    assert!(again.contains("web@local has restarted and not been seen to log in"), "{again}");
    assert!(again.contains("--restart restarts nobody twice"), "{again}");
    assert_eq!(restarted(), "api\nweb\n");
    place.restart("web");
    let drained = place.drain(&["--restart"]).json();
    assert_eq!(restarted(), "api\nweb\nweb\n", "by hand alone");
    assert_eq!(drained["consumers"].as_array().unwrap().len(), 2);
}

#[test]
fn a_site_has_drained_when_each_service_has_restarted_and_logged_in() {
    let mut place = Place::new();
    place.publish("one");
    assert!(place.drain(&[]).failed(13).contains("does not serve the present bundle"));
    place.serve();
    let behind = place.drain(&[]).failed(13);
    assert!(behind.contains("api@local does not run") && behind.contains("web@local does not run"), "{behind}");
    std::fs::File::create_new(place.path("web.mute")).unwrap();
    let behind = place.drain(&["--restart"]).failed(13);
    let no_login = "web@local has restarted and not been seen to log in";
    assert!(behind.contains(no_login) && !behind.contains("api@"), "{behind}");
    assert!(!place.path("drained").exists(), "nothing was signed");
    place.restart("web");
    let drained = place.drain(&["--restart"]).json();
    assert_eq!(drained["consumers"].as_array().unwrap().len(), 2);
    assert_eq!((place.standing()["receipts"].as_u64(), place.standing()["drained"].as_u64()), (Some(1), Some(0)));

    // Forged: another byte anywhere. It is refused, and nothing is recorded.
    let good = std::fs::read(place.path("drained")).unwrap();
    for at in [20, good.len() / 2, good.len() - 3] {
        let mut other = good.clone();
        other[at] ^= 1;
        donjon_drivers::fs::replace(&place.path("forged"), &other).unwrap();
        place.authority.run(&["receipt", &place.text("forged")]).failed(9);
    }
    assert_eq!(place.standing()["drained"], 0);
    place.authority.run(&["receipt", &place.text("drained")]).ok();
    assert_eq!(place.standing()["drained"], 1);
    assert!(place.authority.run(&["receipt", &place.text("drained")]).ok().contains("this was recorded before"));

    // A new value: the rotation waits until the site has drained that, and the old receipt is no answer.
    place.authority.run(&["rotate", "apply", "memcache_secret_key", "--accept-outage"]).failed(13);
    // A reader that runs would take it over by itself.
    place.serving = None;
    place.publish("two");
    assert!(place.authority.run(&["receipt", &place.text("drained")]).failed(9).contains("the receipt is stale"));
    assert!(place.drain(&[]).failed(13).contains("does not serve the present bundle"));
    place.serve();
    let behind = place.drain(&[]).failed(13);
    assert!(behind.contains("api@local has not restarted since the bundle is served"), "{behind}");
    let waits = place.authority.run(&["rotate", "resume"]).failed(13);
    assert!(waits.contains("1 have imported and 0 have drained"), "{waits}");
    let status = place.authority.run(&["rotate", "status"]);
    assert!(status.code == 13 && status.out.contains("edge1"), "{status:#?}");

    // The answer by HTTP.
    let mut listen = place.authority.command(&["receipt", "--listen", "127.0.0.1:0", "--output", "json"]);
    let (_listening, ready) = first_line(listen.stdout(Stdio::piped()));
    let url = ready["url"].as_str().unwrap();
    let lost = place.drain(&["--restart", "--send", &format!("{url}/elsewhere")]).failed(6);
    assert!(lost.contains("is not where"), "{lost}");
    assert_eq!(place.standing()["drained"], 0);
    assert_eq!(place.drain(&["--send", url]).json()["sent"], true);
    assert_eq!(place.standing()["drained"], 1);
    place.authority.run(&["rotate", "resume"]).ok();

    // So does the answer that a bundle has come.
    let (file, identity, node) = (place.text("three"), place.text("identity"), place.text("node"));
    place.authority.run(&["export", "bundle", "--site", "edge1", "--role", "cache", "-o", &file]).ok();
    assert_eq!(place.standing()["receipts"], 0);
    let sent = place.node.run(&["import", &file, "-i", &identity, "--into", &node, "--send", url]).ok();
    assert!(sent.contains("the receipt was sent") && place.path("three.receipt").exists(), "{sent}");
    assert_eq!(place.standing()["receipts"], 1);

    // Whoever sends something else is refused, and soon for sending it too often; of none is it said that it is being done.
    let audit = || std::fs::read_to_string(place.authority.home().join("audit.jsonl")).unwrap();
    let intents = |log: &str| log.lines().filter(|line| line.contains("receipt") && line.contains("intent")).count();
    let before = intents(&audit());
    assert!(before > 0, "the control");
    let junk = |_| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--data-binary",
            "junk",
            url,
        ]);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    let answers: Vec<String> = (0..30).map(junk).collect();
    let refused = answers.iter().filter(|code| *code == "409").count();
    assert!(refused >= 5 && answers.iter().any(|code| code == "429"), "{answers:?}");
    let after = audit();
    assert_eq!(intents(&after), before);
    let denied = after.lines().filter(|line| line.contains("receipt") && line.contains("denied")).count();
    assert!(denied >= refused, "each refusal has its line");
}

#[test]
fn services_restart_in_their_order_and_one_that_does_not_come_up_ends_it() {
    let mut place = Place::new();
    let service = |name: &str, order: u32| {
        let (program, sick) = (place.text("service"), place.text(&format!("{name}.sick")));
        format!(
            "  {name}: {{driver: command, order: {order}, settle: 1, uses: [memcache_secret_key], check: [test, '!', -e, {sick}], \
             restart: [{program}, {name}, restart], started: [{program}, {name}, started]}}\n"
        )
    };
    let services = [("api", 3), ("scheduler", 2), ("web", 1)].map(|(name, order)| service(name, order)).concat();
    place.node.describe(&format!("deployment: site1\nservices:\n{services}"));
    place.publish("one");
    place.serve();
    std::fs::File::create_new(place.path("scheduler.sick")).unwrap();
    let restarted = || std::fs::read_to_string(place.path("restarted")).unwrap_or_default();
    let ended = place.drain(&["--restart", "--tries", "2"]).failed(10);
    assert!(ended.contains("it runs, and was looked at 2 times"), "{ended}");
    assert!(ended.contains("scheduler@local did not come up on the present bundle"), "{ended}");
    assert!(ended.contains("those after it are not; nothing was signed"), "{ended}");
    assert_eq!(restarted(), "web\nscheduler\n", "and the one behind it was left alone");
    // It runs on the bundle by now, and has logged in; that it is ill counts all the same.
    let again = place.drain(&["--restart"]).failed(10);
    assert!(again.contains("scheduler@local did not come up on the present bundle"), "{again}");
    assert_eq!(restarted(), "web\nscheduler\n", "and the one behind it is left alone still");
    assert!(!place.path("drained").exists());
    std::fs::remove_file(place.path("scheduler.sick")).unwrap();
    // One that falls ill once those behind it restart.
    let script = std::fs::read_to_string(place.path("service")).unwrap();
    let falls_ill = "restart)\n    [ $1 != api ] || touch web.sick";
    let script = script.replace("restart)", falls_ill);
    write_program(&place.path("service"), &script);
    for more in [&["--restart"][..], &[]] {
        let ill = place.drain(more).failed(1);
        assert!(ill.contains("web@local is not well on the present bundle"), "{ill}");
        assert!(!place.path("drained").exists());
    }
    std::fs::remove_file(place.path("web.sick")).unwrap();
    place.drain(&["--restart"]).json();
    assert_eq!(restarted(), "web\nscheduler\napi\n", "those that run on it already do not restart again");
}

#[test]
fn one_that_does_not_start_is_tried_as_often_as_is_said_and_then_left_to_a_person() {
    let mut place = Place::new();
    let script = std::fs::read_to_string(place.path("service")).unwrap();
    // One kind says so, the other is started and does not run.
    let fails = "echo $1 >> restarted\n    [ ! -e $1.fails ] || exit 1\n    [ ! -e $1.dies ] || exit 0";
    let script = script.replace("echo $1 >> restarted", fails);
    write_program(&place.path("service"), &script);
    place.node.describe(&two_services(&place.text("service")).replace("settle: 5", "settle: 1"));
    place.publish("one");
    place.serve();
    let restarted = || std::fs::read_to_string(place.path("restarted")).unwrap();
    std::fs::File::create_new(place.path("api.fails")).unwrap();
    let ended = place.drain(&["--restart", "--tries", "2"]).failed(10);
    assert!(ended.contains("api@local does not start on the present bundle"), "{ended}");
    assert!(ended.contains("it was tried 2 times; ") && ended.contains("nothing was signed"), "{ended}");
    assert_eq!(restarted(), "api\napi\n", "and the one behind it was left alone");
    std::fs::rename(place.path("api.fails"), place.path("web.dies")).unwrap();
    let ended = place.drain(&["--restart"]).failed(10);
    assert!(ended.contains("web@local does not start") && ended.contains("does not run"), "{ended}");
    assert_eq!(restarted(), "api\napi\napi\nweb\n");
    std::fs::remove_file(place.path("web.dies")).unwrap();
    // What the hint says.
    place.drain(&["--restart"]).json();
    assert_eq!(restarted(), "api\napi\napi\nweb\nweb\n");
}

/// Else it would be restarted each time that somebody looks, and never count.
#[test]
fn nothing_restarts_for_a_bundle_that_is_served_since_a_time_to_come() {
    let mut place = Place::new();
    place.publish("one");
    place.serve();
    let file = place.path("node/serving.json");
    let mut serving: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    serving["since"] = (serving["since"].as_i64().unwrap() + 3600).into();
    donjon_drivers::fs::replace(&file, serving.to_string().as_bytes()).unwrap();
    let ahead = place.drain(&["--restart"]).failed(1);
    assert!(ahead.contains("a time that has not come yet") && ahead.contains("clock"), "{ahead}");
    assert!(ahead.contains("nothing was restarted or signed"), "{ahead}");
    assert!(!place.path("restarted").exists());
    // What the hint says.
    std::fs::remove_file(&file).unwrap();
    place.serve();
    place.drain(&["--restart"]).json();
}

#[test]
fn a_bundle_is_not_drained_where_another_came_meanwhile() {
    let mut place = Place::new();
    place.publish("one");
    place.serve();
    let two = place.text("two");
    place.authority.run(&["export", "bundle", "--site", "edge1", "--role", "cache", "-o", &two]).ok();
    // It comes once the last one has restarted.
    let import =
        format!("{} import {two} -i identity --into node > /dev/null", donjon_tests::donjon::binary().display());
    let script = std::fs::read_to_string(place.path("service")).unwrap();
    let script = script.replace(" > /dev/null ;;", &format!(" > /dev/null\n    [ $1 != web ] || {import} ;;"));
    assert!(script.contains(&import), "the control");
    write_program(&place.path("service"), &script);
    let ended = place.drain(&["--restart"]).failed(13);
    assert!(ended.contains("another bundle came meanwhile") && ended.contains("nothing was signed"), "{ended}");
    assert!(place.path("two.receipt").exists() && !place.path("drained").exists());
}
