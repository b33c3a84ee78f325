//! The Python package `donjon` in a real oslo.config process and in a real Keystone: one request, nothing on disk, and no
//! start on defaults.

use donjon_tests::{
    donjon::Donjon,
    keystone::{ADMIN, ADMIN_VALUE, DATABASE_USER, DATABASE_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    python_driver, search, tools,
    traced::Traced,
};
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const SERVICE: &str = r#"
import json, sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("connection", default="sqlite://"), cfg.MultiStrOpt("urls"), cfg.ListOpt("items")], "database")
conf.register_opts([cfg.StrOpt("transport_url", default="rabbit://"), cfg.IntOpt("workers", default=1)])
conf(sys.argv[1:], default_config_files=[], default_config_dirs=[])
print(json.dumps([conf.database.connection, conf.database.urls, conf.database["items"], conf.transport_url, conf.workers]))
"#;
/// What substitution and INI would each spoil.
const ODD: &str = "mysql://u:$a$$b\\$c%(d)s'\"# é@h/db ";

/// The package as pip installs it, and a service that reads its options.
struct Installed {
    folder: tempfile::TempDir,
    package: tempfile::TempDir,
}

impl Installed {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), package: python_driver::installed() }
    }

    fn site(&self) -> PathBuf {
        self.package.path().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
        path.display().to_string()
    }

    /// A configuration with this in the driver's group.
    fn configuration(&self, group: &str, mapping: &str) -> String {
        let mapping = self.file("mapping.conf", mapping);
        self.file(
            "service.conf",
            &format!(
                "[DEFAULT]\nconfig_source = s\nworkers = 3\n[s]\ndriver = donjon\nmapping_file = {mapping}\n{group}\n"
            ),
        )
    }

    /// Starts the service with a configuration.
    fn start(&self, configuration: &str) -> Output {
        self.command(SERVICE, configuration).stdin(Stdio::null()).output().unwrap()
    }

    /// A service in a folder of its own.
    fn command(&self, service: &str, configuration: &str) -> Command {
        let own = self.own();
        std::fs::create_dir_all(&own).unwrap();
        let mut command = Command::new(tools::program("python"));
        command.arg("-c").arg(service).arg(format!("--config-file={configuration}")).current_dir(&own);
        command.env_clear().env("PYTHONPATH", self.site()).env("TMPDIR", &own).env("PYTHONUTF8", "1");
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", &own);
        command
    }

    /// Where its services work, have their home and keep what is temporary.
    fn own(&self) -> PathBuf {
        self.folder.path().join("own")
    }
}

/// A way to a socket that counts what is asked through it.
struct Counting {
    path: PathBuf,
    requests: Arc<AtomicUsize>,
}

impl Counting {
    fn before(socket: &Path, folder: &Path) -> Self {
        let path = folder.join("counting.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, socket) = (Arc::clone(&requests), socket.to_path_buf());
        // It ends with the process.
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let (counted, broker) = (Arc::clone(&counted), UnixStream::connect(&socket).unwrap());
                let (mut answers, mut back) = (broker.try_clone().unwrap(), caller.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                std::thread::spawn(move || relay(caller, broker, &counted));
            }
        });
        Self { path, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Hands each message on and counts it. Requests of a reader have no material frames.
fn relay(mut from: UnixStream, mut to: UnixStream, counted: &AtomicUsize) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        from.read_exact(&mut frame).unwrap();
        counted.fetch_add(1, Ordering::SeqCst);
        to.write_all(&length).and_then(|()| to.write_all(&frame)).unwrap();
    }
}

fn up(secrets: &[(&str, &[u8])]) -> (Donjon, PathBuf) {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    for (name, value) in secrets {
        donjon.run_with_input(&["put", name, "--empty"], value).ok();
    }
    let socket = donjon.home().join("run/donjon.sock");
    (donjon, socket)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const MAPPING: &str =
    "[database]\nconnection = url\nurls = url\nitems = list\n[DEFAULT]\ntransport_url = bus\nworkers = unused\n";

#[test]
fn a_service_reads_all_its_secrets_in_one_request() {
    let secrets: [(&str, &[u8]); 4] = [("url", ODD.as_bytes()), ("list", b"a,b"), ("bus", b""), ("unused", b"9")];
    let ((_donjon, socket), installed) = (up(&secrets), Installed::new());
    let counting = Counting::before(&socket, installed.folder.path());
    let configuration = installed.configuration(&format!("socket = {}", counting.path.display()), MAPPING);
    let output = installed.start(&configuration);
    assert!(output.status.success(), "{}", told(&output));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        read,
        serde_json::json!([ODD, [ODD], ["a", "b"], "", 3]),
        "as they are, and a file comes before a source"
    );
    assert_eq!(counting.requests(), 1);
}

/// Nothing is opened to be written, and nothing is made, at the broker or without one.
#[test]
fn a_service_that_reads_its_secrets_writes_no_file() {
    let ((donjon, socket), installed) = (up(&[("url", ODD.as_bytes())]), Installed::new());
    let configuration =
        installed.configuration(&format!("socket = {}", socket.display()), "[database]\nconnection = url\n");
    let traced = |service: &str| {
        Traced::run(&installed.command(service, &configuration), &installed.folder.path().join("strace"))
    };
    // Stevedore, which finds the driver, keeps which plugins are installed, the first time.
    assert!(traced(SERVICE).changes().iter().all(|line| line.contains("/.cache")), "and nothing else is kept");
    assert!(search::holding(&installed.own(), ODD.as_bytes()).is_empty());
    let started = traced(SERVICE);
    let read: serde_json::Value = serde_json::from_slice(&started.output.stdout).unwrap();
    assert_eq!(read[0], ODD);
    assert!(started.opened(&installed.folder.path().join("mapping.conf")), "the driver is seen");
    assert_eq!(started.changes(), [""; 0]);
    // The control: the same service, where it keeps what it has read.
    for (keeps, call) in [
        ("open('kept', 'w').write(conf.database.connection)", "O_WRONLY|O_CREAT"),
        ("import tempfile; tempfile.NamedTemporaryFile().write(b'x')", "O_RDWR|O_CREAT"),
        ("import os; os.mkdir('kept.d')", "mkdir"),
        ("import os; os.symlink('kept', 'link')", "symlink"),
    ] {
        let kept = traced(&format!("{SERVICE}{keeps}\n"));
        assert!(kept.output.status.success(), "{}", told(&kept.output));
        assert!(kept.changes().iter().any(|line| line.contains(call)), "{keeps}: {:#?}", kept.changes());
    }
    assert_eq!(
        search::holding(&installed.own(), ODD.as_bytes()),
        [installed.own().join("kept")],
        "nor was it by chance"
    );
    donjon.run(&["down", "--force", "--no-search"]).ok();
    let refused = traced(SERVICE);
    assert!(!refused.output.status.success() && told(&refused.output).contains("does not start"));
    assert_eq!(refused.changes(), [""; 0]);
}

/// What listens instead of a broker.
fn stand_in(folder: &Path, name: &str, answer: Option<Vec<u8>>) -> PathBuf {
    let path = folder.join(name);
    let listener = UnixListener::bind(&path).unwrap();
    // It ends with the process.
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut caller in listener.incoming().flatten() {
            let mut frame = [0; 4096];
            let _ = caller.read(&mut frame);
            match &answer {
                // The caller may have gone by now.
                Some(answer) => drop(caller.write_all(answer)),
                None => kept.push(caller),
            }
        }
    });
    path
}

#[test]
fn a_service_does_not_start_on_its_defaults() {
    let ((donjon, socket), installed) = (up(&[("url", b"u"), ("list", b"\xff")]), Installed::new());
    let refused = |group: &str, mapping: &str, words: &[&str]| {
        let output = installed.start(&installed.configuration(group, mapping));
        let told = told(&output);
        assert!(!output.status.success() && output.stdout.is_empty(), "{group} {mapping}: {told}");
        assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
        assert_eq!(told.trim_end().lines().count(), 1, "one line, and no traceback: {told}");
    };
    let at = |path: &Path| format!("socket = {}", path.display());
    let (here, url) = (at(&socket), "[database]\nconnection = url\n");
    let output = installed.start(&installed.configuration(&here, url));
    assert!(output.status.success(), "the control: {}", told(&output));
    refused(&here, "[database]\nconnection = absent\n", &["does not start", "there is no secret `absent`"]);
    refused(&here, "[database]\nconnection = a b\n", &["does not start", "a b"]);
    refused(&here, "[database]\nconnection = list\n", &["`list` is not UTF-8"]);
    refused(&here, "[database]\nconnection =\n", &["mapped to no name"]);
    refused(&here, "[database]\nconnection = url\nconnection = list\n", &["mapped twice"]);
    refused(&here, "nonsense\n", &["mapping.conf, line 1"]);
    refused(&format!("{here}\ntimeout = soon"), url, &["cannot be used", "timeout"]);
    refused(&format!("{here}\nmapping_file = /no/such"), url, &["/no/such: No such file"]);
    refused("socket = /no/such.sock", url, &["there is no broker at /no/such.sock"]);
    let folder = installed.folder.path();
    let header = br#"{"v":1,"error":{"code":6,"message":"the store is sealed","causes":[],"hint":"`donjon unseal`"},"materials":0}"#;
    let framed = |header: &[u8]| [&u32::try_from(header.len()).unwrap().to_be_bytes()[..], header].concat();
    refused(&at(&stand_in(folder, "sealed", Some(framed(header)))), url, &["the store is sealed", "donjon unseal"]);
    refused(&at(&stand_in(folder, "foreign", Some(framed(b"HTTP/1.1 400")))), url, &["does not speak version 1"]);
    refused(&at(&stand_in(folder, "huge", Some(vec![0xff; 8]))), url, &["does not speak version 1"]);
    refused(&at(&stand_in(folder, "short", Some(vec![0, 0]))), url, &["broke"]);
    let few = framed(br#"{"v":1,"reply":{"epoch":1,"versions":[]},"materials":0}"#);
    refused(&at(&stand_in(folder, "few", Some(few))), url, &["does not speak version 1"]);
    let silent = at(&stand_in(folder, "silent", None));
    refused(&format!("{silent}\ntimeout = 0.3"), url, &["did not answer within 0.3 s"]);
    donjon.run(&["down", "--force", "--no-search"]).ok();
    refused(&here, url, &["does not start", "donjon up"]);

    let output = installed.start(&installed.configuration(&format!("{here}\noptional = true"), url));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read[0], "sqlite://", "asked for by name, the defaults are used: {}", told(&output));
}

#[test]
fn what_files_refer_to_is_told_as_the_service_sees_it() {
    let ((donjon, socket), installed) = (up(&[("the-url", ODD.as_bytes()), ("bus", b"b$us")]), Installed::new());
    let written = |group: &str| {
        let text = "[DEFAULT]\nconfig_source = s\ntransport_url = rabbit://u:${s.bus}@h//\n[database]\n";
        installed.file("service.conf", &format!("{text}connection = <${{s.the_url}}>\n[s]\ndriver = {group}\n"))
    };
    let told_by_donjon = |file: &str, option: [&str; 2]| {
        donjon.run(&[&["config", "get", "--reveal", "--config-file", file][..], &option].concat())
    };
    let file = written(&format!("donjon\nsecrets = the-url, bus\nsocket = {}", socket.display()));
    let output = installed.start(&file);
    assert!(output.status.success(), "{}", told(&output));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&read[0], &read[3]), (&format!("<{ODD}>").into(), &"rabbit://u:b$us@h//".into()));
    assert!(told_by_donjon(&file, ["database", "connection"]).ok().contains(&format!("<{ODD}>")));
    assert!(told_by_donjon(&file, ["DEFAULT", "transport_url"]).ok().contains("rabbit://u:b$us@h//"));
    // What neither can tell apart, what has no names, and a reader that does not answer.
    for (group, service, own) in [
        ("donjon\nsecrets = a-b, a_b", "cannot be told apart", "cannot be told apart"),
        ("donjon_names\nsecrets = a-b, a_b", "cannot be told apart", "cannot be told apart"),
        ("donjon_names", "secrets is missing", "`secrets` is missing"),
        ("donjon", "mapping_file is missing", "neither mapping_file nor secrets"),
        ("donjon\nsecrets = bus\naddress = https://127.0.0.1:1", "deployment is missing", "deployment is missing"),
        ("donjon\nsecrets = bus\ndeployment = d\naddress = https://127.0.0.1:1", "cannot be asked", "127.0.0.1:1"),
    ] {
        let file = written(group);
        let output = installed.start(&file);
        assert!(!output.status.success() && told(&output).contains(service), "{group}: {}", told(&output));
        let ran = told_by_donjon(&file, ["database", "connection"]);
        assert!(ran.code != 0 && ran.err.contains(own), "{group}: {} {}", ran.code, ran.err);
    }
    // Names that a source before gives: there is none, and empty text in their place is no URL.
    let file = written("donjon_names\nsecrets = the-url, bus");
    let output = installed.start(&file);
    let lacks = "no source before [s] in config_source has `the-url`";
    assert!(!output.status.success() && told(&output).contains(lacks), "{}", told(&output));
    let ran = told_by_donjon(&file, ["database", "connection"]);
    assert!(
        ran.code != 0 && ran.err.contains("the_url") && ran.err.contains("no source before"),
        "{} {}",
        ran.code,
        ran.err
    );
}

#[test]
fn what_refers_to_a_secret_that_is_away_has_no_default_even_where_the_source_is_optional() {
    let ((donjon, socket), installed) = (up(&[("url", b"u"), ("bus", b"b")]), Installed::new());
    let text = "[DEFAULT]\nconfig_source = s\ntransport_url = rabbit://u:${s.bus}@h//\n";
    let mapping = installed.file("m.conf", "[database]\nconnection = url\n");
    let file = |lines: &str| {
        let group = format!("[s]\ndriver = donjon\nsocket = {}\noptional = true\n", socket.display());
        installed.file("service.conf", &format!("{lines}{group}mapping_file = {mapping}\nsecrets = bus\n"))
    };
    let read = |output: &Output| serde_json::from_slice::<serde_json::Value>(&output.stdout);
    let referring = file(text);
    assert_eq!(read(&installed.start(&referring)).unwrap()[3], "rabbit://u:b@h//", "the control");
    donjon.run(&["down", "--force", "--no-search"]).ok();
    let output = installed.start(&referring);
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", told(&output));
    for word in ["there is no broker at", "refers to `bus`", "does not start"] {
        assert!(told(&output).contains(word), "{word}: {}", told(&output));
    }
    let get =
        |file: &str, group: &str, option: &str| donjon.run(&["config", "get", "--config-file", file, group, option]);
    let error = get(&referring, "DEFAULT", "transport_url").failed(6);
    assert!(
        error.contains("the secret `bus` of a source that is optional") && error.contains("donjon is not up"),
        "{error}"
    );
    // What is mapped has the service's default, as was asked for.
    let output = installed.start(&file("[DEFAULT]\nconfig_source = s\n"));
    assert_eq!(read(&output).unwrap()[0], "sqlite://", "{}", told(&output));
    get(&referring, "database", "connection").failed(4);
}

/// Of one file both drivers say the same: either reads it, or neither does.
#[test]
fn a_file_that_the_service_starts_on_is_one_that_is_told_and_no_other() {
    let ((donjon, socket), installed) = (up(&[("url", b"u"), ("bus", b"b"), ("text", b"\xff")]), Installed::new());
    let mapping = installed.file("m.conf", "[database]\nconnection = url\n");
    let broken = installed.file("b.conf", "[database]\nconnection = url\nconnection = bus\n");
    let here = format!("socket = {}\n", socket.display());
    let mapped = format!("{here}mapping_file = {mapping}\n");
    let both = |group: &str| {
        let text = format!("[DEFAULT]\nconfig_source = s\n[s]\ndriver = {group}\n");
        let file = installed.file("service.conf", &text);
        let get = ["config", "get", "--reveal", "--type", "string", "--config-file", &file, "database", "connection"];
        (installed.start(&file), donjon.run(&get))
    };
    let given = |lines: &str| format!("donjon\n{mapped}{lines}\n");
    for lines in [
        "",
        "timeout = 2.5",
        "timeout = 0.5",
        "timeout =",
        "timeout = 3600",
        "timeout = 1_0",
        "secrets =",
        "secrets = bus",
        "secrets = bus,,",
    ] {
        let (service, told_by_donjon) = both(&given(lines));
        assert!(service.status.success(), "{lines}: {}", told(&service));
        let read: serde_json::Value = serde_json::from_slice(&service.stdout).unwrap();
        assert_eq!(read[0], "u", "{lines}");
        assert!(told_by_donjon.ok().contains("value: u\n"), "{lines}");
    }
    for lines in
        ["address =", "mount =", "ca_file =\ncert_file =\nkey_file =", "role_id_file =", "optional = 0", "deployment ="]
    {
        let (service, told_by_donjon) = both(&given(lines));
        assert!(
            service.status.success() && told_by_donjon.code == 0,
            "{lines}: {} {}",
            told(&service),
            told_by_donjon.err
        );
    }
    let (taken, apart) = ("is what the group has an option for", "cannot be told apart");
    for (group, why) in [
        (given("timeout = 0.05"), "timeout"),
        (given("timeout = 0"), "timeout"),
        (given("timeout = -1"), "timeout"),
        (given("timeout = nan"), ""),
        (given("timeout = inf"), "timeout"),
        (given("timeout = 3601"), "timeout"),
        (given("timeout = soon"), "timeout"),
        (given("optional = maybe"), "optional"),
        (given("optional ="), "optional"),
        (given("secrets = timeout"), taken),
        (given("secrets = bus, Mapping-File"), taken),
        (given("secrets = driver"), taken),
        (given("secrets = defined_in"), taken),
        (given("secrets = bus, bus"), apart),
        (given("secrets = text"), "not UTF-8"),
        (given("secrets = absent"), "absent"),
        (format!("donjon\n{here}"), "mapping_file"),
        (format!("donjon\n{here}mapping_file =\n"), "mapping_file"),
        (format!("donjon\n{here}mapping_file = {broken}\n"), "mapped twice"),
        ("donjon_names\nsecrets = secrets\n".to_owned(), taken),
        ("donjon_names\nsecrets =\n".to_owned(), "secrets"),
    ] {
        let (service, told_by_donjon) = both(&group);
        assert!(!service.status.success() && told(&service).contains(why), "{group}: {}", told(&service));
        assert!(told_by_donjon.code != 0 && told_by_donjon.err.contains(why), "{group}: {}", told_by_donjon.err);
    }
    // The names of options are not reserved where there is no such option.
    let (service, told_by_donjon) = both("donjon_names\nsecrets = timeout\n");
    assert!(service.status.success(), "{}", told(&service));
    told_by_donjon.failed(4);
}

#[tokio::test]
async fn keystone_has_its_database_url_from_the_broker() {
    let database = MariaDb::start().await;
    let url = format!("mysql+pymysql://{DATABASE_USER}:{DATABASE_VALUE}@127.0.0.1:{}/{DATABASE_USER}", database.port);
    let ((donjon, socket), installed) = (up(&[("keystone.database.connection", url.as_bytes())]), Installed::new());
    let counting = Counting::before(&socket, installed.folder.path());
    let mapping = installed.file("mapping.conf", "[database]\nconnection = keystone.database.connection\n");
    let lines = format!(
        "[DEFAULT]\nconfig_source = broker\n[broker]\ndriver = donjon\nmapping_file = {mapping}\nsocket = {}\n",
        counting.path.display()
    );
    let setup = Setup {
        database: Some(lines),
        environment: vec![("PYTHONPATH".to_owned(), installed.site().display().to_string())],
        ..Setup::default()
    };
    let keystone = Keystone::start_with(&database, setup).await;
    keystone.token(0, ADMIN, ADMIN_VALUE).await.unwrap();
    assert_eq!(counting.requests(), 1, "one worker, one request");
    let configuration = keystone.instances[0].repository("keystone.conf").display().to_string();
    assert!(!std::fs::read_to_string(&configuration).unwrap().contains(DATABASE_VALUE));
    let get = ["config", "get", "--config-file", &configuration, "database", "connection", "--reveal"];
    assert!(donjon.run(&get).ok().contains(&url), "what the service sees is what is told");
}
