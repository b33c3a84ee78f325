//! Twins: a second user with the rights of the first, each of which can go without the other.

use super::{
    Scene, Violation,
    kit::{Kit, during, expect},
};
use crate::{material::Material, target::Account};
use std::fmt::Debug;

/// A twin has exactly the rights of its original, whatever it had before. `rights` tells what an account may do, without
/// its name; `spoil` gives it a right too much and takes one away.
pub async fn check_rights<R: PartialEq + Debug>(
    scene: &Scene<'_>,
    rights: impl AsyncFn(&Account) -> R,
    spoil: impl AsyncFn(&Account),
) -> Result<(), Violation> {
    let Scene { target, admin, user, current, next } = scene;
    let survey = target.survey(admin, user, &[*current]).await.map_err(during("survey"))?;
    expect("survey", survey.hazards.is_empty() && !survey.accounts.is_empty(), &survey)?;
    for account in &survey.accounts {
        let (twin, wanted) = (twin_of(account), rights(account).await);
        target.twin(admin, account, &twin, next).await.map_err(during("twin"))?;
        let found = rights(&twin).await;
        expect("the twin's rights", found == wanted, &(&found, &wanted))?;
        spoil(&twin).await;
        let found = rights(&twin).await;
        expect("the control: rights that differ are seen", found != wanted, &(&found, &wanted))?;
        target.twin(admin, account, &twin, next).await.map_err(during("twin of other rights"))?;
        let found = rights(&twin).await;
        expect("the twin's rights again", found == wanted, &(&found, &wanted))?;
        let kept = rights(account).await;
        expect("the original's rights", kept == wanted, &(&kept, &wanted))?;
        target.remove(admin, &twin).await.map_err(during("remove the twin"))?;
    }
    Ok(())
}

impl Kit<'_> {
    /// Each of two twins can go without the other; repeating a step changes nothing.
    pub(super) async fn twins(&self) -> Result<(), Violation> {
        let Scene { target, admin, user, current, next } = self.scene;
        let twins: Vec<Account> = self.accounts.iter().map(twin_of).collect();
        let kit = Kit { scene: self.scene, accounts: &twins, among: &twins, wrong: self.wrong };
        kit.remove("remove a twin that is not there").await?;
        for step in ["twin", "twin again"] {
            self.pair(step, &twins, next).await?;
            kit.accepts(step, &[next], &[current]).await?;
            self.accepts(step, &[current], &[next]).await?;
        }
        self.pair("twin with another value", &twins, current).await?;
        kit.accepts("twin with another value", &[current], &[next]).await?;
        self.pair("twin with the value of before", &twins, next).await?;
        let survey = target.survey(admin, &twins[0].user, &[*next]).await.map_err(during("survey of a twin"))?;
        expect("survey of a twin", survey.hazards.is_empty() && survey.accounts == twins, &survey)?;
        for step in ["remove the original", "remove the original again"] {
            self.remove(step).await?;
            kit.accepts(step, &[next], &[current]).await?;
            self.accepts(step, &[], &[current, next]).await?;
        }
        let gone = target.survey(admin, user, &[*current]).await.map_err(during("survey of who is gone"))?;
        expect("survey of who is gone", !gone.hazards.is_empty() && gone.accounts.is_empty(), &gone)?;
        let missing = target.twin(admin, &self.accounts[0], &twins[0], current).await;
        expect("a twin of who is gone", missing.is_err(), &missing)?;
        kit.pair("the original as a twin of its twin", self.accounts, current).await?;
        self.accepts("the original as a twin of its twin", &[current], &[next]).await?;
        let own = target.twin(admin, &self.accounts[0], &self.accounts[0], next).await;
        expect("a twin of itself", own.is_err(), &own)?;
        kit.remove("remove the twin").await?;
        kit.accepts("remove the twin", &[], &[current, next]).await?;
        self.accepts("remove the twin", &[current], &[next]).await
    }

    /// A target that says it has no twins gives none.
    pub(super) async fn twinless(&self) -> Result<(), Violation> {
        let Scene { target, admin, current, next, .. } = self.scene;
        let account = &self.accounts[0];
        let twin = target.twin(admin, account, &twin_of(account), next).await;
        expect("a twin where there are none", twin.is_err(), &twin)?;
        let removed = target.remove(admin, account).await;
        expect("a removal where there are no twins", removed.is_err(), &removed)?;
        self.accepts("after what it cannot do", &[current], &[next]).await
    }

    async fn pair(&self, step: &'static str, twins: &[Account], value: &Material) -> Result<(), Violation> {
        for (account, twin) in self.accounts.iter().zip(twins) {
            self.scene.target.twin(&self.scene.admin, account, twin, value).await.map_err(during(step))?;
        }
        Ok(())
    }

    async fn remove(&self, step: &'static str) -> Result<(), Violation> {
        for account in self.accounts {
            self.scene.target.remove(&self.scene.admin, account).await.map_err(during(step))?;
        }
        Ok(())
    }
}

fn twin_of(account: &Account) -> Account {
    Account { user: format!("{}_b", account.user), host: account.host.clone() }
}
