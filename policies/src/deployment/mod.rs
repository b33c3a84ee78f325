//! The deployment file `donjon.yaml`: hosts, targets with their nodes, services, views and who reads what.
//!
//! What a driver needs beyond its name is kept as it stands and checked against the driver's own description of its
//! options when the deployment opens.

mod driven;
mod file;
mod forms;
mod host;
mod inventory;
mod mistakes;
mod notification;
mod schedules;
mod service;
mod site;
mod template;

pub use driven::{Driven, Setting};
pub use file::{Deployment, DeploymentError, LOCAL, LOOKUP_SOCKET, Partly};
pub use host::{Host, LOOPBACK};
pub use inventory::Inventory;
pub use notification::{Happening, Means, Notification};
pub use schedules::{Days, Rule, Schedules};
pub use service::{Proof, Service};
pub use site::{Account, Reads, Site};
pub use template::{Encoding, Piece, Placeholder, placeholders};
