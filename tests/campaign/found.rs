//! Faults that found something: each is played again in every run of the suite, for ever.

use super::fault::{Fault, Meanwhile, Rotated};

/// One that found something.
#[derive(Debug)]
pub struct Found {
    /// What, and by which seed.
    pub what: &'static str,
    /// The fault.
    pub fault: Fault,
    /// What rotated.
    pub rotated: Rotated,
}

/// All of them.
pub const FOUND: &[Found] = &[
    Found {
        what: "seed 1 #4: a broker stood still with a statement on its way; another ended the rotation and made the next one; \
               the late statement then left MySQL root with a value of before",
        fault: Fault::Held(4, Meanwhile::Overtaken { again: true }),
        rotated: Rotated::Both,
    },
    Found {
        what: "the same, but it stood still before it looked at the account: what it saw then was the other's work, and it \
               put its own value back all the same",
        fault: Fault::Held(15, Meanwhile::Overtaken { again: true }),
        rotated: Rotated::Service,
    },
];
