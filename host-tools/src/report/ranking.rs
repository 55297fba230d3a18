//! How well the scores rank anomalies above normal rows: the receiver operating characteristic, and
//! precision over recall.

use plotters::prelude::*;

use super::picture::{self, Drawn, GRID, TEXT, WIDE, font};
use crate::error::Result;
use crate::judged::Judged;

/// Steps of a curve in a picture.
const STEPS: usize = 240;

/// What a threshold would come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Share of the normal rows above it.
    pub false_alarms: f64,
    /// Share of the anomalies above it: recall.
    pub detected: f64,
    /// Share of the anomalies among the rows above it; 1 where there is none.
    pub precision: f64,
}

/// A model in the pictures.
pub struct Line<'a> {
    /// What the legend calls it, where there are several.
    pub name: &'static str,
    /// Of its line and its thresholds.
    pub colour: RGBColor,
    /// The points of all thresholds, see [`curve`].
    pub curve: &'a [Point],
    /// Those of the thresholds in its file.
    pub thresholds: &'a [Point],
}

/// The point of a threshold, given rows of both kinds.
pub fn point(judged: &[Judged], threshold: f32) -> Point {
    let count = |is_anomaly: bool, threshold: f32| {
        let rows = judged.iter().filter(|own| own.is_anomaly == is_anomaly);
        rows.filter(|own| own.score > threshold).count() as f64
    };
    let all = |is_anomaly| judged.iter().filter(|own| own.is_anomaly == is_anomaly).count() as f64;
    point_of([count(false, threshold), all(false)], [count(true, threshold), all(true)])
}

fn point_of([alarms, normals]: [f64; 2], [hits, anomalies]: [f64; 2]) -> Point {
    Point {
        false_alarms: alarms / normals,
        detected: hits / anomalies,
        precision: if alarms + hits > 0.0 { hits / (alarms + hits) } else { 1.0 },
    }
}

/// The points of all thresholds, from the highest on; rows of equal score are one step.
pub fn curve(judged: &[Judged]) -> Vec<Point> {
    let mut rows: Vec<(f32, bool)> = judged.iter().map(|own| (own.score, own.is_anomaly)).collect();
    rows.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
    let anomalies = rows.iter().filter(|(_, is_anomaly)| *is_anomaly).count() as f64;
    let normals = rows.len() as f64 - anomalies;
    let (mut alarms, mut hits) = (0.0, 0.0);
    let steps = rows.chunk_by(|(a, _), (b, _)| a == b).map(|ties| {
        let own = ties.iter().filter(|(_, is_anomaly)| *is_anomaly).count() as f64;
        hits += own;
        alarms += ties.len() as f64 - own;
        point_of([alarms, normals], [hits, anomalies])
    });
    let start = Point { false_alarms: 0.0, detected: 0.0, precision: 1.0 };
    [start].into_iter().chain(steps).collect()
}

/// Both pictures, of models on the same rows: the first one is drawn above the others, which are dashed.
pub fn draw(lines: &[Line]) -> Result<[String; 2]> {
    let roc = |point: &Point| (point.false_alarms, point.detected);
    let recall = |point: &Point| (point.detected, point.precision);
    let last = lines.first().and_then(|own| own.curve.last());
    let anomalies = last.map_or(0.0, |last| last.precision);
    Ok([
        draw_one(
            "Receiver operating characteristic",
            ["false-alarm rate", "detection rate"],
            (lines, 0),
            &roc,
            [(0.0, 0.0), (1.0, 1.0)],
        )?,
        draw_one(
            "Precision over recall",
            ["recall (detection rate)", "precision"],
            // With no alarm there is no precision.
            (lines, 1),
            &recall,
            [(0.0, anomalies), (1.0, anomalies)],
        )?,
    ])
}

fn draw_one(
    title: &'static str,
    descriptions: [&str; 2],
    (lines, skipped): (&[Line], usize),
    place: &dyn Fn(&Point) -> (f64, f64),
    chance: [(f64, f64); 2],
) -> Result<String> {
    picture::svg(title, WIDE, |area| -> Drawn {
        let has_legend = lines.len() > 1;
        let (header, plot) = area.split_vertically(if has_legend { 50 } else { 0 });
        if has_legend {
            let entries: Vec<_> = lines.iter().map(|own| (own.colour, own.name)).collect();
            picture::legend(&header, &entries, 24)?;
        }
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(24)
            .margin_top(if has_legend { 6 } else { 20 })
            .x_label_area_size(80)
            .y_label_area_size(120)
            .build_cartesian_2d(0.0..1.0, 0.0..1.02)?;
        let format = picture::tick(&(0.0..1.0));
        picture::configure(&mut chart, descriptions, [6, 6], [&format, &format])?;
        chart.draw_series(LineSeries::new(chance, GRID.stroke_width(5)))?;
        for (number, Line { colour, curve, thresholds, .. }) in lines.iter().enumerate().rev() {
            let line = thinned(&curve[curve.len().min(skipped)..]).map(|point| place(&point));
            let style = colour.stroke_width(4);
            match number {
                0 => chart.draw_series(LineSeries::new(line, style))?,
                _ => chart.draw_series(DashedLineSeries::new(line, 14, 8, style))?,
            };
            let marks = thresholds.iter().map(place);
            chart.draw_series(marks.map(|at| Circle::new(at, 9, colour.filled())))?;
        }
        // Among several lines there is no room for it.
        if let [Line { thresholds: [first, ..], .. }] = lines {
            let (x, y) = place(first);
            let (right, below) = (if x > 0.7 { -160 } else { 18 }, if y > 0.2 { 22 } else { -40 });
            let label = Text::new("threshold", (right, below), font(TEXT - 2));
            chart.draw_series([EmptyElement::at((x, y)) + label])?;
        }
        Ok(())
    })
}

/// The curve's first point, its last one, and some between.
fn thinned(curve: &[Point]) -> impl Iterator<Item = Point> + Clone {
    let last = curve.len().saturating_sub(1);
    let steps = last.clamp(1, STEPS);
    (0..=steps).filter_map(move |step| curve.get(step * last / steps).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(rows: &[(u8, bool)]) -> Vec<Judged> {
        let judged = |(score, is_anomaly): &(u8, bool)| Judged {
            row: Vec::new(),
            score: f32::from(*score),
            log_density: None,
            bounds: None,
            is_anomaly: *is_anomaly,
        };
        rows.iter().map(judged).collect()
    }

    proptest! {
        /// Each point is that of a threshold right below its scores, and the curve only rises.
        #[test]
        fn the_curve_is_that_of_all_thresholds(rows in prop::collection::vec((0u8..20, any::<bool>()), 2..60)) {
            prop_assume!(rows.iter().any(|(_, a)| *a) && rows.iter().any(|(_, a)| !a));
            let judged = judged(&rows);
            let curve = curve(&judged);
            let thresholds = (0..=20).rev().map(|score| point(&judged, score as f32 - 0.5));
            let mut expected: Vec<Point> = thresholds.collect();
            expected.dedup();
            prop_assert_eq!(&curve, &expected);
            prop_assert!(curve.is_sorted_by_key(|point| point.detected));
            let drawn: Vec<Point> = thinned(&curve).collect();
            prop_assert_eq!((drawn.first(), drawn.last()), (curve.first(), curve.last()));
        }
    }
}
