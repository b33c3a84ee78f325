//! Sites are asked before an old value goes: those that have it must have shown that all their consumers run on the new one.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    rotation::Rotation,
    transfer::{Places, standing},
};

/// Whether every site in scope has the new values. Where one has not, the rotation waits, and says for which.
pub async fn answered(rotation: &mut Rotation<'_>) -> Result<(), Failure> {
    let subject = rotation.subject;
    if subject.sites.is_empty() {
        return Ok(());
    }
    let places = Places::new(rotation.layout.deployment().clone())
        .map_err(|error| Failure::new(Exit::Bug, "the deployment has a reserved name").because(&error))?;
    let views = subject.views.iter().map(|(view, _)| view);
    let paths: Vec<_> =
        subject.secrets.iter().map(|item| &item.secret).chain(views).map(|name| rotation.layout.secret(name)).collect();
    let behind = standing::behind(rotation.store, &places, &subject.sites, &paths).await;
    let behind = behind.map_err(|error| translate::store("cannot read what sites have answered", &error))?;
    let mut waiting = Vec::new();
    for one in behind {
        if rotation.leave.contains(one.site.as_str()) {
            rotation.told(format!("{one}; its consumers are cut off once the old value goes, as asked"));
        } else {
            waiting.push(one.to_string());
        }
    }
    if waiting.is_empty() {
        return Ok(());
    }
    let waits = format!("sites have not drained a bundle with the new value: {}", waiting.join("; "));
    rotation.held.journal.waiting = Some(waits);
    rotation.save().await?;
    let mut failure = Failure::new(Exit::Waiting, format!("the rotation of {} waits for its sites", subject.names()));
    failure.causes = waiting;
    Err(failure.hint("`donjon export bundle`; at the site `donjon import` and `donjon drain`; `donjon receipt` here, then `donjon rotate resume`; or `--leave SITE`, which cuts it off"))
}
