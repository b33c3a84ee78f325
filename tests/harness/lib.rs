//! What tests share: real servers, started and stopped by their own id.
