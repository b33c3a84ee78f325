//! Unchanged clients read from a bundle: castellan under oslo.config, hvac, `bao`, Ansible's hashi_vault, kolla's own.
//!
//! Each is asked for what its role may read, for what it may not, and for what is not there.

use super::{CONNECTION, MOUNT, Served, VALUE};
use donjon::reader::Outcome;
use donjon_drivers::fs;
use donjon_tests::tools;
use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// Runs a client with nothing in its environment but what it is given.
async fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)], folder: &Path) -> Output {
    let program = tools::program(program);
    let bin = program.parent().expect("a program lies in a folder");
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("LC_ALL", "C.UTF-8");
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    ran.expect("waiting does not panic").expect("the client can be started")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// All that a client said, for a message and for what it must not say.
fn said(output: &Output) -> String {
    format!("{}\n{}", out(output), String::from_utf8_lossy(&output.stderr))
}

fn write(folder: &Path, name: &str, content: &str) {
    fs::replace(&folder.join(name), content.as_bytes()).unwrap();
}

fn castellan(folder: &Path, served: &Served, mapped: &str) {
    let (url, role_id, secret_id) = (&served.url, &served.credential.role_id, served.secret_id());
    write(
        folder,
        "castellan.conf",
        &format!(
            "[key_manager]\nbackend = vault\n[vault]\nvault_url = {url}\nkv_mountpoint = {MOUNT}\n\
             approle_role_id = {role_id}\napprole_secret_id = {secret_id}\n"
        ),
    );
    write(folder, "mapping.conf", &format!("[database]\nconnection = {mapped}\n"));
    write(
        folder,
        "service.conf",
        "[DEFAULT]\nconfig_source = secrets\n[secrets]\ndriver = castellan\n\
         config_file = castellan.conf\nmapping_file = mapping.conf\n",
    );
}

const SERVICE: &str = "
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt('connection', default='sqlite://')], group='database')
conf(['--config-file', 'service.conf'], project='service')
print(conf.database.connection)
";

#[tokio::test]
async fn castellan_gives_a_service_its_database_url() {
    let served = Served::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ask = async |mapped| {
        castellan(folder.path(), &served, mapped);
        run("python3", &["-c", SERVICE], &[], folder.path()).await
    };
    let read = ask("kolla/keystone.database.connection").await;
    assert_eq!(out(&read), CONNECTION, "{}", said(&read));
    assert!(served.witness.has("kolla/keystone.database.connection", Outcome::Done), "its audit line was kept");
    let denied = ask("kolla/other").await;
    assert!(!denied.status.success() && said(&denied).contains("Forbidden"), "{}", said(&denied));
    assert!(served.witness.has("kolla/other", Outcome::Refused));
    // Castellan takes the default where there is no such record: why a service's start must be guarded.
    let missing = ask("kolla/missing").await;
    assert_eq!(out(&missing), "sqlite://", "{}", said(&missing));
    served.end().await;
}

const HVAC: &str = "
import hvac, os, sys
client = hvac.Client(url=os.environ['ADDRESS'])
client.auth.approle.login(role_id=os.environ['ROLE_ID'], secret_id=os.environ['SECRET_ID'])
assert client.is_authenticated()
assert client.sys.read_health_status(method='GET')['initialized']
assert not client.sys.is_sealed()
def read(name):
    try:
        return client.secrets.kv.v2.read_secret_version(path=name, mount_point='kv')['data']['data']['password']
    except hvac.exceptions.Forbidden:
        return 'forbidden'
    except hvac.exceptions.InvalidPath:
        return 'missing'
for name in ('kolla/database_password', 'kolla/other', 'kolla/missing'):
    print(read(name))
print(client.secrets.kv.v2.read_secret_metadata(path='kolla/database_password', mount_point='kv')['data']['current_version'])
print(','.join(client.secrets.kv.v2.list_secrets(path='kolla', mount_point='kv')['data']['keys']))
try:
    client.secrets.kv.v2.create_or_update_secret(path='kolla/database_password', secret={'a': 'b'}, mount_point='kv')
    print('written')
except hvac.exceptions.Forbidden:
    print('forbidden')
client.auth.token.renew_self()
client.auth.token.revoke_self()
print(client.is_authenticated())
";

#[tokio::test]
async fn hvac_logs_in_reads_lists_renews_and_writes_nothing() {
    let served = Served::start().await;
    let folder = tempfile::tempdir().unwrap();
    let environment =
        [("ADDRESS", served.url.as_str()), ("ROLE_ID", &served.credential.role_id), ("SECRET_ID", served.secret_id())];
    let read = run("python3", &["-c", HVAC], &environment, folder.path()).await;
    let wanted = [
        VALUE,
        "forbidden",
        "missing",
        "1",
        "database_password,folder/,keystone.database.connection",
        "forbidden",
        "False",
    ];
    assert_eq!(out(&read).lines().collect::<Vec<_>>(), wanted, "{}", said(&read));
    served.end().await;
}

#[tokio::test]
async fn bao_reads_with_its_own_command() {
    let served = Served::start().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "role_id", &served.credential.role_id);
    write(folder.path(), "secret_id", served.secret_id());
    let address = ("BAO_ADDR", served.url.as_str());
    let login = ["write", "-field=token", "auth/approle/login", "role_id=@role_id", "secret_id=@secret_id"];
    let login = run("bao", &login, &[address], folder.path()).await;
    let token = out(&login);
    assert!(token.starts_with("s."), "{}", said(&login));
    let environment = [address, ("BAO_TOKEN", token.as_str())];
    let get = async |name| {
        run("bao", &["kv", "get", "-mount=kv", "-field=password", name], &environment, folder.path()).await
    };
    let read = get("kolla/database_password").await;
    assert_eq!(out(&read), VALUE, "{}", said(&read));
    let denied = get("kolla/other").await;
    assert!(denied.status.code() == Some(2) && said(&denied).contains("permission denied"), "{}", said(&denied));
    let missing = get("kolla/missing").await;
    assert!(missing.status.code() == Some(2) && said(&missing).contains("No value found"), "{}", said(&missing));
    let listed = run("bao", &["kv", "list", "-mount=kv", "-format=json", "kolla"], &environment, folder.path()).await;
    let names: Vec<String> = serde_json::from_str(&out(&listed)).unwrap_or_else(|_| panic!("{}", said(&listed)));
    assert_eq!(names, ["database_password", "folder/", "keystone.database.connection"]);
    let status = run("bao", &["status"], &environment, folder.path()).await;
    assert!(status.status.success(), "{}", said(&status));
    let written =
        run("bao", &["kv", "put", "-mount=kv", "kolla/database_password", "a=b"], &environment, folder.path()).await;
    assert!(!written.status.success() && said(&written).contains("permission denied"), "{}", said(&written));
    served.end().await;
}

#[tokio::test]
async fn bao_reads_over_tls_and_believes_no_other_certificate() {
    let made = || rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (own, other) = (made(), made());
    let served = Served::start_with(Some((&own.cert.pem(), &own.signing_key.serialize_pem()))).await;
    assert!(served.url.starts_with("https://"));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "own.pem", &own.cert.pem());
    write(folder.path(), "other.pem", &other.cert.pem());
    let status = async |trusted| {
        run("bao", &["status"], &[("BAO_ADDR", served.url.as_str()), ("BAO_CACERT", trusted)], folder.path()).await
    };
    let trusted = status("own.pem").await;
    assert!(trusted.status.success(), "{}", said(&trusted));
    let untrusted = status("other.pem").await;
    assert!(!untrusted.status.success() && said(&untrusted).contains("certificate"), "{}", said(&untrusted));
    served.end().await;
}

#[tokio::test]
async fn ansible_looks_up_with_community_hashi_vault() {
    let served = Served::start().await;
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("ANSIBLE_HASHI_VAULT_ADDR", served.url.as_str()),
        ("ANSIBLE_HASHI_VAULT_AUTH_METHOD", "approle"),
        ("ANSIBLE_HASHI_VAULT_ROLE_ID", &served.credential.role_id),
        ("ANSIBLE_HASHI_VAULT_SECRET_ID", served.secret_id()),
        ("ANSIBLE_LOCALHOST_WARNING", "False"),
        ("ANSIBLE_INVENTORY_UNPARSED_WARNING", "False"),
    ];
    let ask = async |name: &str| {
        let lookup = format!("lookup('community.hashi_vault.vault_kv2_get', '{name}', engine_mount_point='kv')");
        let message = format!("msg={{{{ {lookup}.secret.password }}}}");
        run("ansible", &["localhost", "-m", "debug", "-a", &message], &environment, folder.path()).await
    };
    let read = ask("kolla/database_password").await;
    assert!(read.status.success() && out(&read).contains(VALUE), "{}", said(&read));
    let denied = ask("kolla/other").await;
    assert!(!denied.status.success() && said(&denied).contains("Forbidden"), "{}", said(&denied));
    let missing = ask("kolla/missing").await;
    assert!(!missing.status.success() && said(&missing).contains("Invalid or missing path"), "{}", said(&missing));
    served.end().await;
}

#[tokio::test]
async fn kolla_readpwd_fills_its_file() {
    let served = Served::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ask = async |names: &[&str]| {
        let file: String = names.iter().map(|name| format!("{name}:\n")).collect();
        write(folder.path(), "passwords.yml", &file);
        let (url, role, secret) = (served.url.as_str(), served.credential.role_id.as_str(), served.secret_id());
        let arguments = ["-p", "passwords.yml", "-kv", MOUNT, "-kvp", "kolla", "-v", url, "-r", role, "-s", secret];
        let output = run("kolla-readpwd", &arguments, &[], folder.path()).await;
        (output, std::fs::read_to_string(folder.path().join("passwords.yml")).unwrap())
    };
    let (output, file) = ask(&["database_password", "missing"]).await;
    assert!(output.status.success() && out(&output).contains("'missing' not found"), "{}", said(&output));
    assert_eq!(file, format!("database_password: {VALUE}\nmissing: null\n"));
    let (denied, file) = ask(&["other"]).await;
    assert!(!denied.status.success() && said(&denied).contains("Forbidden"), "{}", said(&denied));
    assert_eq!(file, "other:\n", "its file stays as it was");
    served.end().await;
}
