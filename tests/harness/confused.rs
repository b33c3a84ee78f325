//! JSON of the wrong types, each with a canary in it, as those send it who want it repeated in an error or a log.

use serde_json::{Map, Value, json};

/// What is sent in the place of something, and is to be found nowhere. It is no name of a secret.
pub const CANARY: &str = "Canary 4711 of nobody";

/// JSON texts of one field, whole and broken, of every type and never of the one that was asked for: an object of text.
pub fn texts(field: &str) -> Vec<String> {
    let deep = |open: &str| format!("{}\"{CANARY}\"", open.repeat(40));
    let odd = [
        json!({ field: [CANARY] }),
        json!({ field: { CANARY: 1 } }),
        json!({ field: { "x": CANARY } }),
        json!({ field: [[CANARY], { CANARY: [CANARY] }] }),
        json!({ CANARY: CANARY, field: 1.5 }),
        json!({ CANARY: CANARY, field: true }),
        json!({ CANARY: null, field: null }),
        json!([{ field: CANARY }]),
        json!(CANARY),
    ];
    let broken = [
        format!(r#"{{"{field}":"{CANARY}"#),
        format!(r#"{{"{field}":{CANARY}}}"#),
        format!(r#"{{"{field}":"\u{CANARY}"}}"#),
        format!(r#"{{"{field}":"\ud800{CANARY}"}}"#),
        format!(r#"{{"{CANARY}":1e999,"{field}":1e999}}"#),
        format!(r#"{{"{field}":1}} {CANARY}"#),
        format!(r#"{{"{field}":1,"{field}":["{CANARY}"]}}"#),
        format!("{{\"{field}\":\"{CANARY}\u{1}\"}}"),
        deep(&format!(r#"{{"{field}":"#)),
        deep("["),
        CANARY.to_owned(),
    ];
    odd.iter().map(Value::to_string).chain(broken).collect()
}

/// A document with each of its values in turn replaced by values of other types; text stands only where none was.
pub fn instead(of: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    replaced(of, &mut |whole| all.push(whole));
    all
}

fn replaced(value: &Value, tell: &mut dyn FnMut(Value)) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let with = |inner: Value| {
                    let mut fields: Map<String, Value> = fields.clone();
                    fields.insert(name.clone(), inner);
                    Value::Object(fields)
                };
                replaced(inner, &mut |inner| tell(with(inner)));
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let with = |inner: Value| {
                    let mut items = items.clone();
                    items[index] = inner;
                    Value::Array(items)
                };
                replaced(inner, &mut |inner| tell(with(inner)));
            }
            tell(json!(CANARY));
        }
        Value::Null => {}
        Value::String(_) => tell(json!([CANARY])),
        Value::Bool(_) | Value::Number(_) => {
            tell(json!(CANARY));
            tell(json!([CANARY]));
        }
    }
    if !value.is_null() {
        tell(json!({ CANARY: CANARY }));
    }
}
