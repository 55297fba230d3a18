//! The lines of a file, numbered from 1 as an editor shows them, in constant memory.

use std::io::{self, BufRead, BufReader, Read};

/// Most bytes of a line: what is longer is no CSV file.
const LONGEST: usize = 16 << 20;

/// What editors and spreadsheets may write in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Lines that end in LF, CR or CR LF.
pub struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    /// The last line ended in CR: an LF behind it is a part of the same line end.
    after_return: bool,
}

impl<R: Read> Lines<R> {
    /// The lines of `input`.
    pub fn new(input: R) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), number: 0, after_return: false }
    }

    /// Moves to the next line that is not blank; false at the end.
    pub fn advance(&mut self) -> io::Result<bool> {
        while self.read()? {
            if !self.line().trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The present line without its end, nor a byte order mark in front of it: files that were put
    /// behind each other have one in the middle.
    pub fn line(&self) -> &[u8] {
        self.line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.line)
    }

    /// Number of the present line.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn read(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.number += 1;
        loop {
            let bytes = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if bytes.is_empty() {
                return Ok(!self.line.is_empty());
            }
            let start = usize::from(self.after_return && bytes[0] == b'\n');
            let rest = &bytes[start..];
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            self.after_return = end.is_some_and(|end| rest[end] == b'\r');
            self.line.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            let used = end.map_or(bytes.len(), |end| start + end + 1);
            self.input.consume(used);
            if self.line.len() > LONGEST {
                let message =
                    format!("line {} is longer than 16 MiB, as in no CSV file", self.number);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives its bytes in pieces of one length, as a pipe may.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    proptest! {
        #[test]
        fn line_ends_and_pieces_change_neither_lines_nor_numbers(
            lines in proptest::collection::vec("[a,\" ]{0,3}", 0..12),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            mark in any::<bool>(),
            piece in 1usize..9,
        ) {
            let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
            lines.iter().for_each(|line| text.extend([line, end]));
            let mut read = Lines::new(Pieces(text.as_bytes(), piece));
            let mut found = Vec::new();
            while read.advance().unwrap() {
                found.push((read.number(), String::from_utf8(read.line().to_vec()).unwrap()));
            }
            let numbered = (1..).zip(lines).filter(|(_, line)| !line.trim().is_empty());
            prop_assert_eq!(found, numbered.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let error = Lines::new(io::repeat(b'x')).advance().unwrap_err();
        assert_eq!(error.to_string(), "line 1 is longer than 16 MiB, as in no CSV file");
    }
}
