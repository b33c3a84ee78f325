//! Sites are asked before an old value goes: those that have it must have shown that all their consumers run on the new one.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    rotation::{Rotation, sites},
};

/// Whether every site in scope has the new values. Where one has not, the rotation waits, and says for which.
pub async fn answered(rotation: &mut Rotation<'_>) -> Result<(), Failure> {
    let subject = rotation.subject;
    if subject.sites.is_empty() {
        return Ok(());
    }
    let names = subject.secrets.iter().map(|item| &item.secret).chain(subject.views.iter().map(|(view, _)| view));
    let mut behind = sites::behind(rotation.store, rotation.layout, &subject.sites, names)
        .await
        .map_err(|error| translate::store("cannot read what sites have answered", &error))?;
    behind.retain(|one| {
        let left = rotation.leave.contains(one.site.as_str());
        if left {
            rotation.told(format!("{one}; its consumers are cut off once the old value goes, as asked"));
        }
        !left
    });
    if behind.is_empty() {
        return Ok(());
    }
    rotation.held.journal.waiting = Some(sites::waits(&behind));
    rotation.save().await?;
    let mut failure = Failure::new(Exit::Waiting, format!("the rotation of {} waits for its sites", subject.names()));
    failure.causes = behind.iter().map(ToString::to_string).collect();
    Err(failure.hint(sites::hint(&behind)))
}
