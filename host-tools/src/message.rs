//! What is said to a person: on one line, short, and without a character that passes for another.
//!
//! A name, a cell or a path is the user's own text and may hold anything: [`excerpt`], [`path`],
//! [`list`] and [`word`] show one within a message, [`short`] makes one line of a whole message.

/// Characters of the longest message, and those of its end, where it says what to do.
const LONGEST: usize = 450;
const END: usize = 150;
/// Most characters of a name or a cell.
const TEXT: usize = 60;
/// Most characters of a path.
const PATH: usize = 100;
/// Most characters of a list of names.
const LIST: usize = 90;

/// `text` on one line: what would break it, move the cursor or turn the direction of writing is
/// spelled out, as `\n` or `\u{202e}`, so that a name cannot pass for a fact of its own.
pub fn escape(text: &str) -> String {
    text.chars().map(escape_character).collect()
}

fn escape_character(character: char) -> String {
    match is_invisible(character) {
        true => character.escape_default().collect(),
        false => character.into(),
    }
}

/// What no reader sees. The joiner of emoji and of Indian scripts is a part of words.
fn is_invisible(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    character.is_control() || is_format
}

/// The beginning of a name or a cell.
pub fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.chars().count() >= TEXT {
            shown.push('…');
            break;
        }
        shown.push_str(&escape_character(character));
    }
    shown
}

/// A name as a shell takes it behind an option: in quotation marks where it is no plain word.
pub fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    match !name.is_empty() && name.chars().all(is_plain) {
        true => excerpt(name),
        false => format!("\"{}\"", excerpt(name)),
    }
}

/// The end of a path, which has the file's name.
pub fn path(text: &str) -> String {
    let line = escape(text);
    match line.chars().count() {
        length if length > PATH => {
            format!("…{}", line.chars().skip(length - PATH).collect::<String>())
        }
        _ => line,
    }
}

/// The first of some names, and how many there are where that is not all.
pub fn list(names: &[String]) -> String {
    let mut shown = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            shown.push_str(", ");
        }
        if shown.len() >= LIST {
            return format!("{shown}… ({} in all)", names.len());
        }
        shown.push_str(&excerpt(name));
    }
    shown
}

/// `text` as a message: one line, and where something long swells it, without its middle.
pub fn short(text: &str) -> String {
    let line = escape(text);
    if !is_too_long(&line) {
        return line;
    }
    let line: Vec<char> = line.chars().collect();
    let (start, _) = line.split_at(LONGEST - END);
    let (_, end) = line.split_at(line.len() - END);
    start.iter().chain(&[' ', '.', '.', '.', ' ']).chain(end).collect()
}

/// Whether nobody would read `text` to its end.
pub fn is_too_long(text: &str) -> bool {
    text.chars().count() > LONGEST
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
            let message = short(&text);
            prop_assert!(message.chars().count() <= LONGEST + 5);
            let first = |text: &str| escape(text).chars().take(100).collect::<String>();
            let last = |text: &str| escape(text).chars().rev().take(100).collect::<String>();
            prop_assert_eq!((first(&message), last(&message)), (first(&text), last(&text)));
        }

        #[test]
        fn every_text_is_short_and_has_no_control_characters(
            texts in proptest::collection::vec(any::<String>(), 0..200)
        ) {
            let joined = texts.concat();
            for shown in [excerpt(&joined), path(&joined), list(&texts), word(&joined)] {
                prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
            }
            prop_assert!(word(&joined).chars().count() <= TEXT + 13);
            prop_assert!(path(&joined).chars().count() <= PATH + 1);
            prop_assert!(list(&texts).chars().count() <= LIST + TEXT + 40);
        }

        #[test]
        fn a_short_plain_text_is_shown_as_it_is(text in "[ -~äµ°🌡\u{fe0f}\u{301}]{0,60}") {
            prop_assert_eq!(excerpt(&text), text.clone());
            prop_assert_eq!(path(&text), text);
        }
    }

    #[test]
    fn a_name_reads_as_it_is_unless_it_would_break_the_line() {
        assert_eq!(escape("Druck \"p1\", mm/s² \\ e\u{301}"), "Druck \"p1\", mm/s² \\ e\u{301}");
        assert_eq!(
            escape("a\nseed=9\r\u{1b}[2J\u{85}\u{2028}\u{202e}"),
            "a\\nseed=9\\r\\u{1b}[2J\\u{85}\\u{2028}\\u{202e}"
        );
        assert_eq!((word("Label"), word("head, deg")), ("Label".into(), "\"head, deg\"".into()));
    }
}
