//! Sinks: files that hold a value in clear because their reader knows no store.

use serde::Serialize;
use std::fmt;

/// A file that a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Sink {
    /// Its path on the host, absolute; `*` stands for one segment that differs by deployment.
    pub path: String,
    /// Its permissions.
    pub mode: Mode,
    /// Where its bytes lie.
    pub medium: Medium,
    /// Who writes it.
    pub writer: Writer,
    /// The option in it that holds the value, where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
}

/// Unix permissions, at most 0777.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Mode(u16);

/// Where a sink's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// In memory, gone with the host's power.
    Tmpfs,
    /// On a disk, because its reader or writer wants it there.
    Disk,
}

/// Who writes a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writer {
    /// The deployer's own tasks.
    Deployer,
    /// Donjon.
    Donjon,
    /// The service itself, or a tool of it.
    Service,
}

impl Mode {
    /// Reads octal digits, with or without leading zeros; `None` above 0777.
    pub fn read(word: &str) -> Option<Mode> {
        let digits = word.strip_prefix("0o").unwrap_or(word);
        let octal = !digits.is_empty() && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode = octal.then(|| u16::from_str_radix(digits, 8).ok()).flatten()?;
        (mode <= 0o777).then_some(Mode(mode))
    }

    /// The bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_however_it_is_written() {
        for word in ["0600", "600", "0o600"] {
            assert_eq!(Mode::read(word).map(Mode::bits), Some(0o600), "{word}");
        }
        for bad in ["", "0o", "888", "1777", "+600", "rw-", "99999999999"] {
            assert_eq!(Mode::read(bad), None, "{bad:?}");
        }
        assert_eq!(Mode::read("40").map(|mode| mode.to_string()).as_deref(), Some("0040"));
    }
}
