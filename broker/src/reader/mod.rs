//! The reader: serves secrets over as much of Vault's HTTP API as castellan, hvac, community.hashi_vault and `bao` use.
//!
//! ```text
//! server ──▶ peer, request (limits, path, token) ──▶ Reader::answer ──▶ login · tokens · callers · grants ──▶ Lookup
//!  TLS, time-outs, drain                                  │ a line to the Witness, before each answer    OfBundle, OfDaemon
//! ```
//!
//! A role is asked for with its AppRole, or, where it is bound to users or keys, by them alone: at the unix socket by
//! the user that the kernel tells, over TLS by the key of the client's certificate. A bound role's AppRole and tokens
//! are good in the hands of these users only, also over TCP from this machine.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/<mount>/data/<path>[?version=N]` | KV v2's |
//! | `GET /v1/<mount>/metadata/<path>`, `LIST` or `?list=true` | KV v2's; a list names what the role may read, and no more |
//! | `POST /v1/auth/approle/login`, `POST /v1/auth/cert/login` | AppRole's, by JSON or a form; that of TLS certificates |
//! | `GET /v1/auth/token/lookup-self`, `POST …/renew-self`, `POST …/revoke-self` | the token's |
//! | `GET /v1/sys/health`, `seal-status`, `init`, `leader`, `internal/ui/mounts[/<path>]` | the server's |
//!
//! | `POST /v1/sys/donjon/records` | many records at once, for Donjon's own driver; OpenBao has no such path |
//!
//! Everything else is refused, with OpenBao's status and errors for the same request. It differs on purpose where
//! OpenBao's message repeats input, or tells a known role from an unknown one; nothing can be written, and what is sent to
//! unseal it does nothing. Parameters of media types are not looked at, there is no body that would not be
//! read, and no warning of parameters that a path does not know.

mod answer;
mod body;
mod callers;
pub mod consumers;
mod form;
mod grants;
mod kv;
mod listening;
mod login;
mod lookup;
mod owner;
mod pace;
mod patience;
mod peer;
mod records;
mod request;
mod roles;
mod room;
mod serve;
pub mod server;
mod sys;
mod tls;
mod tokens;
mod witness;

pub use callers::{Callers, From};
pub use grants::{Decision, Grants};
pub use lookup::{Lookup, OfBundle, OfDaemon, Standing};
pub use pace::Pace;
pub(crate) use pace::{Paces, Seats, Turn};
pub use peer::{Key, Peer, Place};
pub use roles::{Credential, Role, Roles, RolesError};
pub use serve::{Reader, Source};
pub use tokens::{Tokens, TokensError};
pub use witness::{Act, Outcome, Seen, Unwitnessed, Witness};

#[cfg(test)]
mod tests;
