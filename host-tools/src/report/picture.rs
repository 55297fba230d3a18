//! What the pictures of a report have in common: SVG text whose colours are roles, to which the page
//! gives a light and a dark value.

use std::io;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::message::escape;

/// Text and axes.
pub const INK: RGBColor = RGBColor(40, 40, 40);
/// Lines of the grid.
pub const GRID: RGBColor = RGBColor(228, 228, 228);
/// Normal rows, or rows without labels. People who do not see red and green can tell this colour and the
/// next two apart (Okabe and Ito 2008).
pub const NORMAL: RGBColor = RGBColor(0, 114, 178);
/// Anomalies.
pub const ANOMALY: RGBColor = RGBColor(213, 94, 0);
/// What comes from the model: its samples, and what it promises.
pub const MODEL: RGBColor = RGBColor(0, 158, 115);
/// What comes from a baseline.
pub const BASELINE: RGBColor = RGBColor(176, 86, 140);

/// Pixels of a picture. The page shows it at half the size, so that half pixels count.
pub const WIDE: (u32, u32) = (720, 500);
/// Of its text.
pub const TEXT: u32 = 30;

/// Most characters of a name in a picture.
const NAME: usize = 18;

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// The picture that `draw` draws, as an element of a page, which `title` stands for where it is not
/// seen. The title holds no text of the user.
pub fn svg(
    title: &'static str,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area) -> Drawn,
) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        draw(&area)
            .and_then(|()| area.present())
            .map_err(|error| Error::Picture { name: title.into(), reason: error.to_string() })?;
    }
    // In a page an SVG element needs no name space, which would be an address.
    let inner = text.split_once('>').map_or("", |(_, inner)| inner);
    Ok(format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">{inner}"))
}

/// How text of a size is drawn.
pub fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// The beginning of a name, short enough for an axis.
pub fn name(text: &str) -> String {
    let text = escape(text);
    match text.chars().count() {
        count if count > NAME => text.chars().take(NAME - 1).chain(['…']).collect(),
        _ => text,
    }
}

/// Draws a frame with axes around `x` and `y`, which have one description each.
pub fn configure<'a, 'b, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>,
    descriptions: [&str; 2],
    labels: [usize; 2],
    format: [&dyn Fn(f64) -> String; 2],
) -> Drawn
where
    X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .label_style(font(TEXT - 2))
        .axis_desc_style(font(TEXT))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_desc(descriptions[0])
        .y_desc(descriptions[1])
        .x_labels(labels[0])
        .y_labels(labels[1])
        .x_label_formatter(&|x| format[0](*x))
        .y_label_formatter(&|y| format[1](*y))
        .draw()
}

/// A range with some room on both sides, also around values that are all the same.
pub fn with_room(low: f64, high: f64, share: f64) -> Range<f64> {
    let room = (share * (high - low)).max(1e-6 * low.abs().max(high.abs())).max(1e-9);
    low - room..high + room
}

/// A number with as many digits as tell it from its neighbours on an axis over `range`.
pub fn tick(range: &Range<f64>) -> impl Fn(f64) -> String + use<> {
    let length = range.end - range.start;
    let decimals = (2.0 - length.log10().floor()).clamp(0.0, 9.0) as usize;
    let largest = range.start.abs().max(range.end.abs());
    move |value| match largest {
        1e-4..1e6 => {
            let text = format!("{value:.decimals$}");
            let text = match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            };
            if text == "-0" { "0".into() } else { text }
        }
        _ => format!("{value:.1e}"),
    }
}

/// A share in per cent.
pub fn per_cent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Colours and words, one entry beside the other.
pub fn legend(area: &Area, entries: &[(RGBColor, &str)], left: i32) -> Drawn {
    let mut left = left;
    for (colour, words) in entries {
        area.draw(&Rectangle::new([(left, 16), (left + 24, 40)], colour.mix(0.7).filled()))?;
        area.draw_text(words, &font(TEXT), (left + 34, 13))?;
        left += 58 + (words.chars().count() as f64 * 0.43 * f64::from(TEXT)) as i32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_no_address_and_escapes_names() {
        let words = name("<b>&\"x\u{202e}\"");
        let picture = svg("A test", WIDE, |area| area.draw_text(&words, &font(TEXT), (0, 0)));
        let picture = picture.expect("drawn");
        assert!(!picture.contains("http") && !picture.contains("<b>"), "{picture}");
        assert!(picture.contains("&lt;b&gt;&amp;"), "{picture}");
    }

    #[test]
    fn ticks_tell_neighbours_apart() {
        assert_eq!(tick(&(0.0..1.0))(0.25), "0.25");
        assert_eq!(tick(&(900.0..950.0))(910.0), "910");
        assert_eq!(tick(&(-0.01..0.01))(-0.0), "0");
        assert_eq!(tick(&(0.0..3e7))(1e7), "1.0e7");
    }
}
