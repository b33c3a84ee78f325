//! A node for kolla-ansible: a booted Debian with podman, behind SSH, and images of Keystone and of kolla's toolbox.

use crate::{debian_root::DebianRoot, podman::Booted, tools};
use std::{fs, os::unix::fs::PermissionsExt};
use tempfile::TempDir;

/// A node. What podman stores in it lies on this machine's disk, and goes with it.
#[derive(Debug)]
pub struct Node {
    root: DebianRoot,
    _storage: TempDir,
}

impl Node {
    /// Boots one; no container is in it.
    pub async fn boot() -> Self {
        let made = tools::folder().join("kolla");
        assert!(
            made.join("requirements.installed").exists(),
            "{} is not there: `make test` makes it, or run tests/setup/kolla.sh",
            made.display()
        );
        let storage = tempfile::Builder::new().prefix("kolla.").tempdir().unwrap();
        let volumes = [
            format!("--volume={}:/var/lib/containers", storage.path().display()),
            format!("--volume={}:{IMAGES}:ro", made.join("images").display()),
        ];
        let booted = Booted::start_on(&made.join("root"), &volumes.each_ref().map(String::as_str)).await;
        // A folder of it is a volume of containers, whose users are not root.
        fs::set_permissions(booted.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in [("storage.conf", STORAGE), ("containers.conf", CONTAINERS)] {
            donjon_drivers::fs::replace(&booted.folder().join(name), text.as_bytes()).unwrap();
            booted.told(&["cp", &format!("/test/{name}"), "/etc/containers/"]);
        }
        // What `kolla-ansible bootstrap-servers` and the packages of a hypervisor leave.
        booted.told(&["mkdir", "-p", "/run/netns", "/run/lock/nova", "/run/libvirt", "/run/nova", "/run/openvswitch"]);
        // A container's own is noexec, a machine's is not, and kolla takes that for a change of its containers at each run.
        booted.told(&["mount", "-o", "remount,exec", "/dev/shm"]);
        Self { root: DebianRoot::of(booted).await, _storage: storage }
    }

    /// Runs podman in it. What it printed.
    pub fn podman(&self, words: &[&str]) -> String {
        self.told(&[&["podman"], words].concat())
    }

    /// Which container has this name, and since when it runs.
    pub fn container(&self, name: &str) -> (String, String) {
        let told = self.podman(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name]);
        let (id, started) = told.trim().split_once(' ').expect("both were asked for");
        (id.to_owned(), started.to_owned())
    }

    /// Its line in an inventory.
    pub fn inventory_line(&self) -> String {
        let login = self.login();
        format!(
            "node ansible_host={} ansible_port={} ansible_user=root ansible_ssh_private_key_file={} ansible_ssh_transfer_method=piped \
             ansible_ssh_common_args='-F /dev/null -o UserKnownHostsFile={}' ansible_python_interpreter=/usr/bin/python3",
            login.address,
            login.port.expect("it has one of its own"),
            login.identity.expect("it was made").display(),
            login.known_hosts.expect("it was made").display()
        )
    }
}

impl std::ops::Deref for Node {
    type Target = DebianRoot;
    fn deref(&self) -> &DebianRoot {
        &self.root
    }
}

const IMAGES: &str = "/usr/share/kolla-images";
const STORAGE: &str = "[storage]
driver = \"overlay\"
graphroot = \"/var/lib/containers/storage\"
runroot = \"/run/containers/storage\"
[storage.options]
additionalimagestores = [\"/usr/share/kolla-images\"]
";
const CONTAINERS: &str = "[engine]
runtime = \"runc\"
[containers]
default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]
";
