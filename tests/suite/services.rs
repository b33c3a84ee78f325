//! Services and hosts on real parts: systemd over SSH, podman, and the operator's own programs.

use donjon_drivers::{
    host::{Command, Host, HostError, local::Local, ssh::Ssh},
    material::Material,
    service::{Service, ServiceError, place::Place, registry::SERVICES},
};
use donjon_tests::{
    debian_root::{DebianRoot, control_folder},
    podman::{ENGINE_ARGUMENTS, Podman},
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
    let begun = Instant::now();
    run(&host, &["true"], None, 10_000).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());

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
async fn a_container_restarts() {
    let container = Podman::start(&[], &["sleep", "infinity"]);
    let options = |name: &str| json!({"container": name, "engine_arguments": ENGINE_ARGUMENTS, "stop_timeout": 0});
    let service = open("container", local(), options(container.name()));
    restarts(&*service).await;
    let missing = open("container", local(), options("donjon-test-nobody")).restart().await.unwrap_err();
    assert!(matches!(missing, ServiceError::Failed { .. }), "{missing}");
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
