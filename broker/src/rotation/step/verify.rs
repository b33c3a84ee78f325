//! Verified: a fresh login with each new value succeeds on every node and account, and the old ones still do.

use crate::{
    failure::{Exit, Failure},
    rotation::{
        Rotation, accept, checkpoint, probe,
        values::{Side, values},
    },
};
use donjon_policies::transition::Event;
use futures_util::future::try_join;

/// Tries both values everywhere.
pub async fn verify(rotation: &mut Rotation<'_>) -> Result<Event, Failure> {
    let values = values(rotation).await?;
    let names = rotation.subject.names();
    let tried = async |rotation: &Rotation<'_>| {
        let everywhere = |side| accept::logins(rotation, &values, side, |_| true);
        try_join(everywhere(Side::New), everywhere(Side::Old)).await
    };
    let (mut new, mut old) = tried(rotation).await?;
    if !new.refused.is_empty() || !old.refused.is_empty() {
        // Someone has set one of the two since both were declared; or the target never took them.
        accept::still_both(rotation, &values).await?;
        (new, old) = tried(rotation).await?;
    }
    for (found, which) in [(&new, "new"), (&old, "old")] {
        if !found.refused.is_empty() {
            return Err(Failure::new(Exit::Failed, format!("cannot rotate {names}"))
                .cause(format!("the {which} value is refused after both were added: {}", probe::places(&found.refused)))
                .hint("`donjon rotate resume` tries again, `donjon rotate abort` goes back"));
        }
    }
    let credentials: Vec<_> = accept::credentials(rotation).into_iter().map(|(_, c)| c).collect();
    // A twin is provable from where the account is that it follows.
    let strangers = probe::unvouched(&old, &credentials);
    if !strangers.is_empty() {
        return Err(Failure::new(Exit::Refused, format!("cannot prove {names} for every account"))
            .cause(strangers.join("; "))
            .hint("`donjon rotate abort`, then `rotate apply --vouch`"));
    }
    checkpoint::reached("rotation.verified");
    Ok(Event::NewAccepted)
}
