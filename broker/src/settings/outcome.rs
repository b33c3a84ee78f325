//! What an error of a source amounts to: its exit code, its causes, what to do.

use crate::failure::{Exit, Failure};
use donjon_drivers::{
    source::{OpenError, OptionName, ReadError, SourceError},
    store::StoreError,
};
use std::error::Error;

/// Why a configuration cannot be opened: everything that is wrong, at once.
pub fn opening(errors: &[OpenError]) -> Failure {
    let code = errors.iter().map(of_opening).max_by_key(|exit| *exit == Exit::Usage);
    let failure = Failure::new(code.unwrap_or(Exit::Usage), "the configuration cannot be opened");
    let failure = match errors {
        [only] => because(failure, only),
        several => several.iter().fold(failure, |failure, error| with_ends(failure.cause(chain(error)), error)),
    };
    or_hint(failure, "oslo.config starts a service on its defaults when a source fails; here nothing is guessed")
}

/// Why an option cannot be told.
pub fn reading(error: &ReadError) -> Failure {
    let failure = because(Failure::new(of_reading(error), "cannot tell what the service would see"), error);
    match error {
        ReadError::Reference { .. } => failure.hint(SETS),
        ReadError::Undeclared { .. }
        | ReadError::Circular { .. }
        | ReadError::Invalid { .. }
        | ReadError::Source(_) => failure,
    }
}

/// Why some options cannot be told: each cause once, with the options that have it. The code is theirs; of several, the lowest, since
/// what is wrong in a file does not pass as a source that is down does.
pub fn untold(untold: &[(OptionName, ReadError)]) -> Failure {
    let codes = untold.iter().map(|(_, error)| of_reading(error));
    let code = codes.min_by_key(|code| u8::from(*code)).unwrap_or(Exit::Failed);
    let failure = Failure::new(code, "some options cannot be told")
        .state("the others are told; nothing was guessed, and nothing was changed");
    let mut causes: Vec<(String, Vec<&OptionName>)> = Vec::new();
    for (option, error) in untold {
        let why = why(error);
        match causes.iter_mut().find(|(known, _)| *known == why) {
            Some((_, options)) => options.push(option),
            None => causes.push((why, vec![option])),
        }
    }
    let told = |(why, options): (String, Vec<&OptionName>)| {
        let some: Vec<String> = options.iter().take(MOST_OPTIONS).map(ToString::to_string).collect();
        let more = options.len() - some.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more}: {why}", some.join(", "))
    };
    let failure = causes.into_iter().map(told).fold(failure, Failure::cause);
    let failure = untold.iter().fold(failure, |failure, (_, error)| with_ends(failure, error));
    let refers = untold.iter().any(|(_, error)| matches!(error, ReadError::Reference { .. }));
    let again = "the same command tells them once it answers";
    match (code, refers) {
        (_, true) => or_hint(failure, SETS),
        (Exit::Unavailable, false) => or_hint(failure, again),
        (_, false) => or_hint(failure, "`donjon config get` with the same files tells one of them by itself"),
    }
}

/// Why, without the option.
fn why(error: &ReadError) -> String {
    if let ReadError::Source(source) = error {
        if let SourceError::Store { source, .. } = &**source {
            return chain(source);
        }
        if let SourceError::Optional { source, .. } = &**source {
            return chain(source);
        }
    }
    chain(error)
}

/// How many options a cause names.
const MOST_OPTIONS: usize = 8;

/// An error and what it was caused by, in a line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).join(": ")
}

const SETS: &str = "`--set [GROUP.]OPTION=VALUE` says what the service's default is";

/// An error and what it was caused by. What the broker says has causes of its own.
fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut all = Vec::new();
    for cause in with_causes(error) {
        match cause.downcast_ref::<Failure>() {
            Some(Failure { message, causes, .. }) => all.extend(std::iter::once(message).chain(causes).cloned()),
            None => all.push(cause.to_string()),
        }
    }
    all
}

fn with_causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

fn because(mut failure: Failure, error: &(dyn Error + 'static)) -> Failure {
    failure.causes.extend(causes(error));
    with_ends(failure, error)
}

/// With what the broker says of how things are and what to do, where nothing is said yet.
fn with_ends(mut failure: Failure, error: &(dyn Error + 'static)) -> Failure {
    if let Some(said) = with_causes(error).find_map(|error| error.downcast_ref::<Failure>()) {
        failure.state = failure.state.or_else(|| said.state.clone());
        failure.hint = failure.hint.or_else(|| said.hint.clone());
    }
    failure
}

fn or_hint(failure: Failure, hint: &str) -> Failure {
    if failure.hint.is_some() { failure } else { failure.hint(hint) }
}

fn of_opening(error: &OpenError) -> Exit {
    match error {
        OpenError::File(_) | OpenError::Ini { .. } | OpenError::Settings(_) => Exit::Usage,
        OpenError::Value { source, .. } => of_reading(source),
        OpenError::Source { source, .. } => of_source(source),
    }
}

/// The exit code of an option that cannot be told.
pub fn of_reading(error: &ReadError) -> Exit {
    match error {
        ReadError::Undeclared { .. } => Exit::NotThere,
        ReadError::Reference { .. } => Exit::Ambiguous,
        ReadError::Circular { .. } | ReadError::Invalid { .. } => Exit::Usage,
        ReadError::Source(source) => of_source(source),
    }
}

fn of_source(error: &SourceError) -> Exit {
    match error {
        SourceError::Unreachable { .. } | SourceError::Status { .. } => Exit::Unavailable,
        SourceError::Denied { .. } | SourceError::Forbidden { .. } => Exit::NotAllowed,
        SourceError::Missing { .. } => Exit::NotThere,
        SourceError::Optional { source, .. } => of_source(source),
        SourceError::Unusable { .. } | SourceError::File(_) | SourceError::Ini { .. } => Exit::Usage,
        SourceError::Store { source, .. } => match source {
            StoreError::Denied { .. } => Exit::NotAllowed,
            StoreError::Sealed | StoreError::Unreachable { .. } => Exit::Unavailable,
            StoreError::Conflict { .. }
            | StoreError::Full { .. }
            | StoreError::Damaged { .. }
            | StoreError::Answer { .. } => Exit::Failed,
        },
        SourceError::Broker { source, .. } => {
            source.downcast_ref::<Failure>().map_or(Exit::Unavailable, |failure| failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> SourceError {
        let failure = Failure::new(Exit::Unavailable, "donjon is not up")
            .cause("there is no socket at /s")
            .state("nothing was asked")
            .hint("`donjon up` starts it");
        SourceError::Broker { place: "/s".to_owned(), source: Box::new(failure) }
    }

    #[test]
    fn what_the_broker_says_is_told_as_it_says_it() {
        let opened = || OpenError::Source { group: "s".to_owned(), source: Box::new(down()) };
        let told = opening(&[opened()]);
        let why = [
            "the source `s` cannot be opened",
            "the broker at /s cannot tell",
            "donjon is not up",
            "there is no socket at /s",
        ];
        assert_eq!(told.causes, why);
        let ends = |failure: &Failure| (failure.code, failure.state.clone(), failure.hint.clone());
        let said = (Exit::Unavailable, Some("nothing was asked".to_owned()), Some("`donjon up` starts it".to_owned()));
        assert_eq!(ends(&told), said);
        // Of several, each in a line.
        let wrong = OpenError::Value {
            option: OptionName::new("s", "driver"),
            source: Box::new(ReadError::Circular { option: OptionName::new("s", "driver") }),
        };
        let told = opening(&[wrong, opened()]);
        assert_eq!(told.causes, ["cannot tell [s] driver: [s] driver refers to itself".to_owned(), why.join(": ")]);
        assert_eq!((told.code, told.hint), (Exit::Usage, said.2.clone()));
        let told = reading(&ReadError::from(down()));
        assert_eq!((&told.causes[..], ends(&told)), (&why.map(str::to_owned)[1..], said));
    }

    #[test]
    fn a_cause_of_several_options_is_told_once_and_the_code_is_theirs() {
        let option = |name: &str| OptionName::new("g", name);
        let sealed = |name: &str| {
            let source = StoreError::Sealed;
            (option(name), ReadError::from(SourceError::Store { option: option(name), source }))
        };
        let told = untold(&[sealed("a"), sealed("b")]);
        assert_eq!(
            (told.code, &told.causes[..]),
            (Exit::Unavailable, &["[g] a, [g] b: the store is sealed".to_owned()][..])
        );
        assert!(told.state.is_some() && told.hint.unwrap().contains("once it answers"));
        let circular = (option("c"), ReadError::Circular { option: option("c") });
        let told = untold(&[sealed("a"), circular]);
        assert_eq!((told.code, told.causes.len()), (Exit::Usage, 2));
        let many: Vec<_> = (0..MOST_OPTIONS + 3).map(|number| sealed(&number.to_string())).collect();
        assert!(untold(&many).causes[0].contains("[g] 7 and 3 more: the store"), "{:?}", untold(&many).causes);
        let told = untold(&[(option("a"), ReadError::from(down()))]);
        assert_eq!(told.hint.as_deref(), Some("`donjon up` starts it"));
    }
}
