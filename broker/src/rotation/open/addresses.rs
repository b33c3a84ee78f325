//! Where a target sees the sessions of a host come from.

use crate::rotation::subject::Addresses;
use donjon_drivers::target::Target;
use donjon_policies::{
    deployment::{Deployment, LOCAL},
    name::HostName,
};
use std::{
    collections::BTreeSet,
    net::{ToSocketAddrs, UdpSocket},
    sync::Arc,
};

/// What the deployment file gives for a host, names with the addresses they have; for this one, also the address by which
/// it reaches each node.
pub(super) fn of(deployment: &Deployment, host: &HostName, targets: &[Arc<dyn Target>]) -> Addresses {
    let mut known = BTreeSet::new();
    for seen in deployment.seen_from(host) {
        known.insert(seen.to_ascii_lowercase());
        known.extend((seen, 0_u16).to_socket_addrs().into_iter().flatten().map(|address| address.ip().to_string()));
    }
    if host.as_str() == LOCAL {
        let nodes = targets.iter().flat_map(|target| target.nodes());
        known.extend(nodes.filter_map(|node| own_address(&node.address)));
    }
    if known.is_empty() { Addresses::Unknown } else { Addresses::Known(known) }
}

/// The address that this machine has towards another; nothing is sent.
fn own_address(node: &str) -> Option<String> {
    let to = node.to_socket_addrs().ok()?.next()?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}
