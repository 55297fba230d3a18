//! Columns that are not continuous: steps, such as those of a counter, and one value that fills a
//! large part of the rows, such as the zeros of a flow meter.
//!
//! Neither has a density, and a flow would put spikes on them; noise in training spreads them
//! (Theis et al. 2016, "A note on the evaluation of generative models", section 3.1).

use crate::rows::damage::spread;

/// Share of the rows from which on one value is spread.
const MUCH: f64 = 0.25;
/// Width of that noise, in deviations of the column.
const WIDTH: f64 = 0.1;

/// One value of much mass beside a continuous part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Atom {
    /// The value.
    pub value: f64,
    /// Width of the noise in its place, raw units.
    pub width: f64,
}

/// The step of a column whose values repeat on a regular grid, such as integers.
///
/// At least four rows a distinct value on average, and every gap a multiple of the smallest.
pub fn step(ascending: &[f64]) -> Option<f64> {
    let mut distinct = ascending.to_vec();
    distinct.dedup();
    if distinct.len() * 4 > ascending.len() || distinct.len() < 2 {
        return None;
    }
    let low = distinct[0];
    let gaps = distinct.windows(2).map(|pair| pair[1] - pair[0]);
    let step = gaps.fold(f64::INFINITY, f64::min);
    let on_grid = |x: &f64| {
        let steps = (x - low) / step;
        (steps - steps.round()).abs() < 0.05
    };
    distinct.iter().all(on_grid).then_some(step)
}

/// The most frequent value of a column without steps, if it is frequent.
pub fn atom(ascending: &[f64]) -> Option<Atom> {
    let runs = ascending.chunk_by(|a, b| a == b);
    let run = runs.max_by_key(|run| run.len())?;
    let share = run.len() as f64 / ascending.len() as f64;
    let rest: Vec<f64> = ascending.iter().copied().filter(|x| *x != run[0]).collect();
    if share < MUCH || rest.is_empty() {
        return None;
    }
    let width = WIDTH * spread(&rest).max(spread(ascending));
    (width > 0.0).then_some(Atom { value: run[0], width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_grid_is_found_whatever_its_origin(
            origin in -1e6f64..1e6,
            step in 1e-3f64..1e3,
            mut places in prop::collection::vec(0u8..8, 100..300),
        ) {
            places.extend([0, 1]);
            places.sort_unstable();
            let values: Vec<f64> = places.iter().map(|p| origin + step * f64::from(*p)).collect();
            let found = super::step(&values).expect("a grid");
            prop_assert!((found / step - 1.0).abs() < 0.01);
        }

        #[test]
        fn zeros_beside_a_continuous_part_are_an_atom(
            mut values in prop::collection::vec(1f64..9.0, 40..100),
            zeros in 0usize..200,
        ) {
            let rows = values.len() + zeros;
            values.splice(..0, vec![0.0; zeros]);
            values.sort_unstable_by(f64::total_cmp);
            match atom(&values) {
                Some(atom) => prop_assert!(atom.value == 0.0 && zeros * 4 >= rows),
                None => prop_assert!(zeros * 4 < rows),
            }
        }
    }
}
