//! What tests share: real servers, started and stopped by their own id.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics where it stands")]

pub mod aloud;
#[path = "../campaign/mod.rs"]
pub mod campaign;
pub mod castellan;
pub mod cluster;
pub mod confused;
pub mod consumer;
pub mod debian_root;
pub mod donjon;
pub mod galera;
pub mod haproxy;
pub mod keystone;
pub mod kolla;
pub mod listener;
pub mod mariadb;
pub mod memcached;
pub mod namespaces;
pub mod openbao;
pub mod podman;
pub mod port;
pub mod process;
pub mod proxy;
pub mod proxysql;
pub mod python_driver;
pub mod rabbitmq;
pub mod recorder;
pub mod redis;
pub mod search;
pub mod sshd;
pub mod temporary;
pub mod told;
pub mod tools;
pub mod traced;
pub mod wait;
pub mod wire;

use std::path::PathBuf;

/// A folder for what is slow to make and can be used again.
pub fn cache_folder() -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-cache"));
    std::fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}
