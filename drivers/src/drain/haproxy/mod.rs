//! HAProxy, by its runtime socket (2.4 or newer, `stats socket … level admin`).
//!
//! A server is set to `drain`, its current sessions are counted down, and after the restart its health is set to
//! *down* first, so that HAProxy's own checks must have seen it up since: what they saw before the restart does not
//! count. A server in maintenance, by hand or by configuration, is left alone. Persistent clients (cookies, stick
//! tables) still reach a draining server; that is HAProxy's meaning of the word.
//!
//! Each proxy is reached in one of three ways: a unix socket of the deployment host, a TCP address, or a program on
//! another host that passes its input to the socket there: `relay`, or python3, which every host of Ansible has. A
//! stream forwarded by OpenSSH would be the login user's, who may not open the socket, where `sudo` may.

mod answer;
mod channel;
mod options;
mod server;

pub(super) use options::DRIVER;
