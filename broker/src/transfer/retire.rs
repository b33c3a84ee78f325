//! Scale-down: a host or a site leaves. Its recipients are removed, or leave it where others have them too, nobody waits for
//! its receipts any more, its credentials in a Vault are revoked, and what it has seen is told.

use super::{
    bundle::Scope,
    exposure::{self, Known},
    ledger::{self, Exported},
    private::Places,
};
use donjon_drivers::store::{Store, StoreError};
use std::collections::BTreeSet;

/// What was done for a host or a site that left.
#[derive(Debug)]
pub struct Retired {
    /// The recipients that were removed, with what each could open.
    pub recipients: Vec<Known>,
    /// Those that are recipients elsewhere still, and of this site no more.
    pub kept: Vec<Known>,
    /// Those of it that had been removed before, with what each could open.
    pub before: Vec<Known>,
    /// The bundles that nobody waits for any more.
    pub scopes: Vec<Scope>,
    /// The bundles that others have, too: for theirs one waits still.
    pub shared: Vec<Scope>,
}

impl Retired {
    /// Whether nothing was there to be done.
    pub fn is_nothing(&self) -> bool {
        let Self { recipients, kept, before, scopes, shared } = self;
        [recipients, kept, before].iter().all(|known| known.is_empty()) && scopes.is_empty() && shared.is_empty()
    }
}

/// Does all of it in the store. The name is a recipient's, or that of the host or the site of a bundle.
pub async fn retire(store: &dyn Store, places: &Places, name: &str, now: i64) -> Result<Retired, StoreError> {
    let (mut scopes, mut addressed) = (Vec::new(), BTreeSet::new());
    let (mut of_site, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
    for exported in ledger::all(store, places).await? {
        if !concerns(&exported.scope, name) {
            let lives = exported.retired.is_none();
            elsewhere.extend(exported.recipients.into_iter().filter(|_| lives));
            continue;
        }
        // Read once more with its version: a receipt may have come meanwhile.
        let (Some(mut exported), expected) = ledger::read(store, places, &exported.scope).await? else { continue };
        addressed.extend(exported.recipients.iter().cloned());
        if matches!(&exported.scope, Scope::Site { site, .. } if site.as_str() == name) {
            of_site.extend(exported.recipients.iter().cloned());
        }
        if exported.retired.is_none() {
            exported.retired = Some(now);
            ledger::write(store, places, &exported, expected).await?;
            scopes.push(exported.scope);
        }
    }
    let (mut recipients, mut kept, mut before, mut gone) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    for known in exposure::all(store, places).await? {
        let called = known.name.as_deref() == Some(name) || known.recipient == name;
        let of_it = known.sites.iter().any(|site| site.as_str() == name);
        // A bundle for one host or site is encrypted to its own recipients; one that others share stays theirs.
        // One with a name of its own is that host's; only its site takes it along.
        let others = known.name.is_some() && !called && !of_site.contains(&known.recipient);
        // One that another site has, by its bundles or by name, leaves this site and no other.
        let of_another = elsewhere.contains(&known.recipient)
            || (of_it || of_site.contains(&known.recipient)) && known.sites.iter().any(|site| site.as_str() != name);
        let own = !of_another && (of_it || addressed.contains(&known.recipient) && !others);
        if called || own {
            gone.insert(known.recipient.clone());
        }
        let had = known.had.iter().any(|site| site.as_str() == name);
        match known.removed {
            None if called || own => recipients.push(exposure::remove(store, places, &known.recipient, now).await?),
            None if of_it => kept.push(exposure::leave(store, places, &known.recipient, name, now).await?),
            Some(_) if called || own || had => before.push(known),
            None | Some(_) => {}
        }
    }
    let shared = leave(store, places, &gone, now).await?;
    Ok(Retired { recipients, kept, before, scopes, shared })
}

/// Nobody waits for the receipts of these recipients any more, of whatever bundle; says of which others have it still.
async fn leave(
    store: &dyn Store,
    places: &Places,
    gone: &BTreeSet<String>,
    now: i64,
) -> Result<Vec<Scope>, StoreError> {
    let mut shared = Vec::new();
    if gone.is_empty() {
        return Ok(shared);
    }
    let is_left = |exported: &Exported| exported.awaited().any(|recipient| gone.contains(recipient));
    for exported in ledger::all(store, places).await? {
        let is_site = matches!(exported.scope, Scope::Site { .. });
        if !is_site || exported.retired.is_some() || !is_left(&exported) {
            continue;
        }
        // Read once more with its version: a receipt may have come meanwhile.
        let (Some(mut exported), expected) = ledger::read(store, places, &exported.scope).await? else { continue };
        let left: Vec<String> = exported.awaited().filter(|recipient| gone.contains(*recipient)).cloned().collect();
        exported.left.extend(left);
        let is_nobodys = exported.awaited().next().is_none();
        exported.retired = is_nobodys.then_some(now);
        ledger::write(store, places, &exported, expected).await?;
        shared.push(exported.scope);
    }
    Ok(shared)
}

/// Whether a bundle is for this site, or for this host of any.
fn concerns(scope: &Scope, name: &str) -> bool {
    match scope {
        Scope::Site { site, host, .. } => {
            site.as_str() == name || host.as_ref().is_some_and(|host| host.as_str() == name)
        }
        Scope::Custodians {} => false,
    }
}
