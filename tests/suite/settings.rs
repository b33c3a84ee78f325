//! `donjon config`: what a service would see, where it comes from, and what is not shown.

use donjon_tests::{
    donjon::{Donjon, Ran},
    tools,
};
use rustix::{
    buffer::spare_capacity,
    fs::{XattrFlags, getxattr, setxattr},
};
use std::{os::unix::fs::MetadataExt, path::PathBuf, process::Command};

const SECRET: &str = "pa$s%word-4711";

struct Scene {
    donjon: Donjon,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { donjon: Donjon::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
        path.display().to_string()
    }

    /// A configuration whose `[database] connection` is a secret of the broker.
    fn wired(&self) -> String {
        let mapping = self.file("mapping.conf", "[database]\nconnection = keystone.connection\n");
        let donjon =
            format!("[DEFAULT]\nconfig_source = broker\n[broker]\ndriver = donjon\nmapping_file = {mapping}\n");
        self.file("wired.conf", &format!("{donjon}[database]\nmax_pool_size = 5\n"))
    }
}

#[test]
fn an_option_is_told_with_where_it_comes_from() {
    let scene = Scene::new();
    let first = scene.file("1.conf", "[DEFAULT]\nmy_ip = 10.0.0.1\n[api]\nhost = $my_ip\nworkers = 2\n");
    let second = scene.file("2.conf", "[api]\n# more\nworkers = 0_4\nservers = a\nservers = b\n");
    let files = ["--config-file", &first, "--config-file", &second];
    let get = |more: &[&str]| scene.donjon.run(&[&["config", "get"], &files[..], more].concat());
    assert_eq!(get(&["api", "host"]).ok(), format!("[api] host\nvalue: 10.0.0.1\nfrom:  {first}:4\n"));
    let told = get(&["--type", "int", "--output", "json", "api", "workers"]).json();
    assert_eq!((told["value"].as_i64(), told["origin"]["line"].as_u64()), (Some(4), Some(3)), "{told}");
    let told = get(&["--type", "multi", "--output", "json", "api", "servers"]).json();
    assert_eq!(told["value"], serde_json::json!(["a", "b"]));
    assert!(get(&["api", "other"]).failed(4).contains("its own default"));
    assert!(get(&["--type", "bool", "api", "host"]).failed(2).contains("neither true nor false"));
    let told = get(&["--set", "api.host=h", "--output", "json", "api", "host"]).json();
    assert_eq!(told["origin"]["from"], "command_line", "{told}");
    let mut scene = scene;
    scene.donjon.set("OS_API__HOST", "from-environment");
    let told = scene.donjon.run(&["config", "get", "--config-file", &first, "api", "host"]).ok();
    assert!(told.contains("from-environment") && told.contains("OS_API__HOST"), "{told}");
}

/// The last that is named counts, be it a file or a folder, as to the original.
#[test]
fn files_and_folders_are_read_in_the_order_in_which_they_are_named() {
    let scene = Scene::new();
    let file = format!("--config-file={}", scene.file("1.conf", "[api]\nhost = of-file\n"));
    std::fs::create_dir(scene.folder.path().join("d")).unwrap();
    scene.file("d/2.conf", "[api]\nhost = of-folder\n");
    let folder = format!("--config-dir={}", scene.folder.path().join("d").display());
    let service = "import sys\nfrom oslo_config import cfg\nconf = cfg.ConfigOpts()\n\
                   conf.register_opts([cfg.StrOpt('host')], 'api')\n\
                   conf(sys.argv[1:], default_config_files=[], default_config_dirs=[])\nprint(conf.api.host)\n";
    for (places, wanted) in [([&file, &folder], "of-folder"), ([&folder, &file], "of-file")] {
        let output = Command::new(tools::program("python")).args(["-c", service]).args(places).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), wanted, "the original: {places:?}");
        let told = scene.donjon.run(&["config", "get", places[0], places[1], "api", "host"]).ok();
        assert!(told.contains(&format!("value: {wanted}\n")), "{places:?}: {told}");
    }
}

#[test]
fn what_refers_to_the_services_own_default_is_not_guessed() {
    let scene = Scene::new();
    let file = scene.file("1.conf", "[oslo_concurrency]\nlock_path = $state_path/tmp\n");
    let get = ["config", "get", "--config-file", &file, "oslo_concurrency", "lock_path"];
    let error = scene.donjon.run(&get).failed(10);
    assert!(error.contains("$state_path") && error.contains("--set"), "{error}");
    let told = scene.donjon.run(&[&get[..], &["--set", "state_path=/var/lib/nova"]].concat()).ok();
    assert!(told.contains("/var/lib/nova/tmp"), "{told}");
}

#[test]
fn secrets_are_named_and_shown_on_request_alone() {
    let scene = Scene::new();
    let wired = scene.wired();
    let get = ["config", "get", "--config-file", &wired, "database", "connection"];
    let error = scene.donjon.run(&get).failed(6);
    assert!(error.contains("there is no socket at"), "without a broker nothing is guessed: {error}");
    scene.donjon.run(&["up", "--store", "file"]).ok();
    let error = scene.donjon.run(&get).failed(4);
    assert!(error.contains("keystone.connection"), "{error}");
    scene.donjon.run_with_input(&["put", "keystone.connection"], SECRET.as_bytes()).ok();
    let hidden = scene.donjon.run(&get).ok();
    assert!(hidden.contains("`keystone.connection`") && !hidden.contains(SECRET), "{hidden}");
    let revealed = scene.donjon.run(&[&get[..], &["--reveal"]].concat()).ok();
    assert!(revealed.contains(SECRET), "the control, and a `$` comes through: {revealed}");
    let show = ["config", "show", "--config-file", &wired];
    for told in [scene.donjon.run(&show).ok(), scene.donjon.run(&[&show[..], &["--output", "json"]].concat()).ok()] {
        assert!(told.contains("keystone.connection") && told.contains("max_pool_size"), "{told}");
        assert!(!told.contains(SECRET), "{told}");
    }
    assert!(scene.donjon.run(&[&show[..], &["--reveal"]].concat()).ok().contains(SECRET), "the control");
}

#[test]
fn what_refers_to_a_secret_is_not_shown_either() {
    let scene = Scene::new();
    scene.donjon.run(&["up", "--store", "file"]).ok();
    scene.donjon.run_with_input(&["put", "of-store"], SECRET.as_bytes()).ok();
    let file = scene.file(
        "1.conf",
        &format!(
            "[DEFAULT]\nconfig_source = s\nopen = a-value\nclear = <$open>\nprobe = <${{svc.admin_password}}>\n\
             far = <$probe>\nstored = <${{s.of_store}}>\nslash = http://u:canary/4@h/x\nodd = http://canary-5@h/\n\
             [svc]\nadmin_password = {SECRET}\n[s]\ndriver = donjon\nsecrets = of-store\n"
        )
        .replace("pa$s", "pa$$s"),
    );
    let show = ["config", "show", "--config-file", &file];
    let told = scene.donjon.run(&show).ok();
    let lines = |told: &str, part: &str| told.lines().filter(|line| line.contains(part)).count();
    assert_eq!((lines(&told, "a-value"), lines(&told, "<a-value>")), (2, 1), "the control: {told}");
    let json = scene.donjon.run(&[&show[..], &["--output", "json"]].concat()).ok();
    let mut all = vec![told, json];
    for option in ["probe", "far", "stored", "slash", "odd"] {
        all.push(scene.donjon.run(&["config", "get", "--config-file", &file, "DEFAULT", option]).ok());
    }
    for told in all {
        assert!(!told.contains(SECRET) && !told.contains("canary"), "{told}");
    }
    let told = scene.donjon.run(&[&show[..], &["--reveal"]].concat()).ok();
    assert_eq!((lines(&told, &format!("<{SECRET}>")), lines(&told, "canary")), (3, 2), "the control: {told}");
}

#[test]
fn a_store_that_does_not_answer_is_asked_once_and_told_once() {
    let scene = Scene::new();
    let mapping = scene.file("m.conf", "[g]\na = x\nb = y\nc = x\nd = z\n");
    let configured = |url: &str| {
        let castellan =
            format!("[key_manager]\nbackend = vault\n[vault]\nroot_token_id = t\ntimeout = 0.5\nvault_url = {url}\n");
        let castellan = scene.file("c.conf", &castellan);
        let source = format!("[s]\ndriver = castellan\nconfig_file = {castellan}\nmapping_file = {mapping}\n");
        scene.file("1.conf", &format!("[DEFAULT]\nconfig_source = s\nopen = a-value\n{source}"))
    };
    // One that takes connections and says nothing, and one that takes none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = format!("https://{}", silent.local_addr().unwrap());
    for url in [silent_at.as_str(), "https://127.0.0.1:1"] {
        let ran = scene.donjon.run(&["config", "show", "--config-file", &configured(url)]);
        assert!(ran.out.contains("a-value"), "{}", ran.out);
        let error = ran.failed(6);
        assert_eq!(error.matches("did not answer").count(), 1, "{error}");
        for word in [&format!("[g] a, [g] b, [g] c, [g] d: {url} did not answer")[..], "\nstate:", "\nhint:"] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    silent.set_nonblocking(true).unwrap();
    let connections = std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!(connections, 1, "a time-out for each option is waited through for minutes");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let scene = Scene::new();
    let one = scene.file("1.conf", "[DEFAULT]\nno assignment\n");
    let two = scene.file("2.conf", "a = 1\n[x]\n");
    let files = ["--config-file", &one, "--config-file", "/no/such", "--config-file", &two];
    let error = scene.donjon.run(&[&["config", "show"], &files[..]].concat()).failed(2);
    for word in ["1.conf: line 2: there is neither", "/no/such", "2.conf: line 1"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(!error.contains("no assignment"), "a line of a file may hold a secret: {error}");

    scene.donjon.describe(
        "deployment: a\nhosts:\n  h: {driver: shh}\ntargets:\n  t: {driver: mariadb, prot: 1, administrator: {usr: root}}\nkeyrings:\n  keystone_fernet_keys: {driver: repository, nods: 1}\nservices:\n  s: {driver: systemd}\n",
    );
    let error = scene.donjon.run(&["config", "show"]).failed(2);
    let keyring = "keyrings.keystone_fernet_keys";
    for word in [
        "hosts.h",
        "did you mean `ssh`",
        "targets.t",
        "targets.t.administrator",
        keyring,
        "services.s: `unit` is missing",
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
    scene.donjon.describe(&scene.donjon.run(&["config", "sample"]).ok());
    assert!(scene.donjon.run(&["config", "show"]).ok().contains("deployment site1"), "the sample is a deployment file");
}

#[test]
fn each_option_of_the_deployment_file_is_told_with_where_it_comes_from() {
    let scene = Scene::new();
    let inventory = scene.file("hosts", "[control]\nc1 ansible_host=10.0.0.21 ansible_port=2222\n");
    let program = tools::program("ansible-inventory");
    scene.donjon.describe(&format!(
        "deployment: site1\ninventory: {{file: {inventory}, program: {}}}\ntargets:\n  mariadb:\n    driver: mariadb\n    \
         nodes:\n      - {{name: db1, address: 10.0.0.1, port: 3307}}\nread_lease: 5\nnotifications:\n  \
         - {{name: night, webhook: 'https://chat/canary-0815'}}\n",
        program.display()
    ));
    let file = scene.donjon.home().join("donjon.yaml").display().to_string();
    let get = |words: &[&str]| scene.donjon.run(&[&["config", "get"], words].concat());
    assert_eq!(get(&["DEFAULT", "read_lease"]).ok(), format!("read_lease\nvalue: 5\nfrom:  {file}:8\n"));
    assert_eq!(get(&["trial"]).ok(), "trial\nvalue: 30\nfrom:  donjon's default\n");
    let usual = get(&["targets.mariadb", "connect_timeout"]).ok();
    assert!(usual.contains("value: 5\nfrom:  the default of the driver `mariadb`"), "{usual}");
    let told = get(&["targets.mariadb.nodes[0]", "port", "--output", "json"]).json();
    assert_eq!((told["value"].as_u64(), told["origin"]["line"].as_u64()), (Some(3307), Some(7)), "{told}");
    let host = get(&["hosts.c1"]).ok();
    for wanted in [("hosts.c1.address", "10.0.0.21"), ("hosts.c1.port", "2222")] {
        let line = host.lines().find(|line| line.starts_with(wanted.0)).unwrap();
        assert!(line.contains(&format!("the inventory {inventory}")) && line.ends_with(wanted.1), "{host}");
    }
    assert!(get(&["targets.mariadb", "connect_timout"]).failed(4).contains("`targets.mariadb.connect_timeout`"));
    let all = scene.donjon.run(&["config", "show", "--all"]).ok();
    assert!(all.contains("notifications[0].webhook") && !all.contains("canary"), "{all}");
    assert!(!scene.donjon.run(&["config", "show", "--output", "json"]).ok().contains("canary"));
    assert!(get(&["notifications", "--reveal"]).ok().contains("canary-0815"), "the control");
    // Whoever asks for something else needs no program to read the inventory.
    scene.donjon.describe(&format!("deployment: site1\ninventory: {{file: {inventory}, program: /no/such}}\n"));
    assert!(get(&["hosts"]).failed(2).contains("/no/such"));
    get(&["trial"]).ok();
    assert!(get(&["--type", "int", "trial"]).failed(2).contains("donjon.yaml have their types"));
}

#[test]
fn a_url_of_a_stored_secret_is_a_view_and_must_be_declared() {
    let scene = Scene::new();
    scene.donjon.run(&["up", "--store", "file"]).ok();
    scene.donjon.run_with_input(&["put", "keystone_database_password"], b"canary-4711-canary").ok();
    let text =
        "[DEFAULT]\ndebug = true\n[database]\nconnection = mysql+pymysql://k:canary-4711-canary@10.0.0.2/k # by hand\n";
    let text = text.replace(" # by hand", "");
    let file = scene.file("keystone.conf", &text);
    let wire = ["wire", "oslo", "--service", "keystone", "--config", &file];
    let template = "mysql+pymysql://k:{keystone_database_password:url}@10.0.0.2/k";
    let planned = scene.donjon.run(&[&wire[..], &["--plan"]].concat()).ok();
    assert!(planned.contains(&format!("keystone.database.connection is assembled: {template}")), "{planned}");
    let roles = "deployment: default\nroles: {keystone: {reads: [keystone.database.connection]}}\n";
    scene.donjon.describe(roles);
    let error = scene.donjon.run(&wire).failed(2);
    assert!(error.contains(&format!("keystone.database.connection: \"{template}\"")), "{error}");
    assert!(!planned.contains("canary") && !error.contains("canary"), "{planned}{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "nothing was done");
    scene.donjon.describe(&format!("{roles}views: {{keystone.database.connection: \"{template}\"}}\n"));
    scene.donjon.run(&wire).ok();
    assert!(!std::fs::read_to_string(&file).unwrap().contains("canary"));
    // The view follows its secret.
    scene.donjon.run_with_input(&["put", "keystone_database_password"], b"another/value").ok();
    let get = ["config", "get", "--config-file", &file, "--reveal", "database", "connection"];
    assert!(scene.donjon.run(&get).ok().contains("mysql+pymysql://k:another%2Fvalue@10.0.0.2/k"));
}

#[test]
fn a_value_of_the_store_is_followed_and_not_copied() {
    let scene = Scene::new();
    scene.donjon.run(&["up", "--store", "file"]).ok();
    let put = |name: &str, value: &str| scene.donjon.run_with_input(&["put", name], value.as_bytes()).ok();
    put("nova_keystone_password", "canary-of-nova");
    put("osprofiler_secret", "canary-of-profiles");
    put("barbican_crypto_key", "canary-of-two");
    put("heat_domain_admin_password", "canary-of-two");
    // What the catalogue calls an identifier is no secret.
    put("rbd_secret_uuid", "nova-user");
    let text = "[DEFAULT]\ndebug = true\n[keystone_authtoken]\nusername = nova-user\npassword = canary-of-nova\n\
                [profiler]\nhmac_keys = canary-of-profiles\n[x]\nplain = canary-of-nova\nunclear = canary-of-two\n";
    let file = scene.file("nova.conf", text);
    let wire = ["wire", "oslo", "--service", "nova", "--config", &file];
    scene.donjon.describe("deployment: default\nroles: {nova: {reads: [nova_keystone_password]}}\n");
    let refused = scene.donjon.run(&wire).failed(3);
    assert!(refused.contains("`osprofiler_secret` is not among its secrets"), "{refused}");
    scene.donjon.describe("deployment: default\nroles: {nova: {reads: [nova_keystone_password, osprofiler_secret]}}\n");
    let told = scene.donjon.run(&wire).ok();
    for line in ["= nova_keystone_password is in the store already", "! [x] unclear stays in the file: several secrets"]
    {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains("canary"), "{told}");
    let listed = scene.donjon.run(&["list"]).ok();
    assert!(!listed.contains("nova."), "nothing was copied: {listed}");
    put("nova_keystone_password", "another-of-nova");
    let sees = |group: &str, name: &str| {
        scene.donjon.run(&["config", "get", "--config-file", &file, group, name, "--reveal"]).ok()
    };
    for (group, name, value) in [
        ("keystone_authtoken", "password", "another-of-nova"),
        ("x", "plain", "another-of-nova"),
        ("profiler", "hmac_keys", "canary-of-profiles"),
        ("keystone_authtoken", "username", "nova-user"),
    ] {
        assert!(sees(group, name).contains(value), "{group} {name}: {}", sees(group, name));
    }
    let left = std::fs::read_to_string(&file).unwrap();
    assert!(!left.contains("canary-of-nova") && left.contains("canary-of-two"), "{left}");
    scene.donjon.run(&[&wire[..], &["--undo"]].concat()).ok();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text.replace("canary-of-nova", "another-of-nova"));
}

#[test]
fn what_is_wired_is_read_as_a_user_of_the_roles_group() {
    let donjon = Donjon::new();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let folder = tempfile::Builder::new().permissions(everybody).tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let file = at("nova.conf");
    donjon_drivers::fs::replace(&file, b"[api_database]\nconnection = mysql://u:canary-1@h/d\n").unwrap();
    // The file is root's; its group is the service's.
    let standing = |mode| {
        std::os::unix::fs::chown(&file, Some(0), Some(1)).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let socket = at("s").display().to_string();
    let role = "{reads: [nova.api_database.connection], groups: [daemon]}";
    donjon.describe(&format!("deployment: default\nlookup_socket: {socket}\nroles: {{nova: {role}}}\n"));
    donjon.run(&["up", "--store", "file"]).ok();
    let wire = ["wire", "oslo", "--service", "nova", "--config", file.to_str().unwrap()];
    standing(0o600);
    let refused = donjon.run(&wire).failed(3);
    assert!(refused.contains("the service's own user (1) cannot read"), "{refused}");
    standing(0o640);
    let done = donjon.run(&wire).ok();
    assert!(!done.contains("is read as this user"), "{done}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("canary"));
    // Somebody opens the file to everybody, as there is no value in it; what comes back is for whom it was.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    donjon.run(&[&wire[..], &["--undo"]].concat()).ok();
    assert!(std::fs::read_to_string(&file).unwrap().contains("canary-1"));
    let found = std::fs::metadata(&file).unwrap();
    assert_eq!((found.mode() & 0o777, found.uid(), found.gid()), (0o640, 0, 1));
}

/// Runs a command where `/etc/group` has other lines.
fn among_groups(donjon: &Donjon, groups: &[&str], arguments: &[&str]) -> Ran {
    let text = std::fs::read_to_string("/etc/group").unwrap();
    let of = |line: &str| line.split(':').next().map(str::to_owned);
    let kept = text.lines().filter(|line| !groups.iter().any(|changed| of(changed) == of(line)));
    let lines: Vec<&str> = kept.chain(groups.iter().copied()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    donjon_drivers::fs::replace(file.path(), (lines.join("\n") + "\n").as_bytes()).unwrap();
    let command = donjon.command(arguments);
    let mut within = Command::new("unshare");
    within.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/group && exec \"$@\""]).arg(file.path());
    within.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    Ran::of(arguments, within.output().unwrap())
}

#[test]
fn what_is_wired_is_read_with_all_groups_of_the_services_user() {
    let donjon = Donjon::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    let file = folder.path().join("nova.conf");
    donjon_drivers::fs::replace(&file, b"[api_database]\nconnection = mysql://u:canary-1@h/d\n").unwrap();
    std::os::unix::fs::chown(&file, Some(0), Some(2)).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let socket = folder.path().join("s").display().to_string();
    let describe = |group: &str| {
        let role = format!("{{reads: [nova.api_database.connection], groups: [{group}]}}");
        donjon.describe(&format!("deployment: default\nlookup_socket: {socket}\nroles: {{nova: {role}}}\n"));
    };
    describe("daemon");
    donjon.run(&["up", "--store", "file"]).ok();
    let wire = ["wire", "oslo", "--service", "nova", "--config", file.to_str().unwrap()];
    // The control: the file is for another group than its own.
    let refused = among_groups(&donjon, &["bin:x:2:"], &wire).failed(3);
    assert!(refused.contains("the service's own user (1) cannot read"), "{refused}");
    let undo = [&wire[..], &["--undo"]].concat();
    let given = "bin:x:2:games,daemon";
    among_groups(&donjon, &[given], &wire).ok();
    assert!(!std::fs::read_to_string(&file).unwrap().contains("canary"));
    donjon.run(&undo).ok();
    assert!(std::fs::read_to_string(&file).unwrap().contains("canary-1"));
    // The group of the role is given to its user as well, and is nobody's own.
    describe("operator");
    let done = among_groups(&donjon, &[given, "operator:x:37:daemon"], &wire).ok();
    assert!(!done.contains("is read as this user"), "{done}");
}

#[test]
fn a_services_secrets_leave_its_file_and_come_back() {
    let scene = Scene::new();
    let text = "# by hand\n[DEFAULT]\ntransport_url = rabbit://u:canary-1@h//\n[database]\nconnection = mysql://u:canary-2@h/d\nmax_pool_size = 5\n";
    let file = scene.file("keystone.conf", text);
    let wire = ["wire", "oslo", "--service", "keystone", "--config", &file];
    let and = |more: &'static str| [&wire[..], &[more]].concat();
    let planned = scene.donjon.run(&and("--plan")).ok();
    assert!(planned.contains("keystone.database.connection") && !planned.contains("canary"), "{planned}");
    for added in ["[DEFAULT] config_source = donjon", "[donjon] mapping_file = ", "[donjon] socket = "] {
        assert!(planned.contains(&format!("+ {file} {added}")), "{planned}");
    }
    let read = || std::fs::read_to_string(&file).unwrap();
    scene.donjon.run(&["up", "--store", "file"]).ok();
    assert!(scene.donjon.run(&wire).failed(3).contains("roles: {keystone: {reads: [keystone.transport_url"));
    assert_eq!(read(), text, "nothing was done");
    let names = "keystone.transport_url, keystone.database.connection";
    scene.donjon.describe(&format!("deployment: default\nroles: {{keystone: {{reads: [{names}]}}}}\n"));
    scene.donjon.run_with_input(&["put", "keystone.transport_url"], b"other").ok();
    assert!(scene.donjon.run(&wire).failed(5).contains("do not agree"));
    assert_eq!(read(), text, "nothing was done");
    scene.donjon.run_with_input(&["put", "keystone.transport_url"], b"rabbit://u:canary-1@h//").ok();
    // A link could lead elsewhere a moment later, and this runs as root in folders of others.
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("keystone.conf").display().to_string();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let said = scene.donjon.run(&["wire", "oslo", "--service", "keystone", "--config", &link]).failed(2);
    assert!(said.contains("nothing was done"), "{said}");
    assert!(said.contains("hint:  it is a link") && said.contains(&format!("`--config {file}`")), "{said}");
    assert_eq!(read(), text);
    // Who cannot open the daemon's own socket is sent to the lookup socket.
    let socket = || scene.donjon.run(&[&wire[..], &["--plan", "--output", "json"]].concat()).json()["socket"].clone();
    let own = scene.donjon.home().join("run/donjon.sock").display().to_string();
    assert_eq!(socket(), own);
    let role = |users: &str| format!("deployment: default\nroles: {{keystone: {{reads: [{names}]{users}}}}}\n");
    scene.donjon.describe(&role(", users: [games]"));
    assert_eq!(socket(), "/run/donjon/lookup.sock");
    scene.donjon.describe(&role(""));
    let done = scene.donjon.run(&wire).ok();
    assert!(!done.contains("canary") && done.contains("(not shown)"), "{done}");
    assert!(done.contains("roles: {keystone: {users: [USER]}}"), "{done}");
    let rewritten = read();
    assert!(
        rewritten.starts_with("# by hand\n[DEFAULT]\nconfig_source = donjon\n[database]\nmax_pool_size = 5\n"),
        "{rewritten}"
    );
    for entry in std::fs::read_dir(scene.folder.path()).unwrap() {
        let left = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!left.contains("canary"), "no value is left anywhere: {left}");
    }
    let get = ["config", "get", "--config-file", &file, "--reveal", "database", "connection"];
    assert!(scene.donjon.run(&get).ok().contains("mysql://u:canary-2@h/d"), "the service reads what it read before");
    assert!(scene.donjon.run(&wire).failed(5).contains("wired already"));
    // The mapping of one file is not written over by that of another.
    let other = scene.file("other.conf", "[oslo_limit]\npassword = canary-3\n");
    let mapping = scene.folder.path().join("donjon-keystone.conf").display().to_string();
    let wire_other = ["wire", "oslo", "--service", "keystone", "--config", &other];
    let second = scene.donjon.run(&[&wire_other[..], &["--mapping", &mapping]].concat()).failed(5);
    assert!(second.contains("donjon-keystone.conf is there already"), "{second}");
    let second = scene.donjon.run(&[&wire_other[..], &["--plan"]].concat()).ok();
    assert!(second.contains("[DEFAULT] config_source = donjon_other,donjon"), "{second}");
    assert!(scene.donjon.run(&get).ok().contains("mysql://u:canary-2@h/d"));
    std::fs::remove_file(&other).unwrap();
    scene.donjon.run(&and("--undo")).ok();
    assert_eq!(read(), text);
    assert_eq!(std::fs::read_dir(scene.folder.path()).unwrap().count(), 1, "nothing is left beside it");
    // What was changed since is kept.
    scene.donjon.run(&wire).ok();
    let more = format!("{}[cache]\nenabled = true\n", read());
    scene.file("keystone.conf", &more);
    let undone = scene.donjon.run(&and("--undo")).ok();
    let kept = scene.folder.path().join(".keystone.conf.donjon-undone");
    assert_eq!((read(), std::fs::read_to_string(&kept).unwrap()), (text.to_owned(), more));
    assert!(undone.contains(".keystone.conf.donjon-undone"), "{undone}");
    std::fs::remove_file(kept).unwrap();
    scene.donjon.run(&wire).ok();
    scene.donjon.run(&and("--confirm")).ok();
    assert!(scene.donjon.run(&and("--undo")).failed(4).contains("nothing to undo"));
}

#[test]
fn a_services_file_keeps_its_access_list_and_its_notes_wired_and_put_back() {
    let scene = Scene::new();
    let file = scene.file("keystone.conf", "[database]\nconnection = mysql://u:canary-2@h/d\n");
    // user::rw-,user:42425:r--,group::---,mask::r--,other::---
    let entries: [(u8, u8, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 42_425), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let entries = entries.map(|(kind, bits, whose)| [&[kind, 0, bits, 0][..], &whose.to_le_bytes()].concat());
    let list = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    let set = |name: &str, value: &[u8]| setxattr(&file, name, value, XattrFlags::empty()).unwrap();
    let get = |name: &str| {
        let mut value = Vec::with_capacity(256);
        getxattr(&file, name, spare_capacity(&mut value)).map(|_| value).ok()
    };
    set("system.posix_acl_access", &list);
    set("user.note", b"of the operator");
    let found = || {
        let mode = std::fs::metadata(&file).unwrap().mode() & 0o777;
        (mode, get("system.posix_acl_access"), get("user.note"))
    };
    let before = found();
    assert_eq!((before.0, before.1.as_ref()), (0o640, Some(&list)));
    scene.donjon.run(&["up", "--store", "file"]).ok();
    scene.donjon.describe("deployment: default\nroles: {keystone: {reads: [keystone.database.connection]}}\n");
    let wire = ["wire", "oslo", "--service", "keystone", "--config", &file];
    scene.donjon.run(&wire).ok();
    assert_eq!(found(), before);
    // Whoever lets others read what holds no value does not mean what is put back.
    set(
        "system.posix_acl_access",
        &list
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                22 => 4,
                _ => *byte,
            })
            .collect::<Vec<u8>>(),
    );
    set("user.note", b"of another");
    assert_ne!(found(), before);
    scene.donjon.run(&[&wire[..], &["--undo"]].concat()).ok();
    assert_eq!(found(), before);
}
