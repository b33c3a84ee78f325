//! What consumers of a cluster log in with, written for their owner alone.

use crate::failure::{Exit, Failure};
use donjon_drivers::{fs, material::Material};
use serde_json::Value;
use std::path::Path;

/// Writes `<role>/role-id` and `<role>/secret-id`, below a folder of its own for each host where any was named.
pub(in crate::cli::command) fn credentials(
    folder: &Path,
    value: &Value,
    materials: &[Material],
) -> Result<(), Failure> {
    let made = value["credentials"].as_array().cloned().unwrap_or_default();
    for (made, pair) in made.iter().zip(materials.chunks(2)) {
        let role = made["role"].as_str().unwrap_or_default();
        let host = made["host"].as_str().map_or_else(|| folder.to_path_buf(), |host| folder.join(host));
        let own = host.join(role);
        let write = || {
            fs::private_folder(folder)?;
            fs::private_folder(&host)?;
            fs::private_folder(&own)?;
            for (name, material) in ["role-id", "secret-id"].iter().zip(pair) {
                // EXPOSE: the consumers' own credential, a declared sink
                fs::replace(&own.join(name), material.expose())?;
            }
            Ok(())
        };
        write().map_err(|error: fs::FileError| {
            Failure::new(Exit::Failed, format!("cannot write the credential of the role `{role}`"))
                .because(&error)
                .state("everything else is done; the same command again makes new credentials")
        })?;
    }
    Ok(())
}
