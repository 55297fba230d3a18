//! The scores of rows, with the thresholds.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::picture::{self, ANOMALY, Drawn, INK, NORMAL, TEXT, WIDE, font};
use crate::error::Result;
use crate::rows::damage::quantile;

/// Bars of the histogram.
const BARS: usize = 56;
/// Share of the rows on each side that need not lie within the axis.
const OUTSIDE: f64 = 0.002;
/// How far beyond a threshold the axis goes at most, in distances from the middle of normal rows to it.
const BEYOND: f64 = 2.5;

/// Rows of one kind: scores, each with the number of rows that it stands for.
pub struct Class {
    /// What they are called.
    pub name: &'static str,
    /// Whether they are anomalies.
    pub is_anomaly: bool,
    /// Ascending.
    pub scores: Vec<(f64, f64)>,
}

/// Draws the share of each class in each bar. Where scores go beyond the axis they are in its last bar,
/// whose start is told.
pub fn draw(classes: &[Class], thresholds: &[f64], unit: &str) -> Result<(String, Option<String>)> {
    let axis = axis(classes, thresholds);
    let shares: Vec<[f64; BARS]> = classes.iter().map(|class| shares(class, &axis)).collect();
    let top = 1.12 * shares.iter().flatten().fold(0.01, |a: f64, b| a.max(*b));
    let largest = classes.iter().flat_map(|class| class.scores.last()).map(|(score, _)| *score);
    let beyond = largest.fold(f64::NEG_INFINITY, f64::max) > axis.end;
    let side = |bar: usize| axis.start + (axis.end - axis.start) * bar as f64 / BARS as f64;
    let format = picture::tick(&axis);
    let words = format!("score, {unit}");
    let last = beyond.then(|| format(side(BARS - 1)));
    let colour = |class: &Class| if class.is_anomaly { ANOMALY } else { NORMAL };
    let svg = picture::svg("Scores of the rows and thresholds", WIDE, |area| -> Drawn {
        let (header, plot) = area.split_vertically(50);
        let entries: Vec<_> = classes.iter().map(|class| (colour(class), class.name)).collect();
        picture::legend(&header, &entries, 24)?;
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(16)
            .margin_top(6)
            .x_label_area_size(80)
            .y_label_area_size(98)
            .build_cartesian_2d(axis.clone(), 0.0..top)?;
        picture::configure(&mut chart, [&words, ""], [6, 5], [&format, &picture::per_cent])?;
        for (class, shares) in classes.iter().zip(&shares) {
            let bars = shares.iter().enumerate().filter(|(_, share)| **share > 0.0);
            chart.draw_series(bars.map(|(bar, share)| {
                let corners = [(side(bar), 0.0), (side(bar + 1), *share)];
                Rectangle::new(corners, colour(class).mix(0.6).filled())
            }))?;
        }
        for (number, threshold) in thresholds.iter().enumerate() {
            if !axis.contains(threshold) {
                continue;
            }
            let line = [(*threshold, 0.0), (*threshold, top)];
            chart.draw_series(LineSeries::new(line, INK.stroke_width(3)))?;
            // Beside the line, on the side with more room.
            let is_left = threshold - axis.start < 0.4 * (axis.end - axis.start);
            let (side, gap) = if is_left { (HPos::Left, 8) } else { (HPos::Right, -8) };
            let style = font(TEXT - 2).pos(Pos::new(side, VPos::Top));
            let below = 4 + 30 * number as i32;
            let label = Text::new(format!("threshold {threshold:.2}"), (gap, below), style);
            chart.draw_series([EmptyElement::at((*threshold, top)) + label])?;
        }
        Ok(())
    })?;
    Ok((svg, last))
}

/// From the lowest scores to the highest, or where that is too far to a distance beyond the thresholds.
fn axis(classes: &[Class], thresholds: &[f64]) -> Range<f64> {
    let ascending = |classes: &mut dyn Iterator<Item = &Class>| {
        let mut scores: Vec<f64> =
            classes.flat_map(|class| class.scores.iter().map(|(score, _)| *score)).collect();
        scores.sort_unstable_by(f64::total_cmp);
        scores
    };
    let all = ascending(&mut classes.iter());
    let mut normal = ascending(&mut classes.iter().filter(|class| !class.is_anomaly));
    if normal.is_empty() {
        normal.clone_from(&all);
    }
    let (Some(first), Some(last)) = (normal.first(), all.last()) else { return 0.0..1.0 };
    let highest = match thresholds.iter().copied().reduce(f64::max) {
        Some(highest) => highest,
        None => quantile(&normal, 1.0 - OUTSIDE),
    };
    let middle = quantile(&normal, 0.5);
    let limit = highest + BEYOND * (highest - middle).max(1e-6);
    let low =
        quantile(&normal, OUTSIDE).min(quantile(&all, OUTSIDE)).max(first - (highest - first));
    // A threshold may lie below all rows.
    picture::with_room(low.min(highest), last.min(limit).max(highest), 0.02)
}

/// Share of the class in each bar; those beyond the axis are in the bars at its ends.
fn shares(class: &Class, axis: &Range<f64>) -> [f64; BARS] {
    let mut shares = [0.0; BARS];
    let rows: f64 = class.scores.iter().map(|(_, rows)| rows).sum();
    for (score, rows_here) in &class.scores {
        let place = (score - axis.start) / (axis.end - axis.start) * BARS as f64;
        shares[(place.max(0.0) as usize).min(BARS - 1)] += rows_here / rows;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_a_bar_and_the_threshold_on_the_axis(
            mut scores in prop::collection::vec(-1e6f32..1e30, 1..60), threshold in -10f64..10.0,
        ) {
            scores.sort_unstable_by(f32::total_cmp);
            let scores = scores.into_iter().map(|score| (f64::from(score), 1.0)).collect();
            let class = Class { name: "rows", is_anomaly: false, scores };
            let axis = axis(std::slice::from_ref(&class), &[threshold]);
            let sum: f64 = shares(&class, &axis).iter().sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            prop_assert!(axis.end > threshold);
            draw(&[class], &[threshold], "nats").expect("drawn");
        }
    }
}
