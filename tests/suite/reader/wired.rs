//! `donjon wire oslo --driver castellan` on a real Keystone: its database's URL leaves its file, castellan brings it back from
//! the daemon, and the view follows its password.

use super::{MOUNT, deployed::Deployed};
use donjon_tests::{
    keystone::{ADMIN, ADMIN_VALUE, DATABASE_USER, DATABASE_VALUE, Keystone, Setup},
    mariadb::MariaDb,
    openbao::OpenBao,
    tools,
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

/// Whom Keystone runs as, and whose file it is; the credential of its role answers to that user.
const USER: &str = "daemon";
const SECOND: &str = "[DEFAULT]\ntransport_url = rabbit://u:canary-4711@h//\n[extra]\non = true\n";
const PROCESS: &str = r#"
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt("transport_url", default="rabbit://")])
conf.register_opts([cfg.StrOpt("connection", default="sqlite://")], "database")
conf.register_opts([cfg.BoolOpt("on", default=False)], "extra")
conf([f"--config-file={file}" for file in sys.argv[1:]], default_config_files=[], default_config_dirs=[])
print(conf.transport_url, conf.extra.on, conf.database.connection.split(":")[2].split("@")[0])
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keystone_reads_its_database_by_castellan_once_its_file_is_wired() {
    let (database, server) = tokio::join!(MariaDb::start(), OpenBao::start());
    let setup = Setup { user: Some(USER), ..Setup::default() };
    let mut keystone = Keystone::start_with(&database, setup).await;
    let file = keystone.instances[0].manage(&[])[2].clone();
    let standing = || fs::metadata(&file).map(|file| (file.uid(), file.gid(), file.mode())).unwrap();
    let (own, before_standing) = (rustix::process::geteuid().as_raw(), standing());
    assert_ne!(before_standing.0, own, "the control: it is another user's");
    let deployed = Deployed::start_with(&server, "", &[], &[]).await;
    let donjon = &deployed.donjon;
    donjon.run_with_input(&["put", "keystone_database_password"], DATABASE_VALUE.as_bytes()).ok();
    let settings = Path::new(&file).with_file_name("castellan.conf");
    let wire = ["wire", "oslo", "--service", "keystone", "--config", &file, "--driver", "castellan"];
    assert!(donjon.run(&wire).failed(2).contains("castellan.conf is not there"));

    // What it asks for is what is declared.
    let lookup = deployed.at("lookup.sock").display().to_string();
    let port = database.port;
    let view =
        format!("mysql+pymysql://{DATABASE_USER}:{{keystone_database_password:url}}@127.0.0.1:{port}/{DATABASE_USER}");
    let names = "keystone.database.connection, keystone.identity.password_hash_rounds, keystone.transport_url";
    donjon.describe(&format!(
        "deployment: kolla\nlookup_socket: {lookup}\nroles: {{keystone: {{reads: [{names}], users: [{USER}]}}}}\n\
         views: {{keystone.database.connection: \"{view}\"}}\n"
    ));
    let (role_id, secret_id) = deployed.credential_when_there("keystone").await;
    let castellan = format!(
        "[key_manager]\nbackend = vault\n[vault]\nvault_url = {}\nkv_mountpoint = {MOUNT}\napprole_role_id = {role_id}\napprole_secret_id = {secret_id}\n",
        deployed.urls[0]
    );
    donjon_drivers::fs::replace(&settings, castellan.as_bytes()).unwrap();
    std::os::unix::fs::chown(&settings, Some(before_standing.0), None).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains(DATABASE_VALUE), "the control");
    // Where the service could not read it, nothing stays.
    std::os::unix::fs::chown(&file, Some(own), None).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = donjon.run(&wire).failed(3);
    assert!(refused.contains("the service's own user") && refused.contains("is as it was"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    std::os::unix::fs::chown(&file, Some(before_standing.0), None).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(before_standing.2)).unwrap();
    let told = donjon.run(&wire).ok();
    assert!(told.contains(&view) && !told.contains(DATABASE_VALUE), "{told}");
    assert!(!fs::read_to_string(&file).unwrap().contains(DATABASE_VALUE));
    assert_eq!(standing(), before_standing, "it stays that user's");
    keystone.restart(0).await;
    keystone.token(0, ADMIN, ADMIN_VALUE).await.unwrap();

    // A second file, which another process of that user reads behind the first.
    let second = Path::new(&file).with_file_name("second.conf");
    donjon_drivers::fs::replace(&second, SECOND.as_bytes()).unwrap();
    std::os::unix::fs::chown(&second, Some(before_standing.0), None).unwrap();
    let both = [file.clone(), second.display().to_string()];
    let reads = || {
        let mut python = Command::new("setpriv");
        python.args(["--reuid", USER, "--clear-groups"]).arg(tools::program("python3"));
        let output = python.args(["-c", PROCESS]).args(&both).current_dir("/").output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let wanted = format!("rabbit://u:canary-4711@h// True {DATABASE_VALUE}\n");
    assert_eq!(reads().0, wanted, "the control: {}", reads().1);
    let wire_second = ["wire", "oslo", "--service", "keystone", "--config", &both[1], "--driver", "castellan"];
    donjon.run(&wire_second).ok();
    let text = fs::read_to_string(&second).unwrap();
    assert!(text.contains("config_source = castellan_second,castellan\n") && !text.contains("canary"), "{text}");
    assert_eq!(reads().0, wanted, "{}", reads().1);
    donjon.run(&[&wire_second[..6], &["--undo"]].concat()).ok();
    assert_eq!(fs::read_to_string(&second).unwrap(), SECOND);
    assert_eq!(reads().0, wanted, "{}", reads().1);

    // Another password: the service that restarts reads it, though nothing in its folder has changed.
    database.sql(&format!("ALTER USER '{DATABASE_USER}'@'%' IDENTIFIED BY 'another-value-4711'")).await;
    donjon.run_with_input(&["put", "keystone_database_password"], b"another-value-4711").ok();
    keystone.restart(0).await;
    keystone.token(0, ADMIN, ADMIN_VALUE).await.unwrap();
    donjon.run(&[&wire[..6], &["--undo"]].concat()).ok();
    let after = fs::read_to_string(&file).unwrap();
    assert_eq!(after, before.replace(DATABASE_VALUE, "another-value-4711"), "with the value that is good now");
    deployed.end();
}
