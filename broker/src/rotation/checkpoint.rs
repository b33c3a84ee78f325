//! Named points at which a test may kill the process: after each effect, and around each write of the journal.
//!
//! Without the `failpoints` feature this is nothing at all. With it, `FAILPOINTS=rotation.declared=return` kills at the
//! first such point, `rotation.declared=1*off->return` at the second.

/// Here the process may be killed.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "the macro is nothing without the feature"))]
pub fn reached(name: &str) {
    fail::fail_point!(name, |_| die(name));
}

/// Dies as by `kill -9`, after saying where, so that a test can list the points it hit.
#[cfg(feature = "failpoints")]
fn die(name: &str) {
    eprintln!("checkpoint {name}: killed");
    let own = rustix::process::getpid();
    // It cannot fail for one's own process, and there is nothing to do if it did.
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
}

/// Every point on the way to Retired, for a test that is to hit each one.
pub const POINTS: &[&str] = &[
    "rotation.journal-created",
    "rotation.claimed",
    "rotation.pending-written",
    "rotation.declared",
    "rotation.verified",
    "rotation.record-written",
    "rotation.view-written",
    "rotation.epoch-bumped",
    "rotation.restarted",
    "rotation.acknowledged",
    "rotation.drained",
    "rotation.old-removed",
    "rotation.old-refused",
    "rotation.labels-written",
    "rotation.pending-removed",
    "rotation.moved.staged",
    "rotation.moved.added",
    "rotation.moved.verified",
    "rotation.moved.published",
    "rotation.moved.rolling",
    "rotation.moved.drained",
    "rotation.moved.trial",
    "rotation.moved.retired",
];

/// Every point before a write of the journal that moves a rotation on.
pub const MOVING: &[&str] = &[
    "rotation.moving.staged",
    "rotation.moving.added",
    "rotation.moving.verified",
    "rotation.moving.published",
    "rotation.moving.rolling",
    "rotation.moving.drained",
    "rotation.moving.trial",
    "rotation.moving.retired",
];

/// Every point of an abort from Verified.
pub const ABORT_POINTS: &[&str] = &[
    "rotation.moved.aborting",
    "rotation.fenced",
    "rotation.declared",
    "rotation.old-alone",
    "rotation.pending-removed",
    "rotation.labels-written",
    "rotation.moving.aborted",
    "rotation.moved.aborted",
];

/// Every point after a consumer has failed on the new value.
pub const RESTORE_POINTS: &[&str] = &[
    "rotation.moving.restoring",
    "rotation.moved.restoring",
    "rotation.old-alone",
    "rotation.moving.restored",
    "rotation.moved.restored",
];
