//! The reader: serves secrets over as much of Vault's HTTP API as castellan, hvac, community.hashi_vault and `bao` use.
//!
//! ```text
//! server ──▶ request (limits, path, token) ──▶ Reader::answer ──▶ login · tokens · grants ──▶ Lookup
//!  TLS, time-outs, drain                            │ a line to the Witness, before each answer
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/<mount>/data/<path>[?version=N]` | KV v2's |
//! | `GET /v1/<mount>/metadata/<path>`, `LIST` or `?list=true` | KV v2's; a list names what the role may read, and no more |
//! | `POST /v1/auth/approle/login` | AppRole's |
//! | `GET /v1/auth/token/lookup-self`, `POST …/renew-self`, `POST …/revoke-self` | the token's |
//! | `GET /v1/sys/health`, `seal-status`, `init`, `leader`, `internal/ui/mounts[/<path>]` | the server's |
//!
//! Everything else is refused, with OpenBao's status and errors for the same request. It differs on purpose where
//! OpenBao's message repeats input, or tells a known role from an unknown one; and nothing can be written.

mod answer;
mod grants;
mod kv;
mod login;
mod lookup;
mod request;
mod roles;
mod serve;
pub mod server;
mod sys;
mod tokens;
mod witness;

pub use grants::{Decision, Grants};
pub use lookup::{Lookup, OfStore};
pub use roles::{Credential, Role, Roles, RolesError};
pub use serve::{Reader, Source};
pub use tokens::{Tokens, TokensError};
pub use witness::{Act, Outcome, Seen, Unwitnessed, Witness};

#[cfg(test)]
mod tests;
