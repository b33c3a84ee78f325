//! Sessions of brokers that drove the rotation before and stand still: nobody else would know whose they are.

use super::{Names, addresses, time};
use crate::rotation::{Rotation, heartbeat::Broker, subject::Addresses};
use donjon_policies::deployment::LOCAL;
use std::collections::BTreeSet;

/// How one is named first.
pub(super) const BROKER: &str = "the broker on ";

/// Those of the former brokers that may be there still, and where their sessions come from.
pub(super) struct Former(Vec<(Addresses, String)>);

impl Former {
    /// Of a rotation.
    pub(super) async fn of(rotation: &Rotation<'_>, names: &mut Names) -> Self {
        let mut known = Vec::new();
        // The latest first: it is the one that is spoken of.
        for former in rotation.journal().former.iter().rev() {
            let Ok(broker) = former.broker.parse::<Broker>() else { continue };
            if broker.has_ended() {
                continue;
            }
            let told = format!(
                "{BROKER}{} (process {}), from which this rotation was taken over at {}",
                broker.host(),
                broker.process(),
                time(former.until / 1_000_000)
            );
            known.push((from(rotation, &broker, names).await, told));
        }
        Self(known)
    }

    /// Which of them a session is likely of, by where it comes from.
    pub(super) fn whose(&self, seen: &[String]) -> Option<String> {
        let from = |addresses: &Addresses| seen.iter().any(|seen| addresses.tells(seen));
        self.0.iter().find(|(addresses, _)| from(addresses)).map(|(_, told)| told.clone())
    }
}

/// Where the sessions of a broker come from: as the deployment describes its host, or as that name resolves.
async fn from(rotation: &Rotation<'_>, broker: &Broker, names: &mut Names) -> Addresses {
    let name = broker.host().to_ascii_lowercase();
    let mut known: BTreeSet<String> = addresses(&name, names).await.iter().cloned().collect();
    let called = |host: &str| if broker.is_here() { host == LOCAL } else { host.eq_ignore_ascii_case(&name) };
    for (host, addresses) in (rotation.subject.hosts)() {
        if let (true, Addresses::Known(described)) = (called(host.as_str()), addresses) {
            known.extend(described);
        }
    }
    known.insert(name);
    Addresses::Known(known)
}
