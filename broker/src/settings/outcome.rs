//! What an error of a source amounts to: its exit code, its causes, what to do.

use crate::failure::{Exit, Failure};
use donjon_drivers::{
    source::{OpenError, ReadError, SourceError},
    store::StoreError,
};
use std::error::Error;

/// Why a configuration cannot be opened: everything that is wrong, at once.
pub fn opening(errors: &[OpenError]) -> Failure {
    let code = errors.iter().map(of_opening).max_by_key(|exit| *exit == Exit::Usage);
    let mut failure = Failure::new(code.unwrap_or(Exit::Usage), "the configuration cannot be opened");
    failure.causes = errors.iter().map(|error| chain(error)).collect();
    failure.hint("oslo.config starts a service on its defaults when a source fails; here nothing is guessed")
}

/// Why an option cannot be told.
pub fn reading(error: &ReadError) -> Failure {
    let failure = Failure::new(of_reading(error), "cannot tell what the service would see").because(error);
    match error {
        ReadError::Reference { .. } => failure.hint("`--set [GROUP.]OPTION=VALUE` says what the service's default is"),
        ReadError::Undeclared { .. }
        | ReadError::Circular { .. }
        | ReadError::Invalid { .. }
        | ReadError::Source(_) => failure,
    }
}

/// An error and what it was caused by, in a line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // A failure of the broker has lines of its own.
        text = format!("{text}: {}", cause.to_string().replace('\n', "; "));
        next = cause.source();
    }
    text
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
