//! Where results go: [`draft`] writes files that appear whole or not at all, [`table`] CSV tables,
//! and what is said to a person passes through [`print`], [`escape`] and [`message`].

mod destination;
pub mod draft;
pub mod table;
mod temporary;

use std::io::{self, Write};

pub use draft::{Draft, shown};
pub use table::Table;

use crate::error::{Error, Result};

/// Characters of the longest message, and those of its end, where it says what to do.
const LONGEST_MESSAGE: usize = 450;
const END_OF_MESSAGE: usize = 150;

/// Prints a whole result on standard output.
pub fn print(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    let printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    printed.map_err(|source| Error::Output { name: draft::STANDARD_OUTPUT.into(), source })
}

/// `text` on one line: what would break it, move the cursor or turn the direction of writing is
/// spelled out, as `\n` or `\u{202e}`, so that a name cannot pass for a fact of its own.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, character| {
        match is_invisible(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
        line
    })
}

fn is_invisible(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    character.is_control() || is_format
}

/// `text` as a message: one line, and where a long name or cell swells it, without its middle.
pub fn message(text: &str) -> String {
    let line = escape(text);
    if !is_too_long(&line) {
        return line;
    }
    let line: Vec<char> = line.chars().collect();
    let (start, _) = line.split_at(LONGEST_MESSAGE - END_OF_MESSAGE);
    let (_, end) = line.split_at(line.len() - END_OF_MESSAGE);
    start.iter().chain(&[' ', '.', '.', '.', ' ']).chain(end).collect()
}

/// Whether nobody would read `text` to its end.
pub fn is_too_long(text: &str) -> bool {
    text.chars().count() > LONGEST_MESSAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_escaped_text_is_one_line_and_stays_as_it_is(text in any::<String>()) {
            let line = escape(&text);
            prop_assert!(line.lines().count() <= 1 && !line.chars().any(char::is_control));
            prop_assert_eq!(escape(&line), line);
        }

        #[test]
        fn a_message_is_short_and_keeps_both_ends(text in "\\PC{0,2000}") {
            let short = message(&text);
            prop_assert!(short.chars().count() <= LONGEST_MESSAGE + 5);
            let first = |text: &str| escape(text).chars().take(100).collect::<String>();
            let last = |text: &str| escape(text).chars().rev().take(100).collect::<String>();
            prop_assert_eq!((first(&short), last(&short)), (first(&text), last(&text)));
        }
    }

    #[test]
    fn a_name_reads_as_it_is_unless_it_would_break_the_line() {
        assert_eq!(escape("Druck \"p1\", mm/s² \\ e\u{301}"), "Druck \"p1\", mm/s² \\ e\u{301}");
        assert_eq!(
            escape("a\nseed=9\r\u{1b}[2J\u{85}\u{2028}\u{202e}"),
            "a\\nseed=9\\r\\u{1b}[2J\\u{85}\\u{2028}\\u{202e}"
        );
    }
}
