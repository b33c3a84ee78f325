//! URIs: a scheme and a host must be there and be spelt as RFC 3986 has them.

use super::Invalid;

/// Checks a URI; its scheme must be one of these, where there are any.
pub(super) fn check(text: &str, schemes: &[String]) -> Result<(), Invalid> {
    let missing = Invalid("a URI needs a scheme and a host");
    let (scheme, rest) = text.split_once(':').ok_or(missing)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-'));
    let rest = rest.strip_prefix("//").filter(|_| is_scheme).ok_or(missing)?;
    let (authority, rest) = rest.split_at(rest.find(['\\', '/', '?', '#']).unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(missing);
    }
    // The original's pattern ends before a line feed at the end.
    let authority = authority.strip_suffix('\n').unwrap_or(authority);
    let host_and_port = match authority.rsplit_once('@') {
        Some((user, rest)) if !user.is_empty() && spelt(user, |c| c == ':' || is_unreserved(c) || is_delimiter(c)) => {
            rest
        }
        Some(_) => return Err(Invalid("the user part of a URI is not spelt as it must be")),
        None => authority,
    };
    if !is_host_and_port(host_and_port) {
        return Err(Invalid("the host of a URI is not spelt as it must be"));
    }
    // All else in a path is percent-encoded before it is looked at.
    let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    if path.contains(['[', ']']) {
        return Err(Invalid("the path of a URI is not spelt as it must be"));
    }
    match schemes.is_empty() || schemes.iter().any(|known| known == scheme) {
        true => Ok(()),
        false => Err(Invalid("a URI of this scheme may not stand here")),
    }
}

fn is_host_and_port(text: &str) -> bool {
    if let Some((inner, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return is_port(port) && is_literal(inner);
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    is_port(port) && spelt(host, |c| is_unreserved(c) || is_delimiter(c)) && !is_impossible_ipv4(host)
}

/// Nothing, a colon, or a colon and up to five digits; after a `]` the colon may be left out.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').unwrap_or(text);
    digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_impossible_ipv4(host: &str) -> bool {
    is_ipv4_shaped(host) && host.split('.').any(|byte| byte.parse::<u16>().is_ok_and(|byte| byte > 255))
}

fn is_ipv4_shaped(text: &str) -> bool {
    let bytes: Vec<&str> = text.split('.').collect();
    bytes.len() == 4 && bytes.iter().all(|b| (1..=3).contains(&b.len()) && b.bytes().all(|b| b.is_ascii_digit()))
}

/// What may stand in brackets: an IPv6 address, perhaps with a zone after `%25`, or one of a future version.
fn is_literal(text: &str) -> bool {
    if let Some((version, rest)) = text.strip_prefix('v').and_then(|rest| rest.split_once('.')) {
        let hexadecimal = !version.is_empty() && version.bytes().all(|b| b.is_ascii_hexdigit());
        return hexadecimal
            && !rest.is_empty()
            && rest.chars().all(|c| c == ':' || is_unreserved(c) || is_delimiter(c));
    }
    match text.split_once('%') {
        None => is_ipv6(text),
        Some((address, zone)) => {
            let zone = zone.strip_prefix("25").unwrap_or_default();
            is_ipv6(address) && !zone.is_empty() && spelt(zone, is_unreserved)
        }
    }
}

fn is_ipv6(text: &str) -> bool {
    let is_group = |group: &str| (1..=4).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_hexdigit());
    // How many groups of 16 bits a run of them has; the last may be an IPv4 address.
    let count = |run: &str, ends: bool| -> Option<usize> {
        let groups: Vec<&str> = if run.is_empty() { Vec::new() } else { run.split(':').collect() };
        let ipv4 = ends && groups.last().is_some_and(|last| is_ipv4_shaped(last));
        let hexadecimal = if ipv4 { &groups[..groups.len() - 1] } else { &groups[..] };
        hexadecimal.iter().all(|group| is_group(group)).then_some(groups.len() + usize::from(ipv4))
    };
    match text.split_once("::") {
        None => count(text, true) == Some(8),
        Some((before, after)) => match (count(before, false), count(after, true)) {
            (Some(before), Some(after)) => before + after <= 7,
            (None, _) | (_, None) => false,
        },
    }
}

/// Whether a text has these characters and percent-encoded bytes alone.
fn spelt(text: &str, fits: impl Fn(char) -> bool) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '%' {
            match rest.get(..2) {
                Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => rest = &rest[2..],
                Some(_) | None => return false,
            }
        } else if !fits(c) {
            return false;
        }
    }
    true
}

fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-')
}

fn is_delimiter(c: char) -> bool {
    matches!(c, '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_and_a_host_must_be_there() {
        for good in [
            "http://a",
            "a+b://u:p@h:1/x y",
            "http://:80",
            "http://[::1]:5000/",
            "http://[fe80::1%25eth0]",
            "http://[v1.a:b]",
            "http://h:",
            "mysql+pymysql://u:%40x@[::ffff:1.2.3.4]/db?x=[1]",
            "http://1.2.3",
        ] {
            assert_eq!(check(good, &[]), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "a:b",
            "://a",
            "1a://b",
            "http://",
            "http:///x",
            "http://u@v@h",
            "http://@h",
            "http://h:123456",
            "http://256.1.1.1",
            "http://[fe80::1%eth0]",
            "http://[1:2:3:4:5:6:7:8::]",
            "http://h/[x]",
            "http://h%zz",
            "http://é",
        ] {
            assert!(check(bad, &[]).is_err(), "{bad}");
        }
        assert!(check("ftp://a", &["http".to_owned()]).is_err());
    }
}
