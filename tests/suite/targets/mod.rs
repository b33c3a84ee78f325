//! Targets on real servers.

mod command;
mod faults;
mod galera;
mod keystone;
mod mariadb;
mod names;
mod plaintext;
mod rabbitmq;
mod redis;
mod scene;
mod sshkeys;
mod twins;
