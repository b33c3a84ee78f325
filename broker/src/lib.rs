//! What acts: the daemon and the command line.

pub mod transfer;
