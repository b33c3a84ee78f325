//! Files in oslo.config's dialect of INI.
//!
//! The dialect is its own: sections compare without regard to case but for `DEFAULT`, a key may stand several times, an
//! indented line goes on with the value above it, comments stand on lines of their own, one pair of quotes around the first
//! line of a value goes. The INI libraries read other dialects (they trim, join, interpolate or refuse other things), and
//! none keeps each line's number: a parser that must agree with the original in every corner is shorter than one bent to.

pub mod driver;
pub mod files;
pub mod parse;

pub use driver::DRIVER;
pub use files::{Files, Ini};
pub use parse::{Entry, Fault, IniError, parse};
