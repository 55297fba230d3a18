//! Where results go: [`draft`] writes files that appear whole or not at all, [`table`] CSV tables.

mod destination;
pub mod draft;
pub mod table;
mod temporary;

use std::path::Path;

pub use draft::{Draft, shown};
pub use table::Table;

use crate::error::Result;

/// Prints a whole result on standard output.
pub fn print(text: &str) -> Result<()> {
    Draft::create(Path::new("-"))?.complete(text.as_bytes())
}
