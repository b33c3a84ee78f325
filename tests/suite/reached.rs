//! A consumer that cannot be restarted, or a proxy before it that does not answer, is told before anything changes; whoever
//! goes on without it says so.

use donjon_tests::{donjon::Donjon, mariadb::MariaDb};

const OLD: &str = "the-first-root-password-4711";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_answer_is_told_before_anything_changes() {
    let server = MariaDb::start().await;
    server.account("root", "localhost", OLD).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let at = folder.path().display();
    let donjon = Donjon::new();
    let own = format!("driver: command, restart: [touch, {at}/restarted], started: [date, +%s%6N]");
    donjon.describe(&format!(
        "deployment: site1\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}\n\
         hosts:\n  here: {{driver: local}}\n  gone: {{driver: ssh, address: 127.0.0.1, port: 1, user: nobody, config: /dev/null}}\nservices:\n\
         \u{20} api: {{{own}, hosts: [here], settle: 20, proof: check, check: ['true'], uses: [database_password]}}\n\
         \u{20} far: {{driver: systemd, unit: far.service, order: 2, hosts: [gone], uses: [database_password]}}\n\
         \u{20} web: {{{own}, hosts: [here], order: 3, uses: [database_password], drain: {{driver: haproxy, backend: web, server: w1, proxies: [{{socket: {at}/none}}]}}}}\n",
        server.port,
        server.socket().display()
    ));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();

    let versions = || donjon.run(&["list", "--output", "json"]).ok();
    let before = versions();
    for words in [
        &["rotate", "apply", "database_password"][..],
        &["rotate", "apply", "database_password", "--compromised", "--accept-outage"],
    ] {
        let refused = donjon.run(words).failed(6);
        for told in ["far@gone: ", "web@here: ", "nothing was changed", "--leave far@gone"] {
            assert!(refused.contains(told), "{told}: {refused}");
        }
        assert!(!refused.contains("api@here: "), "{refused}");
        assert_eq!((versions(), server.logs_in("root", OLD).await), (before.clone(), true));
        donjon.run(&["rotate", "status"]).ok();
    }
    assert!(!folder.path().join("restarted").exists(), "nobody was restarted");

    // One of them is not enough.
    let one = donjon.run(&["rotate", "apply", "database_password", "--leave", "far@gone"]).failed(6);
    assert!(one.contains("web@here: ") && !one.contains("far@gone: "), "{one}");
    let without = ["rotate", "apply", "database_password", "--leave", "far@gone", "--leave", "web@here"];
    donjon.run(&without).ok();
    assert!(folder.path().join("restarted").exists(), "whoever is not left was");
    let new = donjon.run(&["get", "database_password"]).ok();
    assert!(server.logs_in("root", &new).await && !server.logs_in("root", OLD).await);
    let log = std::fs::read_to_string(donjon.home().join("audit.jsonl")).expect("it is there");
    for service in ["far", "web"] {
        assert!(log.contains(&format!("\"service\":\"{service}\"")), "the log has who was left: {log}");
    }
    let wrong = donjon.run(&["rotate", "apply", "database_password", "--leave", "@gone"]).failed(2);
    assert!(wrong.contains("SERVICE@HOST"), "{wrong}");
    let nobody = donjon.run(&["rotate", "apply", "database_password", "--leave", "fat@gone"]).failed(4);
    assert!(nobody.contains("is `far@gone` meant?") && nobody.contains("nothing was changed"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restarted_is_told_before_anything_changes() {
    let server = MariaDb::start().await;
    server.account("root", "localhost", OLD).await;
    let donjon = Donjon::new();
    let service = |name: &str, restart: &str| {
        format!(
            "\u{20} {name}: {{driver: command, restart: [{restart}], started: [date, +%s%6N], check: ['true'], uses: [database_password]}}\n"
        )
    };
    donjon.describe(&format!(
        "deployment: site1\ntargets:\n  mariadb: {{driver: mariadb, nodes: [{{name: db1, address: 127.0.0.1, port: {}, socket: {}}}]}}\nservices:\n{}{}\u{20} box: {{driver: container, container: no-such-container, engine: podman, uses: [database_password]}}\n",
        server.port,
        server.socket().display(),
        service("fine", "'true'"),
        service("slip", "/no/such/restrat"),
    ));
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();
    let refused = donjon.run(&["rotate", "apply", "database_password"]).failed(4);
    for told in ["slip@local: ", "no program `/no/such/restrat`", "box@local: ", "nothing was changed"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(!refused.contains("fine@local: "), "{refused}");
    assert!(server.logs_in("root", OLD).await);
    donjon.run(&["rotate", "status"]).ok();
}
