//! What should be: names, catalogues, recipes, strategies, schedules, access, deployments.
//!
//! Pure: no I/O, no clock, no randomness, no secret bytes.

pub mod access;
pub mod catalogue;
pub mod deployment;
pub mod document;
pub mod keyring;
pub mod name;
pub mod nearest;
pub mod pattern;
pub mod recipe;
pub mod restart;
pub mod schedule;
pub mod strategy;
pub mod survey;
pub mod transition;
