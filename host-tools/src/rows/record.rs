//! One line as cells.

use std::mem;

use csv_core::ReadRecordResult;

use crate::rows::fault::LineFault;

/// The cells of a line, and what reads them.
pub struct Record {
    reader: csv_core::Reader,
    /// All cells, one behind the other.
    text: String,
    /// Where each cell ends in the text.
    ends: Vec<usize>,
    count: usize,
}

impl Record {
    /// No cells yet.
    pub fn new() -> Self {
        let reader = csv_core::Reader::new();
        Self { reader, text: String::new(), ends: Vec::new(), count: 0 }
    }

    /// Reads the cells of `line`, which has no line end.
    ///
    /// A cell must end with its line: two stray quotation marks would otherwise hide all rows
    /// between them.
    pub fn read(&mut self, line: &[u8]) -> Result<(), LineFault> {
        check_text(line)?;
        // Cells are never longer than their line, nor more than its bytes and one.
        let most = line.len() + 2;
        let mut bytes = mem::take(&mut self.text).into_bytes();
        bytes.resize(most, 0);
        if self.ends.len() < most {
            self.ends.resize(most, 0);
        }
        let (_, _, written, cells) = self.reader.read_record(line, &mut bytes, &mut self.ends);
        let (output, ends) = (&mut bytes[written..], &mut self.ends[cells..]);
        let (result, _, end, last) = self.reader.read_record(b"\n", output, ends);
        self.count = cells + last;
        if !matches!(result, ReadRecordResult::Record) {
            self.reader.reset();
            return Err(LineFault::UnclosedQuote { cell: cells + 1 });
        }
        bytes.truncate(written + end);
        self.text = String::from_utf8(bytes).map_err(|error| not_text(error.as_bytes()))?;
        Ok(())
    }

    /// Number of cells.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A cell, without blanks around it.
    pub fn cell(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text[start..self.ends[index]].trim()
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.count()).map(|index| self.cell(index))
    }
}

fn check_text(line: &[u8]) -> Result<(), LineFault> {
    match line.contains(&0) || str::from_utf8(line).is_err() {
        true => Err(not_text(line)),
        false => Ok(()),
    }
}

/// How files begin that are taken for CSV files.
const BEGINNINGS: [(&[u8], &str); 12] = [
    (b"FLOW", "it is a model file"),
    (b"PAR1", "it is a Parquet file"),
    (b"\xff\xfe\0\0", "it is UTF-32"),
    (b"\0\0\xfe\xff", "it is UTF-32"),
    (b"\xff\xfe", "it is UTF-16"),
    (b"\xfe\xff", "it is UTF-16"),
    (b"\x1f\x8b", "it is packed by gzip"),
    (b"BZh", "it is packed by bzip2"),
    (b"\xfd7zXZ", "it is packed by xz"),
    (b"\x28\xb5\x2f\xfd", "it is packed by zstd"),
    (b"PK\x03\x04", "it is a zip archive or a spreadsheet"),
    (b"\xd0\xcf\x11\xe0", "it is a spreadsheet"),
];

/// What is in a line that is no text.
fn not_text(line: &[u8]) -> LineFault {
    let beginning = BEGINNINGS.iter().find(|(bytes, _)| line.starts_with(bytes));
    let found = match (beginning, str::from_utf8(line)) {
        (Some((_, kind)), _) => (*kind).into(),
        (None, _) if is_utf_16(line) => "it is UTF-16".into(),
        (None, Err(error)) if !line.contains(&0) => {
            let byte = line[error.valid_up_to()];
            match char::from(byte) {
                latin if latin.is_control() => format!("it holds the byte 0x{byte:02x}"),
                latin => format!("it holds the byte 0x{byte:02x}, in Latin-1 `{latin}`"),
            }
        }
        _ => "it holds a NUL byte".into(),
    };
    LineFault::NotText { found }
}

/// Whether every other byte is NUL and few of those between are, as in UTF-16 of Latin letters.
fn is_utf_16(line: &[u8]) -> bool {
    let zeros = |first: usize| line.iter().skip(first).step_by(2).filter(|b| **b == 0).count();
    line.len() > 1 && zeros(0).abs_diff(zeros(1)) > line.len() / 3
}
