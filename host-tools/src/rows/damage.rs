//! Rows with a wild value: the glitch of an interface, the error code of a sensor, a flag that was
//! set once.
//!
//! A column's values lie on both sides of their median. On either side a value is wild where a
//! gap sets it apart: it is further from the median than two and a half times the next nearer
//! one, than ten robust deviations, and only few rows and fewer different values lie out there, since
//! a code repeats itself and a state of the plant varies. Heavy tails thin out without such gaps,
//! and rare states are not that rare, so both stay. Wild rows are told, and neither training nor the
//! threshold sees them.

use std::collections::BTreeMap;
use std::fmt;

use crate::message::excerpt;
use crate::rows::dataset::Dataset;

/// Most rows that can be wild on one side of a column; more are a state of the plant.
const MOST: f64 = 0.05;
/// Most different values among them, as a share of all rows, and at least.
const DIFFERENT: (f64, usize) = (0.015, 2);
/// How much further out than the value before it a wild value lies.
const GAP: f64 = 2.5;
/// Robust deviations from which on that is measured, however close the other values are.
const NEAR: f64 = 4.0;
/// Columns that a message names, and cells of each.
const NAMED: (usize, usize) = (4, 3);

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

    /// The fence where values come round after `length`: what is nearer than that is not far.
    pub fn of_period(ascending: &[f64], length: f64) -> Self {
        let Self { low, high } = Self::of(ascending);
        Self { low: low - length, high: high + length }
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
    let most = ((MOST * count as f64) as usize).max(few(count));
    let mut outer = count.saturating_sub(most).max(1)..count;
    let gap = outer.find(|place| {
        distances[*place] > beyond(distances[place - 1])
            && distances[*place..].chunk_by(|a, b| a == b).count() <= few(count)
    });
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

/// So many different values on one side may be wild.
fn few(count: usize) -> usize {
    let (share, least) = DIFFERENT;
    ((share * count as f64) as usize).max(least)
}

/// Quantile of values in ascending order, linear between them (type 7 of Hyndman and Fan 1996).
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = (ascending.len() - 1) as f64 * share;
    let (low, high) = (ascending[place.floor() as usize], ascending[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The rows of a file that have a wild value.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    /// Places of the rows, ascending.
    pub rows: Vec<usize>,
    /// What is wild in each column, by its number.
    pub(super) columns: BTreeMap<usize, Cells>,
}

/// The wild values of a column.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    name: String,
    count: usize,
    /// The first ones with their lines.
    first: Vec<(u64, f64)>,
}

impl Damage {
    /// Looks for what lies beyond the fence of its column.
    pub fn find(dataset: &Dataset, fences: &[Fence]) -> Self {
        let mut damage = Self::default();
        for (place, row) in dataset.rows().enumerate() {
            let cells = row.iter().zip(fences).enumerate();
            for (column, (x, _)) in cells.filter(|(_, (x, fence))| !fence.holds(**x)) {
                if damage.rows.last() != Some(&place) {
                    damage.rows.push(place);
                }
                let name = || dataset.names[column].clone();
                let new = || Cells { name: name(), count: 0, first: Vec::new() };
                let wild = damage.columns.entry(column).or_insert_with(new);
                wild.count += 1;
                if wild.first.len() < NAMED.1 {
                    wild.first.push((dataset.lines[place], *x));
                }
            }
        }
        damage
    }

    /// Whether there are more than damage explains, so that they are another state of the plant.
    pub fn is_shift(&self, rows: usize) -> bool {
        self.rows.len() as f64 > (MOST * rows as f64).max(DIFFERENT.1 as f64)
    }

    /// Names of the columns that hold wild values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.values().map(|cells| &*cells.name)
    }

    /// Whether the row at `place` is wild.
    pub fn contains(&self, place: usize) -> bool {
        self.rows.binary_search(&place).is_ok()
    }
}

/// The first wild values of the first columns.
impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let shown: Vec<_> = self.columns.values().take(NAMED.0).map(Cells::to_string).collect();
        write!(formatter, "{}", shown.join("; "))?;
        match self.columns.len() - shown.len() {
            0 => Ok(()),
            others => write!(formatter, "; and columns beside these: {others}"),
        }
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let cell = |(line, x): &(u64, f64)| match x.abs() {
            1e-6..1e15 | 0.0 => format!("line {line} ({x})"),
            _ => format!("line {line} ({x:e})"),
        };
        let first: Vec<_> = self.first.iter().map(cell).collect();
        let others = if self.count > first.len() { " and others" } else { "" };
        write!(formatter, "column `{}`, {}{others}", excerpt(&self.name), first.join(", "))
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

        /// Some percent of one error code are damage, and so are two codes; a tenth of the rows are a
        /// state, and so are some percent of different values.
        #[test]
        fn few_rows_are_damage_and_many_are_a_state(seed: u64, rows in 100usize..2000) {
            let random = ChaCha8Rng::seed_from_u64(seed);
            let normal: Vec<f64> = StandardNormal.sample_iter(random).take(rows).collect();
            let coded = |every: usize, codes: &dyn Fn(usize) -> f64| {
                let code = |(n, x): (usize, &f64)| if n % every == 5 { codes(n) } else { *x };
                normal.iter().enumerate().map(code).collect::<Vec<_>>()
            };
            for every in [97, 33, 25] {
                let expected = (0..rows).filter(|row| row % every == 5).count();
                prop_assert_eq!(wild(&coded(every, &|_| -127.0)), expected);
                prop_assert_eq!(wild(&coded(every, &|n| if n % 2 == 0 { -127.0 } else { -999.0 })), expected);
            }
            prop_assert_eq!(wild(&coded(10, &|_| -127.0)), 0);
            prop_assert_eq!(wild(&coded(25, &|n| -127.0 - n as f64)), 0);
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
