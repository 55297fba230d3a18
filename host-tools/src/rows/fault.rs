//! What can be wrong with a line of a CSV file, and what it may have been meant for.

use std::collections::HashSet;

use crate::message::excerpt;
use crate::rows::cell::{self, CellFault};
use crate::rows::record::Record;

/// A line that is no header, or no row as the header tells.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LineFault {
    /// Another encoding, or no text at all.
    #[error("is not text in UTF-8: {found}; expected a CSV file: save it as CSV in UTF-8")]
    NotText {
        /// What it is.
        found: String,
    },
    /// A cell that goes on in the next line, or never ends.
    #[error(
        "cell {cell} begins with a quotation mark that this line does not close; expected cells without line breaks: remove the mark, or write the cell in one line"
    )]
    UnclosedQuote {
        /// The cell, from 1.
        cell: usize,
    },
    /// The line that tells spreadsheets the separator.
    #[error(
        "is a `sep=` line, which only spreadsheets know: remove it, and separate columns by commas"
    )]
    SepLine,
    /// A comment.
    #[error(
        "begins with `{mark}` like a comment; expected the header and rows alone: remove the line, or the `{mark}`"
    )]
    Comment {
        /// What it begins with.
        mark: &'static str,
    },
    /// Numbers where names belong.
    #[error(
        "is a row of data (`{}`), no header; expected a header with the feature names: add one, and name no column like a number",
        excerpt(data)
    )]
    NoHeader {
        /// The first cell that is a number or a time.
        data: String,
    },
    /// Another separator.
    #[error(
        "columns are separated by {}; expected commas, and decimal points in numbers: convert the file",
        plural(*separator)
    )]
    Separator {
        /// What was found.
        separator: char,
    },
    /// A sentence, or names between blanks.
    #[error(
        "is `{}`; expected a header with the feature names between commas: convert the file, and remove lines above the header",
        excerpt(name)
    )]
    OneName {
        /// The whole line.
        name: String,
    },
    /// A first column without a name.
    #[error(
        "column 1 has no name, like the index (a row number) that pandas writes: write the file with index=False, or name the column and leave it out with --exclude"
    )]
    IndexColumn,
    /// A further column without a name.
    #[error("column {column} is without a name; every column needs a name of its own")]
    NoName {
        /// Column, from 1.
        column: usize,
    },
    /// The same name twice.
    #[error(
        "column {column} is named `{}` like one before it; every column needs a name of its own",
        excerpt(name)
    )]
    NameTwice {
        /// Column, from 1.
        column: usize,
        /// Its name.
        name: String,
    },
    /// A name that could pass for several lines of a listing.
    #[error(
        "the name of column {column}, `{}`, holds a control character: rename it",
        excerpt(name)
    )]
    ControlCharacter {
        /// Column, from 1.
        column: usize,
        /// Its name.
        name: String,
    },
    /// Empty cells behind the last name, or a last name that is empty.
    #[error(
        "ends in a comma, behind which no column stands: remove the comma at the end of every line"
    )]
    TrailingComma,
    /// Numbers with decimal commas, each of which makes two cells.
    #[error(
        "has {found} cells, all of them whole numbers, and the header {expected}: the numbers seem to have decimal commas; expected decimal points"
    )]
    DecimalCommas {
        /// Cells found.
        found: usize,
        /// Columns.
        expected: usize,
    },
    /// A row with too many or too few cells.
    #[error(
        "has {found} cell{}; expected {expected} as in the header{}",
        if *found == 1 { "" } else { "s" },
        if *is_quoted { ": look at its quotation marks" } else { "" }
    )]
    Ragged {
        /// Cells found.
        found: usize,
        /// Columns.
        expected: usize,
        /// Whether the line has quotation marks.
        is_quoted: bool,
    },
    /// The names once more.
    #[error("is a header again, as where files were put behind each other: remove the line")]
    HeaderAgain,
    /// The units of the columns.
    #[error(
        "is a row of text, `{}` in column `{}`, like the units of the columns; expected numbers: remove the line",
        excerpt(unit),
        excerpt(column)
    )]
    Units {
        /// The first cell that is no number.
        unit: String,
        /// Its column.
        column: String,
    },
}

/// Most characters of a unit.
const LONGEST_UNIT: usize = 20;

/// Separators that other programs write, and what they are called.
const SEPARATORS: [char; 3] = [';', '\t', '|'];

fn plural(separator: char) -> String {
    match separator {
        '\t' => "tabs".into(),
        separator => format!("`{separator}`"),
    }
}

/// Refuses the line of a header and its names.
pub(super) fn check_header(line: &str, names: &[String]) -> Result<(), LineFault> {
    if line.trim_start_matches('"').to_ascii_lowercase().starts_with("sep=") {
        return Err(LineFault::SepLine);
    }
    // A column of running numbers may be called #.
    if let Some(mark) =
        comment_mark(line, &["#", "//", "% "]).filter(|mark| names[0] != *mark || names.len() == 1)
    {
        return Err(LineFault::Comment { mark });
    }
    if let [name] = names {
        if let Some(separator) = SEPARATORS.into_iter().find(|c| name.contains(*c)) {
            return Err(LineFault::Separator { separator });
        }
        if name.contains(char::is_whitespace) {
            return Err(LineFault::OneName { name: name.clone() });
        }
    }
    if let Some(data) = names.iter().find(|name| cell::is_data(name)) {
        return Err(LineFault::NoHeader { data: data.clone() });
    }
    check_names(names)
}

fn check_names(names: &[String]) -> Result<(), LineFault> {
    if names[0].is_empty() {
        return Err(LineFault::IndexColumn);
    }
    let named = names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    let mut before = HashSet::new();
    for (column, name) in (1..).zip(&names[..named]) {
        let name = || name.clone();
        if name().is_empty() {
            return Err(LineFault::NoName { column });
        }
        if name().contains(char::is_control) {
            return Err(LineFault::ControlCharacter { column, name: name() });
        }
        if !before.insert(name()) {
            return Err(LineFault::NameTwice { column, name: name() });
        }
    }
    match named < names.len() {
        true => Err(LineFault::TrailingComma),
        false => Ok(()),
    }
}

/// A row, and the header that it should be like.
pub(super) struct Row<'a> {
    /// The header's line.
    pub header: &'a str,
    /// Names of the columns.
    pub names: &'a [String],
    /// The row's line.
    pub line: &'a str,
    /// Its cells.
    pub record: &'a Record,
    /// Whether it follows the header.
    pub is_first: bool,
}

impl Row<'_> {
    /// What is wrong with a row of another number of cells than the header's.
    pub fn ragged(&self) -> LineFault {
        let (found, expected) = (self.record.count(), self.names.len());
        let is_whole = |cell: &str| cell.parse::<i64>().is_ok();
        if let Some(fault) = self.separator().or_else(|| self.comment()) {
            fault
        } else if found == 2 * expected && self.record.cells().all(is_whole) {
            LineFault::DecimalCommas { found, expected }
        } else if found > expected && self.record.cells().skip(expected).all(str::is_empty) {
            LineFault::TrailingComma
        } else {
            LineFault::Ragged { found, expected, is_quoted: self.line.contains('"') }
        }
    }

    /// What is wrong with a whole row, of which some of the `columns` hold no numbers.
    pub fn not_numbers(&self, columns: &[usize]) -> Option<LineFault> {
        self.header_again()
            .or_else(|| self.separator())
            .or_else(|| self.comment())
            .or_else(|| self.units(columns))
    }

    fn comment(&self) -> Option<LineFault> {
        let is_missing = matches!(cell::number(self.record.cell(0)), Err(CellFault::Missing(_)));
        let mark = comment_mark(self.line, &["#", "//", "%", ";"]).filter(|_| !is_missing)?;
        Some(LineFault::Comment { mark })
    }

    /// Names in any order, since files that were put together may differ in it.
    fn header_again(&self) -> Option<LineFault> {
        let names: HashSet<&str> = self.names.iter().map(String::as_str).collect();
        let is_header = self.record.cells().all(|cell| names.contains(cell));
        is_header.then_some(LineFault::HeaderAgain)
    }

    /// A separator that row and header have equally often.
    fn separator(&self) -> Option<LineFault> {
        let is_separator = |separator: &char| {
            let [header, row] = [self.header, self.line].map(|line| unquoted(line, *separator));
            header > 0 && header == row
        };
        let separator = SEPARATORS.into_iter().find(is_separator)?;
        Some(LineFault::Separator { separator })
    }

    /// Short texts in place of the numbers; a column without a unit may have none, or 1.
    fn units(&self, columns: &[usize]) -> Option<LineFault> {
        let (mut texts, mut ones) = (Vec::new(), 0);
        for column in columns.iter().copied().filter(|_| self.is_first) {
            match (self.record.cell(column), cell::number(self.record.cell(column))) {
                (unit, Err(CellFault::Text(_))) if unit.chars().count() <= LONGEST_UNIT => {
                    texts.push(column);
                }
                (_, Err(CellFault::Missing(_))) => {}
                ("1", _) => ones += 1,
                _ => return None,
            }
        }
        let column = *texts.first().filter(|_| texts.len() > ones)?;
        let unit = self.record.cell(column).into();
        Some(LineFault::Units { unit, column: self.names[column].clone() })
    }
}

/// Which of `marks` a line begins with, as a comment does.
fn comment_mark(line: &str, marks: &[&'static str]) -> Option<&'static str> {
    let line = line.trim_start().trim_start_matches('"');
    marks.iter().copied().find(|mark| line.starts_with(mark))
}

/// How often a character stands outside quotation marks.
fn unquoted(line: &str, wanted: char) -> usize {
    line.split('"').step_by(2).map(|text| text.matches(wanted).count()).sum()
}
