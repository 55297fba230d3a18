//! All rows of a file in memory.

use crate::error::{Error, Result};
use crate::rows::table::{self, Table};

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
    /// Of each row of a signal, its window; nothing where rows were read as they are.
    pub windows: Vec<Window>,
    /// Rows of the file, with those that were left out.
    pub read: u64,
}

/// Where the window of a row lies in its signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Number of the stretch of one recording and one context.
    pub stretch: usize,
    /// Number of its first sample in the file.
    pub first: u64,
    /// That of the sample behind its last one.
    pub end: u64,
}

impl Dataset {
    /// The rows, each as long as `names`.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.names.len())
    }

    /// The rows as the device takes them, once offsets are subtracted.
    pub fn single_rows(&self) -> impl Iterator<Item = Vec<f32>> {
        self.rows().map(|row| row.iter().map(|x| *x as f32).collect())
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
            windows: places.iter().filter_map(|place| self.windows.get(*place).copied()).collect(),
            read: self.read,
        }
    }

    /// Of windows that overlap, the share of their number that they are worth: their features correlate with
    /// those k windows on by the share of samples in common, 1 - k hop / window, at most, and these add up
    /// to window / hop. 1 for rows that share nothing.
    pub fn independent(&self) -> f64 {
        let pairs = self.windows.windows(2).filter(|pair| pair[0].stretch == pair[1].stretch);
        let share = |pair: &[Window]| {
            let [hop, length] = [pair[1].first, pair[0].end].map(|end| end - pair[0].first);
            hop as f64 / length as f64
        };
        pairs.map(share).fold(1.0, f64::min)
    }

    /// Number of the column called `name`.
    pub fn column(&self, name: &str) -> Result<usize> {
        table::column(&self.path, &self.names, name)
    }
}

impl Table {
    /// Reads all rows, without the columns named in `exclude` and with those in `last` at the end.
    pub fn read(mut self, exclude: &[String], last: &[String]) -> Result<Dataset> {
        for name in exclude.iter().chain(last) {
            self.column(name)?;
        }
        let is_feature = |name: &&String| !exclude.contains(name) && !last.contains(name);
        let features: Vec<String> = self.names().iter().filter(is_feature).cloned().collect();
        if features.is_empty() {
            return Err(Error::NoFeatures {
                path: self.path().into(),
                columns: self.names().len(),
            });
        }
        self.read_columns(features.into_iter().chain(last.iter().cloned()).collect())
    }

    /// Reads all rows of the columns called `names`, in that order.
    pub fn read_columns(&mut self, names: Vec<String>) -> Result<Dataset> {
        let columns = names.iter().map(|name| self.column(name)).collect::<Result<Vec<_>>>()?;
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        while self.advance()? {
            if let Some(row) = self.values(&columns)? {
                values.extend_from_slice(row);
                lines.push(self.line());
            }
        }
        self.check_rows()?;
        self.warn();
        let (path, read) = (self.path().into(), self.rows());
        Ok(Dataset { path, names, values, lines, windows: Vec::new(), read })
    }
}
