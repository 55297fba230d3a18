//! What f32 keeps of a column, and the offset that helps where it keeps too little.
//!
//! A column at 50,000,000 +- 3 has no room in f32, whose steps are 4 there. Cells are read as f64;
//! what is subtracted from a column is so before its values become f32, in training as on the device.

use std::str::FromStr;

use crate::error::Result;
use crate::rows::damage::spread;
use crate::rows::dataset::Dataset;

/// Steps of f32 that a robust deviation of a column must have.
const STEPS: f64 = 64.0;

/// What is subtracted from a column, `COLUMN=VALUE` on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Offset {
    /// Name of the column.
    pub column: String,
    /// In its unit.
    pub value: f64,
}

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "expected COLUMN=VALUE, such as pressure=101325";
        let (column, value) = text.rsplit_once('=').ok_or(example)?;
        match value.trim().parse::<f64>() {
            Ok(value) if (value as f32).is_finite() => {
                Ok(Self { column: column.trim().into(), value })
            }
            _ => Err(format!("`{value}` is no finite number; {example}")),
        }
    }
}

/// For each column of `dataset` what is to be subtracted from it, 0 where nothing is asked.
pub fn offsets(dataset: &Dataset, asked: &[Offset]) -> Result<Vec<f64>> {
    let mut offsets = vec![0.0; dataset.names.len()];
    for Offset { column, value } in asked {
        offsets[dataset.column(column)?] = *value;
    }
    Ok(offsets)
}

/// A value of the device with its column's offset added again: the digits that tell an f32 from its
/// neighbours, and no more.
pub fn with_offset(x: f32, offset: f64) -> f64 {
    x.to_string().parse().map_or(f64::from(x), |x: f64| x + offset)
}

/// How f32 holds a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precision {
    /// Well enough.
    Enough,
    /// Its values vary by few steps of f32 at their size: the step, and the offset that would help.
    Coarse {
        /// Of f32.
        step: f64,
        /// Near all values, with few digits.
        offset: f64,
    },
    /// Its values, or their differences, are below what f32 holds.
    TooSmall,
}

impl Precision {
    /// Of the values of a column, in ascending order, its wild ones left out.
    pub fn of(ascending: &[f64]) -> Self {
        let (low, high) = (ascending[0], ascending[ascending.len() - 1]);
        if low == high {
            // A constant has no precision to lose, unless nothing is left of it.
            return if low != 0.0 && low as f32 == 0.0 { Self::TooSmall } else { Self::Enough };
        }
        let spread = match spread(ascending) {
            spread if spread > 0.0 => spread,
            _ => (high - low) / 5.0,
        };
        if spread < STEPS * f64::from(f32::MIN_POSITIVE) {
            return Self::TooSmall;
        }
        let size = low.abs().max(high.abs()) as f32;
        let step = f64::from(size.next_up()) - f64::from(size);
        match spread < STEPS * step {
            true => Self::Coarse { step, offset: round(ascending[ascending.len() / 2], spread) },
            false => Self::Enough,
        }
    }
}

/// `x` with no more digits than a few of `spread` need.
fn round(x: f64, spread: f64) -> f64 {
    let unit = 10f64.powf((10.0 * spread).log10().ceil());
    let rounded = (x / unit).round() * unit;
    // Powers of ten below 1 are not exact; their text is.
    format!("{rounded:.*}", (-unit.log10()).max(0.0) as usize).parse().unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is advised leaves a column that f32 holds.
        #[test]
        fn the_offset_that_is_advised_is_enough(
            centre in 1e3f64..1e10,
            share in 1e-9f64..1e-3,
            rows in prop::collection::vec(-1f64..1.0, 50..100),
        ) {
            let spread = centre * share;
            let mut values: Vec<f64> = rows.iter().map(|x| centre + spread * x).collect();
            values.sort_unstable_by(f64::total_cmp);
            if let Precision::Coarse { offset, step } = Precision::of(&values) {
                prop_assert!(spread < 2.0 * STEPS * step);
                values.iter_mut().for_each(|x| *x -= offset);
                prop_assert_eq!(Precision::of(&values), Precision::Enough, "offset {}", offset);
            } else {
                prop_assert!(share > 1e-6);
            }
        }
    }

    #[test]
    fn small_units_and_constants() {
        assert_eq!(Precision::of(&[1e-44, 2e-44, 3e-44]), Precision::TooSmall);
        assert_eq!(Precision::of(&[1e-60, 1e-60]), Precision::TooSmall);
        assert_eq!(Precision::of(&[230.0, 230.0]), Precision::Enough);
        assert_eq!(Precision::of(&[0.0, 0.0]), Precision::Enough);
        let seconds: Vec<f64> = (0..50).map(|second| 1.7e9 + f64::from(second)).collect();
        assert!(matches!(Precision::of(&seconds), Precision::Coarse { step: 128.0, .. }));
    }
}
