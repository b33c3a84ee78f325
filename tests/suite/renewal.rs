//! `rotate broker`: what opened the Vault before opens nothing afterwards, and a crash at any point locks nobody out.

use super::kills::{Killed, Site};
use donjon::vault::{Standing, VaultError, shares};
use donjon_drivers::{
    fs,
    material::Material,
    store::vault::{Call, CallError, Method, Reason},
};
use donjon_tests::temporary::{Custodians, Home, holds, kill, stands, write};

fn denied<T>(answer: Result<T, CallError>) -> bool {
    matches!(answer, Err(CallError::Refused { reason: Reason::Denied, .. }))
}

#[tokio::test]
async fn what_a_host_opened_it_with_opens_nothing_any_more() {
    let home = Home::make();
    let vault = home.up(None).await;
    let tending = tokio::spawn(vault.clone().tend());
    write(&vault, 1).await;
    let token = vault.connection().token().unwrap();
    let (login, authority) = (shares::credential(&home.place()).unwrap(), fs::read(&home.place().authority()).unwrap());
    let share = fs::read_private(&home.place().shares(0).join("1.age")).unwrap();
    let look = || Call::new(Method::Get, "auth/token/lookup-self");
    let log_in = |login: &Material| Call::post("auth/approle/login", login.duplicate());
    // The control: all of it works now.
    vault.connection().call_with(&token, look()).await.unwrap();
    vault.connection().call(log_in(&login)).await.unwrap();

    let told = std::sync::Mutex::new(Vec::new());
    vault.renew_broker(Vec::new(), &|renewed| told.lock().unwrap().push(renewed.to_string())).await.unwrap();
    assert_eq!(told.into_inner().unwrap().len(), 4);
    assert_eq!(vault.standing(), Standing::Ready);
    holds(&vault, [1]).await;
    write(&vault, 2).await;
    assert!(denied(vault.connection().call_with(&token, look()).await), "the token of before");
    let refused = vault.connection().call(log_in(&login)).await;
    assert!(matches!(refused, Err(CallError::Refused { .. })), "the credential of before: {refused:?}");
    assert_ne!(fs::read(&home.place().authority()).unwrap(), authority);
    assert!(!home.place().shares(0).exists(), "the share of before is gone");

    // Again: from the second generation to the third.
    vault.renew_broker(Vec::new(), &|_| {}).await.unwrap();
    tending.abort();
    vault.stop().await.unwrap();
    let present = home.place().shares(2).join("1.age");
    let kept = fs::read_private(&present).unwrap();
    fs::replace(&present, &share).unwrap();
    let refused = donjon::vault::Temporary::bring_up(home.settings(None), donjon_tests::temporary::quiet()).await;
    assert!(refused.is_err(), "the first share still unseals");
    fs::replace(&present, &kept).unwrap();
    holds(&*home.up(None).await, [1, 2]).await;
}

#[tokio::test]
async fn custodians_renew_their_shares_together() {
    let home = Home::make();
    let people = Custodians::three();
    let vault = home.up(Some(people.custody())).await;
    let tending = tokio::spawn(vault.clone().tend());
    write(&vault, 1).await;
    let token = vault.connection().token().unwrap();
    let of = |numbers: &[usize]| numbers.iter().map(|number| people.share(&home, *number)).collect::<Vec<_>>();
    let before = of(&[0, 1]);
    let few = vault.renew_broker(of(&[1]), &|_| {}).await;
    assert!(matches!(few, Err(VaultError::TooFewShares { given: 1, needed: 2 })), "{few:?}");
    vault.renew_broker(of(&[1, 2]), &|_| {}).await.unwrap();
    assert_eq!(vault.standing(), Standing::Ready);
    holds(&vault, [1]).await;
    let look = Call::new(Method::Get, "auth/token/lookup-self");
    assert!(denied(vault.connection().call_with(&token, look).await), "the token of before");

    // It comes back with the new shares alone.
    kill(vault.pid());
    stands(&vault, |standing| matches!(standing, Standing::Waiting { .. })).await;
    for old in before {
        let refused = vault.offer(old).await;
        assert!(matches!(refused, Err(VaultError::Share(shares::ShareError::Foreign))), "{refused:?}");
    }
    people.open(&home, &vault).await;
    holds(&vault, [1]).await;
    tending.abort();
}

/// What a crash can come between.
const POINTS: [&str; 8] = [
    "renewal.shares-kept",
    "renewal.shares-taken",
    "renewal.shares-renewed",
    "renewal.barrier-rotated",
    "renewal.credential-kept",
    "renewal.logged-in",
    "renewal.token-revoked",
    "renewal.stopped",
];

#[test]
fn a_host_that_is_killed_at_any_point_is_locked_out_at_none() {
    let mut site = Site::host();
    for point in POINTS {
        for killed in [Killed::Daemon, Killed::Both] {
            site.die_renewing(point, &[]);
            if killed == Killed::Both && point != "renewal.stopped" {
                site.kill_server();
            }
            site.donjon.up();
            site.wait(0);
            site.nothing_is_lost();
        }
    }
    site.donjon.run(&["rotate", "broker"]).ok();
    site.nothing_is_lost();
}

#[test]
fn custodians_of_a_broker_that_was_killed_open_it_with_whichever_shares_hold() {
    let mut site = Site::custodians();
    for point in ["renewal.shares-kept", "renewal.shares-taken", "renewal.stopped"] {
        let identities: Vec<String> = site.identities[..2].iter().map(|path| path.display().to_string()).collect();
        site.die_renewing(point, &["-i", &identities[0], "-i", &identities[1]]);
        if point != "renewal.stopped" {
            site.kill_server();
        }
        site.donjon.up();
        site.wait(2);
        site.unseal(1).ok();
        site.unseal(2).ok();
        site.wait(0);
        site.nothing_is_lost();
    }
}

impl Site {
    /// Renews with a daemon that is killed at a point, and sees that it was.
    fn die_renewing(&mut self, point: &str, arguments: &[&str]) {
        let daemon = self.donjon.daemon().expect("a daemon runs");
        donjon_tests::donjon::end(daemon, rustix::process::Signal::KILL);
        self.donjon.set("FAILPOINTS", &format!("{point}=return"));
        self.donjon.up();
        self.donjon.unset("FAILPOINTS");
        if !arguments.is_empty() {
            self.unseal(0).ok();
            self.unseal(1).ok();
        }
        let ran = self.donjon.run(&[&["rotate", "broker"], arguments].concat());
        assert_ne!(ran.code, 0, "{point}");
        assert!(self.donjon.log().contains(&format!("checkpoint {point}: killed")), "{point}: {ran:?}");
    }

    fn kill_server(&self) {
        let server = self.server().expect("a server runs");
        donjon_tests::donjon::end(server, rustix::process::Signal::KILL);
    }
}
