//! What acts: the daemon and the command line.
