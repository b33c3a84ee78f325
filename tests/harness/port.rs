//! Free ports on loopback, for servers that cannot be told to choose one and say which.
//!
//! They lie below those that the kernel gives to outgoing connections: of those, one that was free a moment ago may be
//! the near end of anybody's connection by the time a server has started. None is given twice within a process, each
//! process begins somewhere else, and two that are given one after the other do not lie beside each other: servers take
//! the one after their own as well.

use std::{
    fs,
    net::TcpListener,
    ops::Range,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A port that was free a moment ago.
pub fn free() -> u16 {
    const STRIDE: u32 = 1009;
    let range = below_outgoing();
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(7919)));
    let width = u32::from(range.end - range.start);
    let found = (0..width).find_map(|_| {
        let step = NEXT.fetch_add(STRIDE, Ordering::Relaxed) % width;
        let port = range.start + u16::try_from(step).expect("a step is within the range");
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    });
    found.expect("loopback always has a free port")
}

/// From 10000 to the first of the kernel's own.
fn below_outgoing() -> Range<u16> {
    const FIRST: u16 = 10_000;
    let own = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = own.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    assert!(end > FIRST + 1_000, "the kernel gives ports from {end} on to connections, which leaves none for servers");
    FIRST..end
}
