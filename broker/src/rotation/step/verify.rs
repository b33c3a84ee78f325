//! Verified: a fresh login with the new value succeeds on every node and account, and the old one still does.

use crate::{
    failure::{Exit, Failure},
    rotation::{Rotation, begin::values, checkpoint, probe},
};
use donjon_policies::transition::Event;

/// Tries both values everywhere.
pub async fn verify(rotation: &Rotation<'_>) -> Result<Event, Failure> {
    let both = values(rotation).await?;
    let journal = rotation.journal();
    for (value, which) in [(&both.new, "new"), (&both.old, "old")] {
        let found = probe::logins(rotation.subject, &journal.accounts, &journal.entries, value)
            .await
            .map_err(|error| probe::failed(rotation.subject, &error))?;
        if !found.refused.is_empty() {
            return Err(Failure::new(Exit::Failed, format!("cannot rotate `{}`", rotation.subject.secret))
                .cause(format!("the {which} value is refused after both were added: {}", probe::places(&found.refused)))
                .hint("`donjon rotate resume` tries again, `donjon rotate abort` goes back"));
        }
        let strangers: Vec<_> = found
            .unprovable
            .iter()
            .filter(|(_, account, _)| !journal.vouched.contains(account))
            .map(|(node, account, why)| format!("{account} on {}: {why}", node.name))
            .collect();
        if !strangers.is_empty() {
            return Err(Failure::new(
                Exit::Refused,
                format!("cannot prove `{}` for every account", rotation.subject.secret),
            )
            .cause(strangers.join("; "))
            .hint("`donjon rotate abort`, then `rotate apply --vouch`"));
        }
    }
    checkpoint::reached("rotation.verified");
    Ok(Event::NewAccepted)
}
