//! nova's cell mappings, in the table where its API database keeps them: the URLs of each cell's database and messages.
//!
//! [`place`] is where a nova says that its API database is; [`table`] reads the rows and changes them.

pub mod place;
pub mod table;

pub use place::{NoPlace, Place};
pub use table::{Cell, CellsError, Change, Column, Table};
