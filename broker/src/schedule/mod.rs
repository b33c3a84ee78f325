//! Schedules: which secrets are due, when the others will be, and why.

mod dated;

pub use dated::{Dated, Place, When, look};
