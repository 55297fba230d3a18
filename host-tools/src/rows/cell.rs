//! What the text of a cell says: a number, or what it is instead.

use crate::message::excerpt;

/// A cell that is no finite f32.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CellFault {
    /// Nothing, or a word for nothing.
    #[error("is a missing value ({}): fill it or remove the row, or leave out all rows that lack a value with --missing drop", shown(.0))]
    Missing(String),
    /// An infinity, which something measured or computed: no missing value.
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
    /// A number in quotation marks within the cell.
    #[error("is `{}`, a number in quotation marks of its own; expected the number alone", excerpt(.0))]
    Quoted(String),
    /// A number and what it counts.
    #[error("is `{}`, a number with a unit behind it; expected the number alone, and the unit in the column's name", excerpt(.0))]
    WithUnit(String),
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
        Err(_) if is_infinite(text) => CellFault::Infinite,
        Err(_) if is_number(&text.replace(DASHES, "-")) => CellFault::Minus,
        Err(_) => match (has_decimal_comma(text), has_thousands(text)) {
            (true, true) => CellFault::Comma,
            (true, false) => CellFault::DecimalComma,
            (false, true) => CellFault::Thousands,
            (false, false) if is_number(text.trim_matches(QUOTES)) => CellFault::Quoted,
            (false, false) if has_unit(text) => CellFault::WithUnit,
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
            use CellFault::{Infinite, Missing, Text, WithUnit};
            !matches!(fault, Text(_) | Missing(_) | Infinite(_) | WithUnit(_))
        }
    };
    is_number || is_time
}

/// What people and programs write for a missing value: the letters of it, small ones.
const MISSING: [&str; 22] = [
    "",
    "na",
    "nan",
    "nat",
    "nana",
    "nanind",
    "nansnan",
    "nd",
    "nv",
    "ka",
    "null",
    "nul",
    "nil",
    "none",
    "missing",
    "undef",
    "undefined",
    "unknown",
    "empty",
    "nodata",
    "novalue",
    "notavailable",
];

/// Marks around those letters, as in `n/a`, `<NA>`, `(null)` or `--`.
const MARKS: &str = "#<>()[]{}/\\.…-–—_?*\"'";

/// Dashes in the place of a minus.
const DASHES: [char; 8] = [
    '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}', '\u{fe63}', '\u{ff0d}',
];

/// Quotation marks that are no part of CSV.
const QUOTES: [char; 10] = ['"', '\'', '`', '´', '‘', '’', '“', '”', '„', '‚'];

fn is_missing(text: &str) -> bool {
    let is_mark = |c: char| MARKS.contains(c) || c.is_whitespace();
    let letters = || text.chars().filter(|c| !is_mark(*c)).flat_map(char::to_lowercase);
    let is_word = text.chars().count() <= 20
        && text != "#"
        && MISSING.iter().any(|word| word.chars().eq(letters()));
    // Spreadsheets write #DIV/0! or #NAME?, in any language, and old C programs 1.#QNAN or -1.#IND00.
    let is_error = text.starts_with('#') && text.ends_with(['!', '?']) && !text.contains(' ');
    let number = text.trim_start_matches(['-', '+']);
    is_word
        || is_error
        || text == "\\N"
        || ["1.#QNAN", "1.#SNAN", "1.#IND"].iter().any(|c| number.starts_with(c))
}

/// Whether a text stands for infinity as old C programs or mathematics write it.
fn is_infinite(text: &str) -> bool {
    let size = text.trim_start_matches(['-', '+']).trim_start_matches(DASHES);
    matches!(size, "∞" | "oo") || size.starts_with("1.#INF") || size.eq_ignore_ascii_case("inf.")
}

/// Whether a text is a number and then a unit, such as `23.5 C` or `45%`. Units may begin with
/// digits too, as `1/min` does.
fn has_unit(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit() && c != '.');
    let unit = text[number.len()..].trim_start();
    let is_unit = unit.starts_with(|c: char| c.is_alphabetic() || "%°′″Ω".contains(c));
    is_unit && is_number(number)
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
            Err(CellFault::Quoted(_)) => "quoted",
            Err(CellFault::WithUnit(_)) => "unit",
            Err(CellFault::Text(_) | CellFault::Label(_)) => "text",
        };
        for (fault, texts) in [
            ("number", &["1", "-2.5e-3", "+.5", "1e-400", "3.4e38"][..]),
            ("missing", &["", "NA", "n/a", "NaN", "-nan", "NULL", "None", "-", "?", "#N/A"]),
            (
                "missing",
                &["<NA>", "(null)", "[NULL]", "N / A", "n.d.", "\\N", "NaT", "-nan(ind)", "***"],
            ),
            (
                "missing",
                &["1.#QNAN0", "-1.#IND00", "#DIV/0!", "#WERT!", "#NAME?", "#NV", "…", "''"],
            ),
            ("infinite", &["inf", "-Infinity", "1.#INF00", "−∞", "∞"]),
            ("too large", &["1e39", "-1e400"]),
            ("decimal comma", &["43,86", "-0,5", ",5", "1.234,56", "1 234,5", "1,2345", "2,5e-3"]),
            ("thousands", &["1,234.5", "1,234,567", "1 234.5", "1'234", "1_000", "1.234.567"]),
            ("comma", &["2,287", "-1,013"]),
            ("minus", &["−5.2", "–1", "‑3", "－2"]),
            ("quoted", &["'1.5'", "'1.5", "“43.86”", "\"1\""]),
            ("unit", &["45%", "23.5 C", "-4°C", "5V", "1.5 mm"]),
            (
                "text",
                &["on", "True", "0x1F", "1/min", "1,2,3", "12 30", "a,5", ",", "#", "%", "ok"],
            ),
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
        for name in ["temp", "Na", "inf", "", "v1", "speed, rpm", "-", "10-20", "5V", "1st"] {
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
