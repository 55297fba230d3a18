//! Rows that stand in a file more than once.
//!
//! A log that was written twice, or a logger faster than its sensors, repeats rows; so do few
//! columns of few values, or a machine that stands still, by nature. By nature few different rows
//! repeat much, and how often varies. Copies are many, and they stand there equally often, or in the
//! same sequence, or have a column that hardly repeats by itself. They add nothing, and would stand
//! on both sides of a split: each row is used once.

use std::collections::{HashMap, HashSet};

use crate::rows::dataset::Dataset;

/// Share of the distinct rows that must repeat to be told and used once.
const TOLD: f64 = 0.05;
/// Fewer distinct rows than these repeat by nature.
const FEW: usize = 20;
/// Share of the distinct rows of which each sign of copies must hold.
const MOST: f64 = 0.5;
/// Share of the rows that come again in the sequence of the first time, if they are copies.
const IN_SEQUENCE: f64 = 0.9;

/// The distinct rows of a file.
#[derive(Clone, Debug)]
pub struct Copies {
    /// For each row the place of the first one like it.
    pub first: Vec<usize>,
    /// Number of distinct rows.
    pub distinct: usize,
    /// Whether the repeats are copies of lines rather than repeats by nature.
    pub are_copies: bool,
}

impl Copies {
    /// Compares all rows, to the bit.
    pub fn find(dataset: &Dataset) -> Self {
        let mut places: HashMap<Vec<u64>, usize> = HashMap::new();
        let numbered = dataset.rows().enumerate();
        let first: Vec<usize> =
            numbered.map(|(place, row)| *places.entry(key(row)).or_insert(place)).collect();
        let distinct = places.len();
        let times = times(&first);
        let repeated = times.iter().filter(|times| **times > 1).count();
        let are_copies = distinct >= FEW
            && repeated as f64 > TOLD * distinct as f64
            && (are_equally_often(&times, distinct)
                || are_in_sequence(&first)
                || (0..dataset.names.len()).any(|column| is_unique(dataset, column, &times)));
        Self { first, distinct, are_copies }
    }

    /// The places of the distinct rows, ascending.
    pub fn places(&self) -> Vec<usize> {
        (0..self.rows()).filter(|place| self.first[*place] == *place).collect()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.first.len()
    }

    /// Share of the rows that an earlier one equals.
    pub fn share(&self) -> f64 {
        1.0 - self.distinct as f64 / self.rows() as f64
    }
}

/// How often each row stands there, told at the place of the first one like it.
fn times(first: &[usize]) -> Vec<usize> {
    let mut times = vec![0; first.iter().max().map_or(0, |last| last + 1)];
    first.iter().for_each(|place| times[*place] += 1);
    times
}

/// Whether most of `rows` distinct rows stand there one same number of times, and not once.
fn are_equally_often(times: &[usize], rows: usize) -> bool {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    times.iter().filter(|times| **times > 1).for_each(|own| *counts.entry(*own).or_default() += 1);
    counts.values().any(|count| *count as f64 > MOST * rows as f64)
}

/// Whether the rows that come again do so equally often, and beside the row that they stood beside
/// before; rows that equal the one before them count with it.
fn are_in_sequence(first: &[usize]) -> bool {
    let mut sequence = first.to_vec();
    sequence.dedup();
    let mut known = HashSet::new();
    let again: Vec<bool> =
        sequence.windows(2).map(|pair| !known.insert((pair[0], pair[1]))).collect();
    let mut seen = HashSet::new();
    let repeats = (0..sequence.len()).filter(|place| !seen.insert(sequence[*place]));
    let is_beside = |place: usize| {
        let before = place.checked_sub(1).is_some_and(|before| again[before]);
        before || again.get(place).copied().unwrap_or(false)
    };
    let beside: Vec<bool> = repeats.map(is_beside).collect();
    let (count, times) = (beside.iter().filter(|own| **own).count(), times(&sequence));
    let repeated = times.iter().filter(|times| **times > 1).count();
    count as f64 > IN_SEQUENCE * beside.len() as f64 && are_equally_often(&times, repeated)
}

/// Whether most distinct rows have a value in this column that no other one has.
fn is_unique(dataset: &Dataset, column: usize, times: &[usize]) -> bool {
    let distinct = (0..times.len()).filter(|place| times[*place] > 0);
    let mut values: Vec<f64> = distinct.map(|place| dataset.value(place, column)).collect();
    values.sort_unstable_by(f64::total_cmp);
    let alone = values.chunk_by(|a, b| a == b).filter(|run| run.len() == 1).count();
    alone as f64 > MOST * values.len() as f64
}

/// How many rows of `dataset` stand in `other` too.
pub fn common(dataset: &Dataset, other: &Dataset) -> usize {
    let known: HashSet<Vec<u64>> = other.rows().map(key).collect();
    dataset.rows().filter(|row| known.contains(&key(row))).count()
}

fn key(row: &[f64]) -> Vec<u64> {
    // 0 and -0 are one value.
    row.iter().map(|x| (x + 0.0).to_bits()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn dataset(rows: Vec<[f64; 2]>) -> Dataset {
        Dataset {
            path: "rows.csv".into(),
            names: vec!["a".into(), "b".into()],
            lines: (0..rows.len() as u64).map(|place| place + 2).collect(),
            values: rows.into_iter().flatten().collect(),
            windows: Vec::new(),
            read: 0,
        }
    }

    fn distinct(count: usize, seed: u64) -> Vec<[f64; 2]> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| [0; 2].map(|_| random.random_range(-1e3..1e3))).collect()
    }

    proptest! {
        #[test]
        fn copies_of_lines_and_of_files_are_found(seed: u64, times in 2usize..6) {
            let rows = distinct(60, seed);
            let each = rows.iter().flat_map(|row| vec![*row; times]).collect();
            let whole = (0..times).flat_map(|_| rows.clone()).collect();
            for copied in [each, whole] {
                let copies = Copies::find(&dataset(copied));
                prop_assert!(copies.are_copies);
                prop_assert_eq!((copies.distinct, copies.rows()), (60, 60 * times));
            }
            let once = Copies::find(&dataset(rows));
            prop_assert!(!once.are_copies && once.share() == 0.0);
        }

        /// Shuffled, in part, and of coarse values too.
        #[test]
        fn copies_in_any_order_are_found(seed: u64) {
            let rows = distinct(120, seed);
            let coarse: Vec<_> = rows.iter().map(|row| row.map(|x| (x / 20.0).round())).collect();
            let mut twice = [rows.clone(), rows.clone()].concat();
            twice.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let each = coarse.iter().flat_map(|row| [*row, *row]).collect();
            let half = [&coarse[..], &coarse[..60]].concat();
            for copied in [twice, [&rows[..], &rows[..30]].concat(), each, half] {
                prop_assert!(Copies::find(&dataset(copied)).are_copies);
            }
        }

        /// Flags that stay as they are for a while, and a machine that stands still in between,
        /// repeat rows, and none of them is a copy.
        #[test]
        fn repeats_by_nature_are_no_copies(
            seed: u64,
            stay in prop_oneof![Just(0.0), 0f64..0.99],
        ) {
            let rows = distinct(400, seed);
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut states = |values: f64| {
                let mut state = [0.0, 0.0];
                let step = |_| {
                    state = state.map(|own| match random.random_bool(stay) {
                        true => own,
                        false => (values * random.random::<f64>()).floor(),
                    });
                    state
                };
                (0..400).map(step).collect::<Vec<_>>()
            };
            for values in [2.0, 3.0, 8.0] {
                prop_assert!(!Copies::find(&dataset(states(values))).are_copies);
            }
            // Slow columns of whole numbers come back the way they went.
            let slow = states(100.0).into_iter().scan([0.0, 0.0], |sum, state| {
                *sum = [0, 1].map(|k| 0.97 * sum[k] + 0.02 * (state[k] - 50.0));
                Some(sum.map(f64::round))
            });
            prop_assert!(!Copies::find(&dataset(slow.collect())).are_copies);
            let running = states(2.0);
            let still = rows.iter().zip(running).map(|(row, [on, _])| row.map(|x| x * on));
            prop_assert!(!Copies::find(&dataset(still.collect())).are_copies);
        }
    }
}
