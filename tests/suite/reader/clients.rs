//! Unchanged clients read from a bundle and from a daemon: castellan under oslo.config, hvac, `bao` and its agent, Ansible's
//! hashi_vault, kolla's own.
//!
//! Each is asked for what its role may read, for what it may not, for what is not there, and from a server that is
//! sealed, beside a real OpenBao: request by request the same statuses and errors.

use super::{
    CONNECTION, MOUNT, Served, VALUE,
    sides::{Side, Sides, out, run, said},
};
use donjon::reader::Outcome;
use donjon_drivers::fs;
use std::{path::Path, process::Output};

fn write(folder: &Path, name: &str, content: &str) {
    fs::replace(&folder.join(name), content.as_bytes()).unwrap();
}

fn castellan(folder: &Path, side: &Side, mapped: &str) {
    let (url, role_id, secret_id) = (side.url(), &side.role_id, &side.secret_id);
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
    Sides::on_each_store(async |sides| {
        let ask = async |mapped: &str| {
            sides
                .run(async |side, folder| {
                    castellan(folder, side, mapped);
                    run("python3", &["-c", SERVICE], &[], folder).await
                })
                .await
        };
        let read = ask("kolla/keystone.database.connection").await;
        assert_eq!(out(&read), CONNECTION, "{}", said(&read));
        let has = |path, outcome| sides.ours.saw(path, outcome);
        assert!(has(Some("kolla/keystone.database.connection"), Outcome::Done), "its audit line was kept");
        let denied = ask("kolla/other").await;
        assert!(!denied.status.success() && said(&denied).contains("Forbidden"), "{}", said(&denied));
        assert!(has(None, Outcome::Refused), "what no role may read has no name in the log");
        // Castellan takes the default where there is no such record, and where it cannot read: why a service's start must be
        // guarded.
        let missing = ask("kolla/missing").await;
        assert_eq!(out(&missing), "sqlite://", "{}", said(&missing));
        sides.seal().await;
        let sealed = ask("kolla/keystone.database.connection").await;
        assert_eq!(out(&sealed), "sqlite://", "{}", said(&sealed));
        sides.end().await;
    })
    .await;
}

const HVAC: &str = "
import hvac, os, sys
client = hvac.Client(url=os.environ['ADDRESS'])
def read(name):
    try:
        return client.secrets.kv.v2.read_secret_version(path=name, mount_point='kv')['data']['data']['password']
    except hvac.exceptions.Forbidden:
        return 'forbidden'
    except hvac.exceptions.InvalidPath:
        return 'missing'
    except hvac.exceptions.VaultDown:
        return 'sealed'
if os.environ.get('SEALED'):
    client.token = os.environ['TOKEN']
    print(client.sys.is_sealed(), read('kolla/database_password'))
    try:
        client.auth.approle.login(role_id=os.environ['ROLE_ID'], secret_id=os.environ['SECRET_ID'])
    except hvac.exceptions.VaultDown:
        print('sealed')
    sys.exit(0)
client.auth.approle.login(role_id=os.environ['ROLE_ID'], secret_id=os.environ['SECRET_ID'])
assert client.is_authenticated()
assert client.sys.read_health_status(method='GET')['initialized']
assert not client.sys.is_sealed()
for name in ('kolla/database_password', 'kolla/other', 'kolla/missing'):
    print(read(name))
print(client.secrets.kv.v2.read_secret_metadata(path='kolla/database_password', mount_point='kv')['data']['current_version'])
names = client.secrets.kv.v2.list_secrets(path='kolla', mount_point='kv')['data']['keys']
print(','.join(name for name in names if name != 'other'))
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
    Sides::on_each_store(async |sides| {
        let ask = async |more: &[(&str, &str)]| {
            sides
                .run(async |side, folder| {
                    let own = [
                        ("ADDRESS", side.url()),
                        ("ROLE_ID", &side.role_id),
                        ("SECRET_ID", &side.secret_id),
                        ("TOKEN", &side.token),
                    ];
                    run("python3", &["-c", HVAC], &[&own, more].concat(), folder).await
                })
                .await
        };
        let read = ask(&[]).await;
        let names = sides.names().join(",");
        let wanted = [VALUE, "forbidden", "missing", "1", &names, "forbidden", "False"];
        assert_eq!(out(&read).lines().collect::<Vec<_>>(), wanted, "{}", said(&read));
        sides.seal().await;
        let sealed = ask(&[("SEALED", "1")]).await;
        assert_eq!(out(&sealed).lines().collect::<Vec<_>>(), ["True sealed", "sealed"], "{}", said(&sealed));
        sides.end().await;
    })
    .await;
}

async fn bao(side: &Side, folder: &Path, arguments: &[&str]) -> Output {
    // Told to give up at once: what it would try again is answered the same.
    let environment = [("BAO_ADDR", side.url()), ("BAO_TOKEN", &side.token), ("BAO_MAX_RETRIES", "0")];
    run("bao", arguments, &environment, folder).await
}

#[tokio::test]
async fn bao_reads_with_its_own_command() {
    Sides::on_each_store(async |sides| {
        let login = sides
            .run(async |side, folder| {
                write(folder, "role_id", &side.role_id);
                write(folder, "secret_id", &side.secret_id);
                let login = ["write", "-field=token", "auth/approle/login", "role_id=@role_id", "secret_id=@secret_id"];
                bao(side, folder, &login).await
            })
            .await;
        assert!(out(&login).starts_with("s."), "{}", said(&login));
        let ask = async |arguments: &[&str]| sides.run(async |side, folder| bao(side, folder, arguments).await).await;
        let get = async |name| ask(&["kv", "get", "-mount=kv", "-field=password", name]).await;
        let read = get("kolla/database_password").await;
        assert_eq!(out(&read), VALUE, "{}", said(&read));
        let denied = get("kolla/other").await;
        assert!(denied.status.code() == Some(2) && said(&denied).contains("permission denied"), "{}", said(&denied));
        let missing = get("kolla/missing").await;
        assert!(missing.status.code() == Some(2) && said(&missing).contains("No value found"), "{}", said(&missing));
        let versions = ask(&["kv", "metadata", "get", "-mount=kv", "kolla/database_password"]).await;
        assert!(versions.status.success() && out(&versions).contains("Version 1"), "{}", said(&versions));
        let listed = ask(&["kv", "list", "-mount=kv", "-format=json", "kolla"]).await;
        let names: Vec<String> = serde_json::from_str(&out(&listed)).unwrap_or_else(|_| panic!("{}", said(&listed)));
        assert_eq!(names, sides.names());
        let status = ask(&["status"]).await;
        assert!(status.status.success(), "{}", said(&status));
        let written = ask(&["kv", "put", "-mount=kv", "kolla/database_password", "a=b"]).await;
        assert!(!written.status.success() && said(&written).contains("permission denied"), "{}", said(&written));
        sides.seal().await;
        let sealed = get("kolla/database_password").await;
        assert!(sealed.status.code() == Some(2) && said(&sealed).contains("Vault is sealed"), "{}", said(&sealed));
        assert_eq!(ask(&["status"]).await.status.code(), Some(2), "sealed");
        sides.end().await;
    })
    .await;
}

async fn agent(side: &Side, folder: &Path, name: &str) -> Output {
    write(folder, "role_id", &side.role_id);
    write(folder, "secret_id", &side.secret_id);
    write(
        folder,
        "template",
        &format!(r#"password = {{{{ with secret "kv/data/{name}" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"#),
    );
    let url = side.url();
    write(
        folder,
        "agent.hcl",
        &format!(
            r#"exit_after_auth = true
            vault {{
              address = "{url}"
              retry {{ num_retries = -1 }}
            }}
            auto_auth {{
              method "approle" {{
                exit_on_err = true
                config = {{
                  role_id_file_path = "role_id"
                  secret_id_file_path = "secret_id"
                  remove_secret_id_file_after_reading = false
                }}
              }}
            }}
            template_config {{ exit_on_retry_failure = true }}
            template {{
              source = "template"
              destination = "rendered"
            }}"#
        ),
    );
    let mut output = run("bao", &["agent", "-config=agent.hcl"], &[], folder).await;
    output.stdout = std::fs::read(folder.join("rendered")).unwrap_or_default();
    output
}

#[tokio::test]
async fn bao_agent_renders_its_template() {
    Sides::on_each_store(async |sides| {
        let ask = async |name: &str| sides.run_unordered(async |side, folder| agent(side, folder, name).await).await;
        let read = ask("kolla/database_password").await;
        assert_eq!(out(&read), format!("password = {VALUE}"), "{}", said(&read));
        let denied = ask("kolla/other").await;
        assert!(!denied.status.success() && said(&denied).contains("permission denied"), "{}", said(&denied));
        assert_eq!(out(&denied), "", "nothing was rendered");
        let missing = ask("kolla/missing").await;
        assert!(!missing.status.success() && said(&missing).contains("no secret exists"), "{}", said(&missing));
        sides.seal().await;
        let sealed = ask("kolla/database_password").await;
        assert!(!sealed.status.success() && said(&sealed).contains("Vault is sealed"), "{}", said(&sealed));
        sides.end().await;
    })
    .await;
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
    Sides::on_each_store(async |sides| {
        let ask = async |(lookup, method): (&str, &str), name: &str| {
            let message = format!("msg={{{{ {} }}}}", lookup.replace("NAME", name));
            sides
                .run(async |side, folder| {
                    let mut environment = match method {
                        "token" => vec![("ANSIBLE_HASHI_VAULT_TOKEN", side.token.as_str())],
                        _ => vec![
                            ("ANSIBLE_HASHI_VAULT_ROLE_ID", side.role_id.as_str()),
                            ("ANSIBLE_HASHI_VAULT_SECRET_ID", side.secret_id.as_str()),
                        ],
                    };
                    environment.extend([
                        ("ANSIBLE_HASHI_VAULT_ADDR", side.url()),
                        ("ANSIBLE_HASHI_VAULT_AUTH_METHOD", method),
                        ("ANSIBLE_LOCALHOST_WARNING", "False"),
                        ("ANSIBLE_INVENTORY_UNPARSED_WARNING", "False"),
                    ]);
                    run("ansible", &["localhost", "-m", "debug", "-a", &message], &environment, folder).await
                })
                .await
        };
        for (of, absent) in LOOKUPS {
            let read = ask(of, "kolla/database_password").await;
            assert!(read.status.success() && out(&read).contains(VALUE), "{of:?}: {}", said(&read));
            let denied = ask(of, "kolla/other").await;
            assert!(!denied.status.success() && said(&denied).contains("Forbidden"), "{of:?}: {}", said(&denied));
            let missing = ask(of, "kolla/missing").await;
            assert!(!missing.status.success() && said(&missing).contains(absent), "{of:?}: {}", said(&missing));
        }
        sides.seal().await;
        for (of, _) in LOOKUPS {
            let sealed = ask(of, "kolla/database_password").await;
            assert!(!sealed.status.success() && said(&sealed).contains("Vault is sealed"), "{of:?}: {}", said(&sealed));
        }
        sides.end().await;
    })
    .await;
}

/// The collection's lookups with the ways in which they are let in, and what they say of what is not there.
const LOOKUPS: [((&str, &str), &str); 3] = [
    (
        ("lookup('community.hashi_vault.vault_kv2_get', 'NAME', engine_mount_point='kv').secret.password", "approle"),
        "Invalid or missing path",
    ),
    (
        ("lookup('community.hashi_vault.hashi_vault', 'secret=kv/data/NAME:password')", "approle"),
        "doesn't seem to exist",
    ),
    (("lookup('community.hashi_vault.hashi_vault', 'secret=kv/data/NAME:password')", "token"), "doesn't seem to exist"),
];

#[tokio::test]
async fn kolla_readpwd_fills_its_file() {
    Sides::on_each_store(async |sides| {
        let ask = async |names: &[&str]| {
            let file: String = names.iter().map(|name| format!("{name}:\n")).collect();
            sides
                .run(async |side, folder| {
                    write(folder, "passwords.yml", &file);
                    let (url, role, secret) = (side.url(), side.role_id.as_str(), side.secret_id.as_str());
                    let arguments =
                        ["-p", "passwords.yml", "-kv", MOUNT, "-kvp", "kolla", "-v", url, "-r", role, "-s", secret];
                    let mut output = run("kolla-readpwd", &arguments, &[], folder).await;
                    output.stdout.extend_from_slice(b"\nfile:\n");
                    output.stdout.extend(std::fs::read(folder.join("passwords.yml")).unwrap());
                    output
                })
                .await
        };
        let read = ask(&["database_password", "missing"]).await;
        assert!(read.status.success() && out(&read).contains("'missing' not found"), "{}", said(&read));
        let filled = format!("file:\ndatabase_password: {VALUE}\nmissing: null");
        assert!(out(&read).ends_with(&filled), "{}", said(&read));
        let denied = ask(&["other"]).await;
        assert!(!denied.status.success() && said(&denied).contains("Forbidden"), "{}", said(&denied));
        assert!(out(&denied).ends_with("file:\nother:"), "its file stays as it was: {}", said(&denied));
        sides.seal().await;
        let sealed = ask(&["database_password"]).await;
        assert!(!sealed.status.success() && said(&sealed).contains("Vault is sealed"), "{}", said(&sealed));
        assert!(out(&sealed).ends_with("file:\ndatabase_password:"), "{}", said(&sealed));
        sides.end().await;
    })
    .await;
}
