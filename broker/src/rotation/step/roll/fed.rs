//! Checks that are fed a value: believed only where they fail on a wrong one.

use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    records::{Layout, secrets},
    rotation::{Instance, subject::FedBy},
};
use donjon_drivers::{
    material::Material,
    service::fed::Distrust,
    store::{Store, Which},
};

/// Why a consumer's check does not show that what the store serves works there; `None` where it does, or there is none.
pub async fn distrusted(store: &dyn Store, layout: &Layout, instance: &Instance) -> Result<Option<String>, Failure> {
    let Some(FedBy { name, check }) = &instance.fed else { return Ok(None) };
    let served = secrets::read(store, layout, name, Which::Latest).await;
    let served = served.map_err(|error| translate::store(format!("cannot read `{name}`"), &error))?;
    let Some(served) = served else { return Ok(Some(format!("`{name}`, which its check is fed, is not there"))) };
    // Letters of a value that was made up here and never was in force.
    let wrong = Material::from(format!("wrong{:016x}", rand::random::<u64>()));
    match check.clone().prove(&wrong, served.record.value.material()).await {
        Ok(_) => Ok(None),
        Err(distrust @ (Distrust::Blind { .. } | Distrust::Fails { .. } | Distrust::Untested { .. })) => {
            Ok(Some(Failure::new(Exit::Failed, "").because(&distrust).causes.join(": ")))
        }
    }
}
