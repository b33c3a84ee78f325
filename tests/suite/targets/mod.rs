//! Targets on real servers.

mod command;
mod faults;
mod fence;
mod galera;
mod keystone;
mod mariadb;
mod names;
mod plaintext;
mod proxysql;
mod rabbitmq;
mod redis;
mod scene;
mod sentinels;
mod sshkeys;
mod traces;
mod twins;
