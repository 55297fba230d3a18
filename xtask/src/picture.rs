//! The picture of `cargo xtask demo`: the scores of normal rows and of anomalies, and the threshold
//! between them.

mod axis;
pub mod trial;

use std::path::Path;

use anyhow::{Result, ensure};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use axis::Axis;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1000, 520);
/// Of them, the title and the legend.
const HEADER: u32 = 96;
/// Bars of the histogram.
const BARS: usize = 72;

/// Colours that people who do not see red and green can tell apart.
const NORMAL: RGBColor = RGBColor(0, 114, 178);
const ANOMALY: RGBColor = RGBColor(213, 94, 0);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);

/// The rows of one class.
struct Class {
    name: &'static str,
    colour: RGBColor,
    scores: Vec<f64>,
}

impl Class {
    /// Share of the rows in each bar, in per cent.
    fn shares(&self, axis: &Axis) -> Vec<f64> {
        let mut shares = vec![0.0; BARS];
        for score in &self.scores {
            let bar = (axis.position(*score) * BARS as f64) as usize;
            shares[bar.min(BARS - 1)] += 100.0 / self.scores.len() as f64;
        }
        shares
    }

    /// The legend's line.
    fn describe(&self, threshold: Option<f64>) -> String {
        let count = axis::with_separators(self.scores.len() as f64);
        let Some(threshold) = threshold else { return format!("{count} {}", self.name) };
        let above = self.scores.iter().filter(|score| **score > threshold).count();
        let share = 100.0 * above as f64 / self.scores.len().max(1) as f64;
        format!("{count} {}: {share:.1} % above the threshold", self.name)
    }
}

/// Draws the scores of rows, whose labels are 1 for anomalies, and the threshold, as an SVG file.
pub fn draw(path: &Path, scores: &[f32], labels: &[f32], threshold: Option<f64>) -> Result<()> {
    let of_class = |is_anomaly: bool| {
        let rows = scores.iter().zip(labels).filter(|(_, label)| (**label != 0.0) == is_anomaly);
        rows.map(|(score, _)| f64::from(*score)).filter(|score| score.is_finite()).collect()
    };
    let classes = [
        Class { name: "normal rows", colour: NORMAL, scores: of_class(false) },
        Class { name: "anomalies", colour: ANOMALY, scores: of_class(true) },
    ];
    let [normal, anomalies] = &classes;
    ensure!(normal.scores.len() + anomalies.scores.len() > 0, "no scores to draw");
    let axis = Axis::new(&normal.scores, &anomalies.scores, threshold);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (header, plot) = area.split_vertically(HEADER);
    draw_header(&header, &classes, threshold)?;
    draw_histogram(&plot, &classes, axis, threshold)?;
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_header(area: &Area, classes: &[Class], threshold: Option<f64>) -> Result<()> {
    let title = ("sans-serif", 24).into_font().color(&INK);
    area.draw_text(
        "Anomaly scores of the test rows, computed on an emulated Cortex-M4",
        &title,
        (28, 18),
    )?;
    let mut left = 28;
    for class in classes {
        area.draw(&Rectangle::new([(left, 62), (left + 18, 80)], bar_style(class.colour)))?;
        let words = class.describe(threshold);
        let style = ("sans-serif", 18).into_font().color(&INK);
        area.draw_text(&words, &style, (left + 28, 61))?;
        left += 480;
    }
    Ok(())
}

fn draw_histogram(
    area: &Area,
    classes: &[Class],
    axis: Axis,
    threshold: Option<f64>,
) -> Result<()> {
    let shares: Vec<_> = classes.iter().map(|class| class.shares(&axis)).collect();
    let highest = shares.iter().flatten().fold(1.0, |a: f64, b| a.max(*b));
    let top = 1.15 * highest;
    let logarithmic = axis.describe();
    let sides: Vec<f64> = (0..=BARS).map(|bar| axis.score(bar as f64 / BARS as f64)).collect();
    let is_left = threshold.is_some_and(|threshold| axis.position(threshold) < 0.6);
    let mut chart = ChartBuilder::on(area)
        .margin_left(12)
        .margin_right(28)
        .margin_bottom(14)
        .x_label_area_size(62)
        .y_label_area_size(86)
        .build_cartesian_2d(axis, 0.0..top)?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 17).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 18).into_font().color(&INK))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_desc(format!("score of a row, in deviations of normal rows{logarithmic}"))
        .y_labels(6)
        .y_label_formatter(&|share| format!("{share:.0} %"))
        .y_desc("share of each class")
        .draw()?;
    for (class, shares) in classes.iter().zip(&shares) {
        let bars = shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
        chart.draw_series(bars.map(|(bar, share)| {
            let corners = [(sides[bar], 0.0), (sides[bar + 1], *share)];
            Rectangle::new(corners, bar_style(class.colour))
        }))?;
    }
    if let Some(threshold) = threshold {
        let line = [(threshold, 0.0), (threshold, top)];
        chart.draw_series(LineSeries::new(line, INK.stroke_width(2)))?;
        // Beside the line, on the side with more room.
        let (side, gap) = if is_left { (HPos::Left, 8) } else { (HPos::Right, -8) };
        let style = ("sans-serif", 18).into_font().color(&INK).pos(Pos::new(side, VPos::Top));
        let words = format!("threshold {threshold:.1}");
        let label = EmptyElement::at((threshold, top)) + Text::new(words, (gap, 4), style);
        chart.draw_series([label])?;
    }
    Ok(())
}

/// Light enough that the bars of the other class are seen through them.
fn bar_style(colour: RGBColor) -> ShapeStyle {
    colour.mix(0.55).filled()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_picture_shows_both_classes_and_the_threshold() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scores.svg");
        let scores = [-3.0, -1.5, 0.0, 2.0, 1.6e12, f32::MAX];
        let labels = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        super::draw(&path, &scores, &labels, Some(1.5)).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("written");
        for words in [
            "4 normal rows: 25.0 %",
            "2 anomalies: 100.0 %",
            "threshold 1.5",
            "deviations of normal rows, logarithmic above",
        ] {
            assert!(svg.contains(words), "{words} is missing");
        }
    }
}
