//! What anybody sees of processes, on command lines and in environments, all the while a store is used and root is rotated.

use donjon_tests::{donjon::Donjon, mariadb::MariaDb};
use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

const OLD: &str = "old-value-of-root-4711";

/// Looks at every process again and again, and keeps each command line and environment that it has seen.
struct Watch {
    end: Arc<AtomicBool>,
    looking: JoinHandle<BTreeSet<Vec<u8>>>,
}

impl Watch {
    fn begin() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let looking = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
                let numbered = |path: &std::path::PathBuf| {
                    path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok())
                };
                for process in processes.filter(numbered) {
                    // One that has ended meanwhile has nothing.
                    seen.extend(["cmdline", "environ"].iter().filter_map(|part| fs::read(process.join(part)).ok()));
                }
            }
            seen
        });
        Self { end, looking }
    }

    fn end(self) -> BTreeSet<Vec<u8>> {
        self.end.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_stands_on_a_command_line_or_in_an_environment_while_it_is_used() {
    let server = MariaDb::start().await;
    server.root_accounts(OLD).await;
    let (donjon, folder) = (Donjon::new(), tempfile::tempdir().unwrap());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
        path.display().to_string()
    };
    donjon.describe(&format!(
        "deployment: site1\nroles: {{keystone: {{reads: [keystone.admin_token]}}}}\ntargets:\n  mariadb:\n    \
         driver: mariadb\n    nodes:\n      - {{name: db1, address: 127.0.0.1, port: {}, socket: {}}}\n",
        server.port,
        server.socket().display()
    ));
    let watch = Watch::begin();
    donjon.up();
    donjon.run_with_input(&["put", "database_password"], OLD.as_bytes()).ok();
    donjon.run_with_input(&["put", "another"], b"another-value-0815").ok();
    donjon.run(&["generate", "--catalogue", "kolla-ansible", "nova_database_password"]).ok();
    let adopted = file("passwords.yml", "glance_database_password: adopted-value-2342\n");
    donjon.run(&["adopt", &adopted, "--format", "kolla"]).ok();
    let service = file("keystone.conf", "[DEFAULT]\nadmin_token = wired-value-3141\n");
    donjon.run(&["wire", "oslo", "--service", "keystone", "--config", &service]).ok();
    donjon.run(&["config", "get", "--config-file", &service, "--reveal", "DEFAULT", "admin_token"]).ok();
    let template = file("template", "{{ secret('another') }}\n");
    let rendered = format!("/dev/shm/{}", folder.path().file_name().unwrap().to_string_lossy());
    donjon.run(&["render", &template, "-o", &rendered]).ok();
    fs::remove_file(&rendered).unwrap();
    donjon.run(&["run", "--file", "P=another", "--", "sh", "-c", "cat $P > /dev/null"]).ok();
    donjon.run(&["scan", &folder.path().display().to_string()]).failed(7);
    let applied = donjon.run(&["rotate", "apply", "database_password", "--output", "json"]).json();
    assert_eq!(applied["rotations"][0]["state"], "retired", "{applied}");
    let new = donjon.run(&["get", "database_password"]).ok();
    let generated = donjon.run(&["get", "nova_database_password"]).ok();
    let tokens = file("told", "");
    // The control: where a value is asked for in an environment, it is seen there, and an argument on a command line.
    donjon.run(&["run", "--map", "P=another", "--", "sh", "-c", &format!("sleep 1 # an-argument-1618 {tokens}")]).ok();
    let seen = watch.end();

    let all: String = seen.iter().map(|one| String::from_utf8_lossy(one) + "\n").collect();
    let sees = |text: &str| all.contains(text);
    assert!(sees("an-argument-1618") && sees("P=another-value-0815"), "the control");
    assert!(sees("adopt\0") && sees("rotate\0apply\0"), "the control: our own processes were looked at");
    for value in [OLD, "adopted-value-2342", "wired-value-3141", new.trim_end(), generated.trim_end()] {
        assert!(!sees(value), "{value}");
    }
    let mut given = all.split(['\0', '\n']).filter(|word| word.contains("another-value-0815"));
    assert!(given.all(|word| word == "P=another-value-0815"), "where it was asked for, and nowhere else");
}
