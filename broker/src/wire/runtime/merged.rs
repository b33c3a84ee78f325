//! What kolla-ansible's roles merge: which template of theirs, with which file of the operator's.

use std::{collections::BTreeSet, path::Path};

/// A role of kolla-ansible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The files of oslo.config that it merges.
    pub merged: Vec<Merged>,
    /// The variables with more volumes for its containers.
    pub volumes: Vec<String>,
}

/// A file that a role writes from a template of its own and from files of the operator. Where it is written from several
/// templates, there is one of these for each, with the same file of the operator: what that file refers to must all stand in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Merged {
    /// The template, as it is found from the playbook.
    pub template: String,
    /// The operator's file, below `node_custom_config`.
    pub path: String,
    /// How the service reads it.
    pub read: Reading,
}

/// How a service reads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// It is the service's own file, which names where the rest is.
    First,
    /// It is read after that, and what it says of sources takes the place of what the first has said.
    Second,
}

/// Reads a role: its tasks, its defaults, and which of its templates oslo.config reads.
pub fn role(name: &str, tasks: &[String], defaults: &str, oslo: impl Fn(&str) -> Option<Reading>) -> Role {
    let mut merged = BTreeSet::new();
    for sources in tasks.iter().flat_map(|text| sources(text)) {
        let templates: Vec<&str> = sources.iter().filter_map(|source| literal(source, "role_path")).collect();
        // Of several, the last one is what makes this service's file its own.
        let Some(last) = templates.last() else { continue };
        let Some(file) = last.strip_prefix("templates/").and_then(|file| file.strip_suffix(".j2")) else {
            continue;
        };
        // Such a task is one service's, and says its name by a loop.
        let looped = templates.len() > 1;
        let item = |source: &str| source.replace("{{ item }}", file.strip_suffix(".conf").unwrap_or(file));
        let sources: Vec<String> = sources.iter().map(|s| if looped { item(s) } else { (*s).to_owned() }).collect();
        let custom = || sources.iter().filter_map(|source| literal(source, "node_custom_config"));
        // The first is every service's of the role; `global.conf` is everybody's.
        let own = custom().find(|path| *path == file).or_else(|| custom().find(|path| base(path) == file));
        let read = templates.iter().filter_map(|template| oslo(template)).min().filter(|_| !IN_GUESTS.contains(&file));
        if let Some((path, read)) = own.zip(read) {
            let merge = |template| Merged { template: format!("roles/{name}/{template}"), path: path.to_owned(), read };
            merged.extend(templates.iter().map(merge));
        }
    }
    let variable = |line: &str| {
        let (variable, value) = line.split_once(": ")?;
        (variable.ends_with("_extra_volumes") && value.contains("{{ default_extra_volumes }}"))
            .then(|| variable.to_owned())
    };
    let volumes = defaults.lines().filter_map(variable).collect();
    Role { name: name.to_owned(), merged: merged.into_iter().collect(), volumes }
}

/// Whether oslo.config reads the file of a template, and how; `commands` are those by which the role's services start.
pub fn reading(file: &str, text: &str, commands: &[String]) -> Option<Reading> {
    if text.contains("[oslo_") || text.contains("[keystone_authtoken]") {
        return Some(Reading::First);
    }
    let named = |command: &String| {
        let mut words = command.split([' ', '"']).map(|word| word.split_once('=').unwrap_or((word, "")));
        let mut before = false;
        while let Some((option, value)) = words.next() {
            if !matches!(option, "--config-file" | "--config-dir") {
                continue;
            }
            let value = if value.is_empty() { words.next().map_or("", |(word, _)| word) } else { value };
            if option == "--config-file" && base(value) == file {
                return Some(if before { Reading::Second } else { Reading::First });
            }
            before = true;
        }
        None
    };
    commands.iter().find_map(named)
}

/// Each list of sources in a file of tasks.
fn sources(text: &str) -> Vec<Vec<&str>> {
    let mut all = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "sources:" {
            continue;
        }
        let mut list = Vec::new();
        while let Some(item) = lines.peek().and_then(|line| line.trim().strip_prefix("- ")) {
            list.push(item.trim_matches('"'));
            lines.next();
        }
        all.push(list);
    }
    all
}

/// The rest of a path that begins with a variable and holds no other.
fn literal<'a>(source: &'a str, variable: &str) -> Option<&'a str> {
    let rest = source.strip_prefix(&format!("{{{{ {variable} }}}}/"))?;
    (!rest.contains("{{")).then_some(rest)
}

/// Files that are read in guests, which reach no reader.
const IN_GUESTS: [&str; 1] = ["trove-guestagent.conf"];

fn base(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASKS: &str = r#"
- name: Copying over glance-api.conf
  merge_configs:
    sources:
      - "{{ role_path }}/templates/glance-api.conf.j2"
      - "{{ node_custom_config }}/global.conf"
      - "{{ node_custom_config }}/glance.conf"
      - "{{ node_custom_config }}/glance/glance-api.conf"
      - "{{ node_custom_config }}/glance/{{ inventory_hostname }}/glance-api.conf"
    dest: "x"
- merge_configs:
    sources:
      - "{{ role_path }}/templates/manila.conf.j2"
      - "{{ role_path }}/templates/manila-share.conf.j2"
      - "{{ node_custom_config }}/global.conf"
      - "{{ node_custom_config }}/manila.conf"
      - "{{ node_custom_config }}/{{ item }}.conf"
      - "{{ node_custom_config }}/manila/{{ item }}.conf"
- merge_configs:
    sources:
      - "{{ role_path }}/templates/nova.conf.j2"
      - "{{ node_custom_config }}/nova.conf"
      - "{{ node_custom_config }}/nova/nova.conf"
- merge_configs:
    sources:
      - "{{ role_path }}/templates/paste.ini.j2"
      - "{{ node_custom_config }}/paste.ini"
"#;

    #[test]
    fn a_template_goes_with_the_operators_file_of_its_own_name() {
        let defaults = "glance_extra_volumes: \"{{ default_extra_volumes }}\"\nglance_api_extra_volumes: \"{{ glance_extra_volumes }}\"\n";
        let oslo = |template: &str| (!template.contains("paste")).then_some(Reading::First);
        let read = role("glance", &[TASKS.to_owned()], defaults, oslo);
        let merged = |template: &str, path: &str| Merged {
            template: format!("roles/glance/templates/{template}.j2"),
            path: path.to_owned(),
            read: Reading::First,
        };
        assert_eq!(
            read.merged,
            [
                merged("glance-api.conf", "glance/glance-api.conf"),
                merged("manila-share.conf", "manila-share.conf"),
                merged("manila.conf", "manila-share.conf"),
                merged("nova.conf", "nova.conf"),
            ]
        );
        assert_eq!(read.volumes, ["glance_extra_volumes"]);
    }

    #[test]
    fn a_file_that_is_named_after_another_is_read_second() {
        let command = "\"command\": \"agent --config-file /etc/n/n.conf --config-file /etc/n/agent.ini\",".to_owned();
        let commands = [command, "run --from /etc/n/other.ini".to_owned()];
        assert_eq!(reading("agent.ini", "[DEFAULT]\nsecret = x\n", &commands), Some(Reading::Second));
        assert_eq!(reading("n.conf", "[DEFAULT]\nsecret = x\n", &commands), Some(Reading::First));
        let folder = ["agent --config-dir /etc/n --config-file=/etc/n/agent.ini".to_owned()];
        assert_eq!(reading("agent.ini", "[DEFAULT]\n", &folder), Some(Reading::Second));
        assert_eq!(reading("n.conf", "[oslo_policy]\n", &commands), Some(Reading::First));
        assert_eq!(reading("other.ini", "[DEFAULT]\n", &commands), None, "no option names it");
        assert_eq!(reading("gent.ini", "[DEFAULT]\n", &commands), None);
    }
}
