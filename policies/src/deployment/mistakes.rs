//! What is wrong with a deployment file that reads: every mistake at once, each by the names it is about.

use super::{Deployment, Service, placeholders};
use crate::{name::ServiceName, restart};
use std::collections::BTreeSet;

impl Deployment {
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.deployment.as_str().starts_with("donjon-") {
            found.push("deployment names that begin with `donjon-` are reserved".to_owned());
        }
        if let Some(inventory) = self.inventory.as_ref().filter(|inventory| !inventory.file.starts_with('/')) {
            found.push(format!("the inventory `{}` is no absolute path", inventory.file));
        }
        if self.inventory.is_none() {
            let unknown = self.strangers();
            found.extend(
                unknown.map(|(name, host)| format!("service `{name}` runs on `{host}`, which is not under `hosts`")),
            );
        }
        for (name, service) in &self.services {
            of_service(name, service, &mut found);
        }
        found.extend(restart::mistakes(self).iter().map(ToString::to_string));
        for (view, template) in &self.views {
            found.extend(placeholders(template).filter_map(Result::err).map(|what| format!("view `{view}`: {what}")));
            found.extend(self.parts_of(view).iter().filter(|part| self.views.contains_key(part)).map(|part| {
                format!("view `{view}` is made from the view `{part}`; views are made from secrets alone")
            }));
        }
        for path in self.lookup_socket.iter().filter(|path| !path.starts_with('/')) {
            found.push(format!("the lookup socket `{path}` is no absolute path"));
        }
        for path in self.metrics.iter().filter(|path| !path.starts_with('/')) {
            found.push(format!("the file for metrics `{path}` is no absolute path"));
        }
        if self.read_lease > 10 {
            found.push(format!(
                "read_lease is {} seconds, and every publication may wait for it: 10 at most",
                self.read_lease
            ));
        }
        found.extend(self.schedules.mistakes());
        for (site, described) in &self.sites {
            found.extend(
                described
                    .roles
                    .iter()
                    .filter(|r| !self.roles.contains_key(r))
                    .map(|role| format!("site `{site}` has the role `{role}`, which is not under `roles`")),
            );
        }
        found
    }
}

fn of_service(name: &ServiceName, service: &Service, found: &mut Vec<String>) {
    let mut once = BTreeSet::new();
    let twice = service.hosts.iter().filter(|host| !once.insert(*host));
    found.extend(twice.map(|host| format!("service `{name}` names the host `{host}` twice")));
    if let Some(fed) = &service.fed {
        if !service.uses.contains(fed) {
            found.push(format!("service `{name}` has its check fed `{fed}`, which is not under its `uses`"));
        }
        if !service.options.contains_key("check") {
            found.push(format!("service `{name}` has `fed` and no `check`"));
        }
    }
    if service.batch == 0 {
        found.push(format!("service `{name}` has batch 0; at least one host restarts at once"));
    }
}
