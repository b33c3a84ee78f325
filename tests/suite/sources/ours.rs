//! What Donjon makes of a case, in the words of the oracle.

use super::{
    case::{Case, Given},
    scene::Scene,
};
use donjon_drivers::source::{
    Argument, Configuration, Known, OpenError, Origin, ReadError, Sought, Text, Value, environment::Environment,
    outside::NoBroker,
};
use serde_json::json;
use std::{ffi::OsString, os::unix::ffi::OsStringExt, sync::Arc};

/// What Donjon makes of a case.
pub(super) type Made = Result<Vec<Result<(serde_json::Value, Origin), ReadError>>, Vec<OpenError>>;

pub(super) async fn make(case: &Case, scene: &Scene) -> Made {
    let known = Known::Only(case.options.iter().map(|option| (option.option(), option.declaration())).collect());
    let configuration = Configuration::open(sought(case, scene, known)).await?;
    let mut made = Vec::new();
    for option in &case.options {
        let found = configuration.read(&option.option()).await;
        made.push(found.map(|found| (shown(&found.value), found.origin)));
    }
    Ok(made)
}

/// The same without having been told which options there are, as `donjon config` reads: it is told of each what it asks for.
pub(super) async fn make_untaught(case: &Case, scene: &Scene) -> Made {
    let configuration = Configuration::open(sought(case, scene, Known::Any)).await?;
    let mut made = Vec::new();
    for option in &case.options {
        let found = configuration.read_as(&option.option(), &option.declaration()).await;
        made.push(found.map(|found| (shown(&found.value), found.origin)));
    }
    Ok(made)
}

fn sought(case: &Case, scene: &Scene, known: Known) -> Sought {
    let arguments = case
        .arguments
        .iter()
        .map(|argument| match argument {
            Given::File(name) => Argument::File(scene.path(name)),
            Given::Folder(name) => Argument::Folder(scene.path(name)),
            Given::Option(index, text) => Argument::Option(case.options[*index].option(), Text::from(text.as_str())),
        })
        .collect();
    let variable = |(name, value): &(String, String)| {
        (OsString::from(name), OsString::from_vec(hex::decode(value).expect("a value is in hex")))
    };
    let environment: Environment = case.environment.iter().map(variable).collect();
    Sought { arguments, environment, known, broker: Arc::new(NoBroker) }
}

fn shown(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Text(text) => json!({"text": hex::encode(text.expose())}), // EXPOSE: a test value
        Value::Integer(digits) => json!({"integer": digits.expose()}),    // EXPOSE: a test value
        Value::Float(number) => json!({"float": hexadecimal(*number)}),
        Value::Switch(switch) => json!({"switch": switch}),
        Value::List(items) => json!({"list": items.iter().map(shown).collect::<Vec<_>>()}),
        Value::Map(entries) => {
            let entry = |(key, value): &(Text, Value)| {
                json!([{"text": hex::encode(key.expose())}, shown(value)]) // EXPOSE: a test value
            };
            json!({"map": entries.iter().map(entry).collect::<Vec<_>>()})
        }
    }
}

/// Python's `float.hex`.
fn hexadecimal(number: f64) -> String {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return format!("{sign}inf");
    }
    let (exponent, fraction) = ((number.to_bits() >> 52) & 0x7ff, number.to_bits() & ((1 << 52) - 1));
    match (exponent, fraction) {
        (0, 0) => format!("{sign}0x0.0p+0"),
        (0, fraction) => format!("{sign}0x0.{fraction:013x}p-1022"),
        (exponent, fraction) => {
            format!("{sign}0x1.{fraction:013x}p{:+}", i64::try_from(exponent).expect("eleven bits") - 1023)
        }
    }
}
