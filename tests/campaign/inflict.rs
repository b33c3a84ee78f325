//! A rotation is begun and struck, and it is shown that the stroke has landed.

use super::{
    fault::{Fault, Meanwhile, Point, Rotated, Struck},
    site::Site,
    strike::{self, Mend},
};
use crate::{proxy::Act, wait};
use std::{process::Child, time::Duration};

/// What a fault came to.
#[derive(Debug, Default)]
pub(super) struct Landing {
    /// What shows that it landed, once for each stroke; empty where it did not.
    pub(super) evidence: Vec<String>,
    /// What is to be put right before anybody can recover.
    pub(super) mend: Mend,
    /// What must not be, seen on the way.
    pub(super) broken: Vec<String>,
}

/// Rotates and strikes.
pub(super) async fn inflict(site: &mut Site, fault: &Fault, rotated: Rotated) -> Landing {
    let apply = [&["rotate", "apply"][..], rotated.names()].concat();
    let mut landing = Landing::default();
    match fault {
        Fault::Kill(point) => landing.evidence.extend(killed(site, &point.armed(), &apply)),
        Fault::KillTwice(one, two) => {
            landing.evidence.extend(killed(site, &one.armed(), &apply));
            landing.evidence.extend(killed(site, &two.armed(), &["rotate", "resume"]));
        }
        Fault::KillGoingBack(point) => {
            let verified = Point { name: "rotation.moved.verified".into(), skip: 0 };
            landing.evidence.extend(killed(site, &verified.armed(), &apply));
            landing.evidence.extend(killed(site, &point.armed(), &["rotate", "abort"]));
        }
        Fault::KillRestoring(point) => {
            site.refuse_next();
            landing.evidence.extend(killed(site, &point.armed(), &apply));
        }
        Fault::Canary => {
            site.broker.ready();
            site.refuse_next();
            let ran = site.broker.run(&apply);
            if ran.code == 1 && ran.err.contains("restored") {
                landing.evidence.push(format!("restart {} failed its check, exit 1: restored", site.restarts() - 1));
            }
        }
        Fault::Reply(struck, number) => reply(site, *struck, *number, rotated, &apply, &mut landing).await,
        Fault::Held(number, meanwhile) => held(site, *number, *meanwhile, rotated, &apply, &mut landing).await,
        Fault::StoreAnswer(number) => {
            site.broker.ready();
            site.wire.lose_answer(*number);
            let ran = site.broker.run(&apply);
            site.wire.calm();
            if site.wire.has_lost() {
                landing.evidence.push(format!("the proxy lost the store's answer {number}, exit {}", ran.code));
            }
        }
    }
    landing
}

/// Runs a command while a broker is armed, and shows that this killed it.
fn killed(site: &mut Site, armed: &str, command: &[&str]) -> Option<String> {
    let before = site.broker.killed_at().len();
    site.broker.start(armed);
    let ran = site.broker.run(command);
    if site.broker.killed_at().len() == before {
        return None;
    }
    let signal = site.broker.ended_by_signal()?;
    let point = site.broker.killed_at().pop()?;
    (signal == 9 && ran.code == 6).then(|| format!("killed at {point}, signal {signal}"))
}

async fn reply(
    site: &mut Site,
    struck: Struck,
    number: usize,
    rotated: Rotated,
    apply: &[&str],
    landing: &mut Landing,
) {
    site.broker.ready();
    let act = match struck {
        Struck::StatementLost => Act::LoseStatement,
        Struck::ReplyLost => Act::LoseReply,
        Struck::ReplyHeld => Act::HoldReply,
        Struck::Error1396 => Act::Refuse(1396),
    };
    let (part, skip) = match number {
        0..20 => (CHANGE, number % changes(rotated)),
        _ if struck == Struck::Error1396 => (CHANGE, number % changes(rotated)),
        _ => ("", (number - 20) * 4),
    };
    let said = site.proxy.statements().len();
    site.proxy.set(part, skip, act);
    let mut child = site.broker.begin(apply);
    let landed = acted(site, &mut child).await;
    let mut signal = None;
    if landed && struck == Struck::ReplyHeld {
        signal = site.broker.kill();
    }
    let ended = child.wait_with_output().unwrap();
    site.proxy.release();
    if landed {
        let statement = site.proxy.statements().into_iter().skip(said).filter(|sql| sql.contains(part)).nth(skip);
        let statement: String = statement.unwrap_or_default().chars().take(40).collect();
        let code = ended.status.code();
        landing.evidence.push(format!("the proxy met `{statement}…`, exit {code:?}, signal {signal:?}"));
    }
}

async fn held(
    site: &mut Site,
    number: usize,
    meanwhile: Meanwhile,
    rotated: Rotated,
    apply: &[&str],
    landing: &mut Landing,
) {
    site.broker.ready();
    match number {
        0..10 => site.proxy.set(CHANGE, number % changes(rotated), Act::HoldStatement),
        _ => site.proxy.set(LOOK, number - 10, Act::HoldStatement),
    }
    let mut child = site.broker.begin(apply);
    if !acted(site, &mut child).await {
        site.proxy.release();
        child.wait().unwrap();
        return;
    }
    let evidence = strike::strike(site, meanwhile, rotated, landing).await;
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let Ok(ended) = tokio::time::timeout(Duration::from_secs(90), ended).await else {
        landing.broken.push("the command did not end within 90 s".to_owned());
        return;
    };
    let ended = ended.unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    if meanwhile == Meanwhile::HashesRefused && !told.contains("1396") {
        return;
    }
    landing.evidence.extend(evidence.map(|evidence| format!("{evidence}, exit {:?}", ended.status.code())));
    if matches!(meanwhile, Meanwhile::Overtaken { .. }) && ended.status.success() {
        landing.broken.push("a broker that was overtaken said that it had done it".to_owned());
    }
}

/// Waits until the proxy has met its statement, or the command has ended without.
async fn acted(site: &Site, child: &mut Child) -> bool {
    wait::until("the statement or the end", Duration::from_secs(60), async || {
        let ended = child.try_wait().unwrap().is_some();
        (site.proxy.has_acted() || ended).then(|| site.proxy.has_acted())
    })
    .await
}

/// How many statements of a rotation change accounts.
fn changes(rotated: Rotated) -> usize {
    match rotated {
        Rotated::Root => 6,
        Rotated::Service => 4,
        Rotated::Both => 10,
    }
}

const CHANGE: &str = "ALTER USER";
const LOOK: &str = "SELECT User, Host, Priv";
