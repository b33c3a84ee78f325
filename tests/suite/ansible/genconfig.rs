//! The real `kolla-ansible genconfig`, before and after `donjon wire kolla --runtime`: what it writes holds no value but where
//! that was told, and the real oslo.config reads from it what it read before, out of the store.

use super::site::{COLLECTIONS, Search};
use donjon_tests::{donjon::Donjon, podman::Podman, process::tied, python_driver, tools};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// Prints what a service would read of its secrets, or why it would not start.
const SERVICE: &str = "
import json, sys
from oslo_config import cfg
secret = lambda name: cfg.StrOpt(name, secret=True)
conf = cfg.ConfigOpts()
conf.register_opts([secret('transport_url'), secret('metadata_proxy_shared_secret')])
options = {'database': ['connection'], 'api_database': ['connection'], 'placement_database': ['connection'],
    'keystone_authtoken': ['password', 'memcache_secret_key'], 'oslo_messaging_notifications': ['transport_url']}
options |= {group: ['password'] for group in ['placement', 'neutron', 'nova', 'cinder', 'service_user', 'glance']}
options['neutron'] += ['metadata_proxy_shared_secret']
for group, names in options.items():
    conf.register_opts([secret(name) for name in names], group)
conf([word for file in sys.argv[1:] for word in ('--config-file', file)], project='x')
told = {f'{group}.{name}': conf[group][name] for group, names in options.items() for name in names}
told['transport_url'], told['metadata'] = conf.transport_url, conf.metadata_proxy_shared_secret
print(json.dumps({name: value for name, value in told.items() if value}))
";

/// Roles, and which files of their services are compared; some read two.
const ROLES: &str = "keystone,manila,nova,neutron,glance,cinder,placement,heat";
const FILES: [&[&str]; 12] = [
    &["keystone/keystone.conf"],
    &["manila-api/manila.conf"],
    &["manila-share/manila.conf"],
    &["nova-api/nova.conf"],
    &["nova-conductor/nova.conf"],
    &["nova-novncproxy/nova.conf"],
    &["neutron-server/neutron.conf"],
    &["neutron-metadata-agent/neutron.conf", "neutron-metadata-agent/metadata_agent.ini"],
    &["glance-api/glance-api.conf"],
    &["cinder-api/cinder.conf"],
    &["placement-api/placement.conf"],
    &["heat-api/heat.conf"],
];
const KEYSTONE_CONF: &str = "keystone/keystone.conf";

/// Keystone's user in kolla's images, and where their packages are.
const KEYSTONE: &str = "42425";
const PACKAGES: &str = "/var/lib/kolla/venv/lib/python3.11/site-packages";

/// Somebody who has kolla-ansible: a folder with its configuration in `etc`, which is also the home, and a donjon.
pub(super) struct Operator {
    folder: TempDir,
    pub(super) donjon: Donjon,
}

impl Operator {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), donjon: Donjon::new() }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        donjon_drivers::fs::replace(&self.at(name), text.as_bytes()).unwrap();
    }

    pub(super) fn environment(&self, command: &mut Command) {
        let bin = tools::program("python3").parent().expect("a folder").display().to_string();
        let own = donjon_tests::donjon::binary().parent().expect("a folder").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{bin}:{own}:{path}"))
            .env("HOME", self.folder.path())
            .env("ANSIBLE_COLLECTIONS_PATH", COLLECTIONS)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("PYTHONPATH");
    }

    pub(super) fn wire(&self, runtime: &str, more: &[&str]) -> Value {
        let config = self.text("etc");
        let words = ["wire", "kolla", "--runtime", runtime, "--config", &config, "--output", "json"];
        let mut command = self.donjon.command(&[&words[..], more].concat());
        self.environment(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The inventory that comes with kolla-ansible for one host.
    pub(super) fn given_inventory() -> String {
        let tools = tools::program("python3");
        let tools = tools.parent().and_then(Path::parent).expect("the environment of the tools");
        fs::read_to_string(tools.join("share/kolla-ansible/ansible/inventory/all-in-one")).unwrap()
    }
}

struct Kolla(Operator);

impl std::ops::Deref for Kolla {
    type Target = Operator;
    fn deref(&self) -> &Operator {
        &self.0
    }
}

impl Kolla {
    fn new() -> Self {
        let kolla = Self(Operator::new());
        for folder in ["etc", "node/haproxy/services.d", "node/proxysql/users", "node/proxysql/rules"] {
            fs::create_dir_all(kolla.at(folder)).unwrap();
        }
        let globals = format!(
            "kolla_base_distro: debian\nkolla_internal_vip_address: 192.0.2.10\nnetwork_interface: lo\n\
             neutron_external_interface: none\napi_interface_address: 127.0.0.1\nenable_fluentd: false\nenable_manila: true\nenable_cinder: true\nskip_cinder_backend_check: true\n\
             node_config_directory: {}\nnode_config: {}\nansible_become: false\nansible_python_interpreter: {}\n",
            kolla.at("node").display(),
            kolla.at("etc").display(),
            tools::program("python3").display()
        );
        kolla.write("etc/globals.yml", &globals);
        kolla
    }

    /// Renders what these roles render.
    fn genconfig(&self, roles: &str) {
        let given = Operator::given_inventory();
        // What renders nova-compute's file asks a running cloud for its hypervisors.
        let (before, compute) = given.split_once("[compute]\n").expect("kolla's inventory has that group");
        let after = compute.split_once('\n').expect("with this host in it").1;
        self.write("inventory", &format!("{before}[compute]\n{after}"));
        let inventory = self.text("inventory");
        let words = ["run", "--deploy", "--", "kolla-ansible", "genconfig", "-i", &inventory, "--configdir"];
        let mut command = self.donjon.command(&[&words[..], &[&self.text("etc"), "--tags", roles]].concat());
        self.environment(&mut command);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }

    /// What a service would read of its secrets from files that were rendered.
    fn service(&self, files: &[&str], package: &TempDir) -> Result<BTreeMap<String, String>, String> {
        let output = tied(tools::program("python3"))
            .args(["-c", SERVICE])
            .args(files.iter().map(|file| self.text(&format!("node/{file}"))))
            .env("PYTHONPATH", package.path())
            .output()
            .unwrap();
        told(output)
    }

    /// What Keystone would read in a container of its own, as this user: with the volumes that kolla was told to give it, and
    /// no other way to the reader.
    fn in_a_container(&self, user: &str, package: &TempDir) -> Result<BTreeMap<String, String>, String> {
        let globals = fs::read_to_string(self.at("etc/globals.d/donjon.yml")).unwrap();
        let listed = globals.lines().skip_while(|line| *line != "donjon_volumes:").skip(1);
        let volumes: Vec<String> = listed
            .map_while(|line| line.trim().strip_prefix("- \"")?.strip_suffix('"'))
            .map(|volume| volume.replace("{{ donjon_packages }}", PACKAGES))
            .map(|volume| volume.replace("/usr/share/donjon/python", &package.path().display().to_string()))
            .map(|volume| format!("--volume={volume}"))
            .collect();
        assert_eq!(volumes.len(), 3, "the package, its description, and the reader's folder: {globals}");
        // The image's own environment has oslo.config.
        let own = tools::folder().join("venv/lib/python3.11/site-packages").display().to_string();
        let image = format!("--volume={own}:{own}:ro");
        let arguments = volumes.iter().map(String::as_str).chain([image.as_str(), "--user", user]).collect::<Vec<_>>();
        let container = Podman::start(&arguments, &["sleep", "600"]);
        let everybody = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::copy(self.at("node").join(KEYSTONE_CONF), container.folder().join("keystone.conf")).unwrap();
        everybody(&container.folder().join("keystone.conf"), 0o644);
        everybody(container.folder(), 0o755);
        let path = format!("PYTHONPATH={PACKAGES}:{own}");
        told(container.exec(&["env", &path, "python3", "-B", "-c", SERVICE, "/test/keystone.conf"]))
    }

    fn keystone(&self, package: &TempDir) -> Result<BTreeMap<String, String>, String> {
        self.service(&[KEYSTONE_CONF], package)
    }
}

/// What a service read, or why it does not start.
fn told(output: Output) -> Result<BTreeMap<String, String>, String> {
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// `donjon serve --store daemon`; it ends when dropped.
pub(super) struct Serving(Child, Vec<String>);

impl Serving {
    fn start(donjon: &Donjon, socket: &str) -> Self {
        Self::start_with(donjon, socket, "127.0.0.1:0", &[])
    }

    /// At this address too, with more arguments.
    pub(super) fn start_with(donjon: &Donjon, socket: &str, address: &str, more: &[&str]) -> Self {
        let words = ["serve", "--store", "daemon", "--listen", address, "--socket", socket, "--output", "json"];
        let words = [&words[..], more].concat();
        let mut child = donjon.tied_command(&words).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("it says where it serves");
        let urls = told["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect();
        Self(child, urls)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_genconfig_writes_holds_no_value_and_reads_as_before() {
    let kolla = Kolla::new();
    let (donjon, socket, lookup) = (&kolla.donjon, kolla.text("reader/s"), kolla.text("lookup.sock"));
    fs::create_dir(kolla.at("reader")).unwrap();
    let own = rustix::process::geteuid().as_raw();
    let describe = |reads: &str| {
        let role = format!("keystone: {{reads: [{reads}], users: [{own}, {KEYSTONE}]}}");
        donjon.describe(&format!("deployment: site1\nlookup_socket: {lookup}\nroles:\n  {role}\n"));
    };
    describe("rabbitmq_password");
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run(&["generate", "--catalogue", "kolla-ansible"]).ok();
    let names: Vec<String> = donjon.run(&["list", "--output", "json"]).json()["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap().to_owned())
        .collect();
    describe(&names.join(", "));
    // Someone has chosen these: as short as they are, they may be a part of anything.
    for (name, short) in [("cinder_keystone_password", "Zq9x7k"), ("heat_database_password", "Jw4v2m")] {
        donjon.run_with_input(&["put", name], short.as_bytes()).ok();
    }
    donjon.run(&["wire", "kolla", "-o", &kolla.text("etc/passwords.yml")]).ok();
    let package = python_driver::installed();
    let value = |name: &str| donjon.run(&["get", name]).ok().trim_end().to_owned();
    let (database, messages) = (value("keystone_database_password"), value("rabbitmq_password"));

    // The control: as kolla is, both are in the file, and that hides every source.
    kolla.genconfig(ROLES);
    let rendered = |file: &str| fs::read_to_string(kolla.at("node").join(file)).unwrap();
    assert!(rendered(KEYSTONE_CONF).contains(&database) && rendered(KEYSTONE_CONF).contains(&messages));
    let before: Vec<_> = FILES.iter().map(|files| kolla.service(files, &package).unwrap()).collect();
    let keystone = before[0].clone();
    assert!(keystone["database.connection"].contains(&database) && keystone["transport_url"].contains(&messages));
    for (files, read) in FILES.iter().zip(&before) {
        println!("{}: {}", files.join(" "), read.keys().cloned().collect::<Vec<_>>().join(", "));
        assert!(read.len() >= 2, "the control: {files:?} have secrets of their own");
    }
    assert!(before[7].contains_key("metadata"), "the control: it stands in the second file");

    let reader = format!("unix://{socket}");
    let told = kolla.wire("donjon", &["--reader", &reader]);
    kolla.genconfig(ROLES);
    let values: Vec<String> = names.iter().map(|name| value(name)).collect();
    let search = Search::new(values.iter().map(String::as_str));
    // A public key is in its private one, too, and is no secret.
    let public = |file: &PathBuf| file.extension().is_some_and(|end| end == "pub");
    let all = files(&kolla.at("node")).into_iter().filter(|file| !public(file)).collect();
    let left = search.among(all);
    assert!(!left.is_empty(), "the control: it would have been seen");
    for file in left {
        let place = format!("/etc/kolla/{}", file.strip_prefix(kolla.at("node")).unwrap().display());
        let named = |clear: &Value| matches(clear["place"].as_str().unwrap(), &place);
        assert!(told["clear"].as_array().unwrap().iter().any(named), "{place} is not told: {told}");
    }
    assert!(FILES.concat().iter().all(|file| !search.finds(rendered(file))));
    for file in told["written"].as_array().unwrap() {
        assert!(!search.finds(fs::read(file.as_str().unwrap()).unwrap()), "{file}");
    }
    let refused = kolla.keystone(&package).unwrap_err();
    assert!(refused.contains("the service does not start"), "without a reader: {refused}");
    let serving = Serving::start(donjon, &socket);
    for (files, before) in FILES.iter().zip(&before) {
        assert_eq!(&kolla.service(files, &package).unwrap(), before, "{files:?}");
    }
    assert_eq!(kolla.in_a_container(KEYSTONE, &package).unwrap(), keystone);
    let stranger = kolla.in_a_container("42424", &package).unwrap_err();
    assert!(stranger.contains("does not start") && stranger.contains("may not read"), "{stranger}");
    donjon.run_with_input(&["put", "keystone_database_password"], b"rotated$value").ok();
    let mut rotated = keystone.clone();
    let connection = rotated.get_mut("database.connection").unwrap();
    *connection = connection.replace(&database, "rotated$value");
    assert_eq!(kolla.keystone(&package).unwrap(), rotated, "from the store, and not from the file");
    donjon.run_with_input(&["put", "keystone_database_password"], database.as_bytes()).ok();

    // The same with castellan, unchanged.
    let inside = kolla.text("etc/donjon");
    kolla.wire("castellan", &["--inside", &inside]);
    let credential = |name: &str| fs::read_to_string(donjon.home().join("node/approle/keystone").join(name)).unwrap();
    let castellan = format!(
        "[key_manager]\nbackend = vault\n[vault]\nvault_url = {}\nkv_mountpoint = donjon\napprole_role_id = {}\napprole_secret_id = {}\n",
        serving.1[0],
        credential("role-id"),
        credential("secret-id")
    );
    kolla.write("etc/donjon/castellan.conf", &castellan);
    kolla.genconfig("keystone,neutron");
    assert!(
        !search.finds(rendered(KEYSTONE_CONF)) && rendered(KEYSTONE_CONF).contains("config_source = castellan,donjon")
    );
    assert_eq!(kolla.keystone(&package).unwrap(), keystone);
    assert_eq!(kolla.service(FILES[7], &package).unwrap(), before[7], "one that reads two files");
    // A file of the operator's own is left alone.
    kolla.write("etc/config/keystone.conf", "[DEFAULT]\ndebug = true\n");
    let config = kolla.text("etc");
    let mut command = donjon.command(&["wire", "kolla", "--runtime", "donjon", "--config", &config]);
    kolla.environment(&mut command);
    assert_eq!(command.output().unwrap().status.code(), Some(5));
    fs::remove_file(kolla.at("etc/config/keystone.conf")).unwrap();
    // So are volumes of the operator's own, which kolla would take instead, or leave out.
    let words = ["wire", "kolla", "--runtime", "donjon", "--config", &config];
    let wire = || {
        let mut command = donjon.command(&words);
        kolla.environment(&mut command);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let globals = fs::read_to_string(kolla.at("etc/globals.yml")).unwrap_or_default();
    for variable in ["keystone_extra_volumes", "neutron_server_extra_volumes"] {
        kolla.write("etc/globals.yml", &format!("{globals}{variable}: ['/opt/x:/opt/x:ro']\n"));
        let (code, said) = wire();
        assert!(code == Some(5) && said.contains(variable) && said.contains("donjon_volumes"), "{said}");
    }
    let both = "keystone_extra_volumes: \"{{ default_extra_volumes + donjon_volumes + ['/opt/x:/opt/x:ro'] }}\"\n";
    kolla.write("etc/globals.yml", &format!("{globals}{both}"));
    assert_eq!(wire().0, Some(0));
    let written = fs::read_to_string(kolla.at("etc/globals.d/donjon.yml")).unwrap();
    assert!(!written.contains("keystone_extra_volumes:") && written.contains("neutron_extra_volumes:"), "{written}");
    // And all of it goes again.
    kolla.write("etc/config/mine.conf", "[DEFAULT]\ndebug = true\n");
    let removed = donjon.run(&["wire", "kolla", "--undo", "--config", &config, "--output", "json"]).json();
    assert!(removed["removed"].as_array().unwrap().len() > 3, "{removed}");
    assert_eq!(files(&kolla.at("etc/config")), [kolla.at("etc/config/mine.conf")]);
    assert_eq!(fs::read_dir(kolla.at("etc/config")).unwrap().count(), 1, "no empty folder is left");
    assert!(!kolla.at("etc/globals.d").exists());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// Whether a place that was told is this file; `*` is one segment.
fn matches(told: &str, file: &str) -> bool {
    let (told, file): (Vec<&str>, Vec<&str>) = (told.split('/').collect(), file.split('/').collect());
    told.len() == file.len() && told.iter().zip(&file).all(|(told, file)| *told == "*" || told == file)
}
