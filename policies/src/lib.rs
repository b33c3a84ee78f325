//! What should be: names, catalogues, recipes, strategies, schedules, access, deployments.
//!
//! Pure: no I/O, no clock, no randomness, no secret bytes.

pub mod catalogue;
pub mod deployment;
pub mod document;
pub mod name;
pub mod recipe;
pub mod strategy;
pub mod survey;
pub mod transition;
