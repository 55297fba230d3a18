//! Rows that lack a value, and what becomes of them.

use std::fmt;

/// What becomes of rows that lack a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Missing {
    /// The first one ends the run.
    #[default]
    Refuse,
    /// They are left out.
    Drop,
}

/// Most lines that are told.
const TOLD: usize = 5;

/// The rows that were left out.
#[derive(Clone, Debug, Default)]
pub struct Dropped {
    count: u64,
    first_lines: Vec<u64>,
    first_column: usize,
}

impl Dropped {
    /// Number of rows.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The column in which the first of them lacks a value.
    pub fn first_column(&self) -> usize {
        self.first_column
    }

    /// Counts the row on `line`, which lacks a value in `column`.
    pub(super) fn add(&mut self, line: u64, column: usize) {
        if self.count == 0 {
            self.first_column = column;
        }
        self.count += 1;
        if self.first_lines.len() < TOLD {
            self.first_lines.push(line);
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.first_lines.iter().map(u64::to_string).collect();
        let lines = lines.join(", ");
        match self.count {
            1 => write!(f, "1 row lacks a value and is left out: line {lines}"),
            count => {
                let more = if count > TOLD as u64 { ", …" } else { "" };
                write!(f, "{count} rows lack a value and are left out: lines {lines}{more}")
            }
        }
    }
}
