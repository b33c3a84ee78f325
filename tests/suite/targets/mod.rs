//! Targets on real servers.

mod faults;
mod mariadb;
mod names;
mod plaintext;
mod scene;
