//! URLs with credentials as views: the template that makes one of the secrets that are its passwords.

use crate::views::RESERVED;
use donjon_policies::name::SecretName;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use std::{collections::BTreeSet, ops::Range};

/// A template and the secrets in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The template, as `views` of the deployment file have it. No value is in it.
    pub template: String,
    /// Its secrets.
    pub secrets: BTreeSet<SecretName>,
}

/// The view that is this text, where each password in it is a secret that is known; `None` where one is not, or none is there.
pub fn assembled(text: &str, mut known: impl FnMut(&str) -> Option<SecretName>) -> Option<Assembled> {
    // A brace would be a placeholder's.
    if text.contains(['{', '}']) {
        return None;
    }
    let places = passwords(text);
    let (mut template, mut at, mut secrets) = (String::new(), 0, BTreeSet::new());
    for place in places.iter().cloned() {
        let written = &text[place.clone()];
        let plain = percent_decode_str(written).decode_utf8().ok()?;
        let name = known(&plain)?;
        let encoding = match () {
            () if utf8_percent_encode(&plain, RESERVED).to_string() == written => ":url",
            () if plain == written => "",
            // Encoded otherwise than a view would be: it would not come out as it is.
            () => return None,
        };
        template.push_str(&text[at..place.start]);
        template.push_str(&format!("{{{name}{encoding}}}"));
        at = place.end;
        secrets.insert(name);
    }
    template.push_str(&text[at..]);
    (!places.is_empty()).then_some(Assembled { template, secrets })
}

/// Where the passwords of a URL are: one for each of its hosts.
pub(super) fn passwords(text: &str) -> Vec<Range<usize>> {
    let Some(begin) = text.find("://").map(|at| at + 3) else { return Vec::new() };
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |length| begin + length);
    let mut all = Vec::new();
    let mut at = begin;
    for host in text[begin..end].split(',') {
        if let Some((user, _)) = host.rsplit_once('@')
            && let Some((name, password)) = user.split_once(':')
        {
            let start = at + name.len() + 1;
            all.push(start..start + password.len());
        }
        at += host.len() + 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{Ingredient, assemble};
    use donjon_drivers::material::Material;
    use std::collections::BTreeMap;

    fn of(text: &str, value: &str) -> Option<String> {
        let known = |password: &str| (password == value).then(|| "p".parse().unwrap());
        let assembled = assembled(text, known)?;
        // It comes out as it was.
        let (name, material) = ("p".parse().unwrap(), Material::from(value.to_owned()));
        let parts = BTreeMap::from([(name, Ingredient { value: &material, user: None })]);
        let made = assemble(&assembled.template, &parts).unwrap();
        assert_eq!(made.expose_text().unwrap(), text); // EXPOSE: a test value
        Some(assembled.template)
    }

    #[test]
    fn a_password_becomes_a_placeholder_and_all_else_stays() {
        for (text, value, wanted) in [
            (
                "mysql+pymysql://k:abc-1@10.0.0.1:3306/k?charset=utf8",
                "abc-1",
                Some("mysql+pymysql://k:{p:url}@10.0.0.1:3306/k?charset=utf8"),
            ),
            ("rabbit://u:abc@h1:5672,u:abc@h2:5672//", "abc", Some("rabbit://u:{p:url}@h1:5672,u:{p:url}@h2:5672//")),
            ("mysql://k:a%40b@h/k", "a@b", Some("mysql://k:{p:url}@h/k")),
            ("mysql://k:a!b@h/k", "a!b", Some("mysql://k:{p}@h/k")),
            // Lower-case hexadecimal is not what a view would write.
            ("mysql://k:a%2fb@h/k", "a/b", None),
            ("mysql://k:other@h/k", "abc", None),
            ("rabbit://u:abc@h1,u:other@h2//", "abc", None),
            ("mysql://k@h/k", "abc", None),
            ("mysql://k:abc@h/{k}", "abc", None),
            ("abc", "abc", None),
        ] {
            assert_eq!(of(text, value).as_deref(), wanted, "{text}");
        }
    }
}
