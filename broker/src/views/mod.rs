//! Views: values assembled from secrets, such as a database URL, each with a record of its own.

mod assemble;
mod refresh;

pub use assemble::{Ingredient, RESERVED, ViewError, assemble};
pub use refresh::{Before, RefreshError, Refreshed, View};
