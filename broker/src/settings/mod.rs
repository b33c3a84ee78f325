//! Settings of services, as `donjon config` tells them: which are secret, what an error amounts to, and how the broker is
//! asked on the way. The reading itself is [`donjon_drivers::source`].

pub mod asking;
pub mod described;
pub mod misspelt;
pub mod outcome;
pub mod provenance;
pub mod sample;
pub mod secrecy;
