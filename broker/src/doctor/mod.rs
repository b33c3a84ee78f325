//! The doctor: a diagnosis that changes nothing. Which stored value logs in where, what the journal says, what to type next.
//!
//! ```text
//! examine ──▶ Chart: {pending, current, previous} × node × account, by fresh logins ──▶ verdict: health, findings, next
//! ```

mod chart;
mod examine;
mod rescue;
mod socket_account;
mod tries;
mod verdict;

pub use chart::{Answer, Chart, Label, Standing, Stored, Try};
pub use examine::{Examined, Looker};
pub use verdict::{Health, Verdict, advise, judge};
