//! Services and hosts on real parts: systemd over SSH, podman, and the operator's own programs.

use donjon_drivers::{
    host::{Command, Host, HostError, local::Local, ssh::Ssh},
    material::Material,
    service::{Service, ServiceError, place::Place, registry::SERVICES},
};
use donjon_tests::{
    debian_root::{DebianRoot, control_folder},
    podman::{ENGINE_ARGUMENTS, Podman},
    process::{Guard, tied, wait_for},
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn open(driver: &str, host: Arc<dyn Host>, options: Value) -> Arc<dyn Service> {
    let place = Place { service: "s".into(), host_name: "h".into(), host };
    SERVICES.open(driver, &serde_json::from_value(options).unwrap(), "services.s", place).unwrap()
}

fn local() -> Arc<dyn Host> {
    Arc::new(Local::new("local", vec![]))
}

/// Restarts twice; each start is later than the moment before it, by the service manager's own word.
async fn restarts(service: &dyn Service) {
    for _ in 0..2 {
        let before = service.now().await.unwrap();
        let begun = Instant::now();
        service.restart().await.unwrap();
        let started = service.started().await.unwrap().unwrap();
        let after = service.now().await.unwrap();
        assert!(before < started && started <= after, "{before} {started} {after}");
        // Two commands more than the wall clock saw would mean another clock.
        let wall = i64::try_from(begun.elapsed().as_micros()).unwrap();
        assert!(after - before <= wall + 2_000_000, "{before} {after} {wall}");
    }
}

#[tokio::test]
async fn a_systemd_unit_restarts_over_ssh() {
    let debian = DebianRoot::boot().await;
    let host: Arc<dyn Host> = Arc::new(debian.host("debian"));
    debian.unit("reader.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    debian.unit("broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    debian.unit("brief.service", "[Service]\nExecStart=/bin/true\n");
    let unit = |unit: &str, check: &[&str]| {
        let mut options = json!({"unit": unit});
        if !check.is_empty() {
            options["check"] = json!(check);
        }
        open("systemd", Arc::clone(&host), options)
    };
    let reader = unit("reader.service", &["systemctl", "is-active", "--quiet", "reader.service"]);
    assert_eq!(reader.started().await.unwrap(), None, "it was not started yet");
    assert!(matches!(reader.check().await, Err(ServiceError::Failed { act: "pass its check", .. })));
    restarts(&*reader).await;
    reader.check().await.unwrap();
    for (name, part) in
        [("broken.service", "ended with 1"), ("nowhere.service", "ended with 5"), ("brief.service", "not active")]
    {
        let failed = unit(name, &[]).restart().await.unwrap_err();
        assert!(matches!(&failed, ServiceError::Failed { what, .. } if what.contains(part)), "{failed}");
    }
    reader.found().await.unwrap();
    let error = unit("nowhere.service", &[]).found().await.unwrap_err();
    assert!(matches!(error, ServiceError::NotThere { .. }), "{error}");
}

#[tokio::test]
async fn commands_over_ssh_are_words_and_failures_have_names() {
    let debian = DebianRoot::boot().await;
    let host = debian.host("debian");
    let run = async |host: &Ssh, words: &[&str], input: Option<&Material>, within: u64| {
        host.run(Command { words, input, within: Duration::from_millis(within) }).await
    };
    let odd = ["a b", "", "'", "\"$(id)\"", "*", "\\", "!x", "two\nlines", "#", "~", "é\u{1F600}", "-n", ";"];
    let words: Vec<&str> = ["printf", "%s|"].into_iter().chain(odd).collect();
    let output = run(&host, &words, None, 10_000).await.unwrap();
    // EXPOSE: what the test's own command printed
    assert_eq!(output.out.expose_text().unwrap(), odd.map(|word| format!("{word}|")).concat());

    let secret = Material::from("canary-over-the-pipe".to_owned());
    let output = run(&host, &["cat"], Some(&secret), 10_000).await.unwrap();
    assert!(output.out.matches(&secret));
    let failed = run(&host, &["sh", "-c", "echo why >&2; exit 9"], None, 10_000).await.unwrap();
    assert_eq!((failed.code, failed.err.trim()), (Some(9), "why"));

    // One connection for all of it: its socket is in a folder of this user alone.
    let sockets = || std::fs::read_dir(debian.control()).unwrap().count();
    assert_eq!(sockets(), 1);
    let connection = async || {
        let output = run(&host, &["sh", "-c", "echo $SSH_CONNECTION"], None, 10_000).await.unwrap();
        // EXPOSE: the ports of a connection, as the test's own command printed them
        output.out.expose_text().unwrap().to_owned()
    };
    assert_eq!(connection().await, connection().await);

    let missing = run(&host, &["no-such-program"], None, 10_000).await;
    assert!(matches!(missing, Err(HostError::NotRunnable { .. })), "{missing:?}");
    let late = run(&host, &["sleep", "60"], None, 300).await;
    assert!(matches!(late, Err(HostError::TimedOut { .. })), "{late:?}");

    let elsewhere = control_folder();
    let stranger = |change: &dyn Fn(&mut donjon_drivers::host::ssh::Login)| {
        let mut login = debian.login();
        change(&mut login);
        Ssh::new("debian", login, elsewhere.path())
    };
    for (host, part) in [
        (stranger(&|login| login.port = Some(1)), "Connection refused"),
        (stranger(&|login| login.user = Some("nobody".into())), "Permission denied"),
        (stranger(&|login| login.known_hosts = Some("/dev/null".into())), "Host key verification failed"),
    ] {
        match run(&host, &["true"], None, 10_000).await {
            Err(HostError::Unreachable { source, .. }) => assert!(source.to_string().contains(part), "{source}"),
            other => panic!("{part}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn connections_are_closed_by_name_of_their_folder() {
    let debian = DebianRoot::boot().await;
    let host = debian.host("debian");
    let pid = async || {
        let words = ["sh", "-c", "echo $SSH_CONNECTION"];
        let output = host.run(Command { words: &words, input: None, within: Duration::from_secs(10) }).await.unwrap();
        // EXPOSE: the ports of a connection, as the test's own command printed them
        output.out.expose_text().unwrap().to_owned()
    };
    let (first, again) = (pid().await, pid().await);
    assert_eq!(first, again, "one connection for both");
    let stranger = debian.control().join("not-a-connection");
    donjon_drivers::fs::replace(&stranger, b"x").unwrap();
    let folder = std::fs::metadata(debian.control()).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&folder) & 0o777, 0o700);
    donjon_drivers::host::ssh::close(debian.control()).await;
    let left: Vec<_> = std::fs::read_dir(debian.control()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [stranger]);
    // The far side saw it end: sshd has no child for it any more.
    donjon_tests::wait::until("sshd to be alone", Duration::from_secs(60), async || {
        let port = first.split_whitespace().nth(1)?.to_owned();
        let seen = debian.told(&["sh", "-c", "cat /proc/net/tcp"]);
        let hex = format!(":{:04X} ", port.parse::<u16>().ok()?);
        let open = |line: &&str| line.contains(&hex) && line.split_whitespace().nth(3) == Some("01");
        (!seen.lines().any(|line| open(&line))).then_some(())
    })
    .await;
    assert_ne!(pid().await, first, "a new connection afterwards");
    donjon_drivers::host::ssh::close(debian.control()).await;
}

/// Docker's own client, which talks to podman's service in docker's protocol: dockerd itself does not run here.
#[tokio::test]
async fn a_container_restarts_by_the_client_of_docker() {
    let container = Podman::start(&[], &["sleep", "infinity"]);
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}", folder.path().join("api.sock").display());
    let mut service = tied("podman");
    service.args(ENGINE_ARGUMENTS).args(["system", "service", "--time", "0", &address]);
    service.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _service = Guard::start(&mut service).unwrap();
    wait_for("podman's service", Duration::from_secs(60), || folder.path().join("api.sock").exists());
    let options = |name: &str| json!({"container": name, "engine": "docker", "engine_arguments": ["--host", address], "stop_timeout": 0});
    let service = open("container", local(), options(container.name()));
    restarts(&*service).await;
    let missing = open("container", local(), options("donjon-test-nobody"));
    let nowhere =
        json!({"container": container.name(), "engine": "docker", "engine_arguments": ["--host", "unix:///nowhere"]});
    is_told_apart(&*service, &*missing, &*open("container", local(), nowhere)).await;
}

/// What is there, what is not, and what cannot be asked.
async fn is_told_apart(there: &dyn Service, missing: &dyn Service, unasked: &dyn Service) {
    let failed = missing.restart().await.unwrap_err();
    assert!(matches!(failed, ServiceError::Failed { .. }), "{failed}");
    there.found().await.unwrap();
    let error = missing.found().await.unwrap_err();
    assert!(matches!(error, ServiceError::NotThere { .. }), "{error}");
    let error = unasked.found().await.unwrap_err();
    assert!(matches!(error, ServiceError::Failed { .. }), "{error}");
}

#[tokio::test]
async fn a_container_restarts() {
    let container = Podman::start(&[], &["sleep", "infinity"]);
    let options = |name: &str| json!({"container": name, "engine_arguments": ENGINE_ARGUMENTS, "stop_timeout": 0});
    let service = open("container", local(), options(container.name()));
    restarts(&*service).await;
    let missing = open("container", local(), options("donjon-test-nobody"));
    let broken = json!({"container": container.name(), "engine_arguments": ["--root", "/proc/1/nowhere"]});
    is_told_apart(&*service, &*missing, &*open("container", local(), broken)).await;
    container.told(&["true"]);
    // A container that ended is not one that started.
    let brief = Podman::start(&[], &["true"]);
    let brief = open("container", local(), options(brief.name()));
    donjon_tests::wait::until("it to end", Duration::from_secs(10), async || {
        brief.started().await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_operators_own_programs_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("started").display().to_string();
    let service = open(
        "command",
        local(),
        json!({
            "restart": ["sh", "-c", format!("date +%s%6N > {mark}")],
            "started": ["sh", "-c", format!("cat {mark} || true")],
            "check": ["test", "-s", mark],
        }),
    );
    assert_eq!(service.started().await.unwrap(), None);
    assert!(service.check().await.is_err());
    restarts(&*service).await;
    service.check().await.unwrap();
    let silent = open("command", local(), json!({"restart": ["true"], "started": ["true"]}));
    assert!(silent.restart().await.is_err(), "a restart after which nothing runs is none");
}
