//! What makes an order impossible: services that wait for each other, or for one that is not there.

use crate::{
    deployment::{Deployment, Service},
    name::{HostName, ServiceName},
};
use std::collections::BTreeSet;

/// Why services cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// A service waits for one that the deployment file does not describe.
    #[error("service `{service}` is after `{missing}`, which is not under `services`")]
    Missing {
        /// The one that waits.
        service: ServiceName,
        /// What is not there.
        missing: ServiceName,
    },
    /// A service waits for one that its order puts behind it.
    #[error("service `{service}` (order {order}) is after `{later}` (order {later_order}), which restarts later")]
    Later {
        /// The one that waits.
        service: ServiceName,
        /// Its order.
        order: i32,
        /// The one it waits for.
        later: ServiceName,
        /// The order of that one.
        later_order: i32,
    },
    /// Services wait for each other.
    #[error("services wait for each other in a circle: {}", circle(services))]
    Circle {
        /// The services, each after the next, the last after the first.
        services: Vec<ServiceName>,
    },
    /// A service is to restart on a host that nothing describes; it must not be taken for another.
    #[error("service `{service}` is to restart on `{host}`, which is not described: is the inventory read?")]
    Host {
        /// The service.
        service: ServiceName,
        /// The host.
        host: HostName,
    },
    /// Nothing is known of a service that is to restart.
    #[error("service `{service}` is to restart and is not under `services`")]
    Unknown {
        /// The service.
        service: ServiceName,
    },
}

/// Every reason why the services of a deployment cannot be ordered.
pub fn mistakes(deployment: &Deployment) -> Vec<Mistake> {
    let mut found = Vec::new();
    let (mut missing, mut later) = (Vec::new(), Vec::new());
    for (name, service) in &deployment.services {
        for other in &service.after {
            match deployment.services.get(other) {
                None => missing.push(Mistake::Missing { service: name.clone(), missing: other.clone() }),
                Some(described) if described.order > service.order => later.push(Mistake::Later {
                    service: name.clone(),
                    order: service.order,
                    later: other.clone(),
                    later_order: described.order,
                }),
                Some(_) => {}
            }
        }
    }
    found.append(&mut missing);
    found.append(&mut later);
    found.extend(circles(deployment).into_iter().map(|services| Mistake::Circle { services }));
    found
}

/// The circles of `after`, each told once, from the first of its names on. A walk that never recurses: a chain may be
/// as long as the deployment file.
fn circles(deployment: &Deployment) -> Vec<Vec<ServiceName>> {
    let none = BTreeSet::new();
    let after = |name: &ServiceName| deployment.services.get(name).map_or(&none, |service: &Service| &service.after);
    let mut circles = Vec::new();
    let mut finished: BTreeSet<&ServiceName> = BTreeSet::new();
    for start in deployment.services.keys() {
        let mut path = vec![(start, after(start).iter())];
        let mut on_path = BTreeSet::from([start]);
        if finished.contains(start) {
            continue;
        }
        while let Some((name, waits)) = path.last_mut() {
            match waits.next() {
                Some(next) if on_path.contains(next) => {
                    let from = path.iter().position(|(name, _)| *name == next).unwrap_or_default();
                    circles.push(path[from..].iter().map(|(name, _)| (*name).clone()).collect());
                }
                Some(next) if finished.contains(next) => {}
                Some(next) => {
                    on_path.insert(next);
                    path.push((next, after(next).iter()));
                }
                None => {
                    finished.insert(name);
                    on_path.remove(*name);
                    path.pop();
                }
            }
        }
    }
    circles
}

fn circle(services: &[ServiceName]) -> String {
    let names: Vec<_> = services.iter().chain(services.first()).map(|name| format!("`{name}`")).collect();
    names.join(" after ")
}
