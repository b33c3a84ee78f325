//! A URL of nova's settings, taken apart as nova does it with Python's urllib: nothing is decoded.

use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A URL of nova's settings.
pub struct Setting {
    fields: BTreeMap<String, Option<Zeroizing<String>>>,
    credentials: Vec<Credential>,
}

/// The user and password of one of its hosts, and what tells their fields from those of other hosts.
pub(super) struct Credential {
    /// Nothing, or the number of the host where there are several.
    pub(super) number: String,
    pub(super) user: Zeroizing<String>,
    pub(super) password: Zeroizing<String>,
}

/// A URL that nova cannot take apart, or not to any use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSetting {
    /// No scheme, or no host after it.
    #[error("it is not of the form scheme://user:password@host")]
    Form,
    /// Python raises an error for it.
    #[error("its port is no number")]
    Port,
    /// No host has a user and a password.
    #[error("it has no user with a password")]
    NoCredential,
}

impl Setting {
    /// Takes one apart.
    pub fn of(url: &str) -> Result<Self, NoSetting> {
        let parts = Parts::of(url).ok_or(NoSetting::Form)?;
        if parts.hosts.contains('[') != parts.hosts.contains(']') {
            return Err(NoSetting::Form);
        }
        let (path, fragment) = parts.rest.split_once('#').unwrap_or((parts.rest, ""));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (before, host) =
            parts.hosts.rsplit_once('@').map_or((None, parts.hosts), |(user, host)| (Some(user), host));
        let (name, port) = host_and_port(host)?;
        let (user, password) = match before.map(|user| user.split_once(':').ok_or(user)) {
            None => (None, None),
            Some(Err(user)) => (Some(user), None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
        };
        let scheme = parts.scheme.to_ascii_lowercase();
        let mut fields: BTreeMap<String, Option<Zeroizing<String>>> = [
            ("username", user),
            ("password", password),
            ("hostname", Some(name.to_lowercase().as_str()).filter(|name| !name.is_empty())),
            ("port", port),
            ("scheme", Some(scheme.as_str())),
            ("query", Some(query)),
            ("fragment", Some(fragment)),
            ("path", Some(path.trim_start_matches('/'))),
        ]
        .map(|(name, value)| (name.to_owned(), value.map(|value| Zeroizing::new(value.to_owned()))))
        .into();
        let several = parts.hosts.contains(',');
        let mut credentials = Vec::new();
        for (number, host) in (1..).zip(parts.hosts.split(',')) {
            let number = if several { format!("{number}") } else { String::new() };
            let (user, host) = host.split_once('@').unwrap_or(("", host));
            let (user, password) = user.split_once(':').map_or((user, None), |(user, value)| (user, Some(value)));
            if several {
                let (name, port) = host_and_port(host)?;
                let all = [("username", Some(user)), ("password", password), ("hostname", Some(name)), ("port", port)];
                fields.extend(all.map(|(field, value)| {
                    (format!("{field}{number}"), value.map(|value| Zeroizing::new(value.to_owned())))
                }));
            }
            if let Some(password) = password {
                let [user, password] = [user, password].map(|text| Zeroizing::new(text.to_owned()));
                credentials.push(Credential { number, user, password });
            }
        }
        if credentials.is_empty() { Err(NoSetting::NoCredential) } else { Ok(Self { fields, credentials }) }
    }

    /// What nova puts in place of a field; `None` for a field that it does not know.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        // What is not there is Python's None, and reads so.
        self.fields.get(name).map(|value| value.as_ref().map_or("None", |value| value.as_str()))
    }

    /// The credentials of its hosts, in their order.
    pub(super) fn credentials(&self) -> &[Credential] {
        &self.credentials
    }
}

/// A URL in three: scheme, hosts with their users, and the rest with its first `/`, `?` or `#`.
pub(super) struct Parts<'a> {
    pub(super) scheme: &'a str,
    pub(super) hosts: &'a str,
    pub(super) rest: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(url: &'a str) -> Option<Self> {
        let (scheme, after) = url.split_once("://")?;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (hosts, rest) = after.split_at(end);
        (!scheme.is_empty()).then_some(Self { scheme, hosts, rest })
    }
}

fn host_and_port(host: &str) -> Result<(&str, Option<&str>), NoSetting> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']').ok_or(NoSetting::Form)?;
            (name, after.strip_prefix(':').unwrap_or_default())
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok((name, Some(port).filter(|port| !port.is_empty()))),
        false => Err(NoSetting::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_python() {
        // As `urllib.parse.urlparse` of Python 3.11 answers.
        let one = Setting::of("MySQL+pymysql://Nova:a%2Fb:c@DB.example:3306/nova?charset=utf8#x").unwrap();
        for (field, wanted) in [
            ("scheme", "mysql+pymysql"),
            ("username", "Nova"),
            ("password", "a%2Fb:c"),
            ("hostname", "db.example"),
            ("port", "3306"),
            ("path", "nova"),
            ("query", "charset=utf8"),
            ("fragment", "x"),
        ] {
            assert_eq!(one.field(field), Some(wanted), "{field}");
        }
        assert_eq!(one.field("password1"), None);
        let several = Setting::of("rabbit://u:p@h1:5672,v:q@[::1]//").unwrap();
        for (field, wanted) in
            [("username1", "u"), ("password2", "q"), ("hostname2", "::1"), ("port1", "5672"), ("port2", "None")]
        {
            assert_eq!(several.field(field), Some(wanted), "{field}");
        }
        assert_eq!(several.field("path"), Some(""));
    }

    #[test]
    fn what_nova_could_not_use_is_none() {
        for (url, wanted) in [
            ("", NoSetting::Form),
            ("sqlite:///nova.db", NoSetting::NoCredential),
            ("mysql://nova@db/nova", NoSetting::NoCredential),
            ("mysql://nova:p@db:x/nova", NoSetting::Port),
            ("mysql://nova:p@[::1/nova", NoSetting::Form),
        ] {
            assert_eq!(Setting::of(url).err(), Some(wanted), "{url}");
        }
    }
}
