//! The target itself: each question to the program, and what its answers mean.

use super::call::{self, Answer, Question};
use crate::{
    material::Material,
    target::{
        Account, Admin, Began, Capabilities, Hazard, Login, Mark, Node, Session, Sessions, Survey, Target, TargetError,
        Twins,
    },
};
use async_trait::async_trait;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

/// A target that a program speaks for.
#[derive(Debug)]
pub struct Command {
    nodes: Vec<Node>,
    settings: Settings,
}

/// The program, and what it says it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The target's name.
    pub target: String,
    /// The program and its arguments.
    pub program: Vec<String>,
    /// How many values an account can accept at once.
    pub values_at_once: usize,
    /// Whether it gives twins.
    pub twins: Twins,
    /// Whether it tells sessions.
    pub sessions: Sessions,
    /// How long one answer may take.
    pub within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: String::new(),
            program: Vec::new(),
            values_at_once: 1,
            twins: Twins::No,
            sessions: Sessions::Untold,
            within: Duration::from_secs(30),
        }
    }
}

impl Command {
    /// A target of these nodes. Nothing is asked yet.
    pub fn new(nodes: Vec<Node>, settings: Settings) -> Self {
        Self { nodes, settings }
    }

    async fn ask(
        &self,
        node: &Node,
        admin: Option<&Admin<'_>>,
        values: &[&Material],
        question: Question<'_>,
    ) -> Result<Answer, TargetError> {
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| TargetError::Unreachable {
            node: node.name.clone(),
            address: node.address.clone(),
            source,
        };
        let answer = call::ask(&self.settings, node, admin, values, &question).await;
        let answer = answer.map_err(|silence| unreachable(Box::new(silence)))?;
        match (answer.error.as_deref(), admin) {
            (None, _) => Ok(answer),
            (Some("unreachable"), _) => Err(unreachable("the program does not reach it".into())),
            (Some("administrator-refused"), Some(admin)) => Err(TargetError::AdminRefused {
                node: node.name.clone(),
                address: node.address.clone(),
                user: admin.user.to_owned(),
            }),
            (Some("unable"), _) => Err(unable(node, &answer.why)),
            (Some(_), _) => Err(unreachable(Box::new(call::Silence::NotUnderstood))),
        }
    }

    /// A question to every node in turn.
    async fn ask_all(
        &self,
        admin: &Admin<'_>,
        values: &[&Material],
        operation: &'static str,
        (account, twin): (&Account, Option<&Account>),
    ) -> Result<(), TargetError> {
        for node in &self.nodes {
            let question = Question { operation, account: Some(account), twin, ..Question::default() };
            self.ask(node, Some(admin), values, question).await?;
        }
        Ok(())
    }

    fn untold(&self, node: &Node) -> Result<(), TargetError> {
        match self.settings.sessions {
            Sessions::Told => Ok(()),
            Sessions::Untold => Err(unable(node, "the program does not tell sessions")),
        }
    }
}

fn unable(node: &Node, what: &str) -> TargetError {
    TargetError::Unable { node: node.name.clone(), what: what.to_owned() }
}

#[async_trait]
impl Target for Command {
    fn capabilities(&self) -> Capabilities {
        let Settings { values_at_once, twins, sessions, .. } = self.settings;
        Capabilities { driver: "command", values_at_once, twins, sessions }
    }

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    async fn survey(&self, admin: &Admin<'_>, user: &str, known: &[&Material]) -> Result<Survey, TargetError> {
        let (mut accounts, mut hazards) = (BTreeSet::new(), Vec::new());
        for node in &self.nodes {
            let question = Question { operation: "survey", user: Some(user), ..Question::default() };
            let answer = self.ask(node, Some(admin), known, question).await?;
            let found = answer.accounts.ok_or_else(|| unable(node, "the program tells no accounts"))?;
            let of_user: Vec<Account> = found.into_iter().filter(|account| account.user == user).collect();
            let none = of_user.is_empty().then(|| format!("there is no account of `{user}`"));
            accounts.extend(of_user);
            let told = none.into_iter().chain(answer.hazards);
            hazards.extend(told.map(|what| Hazard { node: node.name.clone(), what }));
        }
        let accounts: Vec<Account> = accounts.into_iter().collect();
        Ok(Survey { entries: accounts.clone(), accounts, by_socket: Vec::new(), hazards })
    }

    async fn declare(&self, admin: &Admin<'_>, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
        let most = self.settings.values_at_once;
        if let (true, Some(node)) = (values.is_empty() || values.len() > most, self.nodes.first()) {
            return Err(unable(node, &format!("{account} is left as it is: it accepts from 1 to {most} values")));
        }
        self.ask_all(admin, values, "declare", (account, None)).await
    }

    async fn login(
        &self,
        node: &Node,
        account: &Account,
        _among: &[Account],
        value: &Material,
    ) -> Result<Login, TargetError> {
        let question = Question { operation: "login", account: Some(account), ..Question::default() };
        let answer = self.ask(node, None, &[value], question).await?;
        match answer.login.as_deref() {
            Some("accepted") => Ok(Login::Accepted),
            Some("refused") => Ok(Login::Refused),
            Some("unprovable") => Ok(Login::Unprovable(answer.why)),
            Some(_) | None => Err(unable(node, "the program does not say what became of a login")),
        }
    }

    async fn sessions(
        &self,
        admin: &Admin<'_>,
        node: &Node,
        user: &str,
        began: Began,
    ) -> Result<Vec<Session>, TargetError> {
        self.untold(node)?;
        let until = match began {
            // The protocol knows sessions up to a mark: all that are open are up to one of now.
            Began::AnyTime => self.mark(admin, node).await?,
            Began::NoLaterThan(until) => until,
        };
        let question = Question { operation: "sessions", user: Some(user), until: Some(until), ..Question::default() };
        let sessions = self.ask(node, Some(admin), &[], question).await?.sessions;
        let sessions = sessions.ok_or_else(|| unable(node, "the program tells no sessions"))?;
        let sessions = sessions.into_iter().filter(|session| session.mark <= until);
        let since = |seconds: u64| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let told = |session: call::Session| Session {
            mark: session.mark,
            from: session.from,
            since: session.since.and_then(since),
        };
        Ok(sessions.map(told).collect())
    }

    async fn mark(&self, admin: &Admin<'_>, node: &Node) -> Result<Mark, TargetError> {
        self.untold(node)?;
        let question = Question { operation: "mark", ..Question::default() };
        let mark = self.ask(node, Some(admin), &[], question).await?.mark;
        mark.ok_or_else(|| unable(node, "the program gives no mark"))
    }

    async fn end_sessions(&self, admin: &Admin<'_>, node: &Node, user: &str, until: Mark) -> Result<(), TargetError> {
        self.untold(node)?;
        let operation = "end-sessions";
        let question = Question { operation, user: Some(user), until: Some(until), ..Question::default() };
        self.ask(node, Some(admin), &[], question).await.map(|_| ())
    }

    async fn twin(
        &self,
        admin: &Admin<'_>,
        account: &Account,
        twin: &Account,
        value: &Material,
    ) -> Result<(), TargetError> {
        if self.settings.twins == Twins::No || account == twin {
            return Err(self.twinless(account));
        }
        self.ask_all(admin, &[value], "twin", (account, Some(twin))).await
    }

    async fn remove(&self, admin: &Admin<'_>, account: &Account) -> Result<(), TargetError> {
        if self.settings.twins == Twins::No {
            return Err(self.twinless(account));
        }
        self.ask_all(admin, &[], "remove", (account, None)).await
    }
}
