//! A host's variables as options of the drivers `ssh` and `local`, and what there is no option for.

use donjon_policies::deployment::{Host, Setting};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The variables about the connection. Others are not even read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Variables {
    ansible_connection: Option<Value>,
    ansible_host: Option<Value>,
    ansible_ssh_host: Option<Value>,
    ansible_port: Option<Value>,
    ansible_ssh_port: Option<Value>,
    ansible_user: Option<Value>,
    ansible_ssh_user: Option<Value>,
    ansible_ssh_private_key_file: Option<Value>,
    ansible_private_key_file: Option<Value>,
    ansible_become: Option<Value>,
    ansible_become_method: Option<Value>,
    ansible_become_user: Option<Value>,
    ansible_ssh_args: Option<Unused>,
    ansible_ssh_common_args: Option<Unused>,
    ansible_ssh_extra_args: Option<Unused>,
    ansible_ssh_executable: Option<Unused>,
    ansible_password: Option<Unused>,
    ansible_ssh_pass: Option<Unused>,
    ansible_become_password: Option<Unused>,
    ansible_become_pass: Option<Unused>,
    ansible_become_flags: Option<Unused>,
}

/// A value that is not kept: it may be a password.
#[derive(Debug)]
struct Unused;

impl<'de> Deserialize<'de> for Unused {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Self)
    }
}

/// A host of this name; on error, every reason why it cannot be reached as its variables say.
pub(super) fn host(name: &str, variables: Variables) -> Result<Host, Vec<String>> {
    let unused = unused(&variables);
    let mut reasons = Vec::new();
    let mut options = BTreeMap::new();
    let mut word = |variable: &str, value: &Option<Value>, allowed: fn(&str) -> bool| match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if allowed(text) => Some(text.clone()),
        // What is there is not said: somebody may have mistaken one variable for another.
        Some(Value::String(text)) if text.contains("{{") => {
            reasons.push(format!("`{variable}` is a template, which is not evaluated here"));
            None
        }
        Some(_) => {
            reasons.push(format!("`{variable}` is not what can be used here"));
            None
        }
    };
    let connection = word("ansible_connection", &variables.ansible_connection, is_name);
    let driver = match connection.as_deref() {
        Some("local") => "local",
        // `smart` was OpenSSH wherever it was new enough.
        None | Some("ssh" | "smart" | "ansible.builtin.ssh") => "ssh",
        Some(other) => return Err(vec![format!("`ansible_connection` is `{other}`; `ssh` and `local` are possible")]),
    };
    let address = word("ansible_host", &variables.ansible_host.or(variables.ansible_ssh_host), is_address);
    let user = word("ansible_user", &variables.ansible_user.or(variables.ansible_ssh_user), is_user);
    let key = variables.ansible_ssh_private_key_file.or(variables.ansible_private_key_file);
    let key = word("ansible_ssh_private_key_file", &key, is_path);
    let method = word("ansible_become_method", &variables.ansible_become_method, is_name);
    let as_whom = word("ansible_become_user", &variables.ansible_become_user, is_user);
    let port = number(&variables.ansible_port.or(variables.ansible_ssh_port))
        .map_err(|()| reasons.push("`ansible_port` is no port".to_owned()));
    let become_root = switch(&variables.ansible_become)
        .map_err(|()| reasons.push("`ansible_become` is neither true nor false".to_owned()))
        .unwrap_or_default();
    if driver == "ssh" {
        options.insert("address".to_owned(), Setting::Text(address.unwrap_or_else(|| name.to_owned())));
        options.extend(port.ok().flatten().map(|port| ("port".to_owned(), Setting::Number(port))));
        options.extend(user.map(|user| ("user".to_owned(), Setting::Text(user))));
        options.extend(key.map(|key| ("identity".to_owned(), Setting::Text(key))));
        reasons.extend(
            unused.iter().map(|variable| {
                format!("`{variable}` has no counterpart here; OpenSSH's own configuration can say it")
            }),
        );
    }
    if become_root {
        match method.as_deref() {
            None | Some("sudo" | "ansible.builtin.sudo") => {}
            Some(other) => reasons.push(format!("`ansible_become_method` is `{other}`; `sudo` is possible")),
        }
        let words = ["sudo", "-n", "-u", as_whom.as_deref().unwrap_or("root"), "--"];
        let words = words.map(|word| Setting::Text(word.to_owned()));
        options.insert("before".to_owned(), Setting::List(words.into()));
        if variables.ansible_become_password.is_some() || variables.ansible_become_pass.is_some() {
            reasons.push("`ansible_become_password` has no counterpart here; sudo must ask for none".to_owned());
        }
        if variables.ansible_become_flags.is_some() {
            reasons.push("`ansible_become_flags` has no counterpart here".to_owned());
        }
    }
    match reasons.is_empty() {
        true => Ok(Host { driver: driver.to_owned(), addresses: Vec::new(), options }),
        false => Err(reasons),
    }
}

fn unused(variables: &Variables) -> Vec<&'static str> {
    let all = [
        ("ansible_ssh_args", &variables.ansible_ssh_args),
        ("ansible_ssh_common_args", &variables.ansible_ssh_common_args),
        ("ansible_ssh_extra_args", &variables.ansible_ssh_extra_args),
        ("ansible_ssh_executable", &variables.ansible_ssh_executable),
        ("ansible_password", &variables.ansible_password),
        ("ansible_ssh_pass", &variables.ansible_ssh_pass),
    ];
    all.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name).collect()
}

/// A port: inventories of the format `ini` know numbers, those made by programs often text.
fn number(value: &Option<Value>) -> Result<Option<i64>, ()> {
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    number.filter(|port| (1..=65535).contains(port)).map(Some).ok_or(())
}

/// As Ansible reads truth.
fn switch(value: &Option<Value>) -> Result<bool, ()> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(switch)) => Ok(*switch),
        Some(Value::Number(number)) if number.as_i64() == Some(1) => Ok(true),
        Some(Value::Number(number)) if number.as_i64() == Some(0) => Ok(false),
        Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "t" | "1" => Ok(true),
            "false" | "no" | "off" | "n" | "f" | "0" => Ok(false),
            _ => Err(()),
        },
        Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(()),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_address(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':' | b'%'))
}

fn is_user(text: &str) -> bool {
    !text.starts_with('-')
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@' | b'\\'))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.contains("{{") && !text.chars().any(|c| c.is_control() || c == '"' || c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::registry::{HOSTS, Place};
    use proptest::prelude::*;
    use serde_json::json;

    fn of(variables: Value) -> Result<Host, Vec<String>> {
        host("c1", serde_json::from_value(variables).unwrap())
    }

    fn opened(host: &Host) -> bool {
        let place = Place { name: "c1".into(), control: "/run/x".into() };
        HOSTS.open(&host.driver, &host.options, "hosts.c1", place).is_ok()
    }

    #[test]
    fn a_connection_becomes_options() {
        let found = of(json!({
            "ansible_host": "10.0.0.1", "ansible_port": "2222", "ansible_user": "stack",
            "ansible_ssh_private_key_file": "/k", "ansible_become": "yes", "other": {"secret": 1},
        }));
        let expected = json!({
            "address": "10.0.0.1", "port": 2222, "user": "stack", "identity": "/k",
            "before": ["sudo", "-n", "-u", "root", "--"],
        });
        let found = found.unwrap();
        assert_eq!(found.driver, "ssh");
        assert_eq!(found.options, serde_json::from_value(expected).unwrap());
        assert!(opened(&found));
        let local = of(json!({"ansible_connection": "local", "ansible_user": "x", "ansible_ssh_common_args": "-o x"}));
        let local = local.unwrap();
        assert_eq!((local.driver.as_str(), local.options.len()), ("local", 0));
        assert!(opened(&local));
        let both = of(json!({"ansible_host": "new", "ansible_ssh_host": "old", "ansible_ssh_port": 22})).unwrap();
        assert_eq!(
            (&both.options["address"], &both.options["port"]),
            (&Setting::Text("new".into()), &Setting::Number(22))
        );
        assert_eq!(of(json!({})).unwrap().options["address"], Setting::Text("c1".into()));
    }

    #[test]
    fn what_there_is_no_option_for_is_refused_by_its_name_and_without_its_value() {
        for (variables, part) in [
            (json!({"ansible_connection": "winrm"}), "`ansible_connection` is `winrm`"),
            (json!({"ansible_host": "{{ canary }}"}), "`ansible_host` is a template"),
            (json!({"ansible_host": "-oProxyCommand=canary"}), "`ansible_host` is not"),
            (json!({"ansible_host": "a canary"}), "`ansible_host` is not"),
            (json!({"ansible_ssh_host": "a canary"}), "`ansible_host` is not"),
            (json!({"ansible_user": ["canary"]}), "`ansible_user` is not"),
            (json!({"ansible_port": 70000}), "`ansible_port` is no port"),
            (json!({"ansible_ssh_private_key_file": "~/canary"}), "`ansible_ssh_private_key_file` is not"),
            (
                json!({"ansible_ssh_common_args": "-o ProxyCommand=canary"}),
                "`ansible_ssh_common_args` has no counterpart",
            ),
            (json!({"ansible_password": "canary"}), "`ansible_password` has no counterpart"),
            (json!({"ansible_become": "perhaps"}), "`ansible_become` is neither"),
            (json!({"ansible_become": true, "ansible_become_method": "su"}), "`ansible_become_method` is `su`"),
            (json!({"ansible_become": true, "ansible_become_pass": "canary"}), "`ansible_become_password` has no"),
        ] {
            let reasons = of(variables).unwrap_err().join("; ");
            assert!(reasons.contains(part) && !reasons.contains("canary"), "{reasons}");
        }
    }

    proptest! {
        #[test]
        fn what_is_not_refused_opens(host in "\\PC{0,12}", user in "[a-z@ -]{0,6}", key in "/?\\PC{0,8}", port in any::<i32>()) {
            let variables = json!({
                "ansible_host": host, "ansible_user": user, "ansible_ssh_private_key_file": key, "ansible_port": port,
            });
            if let Ok(host) = of(variables) {
                prop_assert!(opened(&host), "{:?}", host);
            }
        }
    }
}
