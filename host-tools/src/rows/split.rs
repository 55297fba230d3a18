//! Which rows training sees, which stop it, and which it never sees.
//!
//! Rows in time order are divided by blocks, so that a row and its neighbours stand on one side;
//! blocks are longer than the rows' correlation time, and each operating point has its own.
//! Windows of a signal are divided by time within each stretch: the last tenth is held out, the tenth
//! before it stops training, and a window that shares samples with one of a later part is in none.

use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::rows::copies::Copies;
use crate::rows::damage::Damage;
use crate::rows::dataset::{Dataset, Window};
use crate::rows::order::Order;

/// Fewest training rows.
const MINIMUM_ROWS: usize = 50;
/// Fewest rows for early stopping and for the threshold, each.
const MINIMUM_HELD_OUT: usize = 4;
/// Most and fewest blocks.
const BLOCKS: (usize, usize) = (50, 15);
/// Length of a block, in correlation times.
const CORRELATION_TIMES: f64 = 3.0;
/// Share of rows that repeat others by nature up to which those stay on one side.
const REPEATS: f64 = 0.1;

/// How rows are divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Division {
    /// By blocks of neighbouring rows, for rows in time order.
    #[default]
    Blocks,
    /// Each row by chance, for rows in no order.
    Random,
}

/// The three parts of the rows.
#[derive(Clone)]
pub struct Split {
    /// What the weights are fitted to. Where a row was left out, another one takes its place, so
    /// that the draws of training, and with them its outcome, stay what they are.
    pub training: Dataset,
    /// What decides when training stops, and between families.
    pub early_stopping: Dataset,
    /// What the threshold is a quantile of.
    pub held_out: Dataset,
}

/// What is known of the rows to divide.
pub struct Rows<'a> {
    /// All of them, in their order.
    pub dataset: &'a Dataset,
    /// Those that are left out.
    pub damage: &'a Damage,
    /// Those of them that are alike.
    pub copies: &'a Copies,
    /// Their order.
    pub order: &'a Order,
}

/// A part of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Training,
    EarlyStopping,
    HeldOut,
    /// None of them.
    LeftOut,
}

/// Divides the rows: a tenth stops training, a tenth is held out.
pub fn divide(rows: &Rows, division: Division, seed: u64) -> Result<Split> {
    let parts = [Part::EarlyStopping, Part::HeldOut];
    let places = rows.places(division, 10, parts, Part::Training, seed);
    let [training, early_stopping, held_out] = rows.parts(&places);
    if training.len() < MINIMUM_ROWS {
        // Of ten rows eight train, and fewer where some are wild, or neighbours of rows set aside.
        let least = MINIMUM_ROWS + 2 * (MINIMUM_ROWS / 8);
        return Err(too_few(rows.dataset, least.max(rows.dataset.lines.len() + 1)));
    }
    check_validation(rows.dataset, [&early_stopping, &held_out])?;
    Ok(Split {
        training: rows.dataset.part(&training),
        early_stopping: rows.dataset.part(&early_stopping),
        held_out: rows.dataset.part(&held_out),
    })
}

/// Divides the rows of a validation file in two, all of `training` being trained on.
pub fn divide_validation(
    training: &Rows,
    validation: &Rows,
    division: Division,
    seed: u64,
) -> Result<Split> {
    let all = vec![Part::Training; training.dataset.lines.len()];
    let [places, ..] = training.parts(&all);
    if places.len() < MINIMUM_ROWS {
        return Err(too_few(training.dataset, MINIMUM_ROWS));
    }
    let parts = [Part::EarlyStopping, Part::HeldOut];
    let halves = validation.places(division, 2, parts, Part::Training, seed);
    let [_, early_stopping, held_out] = validation.parts(&halves);
    check_validation(validation.dataset, [&early_stopping, &held_out])?;
    Ok(Split {
        training: training.dataset.part(&places),
        early_stopping: validation.dataset.part(&early_stopping),
        held_out: validation.dataset.part(&held_out),
    })
}

fn check_validation(dataset: &Dataset, parts: [&Vec<usize>; 2]) -> Result<()> {
    match parts.iter().all(|part| part.len() >= MINIMUM_HELD_OUT) {
        true => Ok(()),
        false => Err(too_few(dataset, 4 * MINIMUM_HELD_OUT)),
    }
}

fn too_few(dataset: &Dataset, minimum: usize) -> Error {
    let Dataset { path, lines, read, .. } = dataset;
    Error::TooFewRows { path: path.clone(), read: *read, rows: lines.len(), minimum }
}

impl Rows<'_> {
    /// The part of each row: of `every` rows one for each of `parts`, the others for `rest`.
    fn places(
        &self,
        division: Division,
        every: usize,
        parts: [Part; 2],
        rest: Part,
        seed: u64,
    ) -> Vec<Part> {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x73_706c_6974);
        let count = self.dataset.lines.len();
        if !self.dataset.windows.is_empty() {
            return by_time(&self.dataset.windows, every, parts, rest);
        }
        let mut own = vec![rest; count];
        match division {
            Division::Random => {
                let each = (count / every).max(1).min(count / 2);
                own[..each].fill(parts[0]);
                own[each..2 * each].fill(parts[1]);
                own.shuffle(&mut random);
            }
            Division::Blocks => {
                // Both halves of a validation file are fresh: short blocks, so that each has all
                // states of the plant.
                let correlation_times = if every == 2 { 0.0 } else { CORRELATION_TIMES };
                let blocks = self.blocks(correlation_times * self.order.correlation_time_within);
                let groups = ((blocks.len() + every / 2) / every).max(1);
                for group in 0..groups {
                    let of = |group: usize| group * blocks.len() / groups;
                    let group = &blocks[of(group)..of(group + 1)];
                    // With two parts and nothing else all blocks are dealt out.
                    let dealt = if every == 2 { group.len() } else { 2 };
                    let chosen = group.sample(&mut random, dealt);
                    for (number, block) in chosen.enumerate() {
                        own[block.clone()].fill(parts[number % 2]);
                    }
                }
            }
        }
        if self.copies.share() <= REPEATS {
            for place in 0..count {
                own[place] = own[self.copies.first[place]];
            }
        }
        own
    }

    /// Neighbouring rows of one operating point, of about that length.
    fn blocks(&self, length: f64) -> Vec<std::ops::Range<usize>> {
        let count = self.dataset.lines.len();
        let (most, fewest) = BLOCKS;
        let length = (length.ceil() as usize).clamp((count / most).max(1), (count / fewest).max(1));
        let starts = &self.order.stretches;
        let ends = starts.iter().skip(1).copied().chain([count]);
        let stretch = |(start, end): (&usize, usize)| {
            let (start, rows) = (*start, end - start);
            let pieces = ((rows + length / 2) / length).max(1);
            (0..pieces).map(move |piece| {
                start + piece * rows / pieces..start + (piece + 1) * rows / pieces
            })
        };
        starts.iter().zip(ends).flat_map(stretch).collect()
    }

    /// The places of the rows of each part, without the wild ones.
    fn parts(&self, own: &[Part]) -> [Vec<usize>; 3] {
        [Part::Training, Part::EarlyStopping, Part::HeldOut].map(|part| {
            let is_of_part = |place: &usize| own[*place] == part;
            let mut places: Vec<usize> = (0..own.len()).filter(is_of_part).collect();
            if part == Part::Training {
                self.replace_wild(&mut places);
            } else {
                places.retain(|place| !self.damage.contains(*place));
            }
            places
        })
    }

    /// Puts the nearest row before it, or behind it, in the place of each wild one.
    fn replace_wild(&self, places: &mut Vec<usize>) {
        let is_tame = |place: &usize| !self.damage.contains(*place);
        let Some(mut before) = places.iter().copied().find(is_tame) else {
            places.clear();
            return;
        };
        for place in places {
            if is_tame(place) {
                before = *place;
            } else {
                *place = before;
            }
        }
    }
}

/// The parts of windows in time order: of `every` windows of a stretch the last one is for the second of
/// `parts`, the one before for the first, and the others for `rest`.
fn by_time(windows: &[Window], every: usize, parts: [Part; 2], rest: Part) -> Vec<Part> {
    let mut own = vec![rest; windows.len()];
    // So many of the windows up to here; short stretches have one now and then.
    let due = |windows: usize| (windows as f64 / every as f64).round() as usize;
    let mut start = 0;
    for stretch in windows.chunk_by(|a, b| a.stretch == b.stretch) {
        let end = start + stretch.len();
        let each = due(end) - due(start);
        // With two parts and nothing else the first one has all that are left.
        let first = if every == 2 { start } else { end.saturating_sub(2 * each).max(start) };
        let second = end - each;
        own[first..second].fill(parts[0]);
        own[second..end].fill(parts[1]);
        for later in [first, second] {
            let Some(Window { first, .. }) = windows.get(later).filter(|_| later < end) else {
                continue;
            };
            for place in (start..later).rev().take_while(|place| windows[*place].end > *first) {
                own[place] = Part::LeftOut;
            }
        }
        start = end;
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dataset(rows: usize, value: impl Fn(usize) -> f64) -> Dataset {
        Dataset {
            path: "rows.csv".into(),
            names: vec!["a".into(), "b".into()],
            lines: (0..rows as u64).collect(),
            values: (0..rows).flat_map(|row| [value(row), row as f64]).collect(),
            windows: Vec::new(),
            read: 0,
        }
    }

    /// The rows of each part, by their lines.
    fn lines(
        dataset: &Dataset,
        damage: &Damage,
        order: &Order,
        division: Division,
    ) -> [Vec<u64>; 3] {
        let copies = Copies::find(dataset);
        let rows = Rows { dataset, damage, copies: &copies, order };
        let split = divide(&rows, division, 7).expect("enough rows");
        [split.training, split.early_stopping, split.held_out].map(|part| part.lines)
    }

    fn order(correlation_time: f64) -> Order {
        Order { correlation_time_within: correlation_time, stretches: vec![0], ..Order::default() }
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_part(rows in 100usize..3000, time in 1f64..400.0) {
            let dataset = dataset(rows, |row| (row % 7) as f64);
            for division in [Division::Blocks, Division::Random] {
                let [training, stopping, held_out] =
                    lines(&dataset, &Damage::default(), &order(time), division);
                for part in [&stopping, &held_out] {
                    let share = part.len() as f64 / rows as f64;
                    prop_assert!((0.05..0.16).contains(&share), "{share}");
                }
                let mut all = [training, stopping, held_out].concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..rows as u64).collect::<Vec<_>>());
            }
        }

        /// No two parts share a sample, and within a stretch each part is later than the one before.
        #[test]
        fn windows_are_divided_by_time(
            stretches in prop::collection::vec(1usize..80, 1..30), hop in 1u64..40, of_two: bool,
        ) {
            let mut windows = Vec::new();
            for (stretch, count) in stretches.iter().enumerate() {
                let start = 100_000 * stretch as u64;
                let window = |number: usize| start + hop * number as u64;
                windows.extend((0..*count).map(window).map(|first| Window { stretch, first, end: first + 32 }));
            }
            let every = if of_two { 2 } else { 10 };
            let parts = [Part::EarlyStopping, Part::HeldOut];
            let own = by_time(&windows, every, parts, Part::Training);
            let of = |part: Part| own.iter().filter(|own| **own == part).count();
            let order = [Part::Training, Part::EarlyStopping, Part::HeldOut];
            for (number, part) in order.iter().enumerate() {
                for later in &order[number + 1..] {
                    for a in (0..own.len()).filter(|place| own[*place] == *part) {
                        for b in (0..own.len()).filter(|place| own[*place] == *later) {
                            let same = windows[a].stretch == windows[b].stretch;
                            prop_assert!(!same || windows[a].end <= windows[b].first);
                        }
                    }
                }
            }
            let held_out = of(Part::HeldOut) as f64;
            prop_assert!((held_out - windows.len() as f64 / every as f64).abs() <= 1.0);
            prop_assert!(!of_two || of(Part::Training) == 0);
        }

        /// A wild row changes the part of no other row, and is in none.
        #[test]
        fn wild_rows_are_in_no_part(rows in 100usize..1000, wild: prop::sample::Index) {
            let wild = wild.index(rows);
            let damage = Damage { rows: vec![wild], ..Damage::default() };
            let dataset = dataset(rows, |row| row as f64);
            let clean = lines(&dataset, &Damage::default(), &order(1.0), Division::Blocks);
            let damaged = lines(&dataset, &damage, &order(1.0), Division::Blocks);
            prop_assert_eq!(clean[0].len(), damaged[0].len());
            for (clean, damaged) in clean.iter().zip(&damaged) {
                prop_assert!(!damaged.contains(&(wild as u64)));
                let tame = |line: &&u64| **line != wild as u64;
                prop_assert!(clean.iter().filter(tame).all(|line| damaged.contains(line)));
            }
        }

        /// Of rows with long memory, few have a neighbour in another part.
        #[test]
        fn neighbours_stand_on_one_side(rows in 500usize..3000) {
            let dataset = dataset(rows, |row| row as f64);
            let parts = lines(&dataset, &Damage::default(), &order(1e3), Division::Blocks);
            for part in &parts[1..] {
                let ends = part.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
                prop_assert!(ends <= 2, "{part:?}");
            }
        }
    }

    #[test]
    fn each_operating_point_is_trained_on() {
        let dataset = dataset(1200, |row| (row / 100) as f64);
        let order = Order { stretches: (0..12).map(|point| point * 100).collect(), ..order(1.0) };
        let [training, ..] = lines(&dataset, &Damage::default(), &order, Division::Blocks);
        for point in 0..12 {
            assert!(training.iter().filter(|line| **line / 100 == point).count() >= 40);
        }
    }
}
