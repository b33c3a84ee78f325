//! Why both refuse a case, by classes: what the original raises, and what Donjon says instead.

use donjon_drivers::source::{OpenError, ReadError, option::DEFAULT};

/// A refusal of both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refused {
    /// What is refused.
    what: What,
    /// The class of what it raises.
    raised: String,
    /// Donjon's.
    class: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// To open it.
    Open,
    /// To tell an option of a group.
    OfGroup,
    /// To tell one that has none.
    OfDefault,
}

impl Refused {
    /// Both do not open it. The original ends at one error; Donjon tells all, that one among them.
    pub(super) fn to_open(raised: &str, errors: &[OpenError]) -> Self {
        let refused = |error| Self { what: What::Open, raised: raised.to_owned(), class: of_opening(error) };
        let agreed = errors.iter().map(refused).find(Self::agree);
        agreed.unwrap_or_else(|| refused(&errors[0]))
    }

    /// Both do not tell an option.
    pub(super) fn to_tell(raised: &str, group: &str, error: &ReadError) -> Self {
        let what = if group == DEFAULT { What::OfDefault } else { What::OfGroup };
        Self { what, raised: raised.to_owned(), class: of_reading(error) }
    }

    /// Whether that is one reason. Where a source does not tell, the original goes on with nothing in its place, or with what
    /// castellan made of the record, and may end at whatever comes of that.
    pub(super) fn agree(&self) -> bool {
        let untold = self.what != What::Open && self.class == "source";
        untold || AGREED.contains(&(self.what, self.raised.as_str(), self.class))
    }
}

fn of_opening(error: &OpenError) -> &'static str {
    match error {
        OpenError::File(_) => "file",
        OpenError::Ini { .. } => "ini",
        OpenError::Value { source, .. } => of_reading(source),
        OpenError::Settings(_) => "settings",
        OpenError::Source { .. } => "source",
    }
}

fn of_reading(error: &ReadError) -> &'static str {
    match error {
        ReadError::Undeclared { .. } => "undeclared",
        ReadError::Reference { .. } => "reference",
        ReadError::Circular { .. } => "circular",
        ReadError::Invalid { .. } => "invalid",
        ReadError::Source(_) => "source",
    }
}

const AGREED: [(What, &str, &str); 23] = [
    (What::Open, "ConfigFileParseError", "ini"),
    (What::Open, "UnicodeDecodeError", "ini"),
    (What::Open, "ConfigFileValueError", "invalid"),
    (What::Open, "ConfigSourceValueError", "invalid"),
    (What::Open, "ValueError", "invalid"),
    // Of arguments it prints what is wrong and ends.
    (What::Open, "SystemExit", "invalid"),
    (What::Open, "NoSuchGroupError", "reference"),
    (What::Open, "NoSuchOptError", "reference"),
    (What::Open, "RecursionError", "circular"),
    // Settings of a source: one that is missing or no number, and an address that is none.
    (What::Open, "RequiredOptError", "settings"),
    (What::Open, "ConfigFileValueError", "settings"),
    (What::Open, "ConfigFileValueError", "source"),
    (What::OfGroup, "ConfigFileValueError", "invalid"),
    (What::OfGroup, "ConfigSourceValueError", "invalid"),
    (What::OfGroup, "ValueError", "invalid"),
    (What::OfGroup, "NoSuchGroupError", "reference"),
    (What::OfGroup, "NoSuchOptError", "reference"),
    (What::OfGroup, "RecursionError", "circular"),
    // Of an option that is in no group it calls all but invalid values by one name.
    (What::OfDefault, "ConfigFileValueError", "invalid"),
    (What::OfDefault, "ConfigSourceValueError", "invalid"),
    (What::OfDefault, "ValueError", "invalid"),
    (What::OfDefault, "NoSuchOptError", "reference"),
    (What::OfDefault, "NoSuchOptError", "circular"),
];
