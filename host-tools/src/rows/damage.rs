//! Rows with a wild value: the glitch of an interface, the error code of a sensor, a flag that was
//! set once.
//!
//! A column's values lie on both sides of their median. On either side a value is wild where a
//! gap sets it apart: it is further from the median than two and a half times the next nearer
//! one, than ten robust deviations, and only few rows lie out there. Heavy tails thin out without
//! such gaps, and rare states are not that rare, so both stay. Wild rows are told, and neither
//! training nor the threshold sees them.

use std::fmt;

use crate::message::{self, excerpt};
use crate::rows::dataset::Dataset;

/// Most rows that can be wild on one side of a column; more are a state of the plant.
const MOST: f64 = 0.015;
/// How much further out than the value before it a wild value lies.
const GAP: f64 = 2.5;
/// Robust deviations from which on that is measured, however close the other values are.
const NEAR: f64 = 4.0;
/// Cells that a message names.
const NAMED: usize = 3;

/// What the values of one column do not go beyond unless they are wild.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fence {
    /// Smallest value that is not wild.
    pub low: f64,
    /// Largest one.
    pub high: f64,
}

impl Fence {
    /// Of the values of a column, in ascending order.
    pub fn of(ascending: &[f64]) -> Self {
        let median = quantile(ascending, 0.5);
        let spread = spread(ascending);
        let above: Vec<f64> = ascending.iter().map(|x| x - median).collect();
        let below: Vec<f64> = ascending.iter().rev().map(|x| median - x).collect();
        let [high, low] = [above, below].map(|distances| reach(&distances, spread));
        Self { low: median - low, high: median + high }
    }

    /// The fence of the values less `offset`.
    pub fn less(&self, offset: f64) -> Self {
        Self { low: self.low - offset, high: self.high - offset }
    }

    /// Whether `x` lies within.
    pub fn holds(&self, x: f64) -> bool {
        (self.low..=self.high).contains(&x)
    }
}

/// How far to one side of the median values go that are not wild, given all `distances`, ascending.
fn reach(distances: &[f64], spread: f64) -> f64 {
    let count = distances.len();
    let beyond = |inner: f64| GAP * inner.max(NEAR * spread);
    let mut outer = count.saturating_sub(few(count)).max(1)..count;
    let gap = outer.find(|place| distances[*place] > beyond(distances[place - 1]));
    beyond(distances[gap.unwrap_or(count) - 1].max(0.0))
}

/// A robust standard deviation: by the middle four fifths of the values, or where they are all one
/// value, by all but those few that may be wild.
pub fn spread(ascending: &[f64]) -> f64 {
    let middle = quantile(ascending, 0.9) - quantile(ascending, 0.1);
    let few = few(ascending.len());
    match (middle > 0.0, ascending.get(few), ascending.iter().nth_back(few)) {
        (false, Some(low), Some(high)) => (high - low).max(0.0) / 4.34,
        _ => middle / 2.563,
    }
}

/// So many of the rows on one side may be wild.
fn few(count: usize) -> usize {
    ((MOST * count as f64) as usize).max(1)
}

/// The value below which that share of the ascending values lies, between two by a straight line.
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = share * (ascending.len() - 1) as f64;
    let (left, rest) = (place as usize, place.fract());
    let right = ascending[(left + 1).min(ascending.len() - 1)];
    ascending[left] * (1.0 - rest) + right * rest
}

/// The rows of a file that have a wild value.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    pub(super) path: String,
    /// Places of the rows, ascending.
    pub rows: Vec<usize>,
    /// The first wild values: line, column and value.
    pub(super) first: Vec<(u64, String, f64)>,
}

impl Damage {
    /// Looks for what lies beyond the fence of its column.
    pub fn find(dataset: &Dataset, fences: &[Fence]) -> Self {
        let mut damage = Self { path: dataset.path.clone(), ..Self::default() };
        for (place, row) in dataset.rows().enumerate() {
            let cells = row.iter().zip(fences).enumerate();
            let mut wild = cells.filter(|(_, (x, fence))| !fence.holds(**x)).peekable();
            if wild.peek().is_none() {
                continue;
            }
            damage.rows.push(place);
            for (column, (x, _)) in wild {
                if damage.first.len() < NAMED {
                    damage.first.push((dataset.lines[place], dataset.names[column].clone(), *x));
                }
            }
        }
        damage
    }

    /// Whether there are more than damage explains, so that they are another state of the plant.
    pub fn is_shift(&self, rows: usize) -> bool {
        self.rows.len() as f64 > (2.0 * MOST * rows as f64).max(2.0)
    }

    /// Whether the row at `place` is wild.
    pub fn contains(&self, place: usize) -> bool {
        self.rows.binary_search(&place).is_ok()
    }
}

/// What is wild and where.
impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let cell = |(line, column, x): &(u64, String, f64)| {
            format!("line {line}, column `{}` ({x})", excerpt(column))
        };
        let first: Vec<_> = self.first.iter().map(cell).collect();
        let rows = self.rows.len();
        let (have, more) = (if rows == 1 { "row has" } else { "rows have" }, rows > NAMED);
        write!(
            formatter,
            "{}: {rows} {have} a value far from all others: {}{}",
            message::path(&self.path),
            first.join("; "),
            if more { " and others" } else { "" }
        )
    }
}

/// The fence of each column.
pub fn fences(dataset: &Dataset) -> Vec<Fence> {
    (0..dataset.names.len()).map(|column| Fence::of(&dataset.ascending(column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Cauchy, Distribution, StandardNormal, StudentT};

    fn ascending(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn wild(values: &[f64]) -> usize {
        let fence = Fence::of(&ascending(values.to_vec()));
        values.iter().filter(|x| !fence.holds(**x)).count()
    }

    proptest! {
        /// Whatever the glitch, it is found, alone, and the fence of the others is unchanged.
        #[test]
        fn one_glitch_is_wild_and_nothing_else(
            seed: u64,
            rows in 50usize..2000,
            glitch in prop_oneof![Just(65535.0), Just(-127.0), Just(1e30), -1e9f64..-100.0],
            (centre, scale) in (-20f64..50.0, 0.01f64..5.0),
        ) {
            let random = ChaCha8Rng::seed_from_u64(seed);
            let normal = StandardNormal.sample_iter(random).take(rows);
            let mut values: Vec<f64> = normal.map(|z: f64| centre + scale * z).collect();
            prop_assert_eq!(wild(&values), 0);
            values[rows / 2] = glitch;
            prop_assert_eq!(wild(&values), 1);
        }

        /// A percent of error codes is damage, a tenth of the rows is a state.
        #[test]
        fn few_rows_are_damage_and_many_are_a_state(seed: u64, rows in 400usize..2000) {
            let random = ChaCha8Rng::seed_from_u64(seed);
            let normal: Vec<f64> = StandardNormal.sample_iter(random).take(rows).collect();
            let coded = |every: usize| {
                let code = |(n, x): (usize, &f64)| if n % every == 5 { -127.0 } else { *x };
                normal.iter().enumerate().map(code).collect::<Vec<_>>()
            };
            prop_assert!((rows / 97..=rows / 97 + 1).contains(&wild(&coded(97))));
            prop_assert_eq!(wild(&coded(10)), 0);
        }

        /// A flag that is 0 in all rows but one or two.
        #[test]
        fn a_flag_that_was_set_once_is_wild(rows in 50usize..1000, place: prop::sample::Index) {
            let mut values = vec![0.0; rows];
            prop_assert_eq!(wild(&values), 0);
            values[place.index(rows)] = 1.0;
            prop_assert_eq!(wild(&values), 1);
        }
    }

    /// Tails as heavy as Cauchy's keep all but a handful of their rows, lighter ones all but one.
    #[test]
    fn heavy_tails_are_kept() {
        for seed in 0..20 {
            let random = || ChaCha8Rng::seed_from_u64(seed);
            let cauchy = Cauchy::new(0.0, 1.0).unwrap().sample_iter(random()).take(2000);
            assert!(wild(&cauchy.collect::<Vec<f64>>()) <= 30);
            let student = StudentT::new(3.0).unwrap().sample_iter(random()).take(2000);
            assert!(wild(&student.collect::<Vec<f64>>()) <= 2);
        }
    }
}
