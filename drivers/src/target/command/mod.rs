//! A target that an operator's own program speaks for, by one line and some frames in, and one line out.
//!
//! # The protocol, to the byte
//!
//! The program is started once for each question, on the deployment host, with the words of the option `program` and an
//! environment of `PATH`, `HOME` and `LANG`. No value is ever an argument or in the environment. It reads standard input to
//! its end:
//!
//! ```text
//! HEADER LF  { LENGTH LF BYTES LF }*
//! ```
//!
//! HEADER is one JSON object in UTF-8 without a line feed. Then comes one frame for each member of its list `frames`, in
//! that order: LENGTH in decimal digits, a line feed, exactly so many bytes of a value, a line feed.
//!
//! | member | in | what |
//! |---|---|---|
//! | `protocol` | all | 1 |
//! | `operation` | all | `survey`, `declare`, `login`, `twin`, `remove`, `mark`, `sessions`, `end-sessions` |
//! | `target` | all | its name in the deployment file |
//! | `node` | all | `{"name", "address"}` |
//! | `frames` | all | for each frame `administrator` or `value` |
//! | `administrator` | all but `login` | the name of who changes accounts; its frames are what it may have as a value, the likeliest first |
//! | `account` | `declare`, `login`, `twin`, `remove` | `{"user", "host"}` |
//! | `twin` | `twin` | likewise: who shall have the rights of `account`, and accept exactly the one value |
//! | `user` | `survey`, `sessions`, `end-sessions` | a user name |
//! | `until` | `sessions`, `end-sessions` | a mark: sessions that began no later |
//!
//! The values of `survey` are those that the account may accept; those of `declare` are what it shall accept, and nothing
//! else. Each operation may come again after it was done, and then changes nothing.
//!
//! It answers one JSON object on standard output, ends it with a line feed, and exits with 0:
//!
//! | operation | answer |
//! |---|---|
//! | `survey` | `{"accounts": [{"user", "host"}], "hazards": ["what makes a change unsafe now"]}` |
//! | `declare`, `twin`, `remove`, `end-sessions` | `{}` |
//! | `login` | `{"login": "accepted"}`, `{"login": "refused"}`, `{"login": "unprovable", "why": "…"}` |
//! | `mark` | `{"mark": 17}`: every session that begins from now on has a greater one |
//! | `sessions` | `{"sessions": [{"mark": 3, "from": "10.0.0.5:41112", "since": 1760000000}]}`; `since` may be missing |
//! | any | `{"error": "unreachable"}`, `{"error": "administrator-refused"}`, `{"error": "unable", "why": "…"}` |
//!
//! Any other exit code, answer, or one that comes after the time of the option `timeout`, is an error after which nothing is
//! known: Donjon probes. What it writes on standard error is left out, since it may quote a value; a `why` goes to people as
//! it is, 300 characters of it at most, and must not hold one.

mod call;
mod options;
mod server;

pub(super) use options::DRIVER;
pub use server::{Command, Settings};
