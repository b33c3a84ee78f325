//! The wave in which the catalogue puts a service: the last of the waves of the secrets that it reads.

use crate::{
    catalogue::{Catalogue, Phase},
    deployment::Deployment,
    name::{SecretName, ServiceName},
};
use std::collections::{BTreeMap, BTreeSet};

/// For every service that reads one of these secrets, itself or through a view, the last of the waves in which the
/// catalogue puts what it reads of them: it restarts once, so not before the last of them is ready. 0 for a service
/// whose secrets have no wave.
pub fn waves(
    catalogue: &Catalogue,
    deployment: &Deployment,
    secrets: &BTreeSet<SecretName>,
) -> BTreeMap<ServiceName, u8> {
    let mut by_wave: BTreeMap<u8, BTreeSet<SecretName>> = BTreeMap::new();
    for secret in secrets {
        by_wave.entry(wave(catalogue, secret)).or_default().insert(secret.clone());
    }
    let mut found = BTreeMap::new();
    for (wave, secrets) in by_wave {
        found.extend(deployment.readers_of(&secrets).into_iter().map(|service| (service, wave)));
    }
    found
}

fn wave(catalogue: &Catalogue, secret: &SecretName) -> u8 {
    let credentials = catalogue.entry(secret).map(|entry| entry.credentials.as_slice()).unwrap_or_default();
    let wave = |phase: Phase| match phase {
        Phase::Wave(wave) => wave,
        Phase::Alone => 0,
    };
    credentials.iter().map(|credential| wave(credential.phase)).max().unwrap_or_default()
}
