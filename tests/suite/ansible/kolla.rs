//! kolla-ansible's own roles, run by the real ansible-playbook from a site play on a `passwords.yml` of lookups.
//!
//! Real: the roles, their templates and action plugins, the group variables, the inventory, MariaDB, RabbitMQ, the store behind the daemon.
//! Replaced, by actions of the same name in the fixture: `kolla_toolbox`, which would run the same modules in a container of
//! kolla's image, and `kolla_container_facts`, on a host without containers.

use super::site::{Search, Setting, Site};
use donjon_policies::{catalogue::Catalogue, recipe::Recipe};
use donjon_tests::{donjon::Donjon, mariadb::MariaDb, rabbitmq::RabbitMq, tools};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[tokio::test]
async fn kolla_ansibles_roles_run_on_references_and_leave_no_value_behind() {
    let donjon = Donjon::new();
    donjon.up();
    donjon.run(&["generate", "--catalogue", "kolla-ansible"]).ok();
    let values = generated(&donjon);
    let search = Search::new(values.values().map(String::as_str));
    let server = MariaDb::start_with(&["--skip-name-resolve"]).await;
    server.account("root", "%", &values["database_password"]).await;
    let rabbit = RabbitMq::start();

    // The control: the same play without the collection's precautions leaves values in each of these places.
    let careless = site(&donjon, &server, &rabbit);
    let said = careless.play(&donjon, Setting::Careless, &rabbit.environment(), &arguments("site.yml")).ok();
    assert!(search.finds(&said));
    let holds = |below: &str| !search.among(careless.files(below)).is_empty();
    assert!(holds("facts") && holds("tmp"));
    let left = search.among(careless.files("tmp"));
    assert!(left.iter().any(|file| file.display().to_string().contains("AnsiballZ_")), "{left:?}");
    assert!(search.finds(fs::read(careless.path().join("ansible.log")).unwrap()));
    careless.commit();
    assert!(search.finds(careless.history()));

    let kept = site(&donjon, &server, &rabbit);
    kept.commit();
    let said = kept.play(&donjon, Setting::Kept, &rabbit.environment(), &arguments("site.yml")).ok();
    assert!(said.contains("********"), "something was there to be covered");
    assert_eq!(search.lines(&said), [""; 0]);
    assert!(!kept.files("facts").is_empty(), "facts are cached");
    assert_eq!(search.among(kept.files("")), Vec::<PathBuf>::new());
    kept.commit();
    assert!(!search.finds(kept.history()));

    // kolla's own look at the values: it must have run, on each host of its group, and have found nothing.
    let checked = task(&said, "prometheus : Check that prometheus_bcrypt_salt is correctly set");
    assert!(checked.contains("ok: [localhost]") && checked.contains("All assertions passed"), "{checked}");

    // And it did what it should: accounts that log in, files with the very values.
    for (user, name) in [
        ("monitor", "mariadb_monitor_password"),
        ("backup_shard_0", "mariadb_backup_database_password"),
        ("root_shard_0", "database_password"),
    ] {
        login(&server, user, &values[name]).await.unwrap_or_else(|error| panic!("{user}: {error}"));
        assert!(login(&server, user, "not-its-value").await.is_err());
    }
    let knows = |value: &str| rabbit.control(&["authenticate_user", "openstack", value]).status.success();
    assert!(knows(&values["rabbitmq_password"]) && !knows("not-its-value"));
    let sink = |name: &str| fs::read_to_string(kept.sinks().join(name)).unwrap();
    assert!(sink("mariadb/galera.cnf").contains(&format!("wsrep_sst_auth = root:{}", values["database_password"])));
    let connection = format!("mysql+pymysql://keystone:{}@", values["keystone_database_password"]);
    assert!(sink("keystone/keystone.conf").contains(&connection));
    assert_eq!(sink("keystone-fernet/id_rsa").trim_end(), values["keystone_ssh_key"].trim_end());
}

/// What a play said of a task.
fn task<'a>(said: &'a str, name: &str) -> &'a str {
    let heading = format!("TASK [{name}]");
    let (_, rest) = said.split_once(&heading).unwrap_or_else(|| panic!("{heading} was never run"));
    rest.split_once("\nTASK [").map_or(rest, |(of_it, _)| of_it)
}

/// The value of every secret that was made; of a pair, the private key.
pub(super) fn generated(donjon: &Donjon) -> BTreeMap<String, String> {
    let catalogue = Catalogue::named("kolla-ansible").unwrap();
    let made = catalogue.current().filter(|entry| entry.recipe != Recipe::Operator);
    made.map(|entry| (entry.name.to_string(), donjon.run(&["get", entry.name.as_str()]).ok())).collect()
}

/// The fixture with a `passwords.yml` of references and kolla's own group variables.
pub(super) fn site(donjon: &Donjon, server: &MariaDb, rabbit: &RabbitMq) -> Site {
    let site = Site::of("kolla");
    site.administers(rabbit);
    let passwords = site.path().join("passwords.yml").display().to_string();
    donjon.run(&["wire", "kolla", "-o", &passwords]).ok();
    std::os::unix::fs::symlink(kolla().join("group_vars"), site.path().join("group_vars")).unwrap();
    let folder = |name: &str| kolla().join(name).display().to_string();
    site.write(
        "ansible.cfg",
        &format!(
            "[defaults]\nroles_path = {}\nlibrary = {}\nmodule_utils = {}\nfilter_plugins = {}\naction_plugins = {}:{}\n",
            folder("roles"),
            folder("library"),
            folder("module_utils"),
            folder("filter_plugins"),
            site.path().join("action_plugins").display(),
            folder("action_plugins"),
        ),
    );
    site.write(
        "here.yml",
        &format!(
            "node_config: {here}\nnode_custom_config: {here}/config\nnode_config_directory: {}\nansible_python_interpreter: {}\n\
             mariadb_port: {}\n",
            site.sinks().display(),
            tools::program("python3").display(),
            server.port,
            here = site.path().display(),
        ),
    );
    site
}

/// As the `kolla-ansible` command calls ansible-playbook.
pub(super) fn arguments(play: &str) -> Vec<String> {
    let inventory = kolla().join("inventory/all-in-one").display().to_string();
    ["-i", &inventory, "-e", "@globals.yml", "-e", "@passwords.yml", "-e", "@here.yml", play].map(str::to_owned).into()
}

/// kolla-ansible's own folder.
fn kolla() -> PathBuf {
    let environment = tools::program("kolla-ansible");
    environment.ancestors().nth(2).unwrap_or(Path::new("/")).join("share/kolla-ansible/ansible")
}

pub(super) async fn login(server: &MariaDb, user: &str, value: &str) -> Result<(), mysql_async::Error> {
    login_at(server.port, user, value).await
}

pub(super) async fn login_at(port: u16, user: &str, value: &str) -> Result<(), mysql_async::Error> {
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .prefer_socket(false)
        .user(Some(user))
        .pass(Some(value));
    let mut connection = Conn::new(opts).await?;
    connection.query_drop("SELECT 1").await?;
    connection.disconnect().await
}
