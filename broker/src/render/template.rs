//! One template: its text in, the file's content out.

use donjon_drivers::{material::Material, store::secret::Part};
use donjon_policies::name::SecretName;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig, value::Kwargs,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// What a template became.
#[derive(Debug)]
pub struct Rendered {
    /// The file's content.
    pub content: Material,
    /// The secrets that are in it.
    pub secrets: BTreeSet<SecretName>,
}

/// Why a template became nothing. It holds no value, and no text of the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is wrong.
    #[error("line {line}: {what}")]
    Wrong {
        /// The line, from 1.
        line: usize,
        /// What is wrong, in the engine's own fixed words.
        what: String,
    },
    /// A secret was not to be had.
    #[error("line {line}: {why}")]
    Secret {
        /// The line, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

/// Answers with a value, or says why not.
pub type Answer = Box<dyn FnMut(&SecretName, Part) -> Result<Material, String> + Send>;

struct Asked {
    answer: Answer,
    values: BTreeMap<(SecretName, Part), Material>,
    refused: Option<String>,
}

/// Renders a template. `answer` is asked once for each secret, and handed back.
pub fn render(text: &str, answer: Answer) -> (Result<Rendered, TemplateError>, Answer) {
    let asked = Arc::new(Mutex::new(Asked { answer, values: BTreeMap::new(), refused: None }));
    let content = content(text, &asked);
    let asked = std::mem::replace(
        &mut *asked.lock().unwrap_or_else(PoisonError::into_inner),
        Asked { answer: Box::new(|_, _| Err(String::new())), values: BTreeMap::new(), refused: None },
    );
    let secrets = asked.values.keys().map(|(name, _)| name.clone()).collect();
    let rendered = match (content, asked.refused) {
        (Ok(content), _) => Ok(Rendered { content: Material::from(content), secrets }),
        (Err(error), Some(why)) => Err(TemplateError::Secret { line: error.line().unwrap_or(0), why }),
        (Err(error), None) => Err(wrong(&error)),
    };
    (rendered, asked.answer)
}

fn content(text: &str, asked: &Arc<Mutex<Asked>>) -> Result<String, Error> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // Whatever the file is called: a value is written as it is, or as the template says.
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    let asked = asked.clone();
    engine.add_function("secret", move |name: String, options: Kwargs| -> Result<Value, Error> {
        let (part, encoding): (Option<String>, Option<String>) = (options.get("part")?, options.get("encoding")?);
        options.assert_all_used()?;
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.value(&name, part.as_deref(), encoding.as_deref()).map_err(|why| {
            asked.refused = Some(why);
            Error::from(ErrorKind::InvalidOperation)
        })
    });
    engine.template_from_str(text)?.render(())
}

impl Asked {
    fn value(&mut self, name: &str, part: Option<&str>, encoding: Option<&str>) -> Result<Value, String> {
        // A value that is taken for a name would end in a message.
        let is_value = |value: &Material| value.expose() == name.as_bytes(); // EXPOSE: compared
        if self.values.values().any(is_value) {
            return Err("a secret's value is no name".to_owned());
        }
        let name: SecretName = name.parse().map_err(|_| "this is no name of a secret".to_owned())?;
        let part = match part {
            None => Part::Whole,
            Some("private_key") => Part::PrivateKey,
            Some("public_key") => Part::PublicKey,
            Some(_) => return Err("`part` is private_key or public_key".to_owned()),
        };
        let key = (name, part);
        if !self.values.contains_key(&key) {
            let value = (self.answer)(&key.0, part)?;
            self.values.insert(key.clone(), value);
        }
        let value = &self.values[&key];
        // EXPOSE: written into the file, which becomes Material
        let text = value.expose_text().map_err(|_| format!("`{}` is not text", key.0))?;
        Ok(match encoding {
            None | Some("plain") => Value::from(text),
            Some("url") => Value::from(utf8_percent_encode(text, RESERVED).to_string()),
            Some("json") => {
                let quoted = serde_json::Value::from(text).to_string();
                Value::from(&quoted[1..quoted.len() - 1])
            }
            Some("shell") => Value::from(format!("'{}'", text.replace('\'', "'\\''"))),
            Some(_) => return Err("`encoding` is plain, url, json or shell".to_owned()),
        })
    }
}

/// What a parser says of a template is of the template alone; later errors may quote values, so only their kind is told.
fn wrong(error: &Error) -> TemplateError {
    let kind = error.kind();
    let what = match (kind, error.detail()) {
        (ErrorKind::SyntaxError, Some(detail)) => format!("{kind}: {detail}"),
        (_, _) => kind.to_string(),
    };
    TemplateError::Wrong { line: error.line().unwrap_or(0), what }
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(String, Vec<String>), TemplateError> {
        let answer = |name: &SecretName, part: Part| match (name.as_str(), part) {
            ("root", Part::Whole) => Ok(Material::from("p<&'\"/ ä".to_owned())),
            ("name", Part::Whole) => Ok(Material::from("canary".to_owned())),
            ("key", Part::PublicKey) => Ok(Material::from("ssh-rsa A".to_owned())),
            _ => Err(format!("there is no secret `{name}`")),
        };
        let rendered = render(text, Box::new(answer)).0?;
        let content = rendered.content.expose_text().unwrap().to_owned(); // EXPOSE: a test value
        Ok((content, rendered.secrets.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn a_value_is_written_as_it_is_unless_the_template_says_otherwise() {
        let text = "a={{ secret('root') }}\nb={{ secret('root', encoding='url') }}\nc=\"{{ secret('root', encoding='json') }}\"\n\
            d={{ secret('root', encoding='shell') }}\n{% for i in range(2) %}{{ secret('key', part='public_key') }}\n{% endfor %}";
        let expected =
            "a=p<&'\"/ ä\nb=p%3C%26%27%22%2F%20%C3%A4\nc=\"p<&'\\\"/ ä\"\nd='p<&'\\''\"/ ä'\nssh-rsa A\nssh-rsa A\n";
        assert_eq!(of(text).unwrap(), (expected.to_owned(), vec!["key".to_owned(), "root".to_owned()]));
    }

    #[test]
    fn what_is_not_defined_is_an_error_with_its_line() {
        let error = |text: &str| of(text).unwrap_err().to_string();
        assert_eq!(error("a\n{{ nothing }}\n"), "line 2: undefined value");
        assert_eq!(error("{{ secret('nowhere') }}"), "line 1: there is no secret `nowhere`");
        assert!(error("\n\n{{ x").starts_with("line 3: syntax error"));
        for text in [
            "{% include 'x' %}",
            "{% import 'x' as y %}",
            "{{ lookup('env', 'HOME') }}",
            "{{ secret('root', part='x') }}",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_error_holds_a_value() {
        for text in [
            "{{ secret(secret('name')) }}",
            "{{ secret('name') + 1 }}",
            "{{ secret('name')|int }}",
            "{{ secret('name').x.y }}",
            "{{ {}[secret('name')].x }}",
            "{{ secret('name')|round }}",
            "{{ secret('name', encoding=secret('name')) }}",
        ] {
            let error = of(text);
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            assert!(error.is_err(), "{text}");
        }
    }
}
