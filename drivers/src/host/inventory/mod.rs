//! Hosts from an Ansible inventory, as `ansible-inventory --list` prints it.
//!
//! `ansible-inventory` ends with 0 and no hosts where it cannot read an inventory at all; it is told to fail instead.
//! Reading an inventory that is a program, or that a plugin makes, runs that program with the rights of the daemon, so
//! this is done only where the deployment file says `dynamic: true`; otherwise the plugins `ini` and `yaml` alone are
//! let loose on it. Ansible's configuration is read as for any program of this user, except from the folder of the daemon.
//!
//! Of each host's variables, those about the connection become options of the drivers `ssh` and `local`. What they
//! cannot do is refused host by host, with the variable's name; a host that no service runs on may be as it likes. All
//! other variables, which may hold secrets, are dropped unread.

mod read;
mod variables;

pub use read::{Found, InventoryError, read};
