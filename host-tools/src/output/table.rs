//! CSV tables.

use std::io;
use std::path::Path;

use super::draft::{Draft, Name};
use crate::error::Result;

/// A CSV table to an output (`-o`), or to standard output.
pub struct Table {
    writer: csv::Writer<Draft>,
    name: Name,
}

impl Table {
    /// Refuses an output that cannot be written or that is one of `inputs`, before any work.
    pub fn check(path: Option<&Path>, inputs: &[&Path]) -> Result<()> {
        Draft::check(or_standard_output(path), inputs)
    }

    /// Starts a table with `header`.
    pub fn create<S: AsRef<str>>(path: Option<&Path>, header: &[S]) -> Result<Self> {
        let draft = Draft::create(or_standard_output(path))?;
        let name = draft.name().clone();
        let mut table = Self { writer: csv::Writer::from_writer(draft), name };
        table.row(header.iter().map(|name| name.as_ref().to_string()))?;
        Ok(table)
    }

    /// Appends a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> Result<()> {
        let written = self.writer.write_record(cells.into_iter().map(String::into_bytes));
        written.map_err(|error| {
            let source = match error.into_kind() {
                csv::ErrorKind::Io(source) => source,
                other => io::Error::other(format!("{other:?}")),
            };
            self.name.refusal(source)
        })
    }

    /// Completes the table; a file appears under its name only now.
    pub fn finish(self) -> Result<()> {
        let Self { writer, name } = self;
        match writer.into_inner() {
            Ok(draft) => draft.finish(),
            Err(error) => Err(name.refusal(error.into_error())),
        }
    }
}

fn or_standard_output(path: Option<&Path>) -> &Path {
    path.unwrap_or(Path::new("-"))
}
