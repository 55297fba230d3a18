//! What the text of a cell says: a number, or what it is instead.

use crate::message::excerpt;

/// A cell that is no finite f32.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CellFault {
    /// Nothing, or a word for nothing.
    #[error("is a missing value ({}): fill it or remove the row, or leave out all rows that lack a value with --missing drop", shown(.0))]
    Missing(String),
    /// An infinity.
    #[error("is infinite (`{}`); expected a finite number: remove the row or repair the sensor", excerpt(.0))]
    Infinite(String),
    /// A number beyond f32.
    #[error("is {}, beyond f32 (3.4e38): use a larger unit", excerpt(.0))]
    TooLarge(String),
    /// A decimal comma.
    #[error("is `{}`, with a decimal comma; expected a decimal point", excerpt(.0))]
    DecimalComma(String),
    /// Marks between thousands.
    #[error("is `{}`, with separators of thousands; expected digits alone", excerpt(.0))]
    Thousands(String),
    /// One of the two.
    #[error("is `{}`, with a decimal comma or a comma between thousands; expected a decimal point at most", excerpt(.0))]
    Comma(String),
    /// A dash for a minus.
    #[error("is `{}`, with a typographic minus; expected a hyphen, `-`", excerpt(.0))]
    Minus(String),
    /// Any other text.
    #[error("is `{}`; expected a finite number: repair the cell, or train without a text column (--exclude)", excerpt(.0))]
    Text(String),
    /// No label.
    #[error("is {}; expected a label, 0 for normal or 1 for anomaly", shown(.0))]
    Label(String),
}

fn shown(text: &str) -> String {
    match text {
        "" => "empty".into(),
        text => format!("`{}`", excerpt(text)),
    }
}

/// The value of a cell, a finite f32 once it is rounded.
pub fn number(text: &str) -> Result<f64, CellFault> {
    let fault = match text.parse::<f64>() {
        Ok(value) if (value as f32).is_finite() => return Ok(value),
        Ok(value) if value.is_nan() => CellFault::Missing,
        Ok(_) if text.contains(|c: char| c.is_ascii_digit()) => CellFault::TooLarge,
        Ok(_) => CellFault::Infinite,
        Err(_) if is_missing(text) => CellFault::Missing,
        Err(_) if INFINITE.contains(&text) => CellFault::Infinite,
        Err(_) if is_number(&text.replace(DASHES, "-")) => CellFault::Minus,
        Err(_) => match (has_decimal_comma(text), has_thousands(text)) {
            (true, true) => CellFault::Comma,
            (true, false) => CellFault::DecimalComma,
            (false, true) => CellFault::Thousands,
            (false, false) => CellFault::Text,
        },
    };
    Err(fault(text.into()))
}

/// Whether a text is a number in some notation or a time, which the name of a column is not.
pub fn is_data(text: &str) -> bool {
    let is_time_mark = |c: char| "-:/.".contains(c);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let is_time = digits >= 6
        && text.matches(is_time_mark).count() >= 2
        && text.chars().all(|c| c.is_ascii_digit() || is_time_mark(c) || "+TZ ".contains(c));
    let is_number = match number(text) {
        Ok(_) => true,
        Err(fault) => {
            !matches!(fault, CellFault::Text(_) | CellFault::Missing(_) | CellFault::Infinite(_))
        }
    };
    is_number || is_time
}

/// What programs write for a missing value, in small letters.
const MISSING: [&str; 34] = [
    "",
    "na",
    "n/a",
    "n.a.",
    "nan",
    "<na>",
    "#na",
    "#n/a",
    "#n/a n/a",
    "null",
    "(null)",
    "\\n",
    "none",
    "nil",
    "nul",
    "missing",
    "undefined",
    "no data",
    "nodata",
    "-",
    "--",
    "---",
    "–",
    "—",
    "?",
    ".",
    "1.#qnan",
    "-1.#qnan",
    "1.#ind",
    "-1.#ind",
    "#div/0!",
    "#value!",
    "#ref!",
    "#num!",
];

/// Infinity as it is written by old C programs and in mathematics.
const INFINITE: [&str; 5] = ["1.#INF", "-1.#INF", "∞", "-∞", "+∞"];

/// Dashes in the place of a minus.
const DASHES: [char; 3] = ['\u{2212}', '\u{2013}', '\u{2014}'];

fn is_missing(text: &str) -> bool {
    MISSING.contains(&text.to_lowercase().as_str())
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

/// Whether a text is a number once its only comma is a point.
fn has_decimal_comma(text: &str) -> bool {
    let Some((whole, fraction)) = text.split_once(',') else { return false };
    let plain = whole.replace(is_thousands_mark, "");
    (plain == whole || is_grouped(whole)) && is_number(&format!("{plain}.{fraction}"))
}

/// Whether a text is a number once the marks between thousands are left out.
fn has_thousands(text: &str) -> bool {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    // In German, points group and no comma follows: 1.234.567.
    let is_grouped_by_points = text.matches('.').count() > 1 && is_grouped(text);
    is_grouped_by_points
        || whole.contains(is_thousands_mark)
            && is_grouped(whole)
            && is_number(&text.replace(|c| is_thousands_mark(c) && c != '.', ""))
}

fn is_thousands_mark(character: char) -> bool {
    matches!(character, ',' | '.' | '\'' | '’' | '_') || character.is_whitespace()
}

/// Whether the digits of a text stand in groups of three behind the first mark.
fn is_grouped(text: &str) -> bool {
    let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = text.trim_start_matches(['-', '+']).split(is_thousands_mark);
    groups.next().is_some_and(|group| (1..=3).contains(&group.len()) && is_digits(group))
        && groups.all(|group| group.len() == 3 && is_digits(group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_text_is_called_by_name() {
        let found = |text: &str| match number(text) {
            Ok(_) => "number",
            Err(CellFault::Missing(_)) => "missing",
            Err(CellFault::Infinite(_)) => "infinite",
            Err(CellFault::TooLarge(_)) => "too large",
            Err(CellFault::DecimalComma(_)) => "decimal comma",
            Err(CellFault::Thousands(_)) => "thousands",
            Err(CellFault::Comma(_)) => "comma",
            Err(CellFault::Minus(_)) => "minus",
            Err(CellFault::Text(_) | CellFault::Label(_)) => "text",
        };
        for (fault, texts) in [
            ("number", &["1", "-2.5e-3", "+.5", "1e-400", "3.4e38"][..]),
            ("missing", &["", "NA", "n/a", "NaN", "-nan", "NULL", "None", "-", "?", "#N/A"]),
            ("infinite", &["inf", "-Infinity", "1.#INF"]),
            ("too large", &["1e39", "-1e400"]),
            ("decimal comma", &["43,86", "-0,5", ",5", "1.234,56", "1 234,5", "1,2345", "2,5e-3"]),
            ("thousands", &["1,234.5", "1,234,567", "1 234.5", "1'234", "1_000", "1.234.567"]),
            ("comma", &["2,287", "-1,013"]),
            ("minus", &["−5.2", "–1"]),
            ("text", &["on", "True", "0x1F", "45%", "23.5 C", "1,2,3", "12 30", "a,5", ","]),
        ] {
            for text in texts {
                assert_eq!(found(text), fault, "{text}");
            }
        }
    }

    #[test]
    fn names_are_told_from_data() {
        for data in ["43.86", "-1", "1e3", "43,86", "2024-05-01T10:00:00Z", "01.05.2024 10:00"] {
            assert!(is_data(data), "{data}");
        }
        for name in ["temp", "Na", "inf", "", "v1", "speed, rpm", "-", "10-20"] {
            assert!(!is_data(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_finite_f32_is_read(value in proptest::num::f32::NORMAL | proptest::num::f32::ZERO) {
            prop_assert_eq!(number(&value.to_string()), Ok(value.to_string().parse().unwrap()));
        }
    }
}
