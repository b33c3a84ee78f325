//! What every target must do, whichever driver opened it: probe, add, verify, remove, restore, count old sessions.

use super::{Account, Admin, Login, Node, Target, TargetError};
use crate::material::Material;
use std::time::{Duration, Instant};

/// A target in a known state.
pub struct Scene<'a> {
    /// The target.
    pub target: &'a dyn Target,
    /// Someone who may change accounts and is not changed here.
    pub admin: Admin<'a>,
    /// The user whose accounts are changed. At least one of them must be provable from here.
    pub user: &'a str,
    /// What each of its accounts accepts now, and will accept in the end.
    pub current: &'a Material,
    /// What none of them accepts.
    pub next: &'a Material,
}

/// What a target did not do.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// It answered with an error where none was due.
    #[error("{during}")]
    Target {
        /// What was asked.
        during: &'static str,
        /// Its error.
        #[source]
        source: TargetError,
    },
    /// It did something else.
    #[error("{during}: {found}")]
    Wrong {
        /// What was asked.
        during: &'static str,
        /// What came of it.
        found: String,
    },
}

/// Runs the kit. `open` opens a session of the user with the current value; dropping what it returns closes it.
pub async fn check<S>(scene: &Scene<'_>, open: impl AsyncFn(&Node) -> S) -> Result<(), Violation> {
    let Scene { target, admin, user, current, next } = scene;
    let wrong = Material::from("surely-none-of-them".to_owned());
    let known = [*current, *next];
    let survey = target.survey(admin, user, &known).await.map_err(during("survey"))?;
    expect("survey", survey.hazards.is_empty() && !survey.accounts.is_empty(), &survey)?;
    expect("survey of entries", survey.accounts.iter().all(|a| survey.entries.contains(a)), &survey)?;
    let kit = Kit { scene, accounts: &survey.accounts, among: &survey.entries };

    kit.accepts("probe", &[current], &[next, &wrong]).await?;
    let node = &target.nodes()[0];
    let session = open(node).await;
    let mark = target.mark(admin, node).await.map_err(during("mark"))?;
    let later = open(node).await;

    for during in ["add", "add again"] {
        kit.declare(during, &[next, current]).await?;
        kit.accepts(during, &[next, current], &[&wrong]).await?;
    }
    let survey = target.survey(admin, user, &known).await.map_err(during("survey of two values"))?;
    expect("survey of two values", survey.hazards.is_empty(), &survey)?;
    let foreign = target.survey(admin, user, &[*next]).await.map_err(during("survey of a foreign value"))?;
    expect("survey of a foreign value", !foreign.hazards.is_empty(), &foreign)?;

    kit.declare("remove", &[next]).await?;
    kit.accepts("remove", &[next], &[current, &wrong]).await?;
    let old = target.sessions(admin, node, user, mark).await.map_err(during("sessions"))?;
    expect("an old session outlives its value", old.len() == 1, &old)?;

    kit.declare("restore", &[current, next]).await?;
    kit.accepts("restore", &[current, next], &[&wrong]).await?;
    kit.declare("abandon", &[current]).await?;
    kit.accepts("abandon", &[current], &[next, &wrong]).await?;

    drop(session);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let left = target.sessions(admin, node, user, mark).await.map_err(during("drained"))?;
        if left.is_empty() {
            break;
        }
        expect("drained", Instant::now() < end, &left)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(later);
    kit.refusals(&wrong).await
}

struct Kit<'a> {
    scene: &'a Scene<'a>,
    accounts: &'a [Account],
    among: &'a [Account],
}

impl Kit<'_> {
    async fn declare(&self, step: &'static str, values: &[&Material]) -> Result<(), Violation> {
        for account in self.accounts {
            self.scene.target.declare(&self.scene.admin, account, values).await.map_err(during(step))?;
        }
        Ok(())
    }

    /// Every account on every node accepts some values and refuses others, wherever it can be tried.
    async fn accepts(&self, step: &'static str, yes: &[&Material], no: &[&Material]) -> Result<(), Violation> {
        let mut proven = 0;
        for node in self.scene.target.nodes() {
            for account in self.accounts {
                let tries = yes.iter().map(|v| (v, Login::Accepted)).chain(no.iter().map(|v| (v, Login::Refused)));
                for (value, wanted) in tries {
                    let found =
                        self.scene.target.login(node, account, self.among, value).await.map_err(during(step))?;
                    match found {
                        Login::Unprovable(_) | Login::Shadowed(_) => {}
                        Login::Accepted | Login::Refused => {
                            expect(step, found == wanted, &(account, &found, &wanted))?;
                            proven += 1;
                        }
                    }
                }
            }
        }
        expect(step, proven > 0, &"no account could be tried")
    }

    /// What must be an error, and change nothing.
    async fn refusals(&self, wrong: &Material) -> Result<(), Violation> {
        let Scene { target, admin, user, current, next } = self.scene;
        let account = &self.accounts[0];
        let lock = target.declare(admin, account, &[]).await;
        expect("no value at all", lock.is_err(), &lock)?;
        let many: Vec<&Material> = std::iter::repeat_n(*next, target.capabilities().values_at_once + 1).collect();
        let many = target.declare(admin, account, &many).await;
        expect("too many values", many.is_err(), &many)?;
        let nobody = Account { user: format!("{user}-who-is-not-there"), host: account.host.clone() };
        let missing = target.declare(admin, &nobody, &[next]).await;
        expect("an account that is not there", missing.is_err(), &missing)?;
        let stranger = Admin { user: admin.user, values: &[wrong] };
        let refused = target.declare(&stranger, account, &[next]).await;
        expect("a wrong administrator", matches!(refused, Err(TargetError::AdminRefused { .. })), &refused)?;
        self.accepts("after refusals", &[current], &[next, wrong]).await
    }
}

fn during(during: &'static str) -> impl FnOnce(TargetError) -> Violation {
    move |source| Violation::Target { during, source }
}

fn expect(during: &'static str, right: bool, found: &dyn std::fmt::Debug) -> Result<(), Violation> {
    if right { Ok(()) } else { Err(Violation::Wrong { during, found: format!("{found:?}") }) }
}
