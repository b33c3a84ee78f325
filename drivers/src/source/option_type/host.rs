//! IP addresses and host names.

use super::{Invalid, Version};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a host name may hold `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Underscore {
    Yes,
    No,
}

/// Checks an IP address.
pub(super) fn address(text: &str, version: Option<Version>) -> Result<(), Invalid> {
    let (four, six) = (text.parse::<Ipv4Addr>().is_ok(), text.parse::<Ipv6Addr>().is_ok());
    match (version, four, six) {
        (Some(Version::V4), true, _) | (Some(Version::V6), _, true) | (None, true, _) | (None, _, true) => Ok(()),
        (Some(Version::V4), false, _) => Err(Invalid("it is no IPv4 address")),
        (Some(Version::V6), _, false) => Err(Invalid("it is no IPv6 address")),
        (None, false, false) => Err(Invalid("it is no IP address")),
    }
}

/// Checks a host name, and gives it without the dot at its end.
pub(super) fn name(text: &str, underscore: Underscore) -> Result<&str, Invalid> {
    if text.is_empty() {
        return Err(Invalid("a host name is empty"));
    }
    if text.chars().count() > 253 {
        return Err(Invalid("a host name is longer than 253 characters"));
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    if !last.contains(|c: char| c.is_ascii_alphabetic() || c == '-') {
        return Err(Invalid("a host name does not end with a number"));
    }
    match text.split('.').all(|segment| is_segment(segment, underscore)) {
        true => Ok(text),
        false => Err(Invalid("it is no host name")),
    }
}

/// Checks an IP address or host name.
pub(super) fn host(text: &str) -> Result<&str, Invalid> {
    address(text, None).map(|()| text).or_else(|_| name(text, Underscore::No))
}

/// As [`host`], where a name may hold `_`.
pub(super) fn domain(text: &str) -> Result<&str, Invalid> {
    host(text).or_else(|_| name(text, Underscore::Yes))
}

/// One part of a host name. Without regard to case, Python's `[A-Z]` takes in four letters that are not ASCII, and its `$`
/// stands before a line feed at the end.
fn is_segment(segment: &str, underscore: Underscore) -> bool {
    let segment = segment.strip_suffix('\n').unwrap_or(segment);
    let fits = |c: char| {
        c.is_ascii_alphanumeric()
            || c == '-'
            || matches!(c, 'İ' | 'ı' | 'ſ' | '\u{212a}')
            || (c == '_' && underscore == Underscore::Yes)
    };
    (1..=63).contains(&segment.chars().count())
        && !segment.starts_with('-')
        && !segment.ends_with('-')
        && segment.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        assert_eq!(host("10.0.0.1"), Ok("10.0.0.1"));
        assert_eq!(host("a.example."), Ok("a.example"));
        assert_eq!(domain("a_b.example"), Ok("a_b.example"));
        for bad in ["10.0.0.256", "a_b", "-a", "a-", "", "a..b", &"a".repeat(64)] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert!(address("::1", Some(Version::V4)).is_err());
        assert!(address("::1", None).is_ok());
        assert!(address("01.2.3.4", None).is_err());
    }
}
