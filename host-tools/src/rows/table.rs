//! A CSV file read row by row, in constant memory: every cell a finite f32, or a refusal that says
//! where it is not.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::message::{self, excerpt};
use crate::rows::cell::{self, CellFault};
use crate::rows::fault::{self, LineFault, Row};
use crate::rows::lines::Lines;
use crate::rows::missing::{Dropped, Missing};
use crate::rows::record::Record;

/// A CSV file, read up to the present row.
pub struct Table {
    path: String,
    lines: Lines<Box<dyn Read>>,
    record: Record,
    header: String,
    names: Vec<String>,
    missing: Missing,
    dropped: Dropped,
    /// Rows read.
    rows: u64,
    /// The first row was read along with the header, and [`Table::advance`] has not been there.
    is_ahead: bool,
    /// The numbers asked for of the present row.
    values: Vec<f64>,
}

/// Number of the column called `name`, or the refusal with the most similar one.
pub(super) fn column(path: &str, names: &[String], name: &str) -> Result<usize> {
    names.iter().position(|other| other == name).ok_or_else(|| {
        // Of excerpts, since comparing takes the product of the lengths.
        let likeness = |other: &str| strsim::jaro_winkler(&excerpt(other), &excerpt(name));
        let nearest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        Error::NoColumn {
            path: path.into(),
            name: name.into(),
            nearest: nearest.filter(|near| likeness(near) > 0.8).cloned(),
            found: message::list(names),
        }
    })
}

impl Table {
    /// Opens `path` (`-` is standard input) and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let (name, input): (_, Box<dyn Read>) = match name.as_str() {
            "-" => ("standard input".into(), Box::new(io::stdin().lock())),
            _ => match File::open(path) {
                Ok(file) => (name, Box::new(file)),
                Err(source) => return Err(Error::Read { path: name, source }),
            },
        };
        Self::new(name, input)
    }

    /// Reads the header of `input`, which messages call `path`.
    pub fn new(path: String, input: Box<dyn Read>) -> Result<Self> {
        let mut table = Self {
            path,
            lines: Lines::new(input),
            record: Record::new(),
            header: String::new(),
            names: Vec::new(),
            missing: Missing::Refuse,
            dropped: Dropped::default(),
            rows: 0,
            is_ahead: false,
            values: Vec::new(),
        };
        table.read_header()?;
        // What the header is separated by shows in the first row.
        table.is_ahead = table.read_row()?;
        Ok(table)
    }

    /// The same table, of which rows that lack a value are treated as `missing` says.
    pub fn with_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// What becomes of rows that lack a value.
    pub fn missing(&self) -> Missing {
        self.missing
    }

    fn read_header(&mut self) -> Result<()> {
        if !self.read_line()? {
            return Err(Error::Empty { path: self.path.clone() });
        }
        self.names = self.record.cells().map(String::from).collect();
        self.header = String::from_utf8_lossy(self.lines.line()).into_owned();
        fault::check_header(&self.header, &self.names).map_err(|fault| self.line_error(fault))
    }

    fn read_row(&mut self) -> Result<bool> {
        if !self.read_line()? {
            return Ok(false);
        }
        self.rows += 1;
        if self.record.count() != self.names.len() {
            return Err(self.line_error(self.judge(|row| row.ragged())));
        }
        Ok(true)
    }

    /// Reads the cells of the next line.
    fn read_line(&mut self) -> Result<bool> {
        let Self { path, lines, record, .. } = self;
        let more = lines.advance().map_err(|source| Error::Read { path: path.clone(), source })?;
        if more {
            record.read(lines.line()).map_err(|fault| self.line_error(fault))?;
        }
        Ok(more)
    }

    /// What `judgement` says of the present row.
    fn judge<T>(&self, judgement: impl FnOnce(&Row) -> T) -> T {
        let line = String::from_utf8_lossy(self.lines.line());
        let Self { header, names, record, .. } = self;
        judgement(&Row { header, names, line: &line, record, is_first: self.rows == 1 })
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the rows come from, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Number of the column called `name`.
    pub fn column(&self, name: &str) -> Result<usize> {
        column(&self.path, &self.names, name)
    }

    /// Moves to the next row; false at the end.
    pub fn advance(&mut self) -> Result<bool> {
        match std::mem::take(&mut self.is_ahead) {
            true => Ok(true),
            false => self.read_row(),
        }
    }

    /// Number of rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Line of the present row in the file, from 1.
    pub fn line(&self) -> u64 {
        self.lines.number()
    }

    /// The text of a cell of the present row.
    pub fn text(&self, column: usize) -> &str {
        self.record.cell(column)
    }

    /// The numbers in `columns` of the present row; none where it lacks one and such rows are left
    /// out.
    pub fn values(&mut self, columns: &[usize]) -> Result<Option<&[f64]>> {
        self.values.clear();
        let mut lacking = None;
        for column in columns {
            match cell::number(self.record.cell(*column)) {
                Ok(value) => self.values.push(value),
                Err(fault @ CellFault::Missing(_)) => lacking = lacking.or(Some((*column, fault))),
                Err(fault) => return Err(self.not_a_number(columns, *column, fault)),
            }
        }
        match lacking {
            None => Ok(Some(&self.values)),
            Some((column, _)) if self.drops(column) => Ok(None),
            Some((column, fault)) => Err(self.not_a_number(columns, column, fault)),
        }
    }

    /// The numbers in `columns` of the present row as sensors give them: NaN where one is missing or infinite.
    pub fn sensor_values(&mut self, columns: &[usize]) -> Result<&[f64]> {
        self.values.clear();
        for column in columns {
            match cell::number(self.record.cell(*column)) {
                Ok(value) => self.values.push(value),
                Err(CellFault::Missing(_) | CellFault::Infinite(_)) => self.values.push(f64::NAN),
                Err(fault) => return Err(self.not_a_number(columns, *column, fault)),
            }
        }
        Ok(&self.values)
    }

    /// Whether the present row is left out, and counted as such, since it lacks a value in
    /// `column`.
    pub fn drops(&mut self, column: usize) -> bool {
        if self.missing == Missing::Drop {
            self.dropped.add(self.line(), column);
        }
        self.missing == Missing::Drop
    }

    fn not_a_number(&self, columns: &[usize], column: usize, fault: CellFault) -> Error {
        match self.judge(|row| row.not_numbers(columns)) {
            Some(line_fault) => self.line_error(line_fault),
            None => self.cell_error(column, fault),
        }
    }

    /// The refusal of the present line.
    fn line_error(&self, fault: LineFault) -> Error {
        Error::Line { path: self.path.clone(), line: self.line(), fault }
    }

    /// The refusal of a cell of the present row.
    pub fn cell_error(&self, column: usize, fault: CellFault) -> Error {
        let (path, column) = (self.path.clone(), self.names[column].clone());
        Error::Cell { path, line: self.line(), column, fault }
    }

    /// Warns of the rows that were left out.
    pub fn warn(&self) {
        if self.dropped.count() > 0 {
            log::warn!("{}: {}", message::path(&self.path), self.dropped);
        }
    }

    /// Refuses a table, read to its end, that had no rows, or none that were not left out.
    pub fn check_rows(&self) -> Result<()> {
        let path = self.path.clone();
        match self.dropped.count() {
            0 if self.rows == 0 => Err(Error::NoRows { path }),
            count if count == self.rows && count > 0 => {
                let column = self.names[self.dropped.first_column()].clone();
                Err(Error::AllRowsLack { path, count, column })
            }
            _ => Ok(()),
        }
    }
}
