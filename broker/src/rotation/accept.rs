//! What the accounts of a credential accept: both values, one of them, and what fresh logins say of it.

use super::{
    Rotation, checkpoint,
    journal::{Credential, Item, Marks},
    place::places,
    probe::{self, Found},
    step::declare::{Strangers, look_again},
    subject::Way,
    values::{Side, Values},
};
use crate::failure::{Exit, Failure};
use donjon_drivers::target::{Account, Node};
use futures_util::future::try_join;

/// A credential of a rotation, with its secret.
pub type Of<'a> = (&'a Item, &'a Credential);

impl Credential {
    /// The accounts that have a value: a twin's are at the places of those that it follows.
    pub fn accounts(&self, side: Side) -> Vec<Account> {
        self.sided(&self.accounts, side)
    }

    /// Every account that a login could match.
    pub fn entries(&self, side: Side) -> Vec<Account> {
        match (&self.twin, side) {
            (Some(_), Side::New) => self.accounts(side),
            (None, Side::New) | (_, Side::Old) => self.entries.clone(),
        }
    }

    /// The users that have a value.
    pub fn users(&self, side: Side) -> Vec<String> {
        match (&self.twin, side) {
            (Some(twin), Side::New) => vec![twin.clone()],
            (None, Side::New) | (_, Side::Old) => self.users.clone(),
        }
    }

    fn sided(&self, accounts: &[Account], side: Side) -> Vec<Account> {
        match (&self.twin, side) {
            (Some(twin), Side::New) => accounts.iter().map(|account| twin_of(twin, account)).collect(),
            (None, Side::New) | (_, Side::Old) => accounts.to_vec(),
        }
    }
}

/// Every credential of what the rotation holds.
pub fn credentials<'a>(rotation: &'a Rotation<'_>) -> Vec<Of<'a>> {
    rotation.items().iter().flat_map(|item| item.credentials.iter().map(move |c| (*item, c))).collect()
}

/// Makes every account accept both values, `first` the likelier. One that holds a single value keeps the old one.
pub async fn both(rotation: &Rotation<'_>, values: &Values, first: Side, point: &str) -> Result<(), Failure> {
    for place in places(rotation, values) {
        let accounts = &place.credential.accounts;
        match (place.credential.way, &place.credential.twin) {
            (Way::Both, _) => place.declare_all(accounts, &[first, first.other()], point).await?,
            (Way::Twin, Some(twin)) => {
                for account in accounts {
                    place.twin(account, &twin_of(twin, account)).await?;
                    checkpoint::reached(point);
                }
            }
            (Way::Switch | Way::Twin, _) => {}
        }
    }
    Ok(())
}

/// Makes every account that held both values accept the old one once more, and says which these are. One that went, since
/// its twin has the new value, is gone for good.
pub async fn old_again(rotation: &Rotation<'_>, values: &Values) -> Result<Vec<String>, Failure> {
    let mut back = Vec::new();
    for place in places(rotation, values).into_iter().filter(|place| place.credential.way == Way::Both) {
        let accounts = &place.credential.accounts;
        place.declare_all(accounts, &[Side::New, Side::Old], "rotation.declared").await?;
        back.extend(accounts.iter().map(Account::to_string));
    }
    Ok(back)
}

/// Makes every account accept one value alone, and takes away the twin, or what it followed, that has the other.
async fn only(
    rotation: &Rotation<'_>,
    values: &Values,
    keep: Side,
    point: &str,
    which: impl Fn(&Credential) -> bool,
) -> Result<(), Failure> {
    for place in places(rotation, values).into_iter().filter(|place| which(place.credential)) {
        if place.credential.twin.is_none() {
            place.declare_all(&place.credential.accounts, &[keep], point).await?;
            continue;
        }
        // Nobody may lose both: the one that stays is seen to accept before the other goes.
        for account in place.credential.accounts(keep) {
            place.declare(&account, &[keep]).await?;
        }
        for account in place.credential.accounts(keep.other()) {
            place.remove(&account).await?;
            checkpoint::reached(point);
        }
    }
    Ok(())
}

/// Switches the accounts that hold one value to another; the others accept both from now on, so that as little as possible
/// fails until the consumers have restarted.
pub async fn switch(rotation: &Rotation<'_>, values: &Values, to: Side, point: &str) -> Result<(), Failure> {
    both(rotation, values, to, point).await?;
    for place in places(rotation, values).into_iter().filter(|place| place.credential.way == Way::Switch) {
        place.declare_all(&place.credential.accounts, &[to], point).await?;
    }
    Ok(())
}

/// Tries one value of every credential that has it by now, on every node and account.
pub async fn logins(
    rotation: &Rotation<'_>,
    values: &Values,
    side: Side,
    which: impl Fn(&Credential) -> bool,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    for (item, credential) in credentials(rotation).into_iter().filter(|(_, c)| which(c)) {
        let target = &*rotation.subject.targets[&credential.target].target;
        let value = values.of(&item.secret).side(side);
        let tried =
            probe::logins(target, &credential.accounts(side), &credential.entries(side), value, &mut found).await;
        tried.map_err(|error| probe::failed(rotation.subject, &credential.target, &error))?;
    }
    Ok(found)
}

/// Before the rotation moves on: does every target still accept both? A deployer's own run sets one password and collapses
/// the chain; it is put back and reported.
pub async fn still_both(rotation: &mut Rotation<'_>, values: &Values) -> Result<(), Failure> {
    let refused = refused(rotation, values).await?;
    both_again(rotation, values, refused).await
}

/// Where one of two values that are to be accepted is refused.
pub struct Refused {
    new: Vec<(Node, Account)>,
    old: Vec<(Node, Account)>,
}

/// Tries both values wherever both are to be accepted.
pub async fn refused(rotation: &Rotation<'_>, values: &Values) -> Result<Refused, Failure> {
    let overlaps = |credential: &Credential| credential.way != Way::Switch;
    let (new, old) =
        try_join(logins(rotation, values, Side::New, overlaps), logins(rotation, values, Side::Old, overlaps)).await?;
    Ok(Refused { new: new.refused, old: old.refused })
}

/// Declares both again where one was found to be refused.
pub async fn both_again(rotation: &mut Rotation<'_>, values: &Values, found: Refused) -> Result<(), Failure> {
    if found.new.is_empty() && found.old.is_empty() {
        return Ok(());
    }
    // An account that is gone refuses everything, and nothing can be declared on it.
    look_again(rotation, values, Strangers::Taken).await?;
    let Refused { new: mut collapsed, old } = refused(rotation, values).await?;
    // An account with a twin that no longer accepts the old value is told so again; its twin is not concerned.
    for (_, account) in &old {
        for place in places(rotation, values).into_iter().filter(|place| place.credential.twin.is_some()) {
            if place.credential.accounts.contains(account) {
                place.declare(account, &[Side::Old]).await?;
            }
        }
    }
    collapsed.extend(old);
    if collapsed.is_empty() {
        return Ok(());
    }
    rotation.told(format!("someone changed {} meanwhile; both values are declared again", probe::places(&collapsed)));
    both(rotation, values, Side::New, "rotation.declared").await
}

/// Makes one value the only one that is accepted, and sees by fresh logins that it is.
pub async fn make_alone(rotation: &Rotation<'_>, values: &Values, keep: Side, point: &str) -> Result<(), Failure> {
    only(rotation, values, keep, point, |_| true).await?;
    alone(rotation, values, keep, |_| true).await
}

/// One value is accepted everywhere and the other refused everywhere.
async fn alone(
    rotation: &Rotation<'_>,
    values: &Values,
    valid: Side,
    which: impl Fn(&Credential) -> bool,
) -> Result<(), Failure> {
    let gone = valid.other();
    let (kept, removed) =
        try_join(logins(rotation, values, valid, &which), logins(rotation, values, gone, &which)).await?;
    let names = rotation.subject.names();
    let failed = |cause: String| Err(Failure::new(Exit::Failed, format!("cannot rotate {names}")).cause(cause));
    match (kept.refused.as_slice(), removed.accepted.as_slice()) {
        ([], []) => Ok(()),
        ([], still) => failed(format!("a removed value is still accepted: {}", probe::places(still))),
        (lost, _) => failed(format!("the value that is to stay is refused: {}", probe::places(lost))),
    }
}

/// As [`make_alone`] of some credentials, where someone has set the other value again meanwhile. Whether someone had.
pub async fn alone_again(
    rotation: &Rotation<'_>,
    values: &Values,
    valid: Side,
    which: impl Fn(&Credential) -> bool,
) -> Result<bool, Failure> {
    match alone(rotation, values, valid, &which).await {
        Ok(()) => return Ok(false),
        Err(failure) if failure.code == Exit::Failed => {}
        Err(failure) => return Err(failure),
    }
    rotation.told("someone has set an old value again meanwhile: the new one alone is declared once more".to_owned());
    only(rotation, values, valid, "rotation.old-removed", &which).await?;
    alone(rotation, values, valid, &which).await.map(|()| true)
}

/// Ends every session that was opened with an old value, where targets can.
pub async fn end_sessions(rotation: &Rotation<'_>, values: &Values, until: &Marks) -> Result<(), Failure> {
    for place in places(rotation, values) {
        let Some(marks) = until.get(&place.credential.target) else { continue };
        for node in place.target.nodes() {
            let Some(mark) = marks.get(&node.name) else { continue };
            for user in place.credential.users(Side::Old) {
                place.end_sessions(node, &user, *mark).await?;
            }
        }
    }
    checkpoint::reached("rotation.sessions-ended");
    Ok(())
}

/// The twin of an account, at the same place.
pub fn twin_of(twin: &str, account: &Account) -> Account {
    Account { user: twin.to_owned(), host: account.host.clone() }
}
