//! How the outside is reached: stores, sources, targets, services, hosts.
