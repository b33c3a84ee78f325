//! The examination of one secret: the journal, the stored values, a survey, and fresh logins.

use super::{
    Chart, Label, Standing, Stored,
    tries::{Candidate, Ground, Silent, tries},
};
use crate::{
    daemon::translate,
    failure::Failure,
    records::{
        Layout, labels,
        secrets::{self, Held as Record},
    },
    rotation::{
        Journal, Subject,
        journal::{Credential, Item},
        open,
        plan::{self, PlannedCredential, PlannedRotation},
        sites, state_transfer,
        subject::Way,
        values::{self, Side},
    },
    socket::message::RotateAsked,
    transfer::standing::Behind,
};
use donjon_drivers::{
    material::Material,
    store::{Store, StoreError, Version, Which},
    target::{Account, Survey, TargetError},
};
use donjon_policies::{
    catalogue::{Catalogue, Entry, TargetKind},
    deployment::Deployment,
    name::SecretName,
    transition::{Path, State},
};
use std::{collections::BTreeSet, path::Path as File};

/// Looks at secrets, one after the other, and remembers which nodes do not answer.
pub struct Looker<'a> {
    /// Where journals and values are.
    pub store: &'a dyn Store,
    /// The paths of its records.
    pub layout: &'a Layout,
    /// The catalogue.
    pub catalogue: &'a Catalogue,
    /// The deployment file.
    pub deployment: &'a Deployment,
    /// The folder for connections to hosts.
    pub control: &'a File,
    /// Every journal there is, the oldest first.
    pub journals: &'a [Journal],
    /// The process whose rotations are driven at this moment, if there is one.
    pub driving: Option<&'a str>,
    /// Nodes that did not answer.
    silent: Silent,
}

/// What became of one look.
#[derive(Debug)]
pub enum Examined {
    /// What was found.
    Chart(Box<Chart>),
    /// Nothing here has its value, and why.
    Left(String),
}

/// The values of a secret that are in the store.
struct Values {
    current: Record,
    pending: Option<Record>,
    previous: Option<Record>,
    /// Which of them a rotation that has not ended has made.
    new: Option<Label>,
}

impl<'a> Looker<'a> {
    /// One that has looked at nothing yet.
    pub fn new(
        (store, layout): (&'a dyn Store, &'a Layout),
        (catalogue, deployment): (&'a Catalogue, &'a Deployment),
        control: &'a File,
        journals: &'a [Journal],
        driving: Option<&'a str>,
    ) -> Self {
        Self { store, layout, catalogue, deployment, control, journals, driving, silent: Silent::new() }
    }

    /// Looks at one secret. An error means that the store does not answer.
    pub async fn examine(&mut self, secret: &SecretName) -> Result<Examined, Failure> {
        let journal = self.journal(secret, |journal| !journal.state.ended());
        let planned = self.planned(secret);
        let failed = |error: StoreError| translate::store(format!("cannot read `{secret}`"), &error);
        let values = self.values(secret, journal).await.map_err(failed)?;
        let Some(values) = values else { return Ok(Examined::Left("nothing is stored of it".to_owned())) };
        let holder = labels::read(self.store, self.layout, secret).await.map_err(failed)?.labels.rotation;
        let behind = match (journal, &planned) {
            (Some(journal), Ok(planned)) => sites::behind_of(self.store, self.layout, journal, planned).await,
            (None, _) | (_, Err(_)) => Ok(Vec::new()),
        };
        let behind = behind.map_err(|error| translate::store("cannot read what sites have answered", &error))?;
        let mut chart = Chart {
            secret: secret.clone(),
            rotation: journal.map(|journal| self.standing(journal, holder.as_deref(), &values, behind)),
            values: values.stored(),
            logins: Vec::new(),
            troubles: Vec::new(),
            administrator_refused: Vec::new(),
            by_socket: Vec::new(),
            without_account: Vec::new(),
            in_use: planned.as_ref().is_ok_and(|planned| !planned.unread.contains(secret)),
            transfers: None,
        };
        if let (None, Some(id)) = (journal, &holder) {
            chart.troubles.push(format!("its labels name the rotation {id}, which has no journal that goes on"));
        }
        let subject = planned.and_then(|planned| {
            open::subject(self.catalogue, self.deployment, &planned, self.control).map(|subject| (planned, subject))
        });
        match subject {
            Ok((planned, subject)) => {
                for credential in planned.secrets.iter().flat_map(|planned| &planned.credentials) {
                    self.look(&mut chart, &subject, credential, journal, &values).await?;
                }
            }
            Err(failure) if journal.is_none() => return Ok(Examined::Left(whole(&failure))),
            Err(failure) => chart.troubles.push(whole(&failure)),
        }
        Ok(Examined::Chart(Box::new(chart)))
    }

    /// The newest journal of a secret of a sort.
    fn journal(&self, secret: &SecretName, sort: impl Fn(&Journal) -> bool) -> Option<&'a Journal> {
        let of = |journal: &&Journal| sort(journal) && journal.secrets.iter().any(|item| item.secret == *secret);
        self.journals.iter().filter(of).max_by_key(|journal| journal.history.last().map(|(_, at)| *at))
    }

    /// Its targets in this deployment; what restarts does not matter here.
    fn planned(&self, secret: &SecretName) -> Result<PlannedRotation, Failure> {
        let asked = RotateAsked { names: vec![secret.to_string()], ..RotateAsked::default() };
        let planned = plan::plan(self.catalogue, self.deployment, &asked)?.rotations.into_iter().next();
        let none = || Failure::new(crate::failure::Exit::Bug, "a plan of one secret has one rotation");
        planned.map(|planned| PlannedRotation { restarts: Vec::new(), ..planned }).ok_or_else(none)
    }

    async fn values(&self, secret: &SecretName, journal: Option<&Journal>) -> Result<Option<Values>, StoreError> {
        let (store, layout) = (self.store, self.layout);
        let Some(current) = secrets::read(store, layout, secret, Which::Latest).await? else { return Ok(None) };
        let item = journal.and_then(|journal| journal.secrets.iter().find(|item| item.secret == *secret));
        let before = match item {
            // Published again by a rotation that goes back, the old one is the current one, and this the one before.
            Some(item) if self.is_back(item, &current).await? => item.new,
            Some(item) => Some(item.old),
            None => {
                let labels = labels::read(store, layout, secret).await?.labels;
                let before = current.version.0.checked_sub(1).filter(|number| *number > 0).map(Version);
                // What was put since the last rotation has no label.
                if labels.current == Some(current.version) { labels.previous().or(before) } else { before }
            }
        };
        let previous = match before.filter(|version| *version != current.version) {
            Some(version) => secrets::read(store, layout, secret, Which::Number(version)).await?,
            None => None,
        };
        let previous = previous.filter(|record| !record.record.value.matches(&current.record.value));
        let pending = match journal {
            Some(journal) => {
                let path = layout.pending(&journal.id, secret);
                secrets::read_at(store, &path, secret, Which::Latest).await?
            }
            None => None,
        };
        let pending = pending.filter(|record| !record.record.value.matches(&current.record.value));
        let new = item.and_then(|item| match (&pending, &previous) {
            (Some(_), _) => Some(Label::Pending),
            (None, Some(previous)) if Some(previous.version) == item.new => Some(Label::Previous),
            (None, Some(_)) if item.old != current.version => Some(Label::Current),
            (None, Some(_) | None) => None,
        });
        Ok(Some(Values { current, pending, previous, new }))
    }

    /// Whether what is served is the old value of a rotation, in a version that came after its new one.
    async fn is_back(&self, item: &Item, current: &Record) -> Result<bool, StoreError> {
        if item.new.is_none_or(|new| new >= current.version) {
            return Ok(false);
        }
        let old = secrets::read(self.store, self.layout, &item.secret, Which::Number(item.old)).await?;
        Ok(old.is_some_and(|old| old.record.value.matches(&current.record.value)))
    }

    fn standing(&self, journal: &Journal, holder: Option<&str>, values: &Values, behind: Vec<Behind>) -> Standing {
        let unproven = journal.restarted.iter().filter(|consumer| !consumer.acknowledged);
        Standing {
            id: journal.id.clone(),
            path: journal.path,
            state: journal.state,
            meaning: journal.meaning(),
            since: journal.history.last().map(|(_, at)| *at),
            waiting: sites::waiting(journal, &behind),
            undone: journal.undone.clone(),
            driven: self.driving == Some(journal.broker.as_str()),
            // Nothing is claimed before the journal is there.
            holds: holder == Some(journal.id.as_str()) || (journal.state == State::Planned && holder.is_none()),
            new: values.new,
            behind,
            unproven: unproven.map(|consumer| format!("{}@{}", consumer.service, consumer.host)).collect(),
        }
    }

    async fn look(
        &mut self,
        chart: &mut Chart,
        subject: &Subject,
        planned: &PlannedCredential,
        journal: Option<&Journal>,
        stored: &Values,
    ) -> Result<(), Failure> {
        let name = &planned.target;
        let target = subject.targets[name].target.clone();
        let begun = journal.and_then(|journal| credential_of(journal, &chart.secret, planned));
        let users = match (begun, planned.way) {
            (Some(begun), _) => begun.users.clone(),
            (None, Way::Twin) => {
                vec![stored.current.record.user.clone().or_else(|| planned.users.first().cloned()).unwrap_or_default()]
            }
            (None, Way::Both | Way::Switch) => planned.users.clone(),
        };
        let login = match values::administrator(self.store, self.layout, subject, name).await {
            Ok(login) => Some(login),
            Err(failure) => {
                chart.troubles.push(whole(&failure));
                None
            }
        };
        let known: Vec<&Material> =
            stored.all().into_iter().map(|(_, record)| record.record.value.material()).collect();
        let (mut accounts, mut entries, mut by_socket) = (Vec::new(), Vec::new(), Vec::new());
        let mut absent = false;
        if let Some(login) = &login {
            let values = login.values();
            for user in &users {
                match target.survey(&login.admin(&values, None), user, &known).await {
                    // The catalogue names users that only some deployments have.
                    Ok(found) if found.entries.is_empty() && users.len() > 1 => {}
                    Ok(found) if begun.is_none() && nobody(&found) => {
                        chart.without_account.push((name.clone(), user.clone()));
                        absent = true;
                    }
                    Ok(found) => {
                        accounts.extend(found.accounts);
                        entries.extend(found.entries);
                        by_socket.extend(found.by_socket);
                        let told = found.hazards.iter().map(|hazard| format!("`{name}`: {hazard}"));
                        for told in told.collect::<Vec<_>>() {
                            if !chart.troubles.contains(&told) {
                                chart.troubles.push(told);
                            }
                        }
                    }
                    Err(TargetError::AdminRefused { .. }) => {
                        chart.administrator_refused.push(name.clone());
                        break;
                    }
                    // Its nodes are tried one by one below, and those that do not answer are named there.
                    Err(TargetError::Unreachable { .. }) => break,
                    Err(error) => chart.troubles.push(format!("`{name}`: {error}")),
                }
            }
            let of_transfer = self.catalogue.entry(&chart.secret).is_some_and(Entry::is_of_state_transfer);
            if of_transfer && !accounts.is_empty() && target.nodes().len() > 1 {
                let other = target.survey(&login.admin(&values, None), state_transfer::USER, &[]).await;
                if other.is_ok_and(|other| other.by_socket.is_empty()) {
                    chart.transfers = Some(name.clone());
                }
            }
        }
        if begun.is_none() && accounts.is_empty() && !by_socket.is_empty() {
            chart.by_socket.push((name.clone(), by_socket));
            return Ok(());
        }
        if absent && accounts.is_empty() {
            return Ok(());
        }
        if let Some(begun) = begun {
            (accounts, entries) = (begun.accounts.clone(), begun.entries.clone());
        } else if accounts.is_empty() {
            (accounts, entries) = self.remembered(&chart.secret, planned, &users);
        }
        let candidates = stored.candidates(chart.rotation.as_ref(), begun);
        let ground = Ground { name, target: &*target, accounts: &accounts, entries: &entries };
        chart.logins.extend(tries(&ground, &candidates, &mut self.silent).await);
        Ok(())
    }

    /// The accounts of an earlier rotation, or those of the catalogue, where the target cannot be asked.
    fn remembered(
        &self,
        secret: &SecretName,
        planned: &PlannedCredential,
        users: &[String],
    ) -> (Vec<Account>, Vec<Account>) {
        let earlier = self.journal(secret, |journal| journal.state.ended());
        if let Some(begun) = earlier.and_then(|journal| credential_of(journal, secret, planned)) {
            // Where it ended on the twin, that is the user.
            let side = if begun.twin.as_ref().is_some_and(|twin| users.contains(twin)) { Side::New } else { Side::Old };
            let ours = |account: &Account| users.contains(&account.user);
            let accounts: Vec<Account> = begun.accounts(side).into_iter().filter(ours).collect();
            if !accounts.is_empty() {
                return (accounts, begun.entries(side));
            }
        }
        let entry = self.catalogue.entry(secret);
        let said = entry.into_iter().flat_map(|entry| &entry.credentials).filter(|c| c.target == planned.kind);
        let mut accounts: Vec<Account> = Vec::new();
        for account in said.flat_map(|credential| &credential.accounts) {
            let anywhere = if planned.kind == TargetKind::Mariadb { "%" } else { "" };
            let host = account.at.clone().unwrap_or_else(|| anywhere.to_owned());
            let account = Account { user: account.user.clone(), host };
            if users.contains(&account.user) && !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        (accounts.clone(), accounts)
    }
}

impl Values {
    fn all(&self) -> Vec<(Label, &Record)> {
        let current = Some((Label::Current, &self.current));
        let pending = self.pending.as_ref().map(|record| (Label::Pending, record));
        let previous = self.previous.as_ref().map(|record| (Label::Previous, record));
        [current, pending, previous].into_iter().flatten().collect()
    }

    fn stored(&self) -> Vec<Stored> {
        let version = |label, record: &Record| (label != Label::Pending).then_some(record.version);
        self.all().into_iter().map(|(label, record)| Stored { label, version: version(label, record) }).collect()
    }

    /// The likeliest first.
    fn candidates<'v>(&'v self, rotation: Option<&Standing>, begun: Option<&'v Credential>) -> Vec<Candidate<'v>> {
        let twin = begun.and_then(|begun| begun.twin.as_deref());
        let one = |(label, record): (Label, &'v Record)| {
            let new = self.new == Some(label);
            let (expected, always) = match rotation {
                None => (label == Label::Current, label == Label::Current),
                Some(standing) => {
                    let (old_works, new_works) = expected(standing.path, standing.state);
                    let expected = if new { new_works } else { old_works };
                    (expected, expected || told_of(standing))
                }
            };
            let value = record.record.value.material();
            (!expected, Candidate { label, value, twin: twin.filter(|_| new), always })
        };
        let mut candidates: Vec<(bool, Candidate<'v>)> = self.all().into_iter().map(one).collect();
        candidates.sort_by_key(|(unlikely, _)| *unlikely);
        candidates.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

/// Whether both values of a rotation are tried, the one that need not work, too. In the trial a refused login would look like
/// a straggler's; and who drives it at this moment tells more.
fn told_of(standing: &Standing) -> bool {
    !standing.driven && standing.state != State::Trial
}

/// Whether the old and the new value are surely accepted in a state.
pub(super) fn expected(path: Path, state: State) -> (bool, bool) {
    match (path, state) {
        (Path::Compromised, State::Staged) | (Path::Cutover, State::Published) => (false, false),
        (_, State::Planned | State::Staged | State::Aborting | State::Aborted | State::Restoring | State::Restored) => {
            (true, false)
        }
        (Path::Overlap | Path::Keyring, State::Added | State::Verified | State::Published | State::Rolling) => {
            (true, true)
        }
        (
            _,
            State::Added
            | State::Verified
            | State::Published
            | State::Switched
            | State::Rolling
            | State::Wave
            | State::Promoted
            | State::Drained
            | State::Trial
            | State::Retired
            | State::Settled,
        ) => (false, true),
    }
}

/// Whether there is no account at all, and nothing but that is amiss: every node says the same one thing.
fn nobody(survey: &Survey) -> bool {
    let told: BTreeSet<&str> = survey.hazards.iter().map(|hazard| hazard.what.as_str()).collect();
    survey.entries.is_empty() && survey.by_socket.is_empty() && told.len() < 2
}

fn credential_of<'j>(journal: &'j Journal, secret: &SecretName, planned: &PlannedCredential) -> Option<&'j Credential> {
    let item = journal.secrets.iter().find(|item| item.secret == *secret)?;
    item.credentials.iter().find(|credential| credential.target == planned.target)
}

fn whole(failure: &Failure) -> String {
    let causes = failure.causes.iter().map(|cause| format!(": {cause}"));
    std::iter::once(failure.message.clone()).chain(causes).collect()
}
