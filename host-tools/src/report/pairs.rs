//! Pairs of columns: rows of the file beside samples of the model.

use std::ops::Range;

use plotters::prelude::*;

use super::picture::{self, ANOMALY, Area, Drawn, MODEL, NORMAL, TEXT, font};
use crate::error::Result;
use crate::rows::damage::quantile;

/// Most pairs.
pub const MOST: usize = 6;
/// Pairs of the most blamed features.
const BLAMED: usize = 3;
/// Most points of one kind in a picture.
const POINTS: usize = 300;
/// Of a picture with rows and samples.
const SIZE: (u32, u32) = (720, 430);
/// Share of the values of a column on either side that the axis need not hold.
const OUTSIDE: f64 = 0.005;

/// Rows of all columns, in raw units, of which pairs are drawn.
#[derive(Default)]
pub struct Clouds {
    /// Normal rows of the file, or rows without labels.
    pub rows: Vec<Vec<f64>>,
    /// Anomalies of the file.
    pub anomalies: Vec<Vec<f64>>,
    /// Samples of the model.
    pub samples: Vec<Vec<f64>>,
}

/// The pairs to show among `columns`: each of the most `blamed` with the column that it depends on most,
/// then those that depend on one another most.
pub fn choose(rows: &[Vec<f64>], columns: usize, blamed: &[usize]) -> Vec<[usize; 2]> {
    let ranks: Vec<Vec<f64>> = (0..columns).map(|column| ranks(rows, column)).collect();
    let pairs = (0..columns).flat_map(|a| (a + 1..columns).map(move |b| [a, b]));
    let mut pairs: Vec<([usize; 2], f64)> =
        pairs.map(|[a, b]| ([a, b], correlation(&ranks[a], &ranks[b]).abs())).collect();
    pairs.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut chosen: Vec<[usize; 2]> = Vec::new();
    for feature in blamed.iter().take(BLAMED) {
        let own = pairs.iter().map(|(pair, _)| *pair).find(|pair| pair.contains(feature));
        chosen.extend(own.filter(|pair| !chosen.contains(pair)));
    }
    // A column that depends on all others need not be in every picture.
    let uses =
        |chosen: &[[usize; 2]], column| chosen.iter().filter(|own| own.contains(&column)).count();
    for (pair, _) in &pairs {
        let is_new = pair.iter().all(|column| uses(&chosen, *column) < 2);
        if chosen.len() < MOST && is_new && !chosen.contains(pair) {
            chosen.push(*pair);
        }
    }
    chosen
}

/// The rank of each row's value in a column, from 0; those of equal values are their mean.
fn ranks(rows: &[Vec<f64>], column: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| rows[*a][column].total_cmp(&rows[*b][column]));
    let mut ranks = vec![0.0; rows.len()];
    let mut place = 0;
    for ties in order.chunk_by(|a, b| rows[*a][column] == rows[*b][column]) {
        let rank = place as f64 + (ties.len() - 1) as f64 / 2.0;
        ties.iter().for_each(|row| ranks[*row] = rank);
        place += ties.len();
    }
    ranks
}

/// Of ranks: Spearman's; 0 where one column is constant.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let scale = (product(a, a) * product(b, b)).sqrt();
    if scale > 0.0 { product(a, b) / scale } else { 0.0 }
}

/// Draws a pair: rows and anomalies on the left, samples on the right, on the same axes; samples alone
/// where there are no rows.
pub fn draw(clouds: &Clouds, pair: [usize; 2], names: [&str; 2]) -> Result<String> {
    let axes = pair.map(|column| axis(clouds, column));
    let points = |rows: &[Vec<f64>]| -> Vec<(f64, f64)> {
        let [x, y] = pair;
        let inside = |row: &Vec<f64>| {
            let place = |value: f64, axis: &Range<f64>| value.clamp(axis.start, axis.end);
            (place(row[x], &axes[0]), place(row[y], &axes[1]))
        };
        spread(rows).map(inside).collect()
    };
    let [rows, anomalies, samples] =
        [&clouds.rows, &clouds.anomalies, &clouds.samples].map(|rows| points(rows));
    let [x, y] = names.map(picture::name);
    let names = [&*x, &*y];
    picture::svg("A pair of columns: rows and samples", SIZE, |area| -> Drawn {
        let has_rows = !rows.is_empty() || !anomalies.is_empty();
        match (has_rows, samples.is_empty()) {
            (true, false) => {
                let (left, right) = area.split_horizontally(SIZE.0 / 2);
                let series = [(NORMAL, &rows), (ANOMALY, &anomalies)];
                draw_one(&left, "rows", names, &axes, &series)?;
                draw_one(&right, "samples", names, &axes, &[(MODEL, &samples)])
            }
            (true, true) => {
                draw_one(area, "rows", names, &axes, &[(NORMAL, &rows), (ANOMALY, &anomalies)])
            }
            (false, _) => draw_one(area, "samples", names, &axes, &[(MODEL, &samples)]),
        }
    })
}

fn draw_one(
    area: &Area,
    title: &str,
    names: [&str; 2],
    axes: &[Range<f64>; 2],
    series: &[(RGBColor, &Vec<(f64, f64)>)],
) -> Drawn {
    let (header, plot) = area.split_vertically(46);
    header.draw_text(title, &font(TEXT), (104, 10))?;
    let [x, y] = axes;
    let mut chart = ChartBuilder::on(&plot)
        .margin_right(18)
        .margin_top(4)
        .x_label_area_size(80)
        .y_label_area_size(100)
        .build_cartesian_2d(x.clone(), y.clone())?;
    let (format_x, format_y) = (picture::tick(x), picture::tick(y));
    picture::configure(&mut chart, names, [3, 4], [&format_x, &format_y])?;
    for (colour, points) in series {
        let style = colour.mix(0.5).filled();
        chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, style)))?;
    }
    Ok(())
}

/// A few of many rows, spread evenly.
pub fn spread<T>(rows: &[T]) -> impl Iterator<Item = &T> {
    let count = rows.len().min(POINTS);
    (0..count).map(move |number| &rows[number * rows.len() / count])
}

/// Where nearly all of the values of a column lie, anomalies aside where there are others.
fn axis(clouds: &Clouds, column: usize) -> Range<f64> {
    let ascending = |rows: &[Vec<f64>]| {
        let mut values: Vec<f64> =
            rows.iter().map(|row| row[column]).filter(|x| x.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let clouds = [&clouds.rows, &clouds.samples, &clouds.anomalies].map(|rows| ascending(rows));
    let ends = clouds.iter().filter(|values| !values.is_empty());
    let ends = ends.map(|values| [OUTSIDE, 1.0 - OUTSIDE].map(|share| quantile(values, share)));
    // Anomalies need not be on it, unless there is nothing else.
    let ends = ends.take(2).reduce(|[a, b], [low, high]| [a.min(low), b.max(high)]);
    let [low, high] = ends.unwrap_or([0.0, 1.0]);
    picture::with_room(low, high, 0.08)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_are_few_and_differ_and_the_most_blamed_is_in_one(
            rows in prop::collection::vec(prop::collection::vec(-9f64..9.0, 7), 3..40),
            blamed in prop::collection::vec(0usize..7, 0..4),
        ) {
            let chosen = choose(&rows, 7, &blamed);
            prop_assert!((1..=MOST).contains(&chosen.len()));
            for (place, pair) in chosen.iter().enumerate() {
                prop_assert!(pair[0] < pair[1] && !chosen[..place].contains(pair));
            }
            for feature in blamed.iter().take(BLAMED) {
                prop_assert!(chosen.iter().any(|pair| pair.contains(feature)));
            }
        }

        #[test]
        fn what_rises_together_comes_first(rows in prop::collection::vec(prop::collection::vec(-9f64..9.0, 4), 20..40)) {
            let rows: Vec<Vec<f64>> =
                rows.into_iter().map(|mut row| { row[3] = row[1].exp(); row }).collect();
            prop_assert_eq!(choose(&rows, 4, &[])[0], [1, 3]);
        }
    }

    #[test]
    fn a_picture_holds_whatever_there_is() {
        let rows = || vec![vec![1.0, 5.0], vec![f64::from(f32::MAX), -3.0], vec![2.0, 5.0]];
        for [has_rows, has_samples] in [[true, true], [true, false], [false, true], [false, false]]
        {
            let mut clouds = Clouds::default();
            if has_rows {
                (clouds.rows, clouds.anomalies) = (rows(), rows());
            }
            if has_samples {
                clouds.samples = rows();
            }
            let drawn = draw(&clouds, [0, 1], ["a", "b"]).expect("drawn");
            assert_eq!(drawn.contains(">\nsamples\n<"), has_samples || !has_rows);
        }
    }
}
