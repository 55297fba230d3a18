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
        "is a row of data (`{}`), no header; expected a header with the feature names: add one, or remove what stands above it, and name no column like a number",
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
    /// A sentence, or names that no commas separate.
    #[error(
        "is `{}` alone; expected a header with the feature names between commas: convert the file, and remove lines above the header or quotation marks around all of it",
        excerpt(name)
    )]
    OneName {
        /// The only name.
        name: String,
    },
    /// Commas between nothing.
    #[error("is a line of empty cells; expected a header with the feature names: remove the line")]
    NoNames,
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
    /// A row in one cell, below a header of several.
    #[error(
        "is `{}`, one cell of text; expected {expected} cells as in the header: remove the line if it is a remark",
        excerpt(text)
    )]
    Remark {
        /// The cell.
        text: String,
        /// Columns.
        expected: usize,
    },
    /// A row of several cells below one name.
    #[error(
        "has {found} cells, and above it stands `{}` alone; expected a header with the feature names: remove lines above it",
        excerpt(title)
    )]
    Title {
        /// What stands above.
        title: String,
        /// Cells found.
        found: usize,
    },
    /// A cell more than the header's in the first row, which begins like a running number.
    #[error(
        "has {found} cells; expected {expected} as in the header: if the first is an index (a row name) without a name, as R writes it, write the file with row.names = FALSE, or name the column and leave it out with --exclude"
    )]
    RowNames {
        /// Cells found.
        found: usize,
        /// Columns.
        expected: usize,
    },
    /// The names once more.
    #[error("holds the header again, as where files were put behind each other: remove it")]
    HeaderAgain,
    /// The units of the columns.
    #[error(
        "is a row of text, `{}` in column `{}`, perhaps the units of the columns; expected numbers: remove the line, or leave out columns of text with --exclude",
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
const LONGEST_UNIT: usize = 40;

/// Separators that other programs write.
const SEPARATORS: [char; 3] = [';', '\t', '|'];
/// Those that are rare, and stand in names too.
const RARE_SEPARATORS: [char; 6] = [':', '^', '~', '，', '\u{1}', '\u{1f}'];

fn plural(separator: char) -> String {
    match separator {
        '\t' => "tabs".into(),
        separator => format!("`{}`", excerpt(&separator.to_string())),
    }
}

/// Refuses the line of a header and its names.
pub(super) fn check_header(line: &str, names: &[String]) -> Result<(), LineFault> {
    if line.trim_start_matches('"').to_ascii_lowercase().starts_with("sep=") {
        return Err(LineFault::SepLine);
    }
    // A column of running numbers may be called #.
    if let Some(mark) = comment_mark(line, &["#", "//", "% ", "; "])
        .filter(|mark| names[0] != *mark || names.len() == 1)
    {
        return Err(LineFault::Comment { mark });
    }
    if let [name] = names {
        let is_there = |separator: &char| name.contains(*separator);
        if let Some(separator) = SEPARATORS.into_iter().find(is_there) {
            return Err(LineFault::Separator { separator });
        }
        if name.contains(|c: char| c.is_whitespace() || c == ',') {
            return Err(LineFault::OneName { name: name.clone() });
        }
        if let Some(separator) = RARE_SEPARATORS.into_iter().find(is_there) {
            return Err(LineFault::Separator { separator });
        }
    }
    if line.starts_with('{') || line.starts_with("[{") {
        return Err(LineFault::OneName { name: line.into() });
    }
    match names.iter().filter(|name| !name.is_empty()).count() {
        0 => return Err(LineFault::NoNames),
        1 if names.len() > 2 && !names[0].is_empty() => {
            return Err(LineFault::OneName { name: names[0].clone() });
        }
        _ => {}
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
        let first = self.record.cell(0);
        let is_whole = |cell: &str| cell.parse::<i64>().is_ok();
        if let Some(fault) =
            self.header_again().or_else(|| self.comment()).or_else(|| self.separator())
        {
            fault
        } else if found == 1 && !first.is_empty() && cell::number(first).is_err() {
            LineFault::Remark { text: first.into(), expected }
        } else if found == 2 * expected && self.record.cells().all(is_whole) {
            LineFault::DecimalCommas { found, expected }
        } else if let [title] = self.names {
            LineFault::Title { title: title.clone(), found }
        } else if found > expected && self.record.cells().skip(expected).all(str::is_empty) {
            LineFault::TrailingComma
        } else if self.is_first && found == expected + 1 && matches!(first, "0" | "1") {
            LineFault::RowNames { found, expected }
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
        let first = self.record.cell(0);
        let mark = comment_mark(self.line, &["#", "//", "%", ";"])?;
        // A first cell may be the missing value #N/A, or the unit %.
        let is_cell = first == mark || matches!(cell::number(first), Err(CellFault::Missing(_)));
        (!is_cell || self.record.count() == 1).then_some(LineFault::Comment { mark })
    }

    /// All names but one at most, in any order and letters of any size, since files that were put
    /// together may differ in them. The last row of the first file may stand in the same line.
    fn header_again(&self) -> Option<LineFault> {
        let names: HashSet<String> = self.names.iter().map(|name| name.to_lowercase()).collect();
        let found = self.record.cells().filter(|cell| names.contains(&cell.to_lowercase())).count();
        let enough = self.names.len().saturating_sub(1).max(2).min(self.names.len());
        (found >= enough).then_some(LineFault::HeaderAgain)
    }

    /// A separator that row and header have equally often, or that makes the row's only cell as
    /// many as the header's.
    fn separator(&self) -> Option<LineFault> {
        let is_separator = |separator: &char| {
            let [header, row] = [self.header, self.line].map(|line| unquoted(line, *separator));
            let is_whole_row = self.record.count() == 1 && row + 1 == self.names.len();
            row > 0 && (header == row || is_whole_row)
        };
        let separator = SEPARATORS.into_iter().find(is_separator)?;
        Some(LineFault::Separator { separator })
    }

    /// Short texts in place of the numbers; a column without a unit may have none, or 1.
    fn units(&self, columns: &[usize]) -> Option<LineFault> {
        let (mut texts, mut ones) = (Vec::new(), 0);
        for column in columns.iter().copied().filter(|_| self.is_first) {
            match (self.record.cell(column), cell::number(self.record.cell(column))) {
                (unit, Err(CellFault::Text(_))) if is_unit(unit) => texts.push(column),
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

/// Whether a text may be a unit: short, with a letter or such a sign, and no time.
fn is_unit(text: &str) -> bool {
    text.chars().count() <= LONGEST_UNIT
        && text.contains(|c: char| c.is_alphabetic() || "%‰°$€".contains(c))
        && !cell::is_data(text)
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
