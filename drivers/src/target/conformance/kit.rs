//! The kit: what is asked of a target, in which order, and what must come of it.

use crate::{
    material::Material,
    target::{Account, Admin, Began, Login, Mark, Node, Session, Sessions, Target, TargetError, Twins},
};
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
    let known = [*current, *next];
    let survey = target.survey(admin, user, &known).await.map_err(during("survey"))?;
    expect("survey", survey.hazards.is_empty() && !survey.accounts.is_empty(), &survey)?;
    expect("survey of entries", survey.accounts.iter().all(|a| survey.entries.contains(a)), &survey)?;
    let wrong = Material::from("surely-none-of-them".to_owned());
    let kit = Kit { scene, accounts: &survey.accounts, among: &survey.entries, wrong: &wrong };

    kit.accepts("probe", &[current], &[next]).await?;
    let node = &target.nodes()[0];
    let session = open(node).await;
    let mark = kit.mark(node).await?;
    let later = open(node).await;
    if let Some(mark) = mark {
        kit.tells_all(node, mark).await?;
    }
    match target.capabilities().values_at_once {
        1 => kit.replace().await?,
        _ => kit.overlap().await?,
    }
    if let Some(mark) = mark {
        let old = kit.before(node, mark).await?;
        expect("an old session outlives its value", old.len() == 1, &old)?;
        kit.tells_all(node, mark).await?;
    }
    kit.restore().await?;
    drop(session);
    if let Some(mark) = mark {
        kit.drained(node, mark).await?;
    }
    if let Some(mark) = kit.mark(node).await? {
        // Whoever holds them; this one is not dropped.
        target.end_sessions(admin, node, user, mark).await.map_err(during("end sessions"))?;
        kit.drained(node, mark).await?;
    }
    drop(later);
    kit.refusals().await?;
    match target.capabilities().twins {
        Twins::Yes => kit.twins().await,
        Twins::No => kit.twinless().await,
    }
}

/// Every printable character of ASCII is in these, and what shells, templates, URLs and statements read as theirs; spaces at both
/// ends.
pub const TEXTS: [&str; 4] = [
    " !\"#$%&'()*+,-./0123456789:;<=>?",
    "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_",
    "`abcdefghijklmnopqrstuvwxyz{|}~ ",
    "%(x)s ${y} {{ z }} \\n '' \"\" -- ;#",
];

/// A target whose values are texts takes any: each of [`TEXTS`] is let in once it is declared, and nothing else then.
pub async fn check_texts(scene: &Scene<'_>) -> Result<(), Violation> {
    let Scene { target, admin, user, current, next } = scene;
    let survey = target.survey(admin, user, &[*current, *next]).await.map_err(during("survey"))?;
    let wrong = Material::from("surely-none-of-them".to_owned());
    let kit = Kit { scene, accounts: &survey.accounts, among: &survey.entries, wrong: &wrong };
    let texts = TEXTS.map(|text| Material::from(text.to_owned()));
    for text in &texts {
        let others: Vec<&Material> = texts.iter().filter(|other| !other.matches(text)).chain([*current]).collect();
        kit.declare("a text", &[text]).await?;
        kit.accepts("a text", &[text], &others).await?;
    }
    let texts: Vec<&Material> = texts.iter().chain([*next]).collect();
    kit.declare("no more texts", &[current]).await?;
    kit.accepts("no more texts", &[current], &texts).await
}

pub(super) struct Kit<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) accounts: &'a [Account],
    pub(super) among: &'a [Account],
    pub(super) wrong: &'a Material,
}

impl Kit<'_> {
    async fn mark(&self, node: &Node) -> Result<Option<Mark>, Violation> {
        let Scene { target, admin, user, .. } = self.scene;
        let mark = target.mark(admin, node).await;
        match target.capabilities().sessions {
            Sessions::Told => mark.map(Some).map_err(during("mark")),
            Sessions::Untold => {
                // An empty list would read as if nobody were left.
                expect("a mark where no session is told", mark.is_err(), &mark)?;
                let told = target.sessions(admin, node, user, Began::AnyTime).await;
                expect("sessions where none is told", told.is_err(), &told)?;
                Ok(None)
            }
        }
    }

    /// Both values, then the next one alone.
    async fn overlap(&self) -> Result<(), Violation> {
        let Scene { target, admin, user, current, next } = self.scene;
        for during in ["add", "add again"] {
            self.declare(during, &[next, current]).await?;
            self.accepts(during, &[next, current], &[]).await?;
        }
        let survey = target.survey(admin, user, &[*current, *next]).await.map_err(during("survey of two values"))?;
        expect("survey of two values", survey.hazards.is_empty(), &survey)?;
        let foreign = target.survey(admin, user, &[*next]).await.map_err(during("survey of a foreign value"))?;
        expect("survey of a foreign value", !foreign.hazards.is_empty(), &foreign)?;
        self.declare("remove", &[next]).await?;
        self.accepts("remove", &[next], &[current]).await
    }

    /// The next value in place of the current one.
    async fn replace(&self) -> Result<(), Violation> {
        let Scene { target, admin, user, current, next } = self.scene;
        for during in ["replace", "replace again"] {
            self.declare(during, &[next]).await?;
            self.accepts(during, &[next], &[current]).await?;
        }
        let foreign = target.survey(admin, user, &[*current]).await.map_err(during("survey of a foreign value"))?;
        expect("survey of a foreign value", !foreign.hazards.is_empty(), &foreign)
    }

    /// The current value again.
    async fn restore(&self) -> Result<(), Violation> {
        let Scene { target, current, next, .. } = self.scene;
        if target.capabilities().values_at_once > 1 {
            self.declare("restore", &[current, next]).await?;
            self.accepts("restore", &[current, next], &[]).await?;
        }
        self.declare("abandon", &[current]).await?;
        self.accepts("abandon", &[current], &[next]).await
    }

    async fn drained(&self, node: &Node, mark: Mark) -> Result<(), Violation> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let left = self.before(node, mark).await?;
            if left.is_empty() {
                return Ok(());
            }
            expect("drained", Instant::now() < end, &left)?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whoever waits for every session is told of one from before a mark and of one from after it.
    async fn tells_all(&self, node: &Node, mark: Mark) -> Result<(), Violation> {
        let Scene { target, admin, user, .. } = self.scene;
        let all = target.sessions(admin, node, user, Began::AnyTime).await.map_err(during("all sessions"))?;
        let (before, after): (Vec<_>, Vec<_>) = all.iter().partition(|session| session.mark <= mark);
        expect("all sessions", before.len() == 1 && !after.is_empty(), &all)
    }

    /// Sessions of the user that began no later than a mark.
    async fn before(&self, node: &Node, mark: Mark) -> Result<Vec<Session>, Violation> {
        let Scene { target, admin, user, .. } = self.scene;
        target.sessions(admin, node, user, Began::NoLaterThan(mark)).await.map_err(during("sessions"))
    }

    async fn declare(&self, step: &'static str, values: &[&Material]) -> Result<(), Violation> {
        for account in self.accounts {
            self.scene.target.declare(&self.scene.admin, account, values).await.map_err(during(step))?;
        }
        Ok(())
    }

    /// Every account on every node accepts some values and refuses others, wherever it can be tried; and none accepts the
    /// wrong one.
    pub(super) async fn accepts(
        &self,
        step: &'static str,
        yes: &[&Material],
        no: &[&Material],
    ) -> Result<(), Violation> {
        let mut proven = 0;
        for node in self.scene.target.nodes() {
            for account in self.accounts {
                let tries = yes.iter().map(|v| (v, Login::Accepted));
                let tries = tries.chain(no.iter().chain([&self.wrong]).map(|v| (v, Login::Refused)));
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
    async fn refusals(&self) -> Result<(), Violation> {
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
        let stranger = Admin { user: admin.user, values: &[self.wrong], fence: None, passes: &[] };
        let refused = target.declare(&stranger, account, &[next]).await;
        expect("a wrong administrator", matches!(refused, Err(TargetError::AdminRefused { .. })), &refused)?;
        self.accepts("after refusals", &[current], &[next]).await
    }
}

pub(super) fn during(during: &'static str) -> impl FnOnce(TargetError) -> Violation {
    move |source| Violation::Target { during, source }
}

pub(super) fn expect(during: &'static str, right: bool, found: &dyn std::fmt::Debug) -> Result<(), Violation> {
    if right { Ok(()) } else { Err(Violation::Wrong { during, found: format!("{found:?}") }) }
}
