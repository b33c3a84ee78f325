//! The built-in catalogues against the deployers' real packages: no name missing, none invented, recipes as they are made.

mod surveyed;

use donjon_policies::{
    catalogue::{Catalogue, Entry},
    recipe::{Recipe, SshKey},
};
use donjon_tests::tools;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// kolla-ansible: the names of its passwords.yml, and genpwd's own lists of those that are no plain passwords.
const KOLLA: &str = r#"
import ast, inspect, json, os, sys, yaml
from kolla_ansible.cmd import genpwd
path = os.path.join(sys.prefix, 'share/kolla-ansible/etc_examples/kolla/passwords.yml')
lists = {}
for node in ast.walk(ast.parse(inspect.getsource(genpwd.main))):
    if isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Constant)):
        lists[node.targets[0].id] = ast.literal_eval(node.value)
with open(path) as f:
    print(json.dumps({'values': yaml.safe_load(f), 'lists': lists}))
"#;

/// tripleo-common: one real set of passwords, and the names it refuses to rotate.
const TRIPLEO: &str = r"
import json
from tripleo_common import constants
from tripleo_common.utils import passwords
print(json.dumps({'names': constants.PASSWORD_PARAMETER_NAMES, 'kept': constants.DO_NOT_ROTATE_LIST,
                  'values': passwords.generate_passwords()}))
";

#[test]
fn kolla_ansible_has_the_names_and_recipes_of_the_real_package() {
    let real = python(KOLLA);
    let catalogue = catalogue("kolla-ansible");
    let values = real["values"].as_object().expect("a mapping of names");
    assert!(values.len() >= 100, "only {} names: not the real passwords.yml", values.len());
    same_names(&catalogue, &values.keys().cloned().collect());

    let list = |key: &str| words(&real["lists"][key]);
    let length = real["lists"]["length"].as_u64().and_then(|length| u16::try_from(length).ok()).expect("a length");
    let special: [(&str, Recipe); 6] = [
        ("uuid_keys", Recipe::Uuid4),
        ("ssh_keys", Recipe::Ssh(SshKey::Rsa4096)),
        ("blank_keys", Recipe::Operator),
        ("hmac_md5_keys", "hmac 128 hex".parse().expect("a recipe")),
        ("fernet_keys", Recipe::Fernet),
        ("bcrypt_keys", Recipe::BcryptSalt),
    ];
    for (key, _) in special {
        assert!(!list(key).is_empty(), "genpwd has no `{key}` any more");
    }
    for entry in catalogue.current() {
        let name = entry.name.as_str();
        let made = special.iter().find(|(key, _)| list(key).contains(name)).map(|(_, recipe)| *recipe);
        let expected = match name {
            // A PIN that only the HSM knows, and a cookie, which genpwd makes like any password.
            "barbican_p11_password" => Recipe::Operator,
            "rabbitmq_cluster_cookie" => Recipe::ErlangCookie { length },
            _ => made.unwrap_or(Recipe::Alphanumeric { length }),
        };
        assert_eq!(entry.recipe, expected, "{name}");
    }
}

#[test]
fn tripleo_has_the_names_and_recipes_of_the_real_package() {
    let real = python(TRIPLEO);
    let catalogue = catalogue("tripleo");
    let names = words(&real["names"]);
    assert!(names.len() >= 50, "only {} names: not the real list", names.len());
    same_names(&catalogue, &names);

    for entry in catalogue.current() {
        let made = &real["values"][entry.name.as_str()];
        assert!(same_shape(entry.recipe, made), "{}: {} is not what tripleo-common makes", entry.name, entry.recipe);
    }
    // Rotated here, with both values valid: upstream has no way to do that.
    let ours = ["MysqlClustercheckPassword", "MysqlMariabackupPassword"];
    let kept = words(&real["kept"]);
    assert!(kept.len() > 10, "tripleo-common's list of what it does not rotate has gone");
    for entry in catalogue.current().filter(|entry| kept.contains(entry.name.as_str())) {
        assert_eq!(entry.in_bulk(), ours.contains(&entry.name.as_str()), "{} in a rotation of everything", entry.name);
    }
}

/// openstack-ansible is no package, so its file is not there to be read: what is compared is a digest of its names.
#[test]
fn openstack_ansible_has_the_names_of_its_release() {
    let catalogue = catalogue("openstack-ansible");
    let digest = |names: BTreeSet<&str>| {
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        hex::encode(Sha256::digest(lines))
    };
    // Of etc/openstack_deploy/user_secrets.yml in 33.0.1: the names that are set there, and those in comments, to be uncommented.
    let set = digest(catalogue.current().map(|entry| entry.name.as_str()).collect());
    assert_eq!(set, "2a9292c4b6d8e59a015e28e58b8df662cc26938ceb1f4b28718e135a734edaea");
    let older: BTreeSet<&str> = catalogue.older_names().map(|name| name.as_str()).collect();
    // Services that are gone since 32.
    let gone = |name: &&str| ["murano_", "sahara_", "senlin_"].iter().any(|service| name.starts_with(service));
    let (gone, in_comments): (BTreeSet<&str>, BTreeSet<&str>) = older.into_iter().partition(gone);
    assert_eq!(digest(in_comments), "db06c06653350ce1063a581d75424401aab942e56d1e3adb4eb334c8e2cfd646");
    // What 26.0.0, 27.0.0, 28.0.0, 29.0.0, 30.0.0 and 31.0.0 have more, set or in comments: the same in each.
    assert_eq!(digest(gone), "90fcff7f856b7f1067bd96e51068fa459d91448f4847589d237015961a780b85");
}

fn same_names(catalogue: &Catalogue, real: &BTreeSet<String>) {
    let older: BTreeSet<&str> = catalogue.older_names().map(|name| name.as_str()).collect();
    let ours: BTreeMap<&str, &Entry> = catalogue.current().map(|entry| (entry.name.as_str(), entry)).collect();
    let known = |name: &str| ours.contains_key(name) || older.contains(name);
    let missing: Vec<&String> = real.iter().filter(|name| !known(name)).collect();
    let invented: Vec<&&str> = ours.keys().filter(|name| !real.contains(**name)).collect();
    assert!(missing.is_empty(), "in the package and not in the catalogue: {missing:?}");
    assert!(invented.is_empty(), "in the catalogue and not in the package: {invented:?}");
}

/// Whether the real generator makes a value of this shape; plain passwords may be longer here.
fn same_shape(recipe: Recipe, made: &Value) -> bool {
    let keys = made.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let text = made.as_str().unwrap_or_default();
    let alphanumeric = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match recipe {
        Recipe::Ssh(_) => keys.is_some_and(|keys| keys == ["private_key", "public_key"]),
        Recipe::FernetRepository { keys: count } => keys.is_some_and(|keys| keys.len() == usize::from(count)),
        Recipe::Alphanumeric { length } | Recipe::ErlangCookie { length } => {
            alphanumeric && text.len() <= usize::from(length)
        }
        Recipe::Exactly { length } => alphanumeric && text.len() == usize::from(length),
        Recipe::PacemakerAuthkey => alphanumeric && text.len() == 4096,
        Recipe::Uuid4 => text.len() == 36 && text.as_bytes()[14] == b'4',
        Recipe::Fernet | Recipe::Hmac { .. } => text.len() == 44 && text.ends_with('='),
        Recipe::Cephx => text.len() == 40 && text.starts_with("AQ") && text.ends_with("=="),
        Recipe::Hex { .. } | Recipe::BcryptSalt | Recipe::Operator => false,
    }
}

fn catalogue(name: &str) -> Catalogue {
    Catalogue::named(name).unwrap_or_else(|error| panic!("{error}"))
}

fn words(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a script prints as JSON, run by the test environment's python; it must be there.
fn python(script: &str) -> Value {
    let python = tools::program("python");
    let output = Command::new(&python).args(["-c", script]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON from the script")
}
