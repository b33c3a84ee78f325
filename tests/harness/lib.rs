//! What tests share: real servers, started and stopped by their own id.

pub mod openbao;
pub mod port;
pub mod process;
pub mod tools;
