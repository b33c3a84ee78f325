//! What a chart means, and what to type next. Pure.

use super::{Answer, Chart, Label, Standing, Try, examine::expected, rescue, socket_account};
use crate::rotation::{journal::may_abort, sites, state_transfer};
use donjon_drivers::target::Account;
use donjon_policies::{deployment::Deployment, name::TargetName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// What is served works everywhere.
    Healthy,
    /// No login was tried, so nothing is known.
    Untried,
    /// The server has no such account; the service that would use it may not be deployed.
    WithoutAccount,
    /// A rotation has not ended; it can go on.
    Unfinished,
    /// A node did not answer.
    Unreachable,
    /// Only a person can decide.
    Ambiguous,
}

/// What a chart means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How the secret is.
    pub health: Health,
    /// What is to be known, the worst first.
    pub findings: Vec<String>,
    /// What to type, in this order.
    pub next: Vec<String>,
    /// How many accounts nobody can try from here.
    pub untried: usize,
    /// Where no stored value gets in, and an account has to be mended on the node itself.
    #[serde(skip)]
    pub rescue: Vec<Try>,
}

/// Where a value is accepted: target, node and the account, or that of which it is a twin.
type Spot = (TargetName, String, Account);

/// Judges a chart.
pub fn judge(chart: &Chart) -> Verdict {
    let mut verdict =
        Verdict { health: Health::Healthy, findings: Vec::new(), next: Vec::new(), untried: 0, rescue: Vec::new() };
    for trouble in &chart.troubles {
        verdict.find(Health::Ambiguous, trouble.clone());
    }
    for target in &chart.administrator_refused {
        let told = format!("`{target}` refuses every value that is stored for its administrator; it was changed there");
        verdict.find(Health::Ambiguous, told);
    }
    for (target, user) in &chart.without_account {
        let (health, question) = match chart.in_use {
            true => (Health::Ambiguous, "though a service of the deployment uses it"),
            false => (Health::WithoutAccount, "is the service deployed?"),
        };
        verdict.find(health, format!("`{target}` has no account of `{user}`: {question}"));
    }
    match &chart.rotation {
        Some(standing) => unfinished(chart, standing, &mut verdict),
        None => idle(chart, &mut verdict),
    }
    for (target, accounts) in &chart.by_socket {
        verdict.findings.push(state_transfer::nothing_to_rotate(target, accounts));
    }
    if chart.logins.is_empty() && verdict.findings.is_empty() {
        let told = "no login was tried: it has no account on a server that is described here".to_owned();
        verdict.find(Health::Untried, told);
    }
    let nodes: BTreeSet<String> = answered(chart, Answer::Unreachable)
        .map(|tried| format!("{} of `{}` ({})", tried.node, tried.target, tried.address))
        .collect();
    if !nodes.is_empty() {
        let told = format!("no answer from {}", nodes.into_iter().collect::<Vec<_>>().join(", "));
        verdict.find(Health::Unreachable, told);
        if verdict.next.is_empty() {
            verdict.next.push(format!("donjon doctor {}   # again, once the node is back", chart.secret));
        }
    }
    let unproven: BTreeSet<String> = answered(chart, Answer::Unprovable)
        .map(|tried| format!("nobody can try {}: {}", tried.named(), tried.why.as_deref().unwrap_or("no reason given")))
        .collect();
    let untried: BTreeSet<String> =
        answered(chart, Answer::Unprovable).map(|tried| format!("--vouch '{}'", tried.account)).collect();
    verdict.findings.extend(unproven);
    if chart.rotation.is_none() && !untried.is_empty() {
        let vouch = untried.iter().cloned().collect::<Vec<_>>().join(" ");
        verdict
            .findings
            .push(format!("`rotate apply` refuses that until you have tried it yourself and say so: {vouch}"));
    }
    verdict.untried = untried.len();
    verdict
}

/// As [`judge`], with the commands for the nodes themselves where no stored value gets in.
pub fn advise(deployment: &Deployment, chart: &Chart) -> Verdict {
    let mut verdict = judge(chart);
    // While something is amiss, that comes first.
    if let (Some(target), Health::Healthy) = (&chart.transfers, verdict.health) {
        verdict.findings.push(state_transfer::found(target));
        verdict.next.extend(socket_account::commands(deployment, target));
    }
    let commands = rescue::commands(deployment, &chart.secret, chart.version(Label::Current), &verdict.rescue);
    if chart.rotation.is_some() {
        verdict.next.splice(0..0, commands);
    } else {
        verdict.next.extend(commands);
    }
    verdict
}

impl Verdict {
    fn find(&mut self, health: Health, what: String) {
        self.health = self.health.max(health);
        self.findings.push(what);
    }
}

/// Nothing is under way: what is served is to be accepted everywhere.
fn idle(chart: &Chart, verdict: &mut Verdict) {
    let secret = &chart.secret;
    let refused: Vec<&Try> = answered(chart, Answer::Refused).filter(|tried| tried.value == Label::Current).collect();
    if refused.is_empty() {
        if verdict.health == Health::Ambiguous {
            verdict.next.push(format!("donjon doctor {secret}   # again, once what is listed is mended"));
        }
        return;
    }
    let works = |label| let_in(chart).filter(|t| t.value == label).map(spot).collect::<BTreeSet<_>>();
    let (current, previous) = (works(Label::Current), works(Label::Previous));
    let (older, none): (Vec<&Try>, Vec<&Try>) = refused.into_iter().partition(|tried| previous.contains(&spot(tried)));
    if !older.is_empty() {
        let version = chart.version(Label::Previous).map_or_else(String::new, |v| format!(", version {v},"));
        verdict.find(
            Health::Ambiguous,
            format!(
                "the previous value{version} works instead of the current one for {}: it was put back there, or what is stored now never was there",
                places(&older)
            ),
        );
    }
    if !none.is_empty() {
        let told = format!("no stored value works for {}: someone changed it there", places(&none));
        verdict.find(Health::Ambiguous, told);
    }
    match (current.is_empty(), none.is_empty(), chart.version(Label::Previous)) {
        (true, true, Some(version)) => {
            verdict
                .next
                .push(format!("donjon get {secret} --version {version} | donjon put {secret}   # serve what works; or, instead, give the server what is stored:"));
        }
        (true, false, _) if older.is_empty() => {
            verdict.next.push(format!("donjon put {secret}   # the value that works now, on standard input; or:"));
        }
        (_, _, _) => {}
    }
    verdict.rescue.extend(older.into_iter().chain(none).cloned());
}

/// A rotation goes on: which values are to be accepted depends on where it stands.
fn unfinished(chart: &Chart, standing: &Standing, verdict: &mut Verdict) {
    let secret = &chart.secret;
    let (old_works, new_works) = expected(standing.path, standing.state);
    verdict.find(Health::Unfinished, format!("rotation {} is {}: {}", standing.id, standing.state, standing.meaning));
    if let Some(why) = &standing.undone {
        verdict.findings.push(format!("it goes back: {why}"));
    }
    if let Some(waiting) = &standing.waiting {
        verdict.findings.push(format!("it waits: {waiting}"));
    }
    if !standing.holds {
        let told =
            "the labels of the secret no longer name it: it was ended for this secret, or its records were changed";
        verdict.findings.push(told.to_owned());
    }
    verdict.findings.extend(found(chart, standing));
    let is_new = |label: Label| standing.new == Some(label);
    let mut lost: BTreeMap<Spot, &Try> = BTreeMap::new();
    let mut collapsed = Vec::new();
    let works: BTreeSet<Spot> = let_in(chart).map(spot).collect();
    for tried in answered(chart, Answer::Refused) {
        if !works.contains(&spot(tried)) {
            lost.entry(spot(tried)).or_insert(tried);
        } else if if is_new(tried.value) { new_works } else { old_works } {
            collapsed.push(tried);
        }
    }
    if !collapsed.is_empty() {
        let values: BTreeSet<String> = collapsed.iter().map(|tried| tried.value.to_string()).collect();
        let values = values.into_iter().collect::<Vec<_>>().join(" and the ");
        verdict.findings.push(format!(
            "someone changed {} meanwhile: the {values} value is refused there; `resume` declares it again",
            places(&collapsed)
        ));
    }
    let administered = chart.administrator_refused.is_empty();
    if !lost.is_empty() {
        let lost: Vec<&Try> = lost.into_values().collect();
        // What the administrator declares goes over no value that is not stored: whose that is, nobody here knows.
        let worst = if administered { Health::Unfinished } else { Health::Ambiguous };
        verdict.find(worst, format!("no stored value works for {}: someone changed it meanwhile", places(&lost)));
        verdict.rescue.extend(lost.into_iter().cloned());
    }
    if standing.driven {
        verdict.next.push("donjon rotate status   # this daemon drives it at this moment".to_owned());
        return;
    }
    let away = answered(chart, Answer::Unreachable).next().is_some();
    let again = match verdict.health {
        Health::Ambiguous => "   # once what is listed is mended",
        Health::Healthy | Health::Untried | Health::WithoutAccount | Health::Unfinished | Health::Unreachable => {
            if away { "   # once the node is back" } else { "" }
        }
    };
    let resume = format!("donjon rotate resume {secret}");
    if again.is_empty() && !standing.behind.is_empty() {
        let lines = sites::needs(&standing.behind, &resume).into_iter();
        verdict.next.extend(lines.map(|typed| format!("{}   # {}", typed.command, typed.what)));
        return;
    }
    verdict.next.push(format!("{resume}{again}"));
    // To leave a consumer is no way past a node that is away.
    for consumer in standing.unproven.iter().filter(|_| again.is_empty()) {
        verdict.next.push(format!(
            "donjon rotate resume {secret} --leave {consumer}   # only where it cannot be proven: it is cut off once the old value goes"
        ));
    }
    if can_go_back(standing) {
        verdict.next.push(format!("donjon rotate abort {secret}   # to go back instead: nothing was published"));
    }
}

/// Where the old value of a rotation was let in, and where the new one.
fn found(chart: &Chart, standing: &Standing) -> Vec<String> {
    let sides = [("old", "still valid", Some(standing.old())), ("new", "valid", standing.new)];
    let told = sides.into_iter().filter_map(|(side, valid, label)| {
        let label = label?;
        let of = |tries: &mut dyn Iterator<Item = &Try>| -> Vec<Try> {
            tries.filter(|tried| tried.value == label).cloned().collect()
        };
        let works = of(&mut let_in(chart));
        let refused = of(&mut answered(chart, Answer::Refused));
        let version = chart.version(label).map_or_else(String::new, |version| format!(", version {version},"));
        let all = chart.logins.iter().all(|tried| !matches!(tried.answer, Answer::Unprovable | Answer::Unreachable));
        let everywhere = if all { "everywhere" } else { "wherever it could be tried" };
        let named = |tries: &[Try]| places(&tries.iter().collect::<Vec<_>>());
        Some(match (works.as_slice(), refused.as_slice()) {
            ([], []) => return None,
            (_, []) => format!("the {side} value{version} is {valid} {everywhere}"),
            ([], _) => format!("the {side} value{version} is refused {everywhere}"),
            (works, refused) => {
                format!("the {side} value{version} is {valid} for {}, and refused for {}", named(works), named(refused))
            }
        })
    });
    told.collect()
}

/// As `rotate abort` decides: no consumer can have read the new value.
fn can_go_back(standing: &Standing) -> bool {
    may_abort(standing.path, standing.state) && !standing.published()
}

fn answered(chart: &Chart, answer: Answer) -> impl Iterator<Item = &Try> {
    chart.logins.iter().filter(move |tried| tried.answer == answer)
}

/// Where a value was let in, be it as another account of the user that answers there.
fn let_in(chart: &Chart) -> impl Iterator<Item = &Try> {
    answered(chart, Answer::Accepted).chain(answered(chart, Answer::Shadowed))
}

fn spot(tried: &Try) -> Spot {
    (tried.target.clone(), tried.node.clone(), tried.place.clone())
}

fn places(tries: &[&Try]) -> String {
    let once: BTreeSet<String> = tries.iter().map(|tried| tried.named()).collect();
    once.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart {
            secret: "aodh_database_password".parse().unwrap(),
            rotation: None,
            values: Vec::new(),
            logins: Vec::new(),
            troubles: Vec::new(),
            administrator_refused: Vec::new(),
            by_socket: Vec::new(),
            without_account: Vec::new(),
            in_use: false,
            transfers: None,
        }
    }

    fn tried(answer: Answer) -> Try {
        let account = Account { user: "root".to_owned(), host: "localhost".to_owned() };
        Try {
            target: "mariadb".parse().unwrap(),
            node: "db1".to_owned(),
            address: "10.0.0.11:3306".to_owned(),
            place: account.clone(),
            account,
            value: Label::Current,
            answer,
            why: None,
        }
    }

    #[test]
    fn an_account_that_is_not_there_is_no_changed_one_unless_a_service_uses_it() {
        let mut chart = Chart { without_account: vec![("mariadb".parse().unwrap(), "aodh".to_owned())], ..chart() };
        let verdict = advise(&Deployment::empty("d".parse().unwrap()), &chart);
        assert_eq!((verdict.health, verdict.next.as_slice()), (Health::WithoutAccount, &[][..]));
        assert!(verdict.findings[0].contains("is the service deployed?"), "{verdict:?}");
        chart.in_use = true;
        assert_eq!(judge(&chart).health, Health::Ambiguous);
    }

    #[test]
    fn what_cannot_be_tried_is_counted_and_what_a_rotation_asks_is_said() {
        let chart = Chart { logins: vec![tried(Answer::Unprovable)], ..chart() };
        let verdict = judge(&chart);
        assert_eq!((verdict.health, verdict.untried), (Health::Healthy, 1));
        assert!(verdict.findings.iter().any(|told| told.contains("--vouch 'root@localhost'")), "{verdict:?}");
        let control = Chart { logins: vec![tried(Answer::Accepted)], ..chart };
        assert_eq!(judge(&control).untried, 0);
    }
}
