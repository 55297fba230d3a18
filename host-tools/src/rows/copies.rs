//! Rows that stand in a file more than once.
//!
//! A log that was written twice, or a logger faster than its sensors, repeats rows; so do few
//! columns of few values, by nature. Copies come one behind the other or with their neighbours,
//! repeats by nature do not. Copies add nothing, and would stand on both sides of a split: each
//! row is used once.

use std::collections::HashMap;

use crate::rows::dataset::Dataset;

/// Share of copies among the rows from which on they are told and used once.
const TOLD: f64 = 0.05;
/// Share of the copies that stand behind their row, or with their neighbour, if they are copies.
const TOGETHER: f64 = 0.5;

/// The distinct rows of a file.
#[derive(Clone, Debug)]
pub struct Copies {
    /// For each row the place of the first one like it.
    pub first: Vec<usize>,
    /// Number of distinct rows.
    pub distinct: usize,
    /// Whether most repeats are copies of lines rather than repeats by nature.
    pub are_copies: bool,
}

impl Copies {
    /// Compares all rows, to the bit.
    pub fn find(dataset: &Dataset) -> Self {
        let mut places: HashMap<Vec<u64>, usize> = HashMap::new();
        let mut latest: Vec<usize> = Vec::new();
        let (mut first, mut before) = (Vec::new(), Vec::new());
        for (place, row) in dataset.rows().enumerate() {
            let number = places.len();
            let number = *places.entry(key(row)).or_insert(number);
            if number == latest.len() {
                first.push(place);
                before.push(None);
                latest.push(place);
            } else {
                before.push(Some(latest[number]));
                first.push(first[latest[number]]);
                latest[number] = place;
            }
        }
        let distinct = places.len();
        let repeats = before.iter().flatten().count();
        let together = (0..before.len()).filter(|place| is_with_neighbour(&before, *place)).count();
        // Where every row is like every other one, neighbours are so by chance.
        let by_chance = chance(&first);
        let share = together as f64 / repeats.max(1) as f64;
        let are_copies = repeats as f64 > TOLD * before.len() as f64
            && share > TOGETHER.max((2.0 * by_chance).min(0.99))
            && distinct > 1;
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

/// Whether the row at `place` repeats the one before it, or it and a neighbour repeat two
/// neighbours.
fn is_with_neighbour(before: &[Option<usize>], place: usize) -> bool {
    let Some(like) = before[place] else { return false };
    let next = before.get(place + 1).copied().flatten();
    let last = place.checked_sub(1).and_then(|last| before[last]);
    like + 1 == place || next == Some(like + 1) || (last.is_some() && last == like.checked_sub(1))
}

/// The probability that two rows taken by chance are alike.
fn chance(first: &[usize]) -> f64 {
    let mut counts: HashMap<usize, f64> = HashMap::new();
    first.iter().for_each(|place| *counts.entry(*place).or_default() += 1.0);
    let rows = first.len() as f64;
    counts.values().map(|count| (count / rows).powi(2)).sum()
}

/// How many rows of `dataset` stand in `other` too.
pub fn common(dataset: &Dataset, other: &Dataset) -> usize {
    let known: std::collections::HashSet<Vec<u64>> = other.rows().map(key).collect();
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

    fn dataset(rows: Vec<[f64; 2]>) -> Dataset {
        Dataset {
            path: "rows.csv".into(),
            names: vec!["a".into(), "b".into()],
            lines: (0..rows.len() as u64).map(|place| place + 2).collect(),
            values: rows.into_iter().flatten().collect(),
            read: 0,
        }
    }

    fn distinct(count: usize) -> impl Strategy<Value = Vec<[f64; 2]>> {
        prop::collection::vec(prop::array::uniform2(-1e3f64..1e3), count..=count)
    }

    proptest! {
        #[test]
        fn copies_of_lines_and_of_files_are_found(rows in distinct(60), times in 2usize..6) {
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

        /// Columns of few values in any order repeat rows, and none of them is a copy.
        #[test]
        fn repeats_by_nature_are_no_copies(
            rows in prop::collection::vec((0u8..3, 0u8..2), 200..400),
        ) {
            let rows = rows.into_iter().map(|(a, b)| [f64::from(a), f64::from(b)]).collect();
            prop_assert!(!Copies::find(&dataset(rows)).are_copies);
        }
    }
}
