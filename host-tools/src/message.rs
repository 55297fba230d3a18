//! Texts of the user's in messages: escaped, and short however long they are.

/// Most characters of a name or a cell.
const TEXT: usize = 60;
/// Most characters of a path.
const PATH: usize = 100;
/// Most characters of a list of names.
const LIST: usize = 90;

/// The beginning of a name or a cell.
pub fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.chars().count() >= TEXT {
            shown.push('…');
            break;
        }
        push_escaped(&mut shown, character);
    }
    shown
}

/// The end of a path, which has the file's name.
pub fn path(text: &str) -> String {
    let length = text.chars().count();
    let mut shown = String::new();
    if length > PATH {
        shown.push('…');
    }
    text.chars()
        .skip(length.saturating_sub(PATH))
        .for_each(|character| push_escaped(&mut shown, character));
    shown
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

/// Control characters, line breaks and invisible ones are written as escapes.
fn push_escaped(shown: &mut String, character: char) {
    match character {
        '"' | '\'' | '\\' => shown.push(character),
        _ => shown.extend(character.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_short_and_has_no_control_characters(
            texts in proptest::collection::vec(any::<String>(), 0..200)
        ) {
            let joined = texts.concat();
            for shown in [excerpt(&joined), path(&joined), list(&texts)] {
                prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
            }
            prop_assert!(excerpt(&joined).chars().count() <= TEXT + 10);
            prop_assert!(list(&texts).chars().count() <= LIST + TEXT + 40);
        }

        #[test]
        fn a_short_plain_text_is_shown_as_it_is(text in "[ -~äµ°]{0,60}") {
            prop_assert_eq!(excerpt(&text), text.clone());
            prop_assert_eq!(path(&text), text);
        }
    }
}
