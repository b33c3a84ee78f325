//! Checks that are fed a value: believed only where they fail on a wrong one.

use super::silent;
use crate::{
    daemon::translate,
    failure::{self, Failure},
    records::{Layout, secrets},
    rotation::{Instance, subject::FedBy},
};
use donjon_drivers::{
    material::Material,
    service::fed::Distrust,
    store::{Store, Which},
};

/// Why a consumer's check does not show that what the store serves works there.
pub enum Distrusted {
    /// For what it says.
    Check(String),
    /// Its host cannot be reached.
    Host(String),
}

/// Puts a consumer's check to the test; `None` where it passes that, or there is none.
pub async fn distrusted(
    store: &dyn Store,
    layout: &Layout,
    instance: &Instance,
) -> Result<Option<Distrusted>, Failure> {
    let Some(FedBy { name, check }) = &instance.fed else { return Ok(None) };
    let served = secrets::read(store, layout, name, Which::Latest).await;
    let served = served.map_err(|error| translate::store(format!("cannot read `{name}`"), &error))?;
    let Some(served) = served else {
        return Ok(Some(Distrusted::Check(format!("`{name}`, which its check is fed, is not there"))));
    };
    // Letters of a value that was made up here and never was in force.
    let wrong = Material::from(format!("wrong{:016x}", rand::random::<u64>()));
    let Err(distrust) = check.clone().prove(&wrong, served.record.value.material()).await else { return Ok(None) };
    let why = failure::chain(&distrust);
    Ok(Some(match &distrust {
        Distrust::Untested { source, .. } if silent(instance, source).await => Distrusted::Host(why),
        Distrust::Blind { .. } | Distrust::Fails { .. } | Distrust::Untested { .. } => Distrusted::Check(why),
    }))
}
