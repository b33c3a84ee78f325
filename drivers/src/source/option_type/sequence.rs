//! Lists and maps: items between commas, where an item that is not valid is tried again with the next one joined on.

use super::{Bounds, Invalid, OptionType};
use crate::source::{Text, Value, python::strip};

/// Items between commas.
pub(super) fn list(item: &OptionType, bounds: Bounds, text: &str) -> Result<Vec<Value>, Invalid> {
    let text = inside(strip(text).trim_end_matches(','), bounds, ('[', ']'))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut read = Vec::new();
    let mut items = text.split(',');
    while let Some(first) = items.next() {
        read.push(joined(first, &mut items, |text| item.read(strip(text)))?);
    }
    Ok(read)
}

/// `key:value` between commas.
pub(super) fn map(value: &OptionType, bounds: Bounds, text: &str) -> Result<Vec<(Text, Value)>, Invalid> {
    let text = inside(strip(text), bounds, ('{', '}'))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut read: Vec<(Text, Value)> = Vec::new();
    let mut pairs = text.split(',');
    while let Some(first) = pairs.next() {
        let (key, value) = joined(first, &mut pairs, |text| {
            let (key, text) = text.split_once(':').ok_or(Invalid("a `key:value` is expected"))?;
            Ok((strip(key).to_owned(), value.read(strip(text))?))
        })?;
        if key.is_empty() {
            return Err(Invalid("a key is empty"));
        }
        // EXPOSE: compared
        if read.iter().any(|(known, _)| known.expose() == key) {
            return Err(Invalid("a key stands twice"));
        }
        read.push((key.into(), value));
    }
    Ok(read)
}

fn inside(text: &str, bounds: Bounds, (open, close): (char, char)) -> Result<&str, Invalid> {
    match bounds {
        Bounds::Bare => Ok(text),
        Bounds::Bracketed => {
            let rest = text.strip_prefix(open).ok_or(Invalid("a bracket is expected at its beginning"))?;
            text.strip_suffix(close).ok_or(Invalid("a bracket is expected at its end"))?;
            Ok(rest.strip_suffix(close).unwrap_or_default())
        }
    }
}

/// The first part, or as many joined on as make it valid.
fn joined<'a, T>(
    first: &str,
    rest: &mut impl Iterator<Item = &'a str>,
    read: impl Fn(&str) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    let mut text = first.to_owned();
    loop {
        match (read(&text), ()) {
            (Ok(value), ()) => return Ok(value),
            (Err(invalid), ()) => {
                let next = rest.next().ok_or(invalid)?;
                text.push(',');
                text.push_str(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(item: OptionType, bounds: Bounds, text: &str) -> Option<String> {
        list(&item, bounds, text).ok().map(|items| Value::List(items).text().to_string())
    }

    #[test]
    fn items_are_joined_until_they_are_valid() {
        let maps = OptionType::Map { value: Box::new(OptionType::text()), bounds: Bounds::Bracketed };
        let read = list_of(maps, Bounds::Bare, "{a:1,b:2},{c:3}");
        assert_eq!(read.as_deref(), Some("[{'a': '1', 'b': '2'}, {'c': '3'}]"));
        assert_eq!(list_of(OptionType::port(), Bounds::Bare, "1,x"), None);
    }

    #[test]
    fn commas_at_the_end_go_and_those_between_do_not() {
        assert_eq!(list_of(OptionType::text(), Bounds::Bare, " a, ,b,, ").as_deref(), Some("['a', '', 'b']"));
        assert_eq!(list_of(OptionType::text(), Bounds::Bracketed, "[a,],").as_deref(), Some("['a', '']"));
        assert_eq!(list_of(OptionType::text(), Bounds::Bracketed, "["), None);
    }

    #[test]
    fn a_key_stands_once() {
        for bad in ["a:1,a:2", ":1", "a"] {
            assert!(map(&OptionType::text(), Bounds::Bare, bad).is_err(), "{bad}");
        }
    }
}
