//! Rows from CSV: every cell a finite f32, or an error that says where it is not.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// A CSV file read row by row, in constant memory.
pub struct Table {
    path: String,
    reader: csv::Reader<Box<dyn Read>>,
    names: Vec<String>,
    record: csv::StringRecord,
}

/// A whole file of rows.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Where it was read from.
    pub path: String,
    /// Names of the columns.
    pub names: Vec<String>,
    /// Row-major, in raw units, as read: f32 comes after what is subtracted from a column.
    pub values: Vec<f64>,
    /// Of each row, its line in the file, from 1.
    pub lines: Vec<u64>,
}

impl Dataset {
    /// The rows, each as long as `names`.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.names.len())
    }

    /// The value of a column in the row at `place`.
    pub fn value(&self, place: usize, column: usize) -> f64 {
        self.values[place * self.names.len() + column]
    }

    /// The values of a column, in ascending order.
    pub fn ascending(&self, column: usize) -> Vec<f64> {
        let mut values: Vec<f64> = self.rows().map(|row| row[column]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// Subtracts from each column its own of `offsets`.
    pub fn subtract(&mut self, offsets: &[f64]) {
        let width = self.names.len();
        for row in self.values.chunks_exact_mut(width) {
            row.iter_mut().zip(offsets).for_each(|(x, offset)| *x -= offset);
        }
    }

    /// The rows at `places`, in that order.
    pub fn part(&self, places: &[usize]) -> Self {
        let width = self.names.len();
        let row = |place: &usize| &self.values[place * width..][..width];
        Self {
            path: self.path.clone(),
            names: self.names.clone(),
            values: places.iter().flat_map(row).copied().collect(),
            lines: places.iter().map(|place| self.lines[*place]).collect(),
        }
    }

    /// Number of the column called `name`.
    pub fn column(&self, name: &str) -> Result<usize> {
        column(&self.path, &self.names, name)
    }
}

/// Number of the column called `name`, or the refusal with the most similar one.
fn column(path: &str, names: &[String], name: &str) -> Result<usize> {
    names.iter().position(|other| other == name).ok_or_else(|| {
        let nearest = names
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        Error::NoColumn {
            path: path.into(),
            name: name.into(),
            nearest: nearest.filter(|near| strsim::jaro_winkler(near, name) > 0.8).cloned(),
            found: names.join(", "),
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

    fn new(path: String, input: Box<dyn Read>) -> Result<Self> {
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(input);
        let header = reader.headers().map_err(|error| refusal(&path, error))?;
        let names: Vec<String> = header.iter().map(String::from).collect();
        let table = Self { path, reader, names, record: csv::StringRecord::new() };
        table.check_header()?;
        Ok(table)
    }

    fn check_header(&self) -> Result<()> {
        let path = || self.path.clone();
        if let [only] = &self.names[..]
            && let Some(separator) = [';', '\t', '|'].into_iter().find(|&c| only.contains(c))
        {
            return Err(Error::Separator { path: path(), separator });
        }
        if self.names.iter().all(|name| name.is_empty()) {
            return Err(Error::Empty { path: path() });
        }
        if self.names.iter().any(|name| name.contains('\0')) {
            return Err(Error::NotText { path: path(), line: 1 });
        }
        if self.names.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(Error::NoHeader { path: path() });
        }
        for (index, name) in self.names.iter().enumerate() {
            if name.is_empty() || self.names[..index].contains(name) {
                return Err(Error::ColumnName {
                    path: path(),
                    column: index + 1,
                    name: name.clone(),
                });
            }
        }
        Ok(())
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
        let more = self.reader.read_record(&mut self.record).map_err(|e| refusal(&self.path, e))?;
        if more && self.record.len() != self.names.len() {
            let (path, line) = (self.path.clone(), self.line());
            let (found, expected) = (self.record.len(), self.names.len());
            return Err(Error::Ragged { path, line, found, expected });
        }
        Ok(more)
    }

    /// Line of the present row in the file, from 1.
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// The text of a cell of the present row.
    pub fn text(&self, column: usize) -> &str {
        &self.record[column]
    }

    /// The refusal of a cell of the present row.
    pub fn cell_error(
        &self,
        column: usize,
        found: String,
        expected: &'static str,
        advice: &'static str,
    ) -> Error {
        let (path, line, column) = (self.path.clone(), self.line(), self.names[column].clone());
        Error::Cell { path, line, column, found, expected, advice }
    }

    /// The value of a cell of the present row.
    pub fn value(&self, column: usize) -> Result<f64> {
        let text = self.text(column);
        let refuse = |found, advice| Err(self.cell_error(column, found, "finite number", advice));
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && !(value as f32).is_finite() => {
                refuse(format!("{text}, beyond f32 (3.4e38)"), ": use a larger unit")
            }
            Ok(value) if value.is_finite() => Ok(value),
            Ok(value) if value.is_nan() => {
                refuse("NaN".into(), ": remove the row or repair the sensor")
            }
            Ok(_) => refuse("infinite".into(), ": remove the row or repair the sensor"),
            Err(_) if text.is_empty() => refuse("empty".into(), ": fill it or remove the row"),
            Err(_) => refuse(format!("`{text}`"), ": leave a text column out with --exclude"),
        }
    }

    /// Reads all rows, without the columns named in `exclude` and with those in `last` at the end.
    pub fn read(mut self, exclude: &[String], last: &[String]) -> Result<Dataset> {
        for name in exclude.iter().chain(last) {
            self.column(name)?;
        }
        let first =
            self.names.iter().filter(|name| !exclude.contains(name) && !last.contains(name));
        let names = first.chain(last).cloned().collect();
        self.read_columns(names)
    }

    /// Reads all rows of the columns called `names`, in that order.
    pub fn read_columns(&mut self, names: Vec<String>) -> Result<Dataset> {
        let columns = names.iter().map(|name| self.column(name)).collect::<Result<Vec<_>>>()?;
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        while self.advance()? {
            lines.push(self.line());
            for column in &columns {
                values.push(self.value(*column)?);
            }
        }
        match values.is_empty() {
            true => Err(Error::NoRows { path: self.path.clone() }),
            false => Ok(Dataset { path: self.path.clone(), names, values, lines }),
        }
    }
}

fn refusal(path: &str, error: csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::Read { path: path.into(), source },
        _ => Error::NotText { path: path.into(), line },
    }
}
