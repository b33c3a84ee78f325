//! Hosts from Ansible inventories, read by the real `ansible-inventory`.

use donjon_drivers::{
    fs,
    host::inventory::{Found, InventoryError, read},
};
use donjon_policies::deployment::{Inventory, Setting};
use donjon_tests::{process::write_program, tools};
use std::path::Path;

async fn of(file: &Path, dynamic: bool) -> Result<Found, InventoryError> {
    let program = tools::program("ansible-inventory").display().to_string();
    read(&Inventory { file: file.display().to_string(), program, dynamic }).await
}

const MULTINODE: &str = r#"
[control]
control[01:03] ansible_user=stack ansible_become=true
control02 ansible_host=10.0.0.2 ansible_port=2222
odd ansible_connection=network_cli ansible_password=canary-1

[deployment]
localhost ansible_connection=local

[compute]
compute1 ansible_ssh_common_args="-o ProxyCommand=canary-2"
bare

[baremetal:children]
control
compute

[baremetal:vars]
ansible_ssh_private_key_file=/etc/kolla/id
admin_password=canary-3
"#;

#[tokio::test]
async fn a_multinode_inventory_is_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("multinode");
    fs::replace(&file, MULTINODE.as_bytes()).unwrap();
    let found = of(&file, false).await.unwrap();
    let option = |host: &str, option: &str| found.hosts[&host.parse().unwrap()].options.get(option).cloned();
    let text = |text: &str| Some(Setting::Text(text.to_owned()));
    let names: Vec<_> = found.hosts.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["bare", "control01", "control02", "control03", "localhost"]);
    assert_eq!(option("control01", "address"), text("control01"));
    assert_eq!(option("control02", "address"), text("10.0.0.2"));
    assert_eq!(option("control02", "port"), Some(Setting::Number(2222)));
    assert_eq!(option("control03", "user"), text("stack"));
    assert_eq!(option("bare", "identity"), text("/etc/kolla/id"));
    assert!(option("control03", "before").is_some() && option("bare", "before").is_none());
    assert_eq!(found.hosts[&"localhost".parse().unwrap()].driver, "local");
    assert!(found.refused["odd"][0].contains("`network_cli`"), "{found:?}");
    assert!(found.refused["compute1"][0].contains("`ansible_ssh_common_args`"), "{found:?}");
    // The canaries are in the inventory, and in nothing that was kept of it.
    assert!(MULTINODE.contains("canary-3") && !format!("{found:?}").contains("canary"), "{found:?}");
}

#[tokio::test]
async fn an_inventory_that_cannot_be_read_is_no_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    fs::replace(&broken, b"all: [\n").unwrap();
    for file in [&folder.path().join("nowhere"), &broken] {
        let error = of(file, false).await.unwrap_err();
        let unparsed = |what: &str| what.contains("inventory") && what.to_lowercase().contains("parse");
        assert!(matches!(&error, InventoryError::Refused { what, .. } if unparsed(what)), "{error}");
    }
    let nobody = Inventory { file: "/x".into(), program: "/nowhere/ansible-inventory".into(), dynamic: false };
    let error = read(&nobody).await.unwrap_err().to_string();
    assert!(error.contains("there is no program /nowhere/ansible-inventory"), "{error}");
    let other = Inventory { program: "true".into(), ..nobody };
    assert!(matches!(read(&other).await, Err(InventoryError::Unreadable { .. })));
}

#[tokio::test]
async fn an_inventory_that_is_a_program_is_run_only_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (program, mark) = (folder.path().join("inventory.sh"), folder.path().join("ran"));
    let script = format!(
        "#!/bin/sh\necho x >> {}\necho '{{\"g\": {{\"hosts\": [\"d1\"]}}, \"_meta\": {{\"hostvars\": {{\"d1\": {{\"ansible_host\": \"10.9.9.9\"}}}}}}}}'\n",
        mark.display()
    );
    write_program(&program, &script);
    let error = of(&program, false).await.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("parse"), "{error}");
    assert!(!mark.exists(), "it was run");
    let found = of(&program, true).await.unwrap();
    assert!(mark.exists());
    assert_eq!(found.hosts[&"d1".parse().unwrap()].options["address"], Setting::Text("10.9.9.9".into()));
}
