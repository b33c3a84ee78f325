//! The commands, one a file: arguments, help, and what is done.

pub mod adopt;
pub mod audit;
pub mod completion;
pub mod config;
pub mod doctor;
pub mod down;
pub mod export;
mod from;
pub mod generate;
pub mod get;
pub mod history;
pub mod import;
pub mod list;
pub mod metrics;
pub mod put;
pub mod receipt;
pub mod rotate;
pub mod run;
pub mod scan;
pub mod schedule;
pub mod serve;
pub mod status;
pub mod unseal;
pub mod up;
pub mod wire;
