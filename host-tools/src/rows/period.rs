//! Columns whose values lie on a circle, such as a phase or a heading.

use std::fmt;
use std::str::FromStr;

use crate::error::Result;

/// Deviation of a constant, half periods.
const SMALLEST_DEVIATION: f32 = 1e-3;
/// Of the period, what the values of a column span at least and at most, if the period is its own.
const SPAN: (f64, f64) = (0.025, 1.5);

/// A column whose values lie on a circle, `phase=0..360` on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Its name.
    pub column: String,
    /// Middle of the period.
    pub(super) centre: f32,
    /// Half of its length.
    pub(super) half: f32,
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "expected COLUMN=LOW..HIGH, such as phase=0..360";
        let (column, range) = text.rsplit_once('=').ok_or(example)?;
        let (low, high) = range.split_once("..").ok_or(example)?;
        let end = |text: &str| text.trim().parse::<f32>().ok().filter(|end| end.is_finite());
        let ends = end(low).zip(end(high)).filter(|(low, high)| low < high);
        let (low, high) = ends.ok_or(format!("`{range}` is no range of two numbers; {example}"))?;
        let [low, high] = [low, high].map(f64::from);
        let (centre, half) = ((0.5 * (low + high)) as f32, (0.5 * (high - low)) as f32);
        match half.is_normal() {
            true => Ok(Self { column: column.trim().into(), centre, half }),
            false => Err(format!("`{range}` is too short a period")),
        }
    }
}

/// Why a period is hardly that of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misfit {
    /// The values span that many periods, and are wrapped.
    Wrapped(f64),
    /// The values span that small a part of the period.
    Narrow(f64),
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Wrapped(periods) => {
                write!(formatter, "its values span {periods:.3} periods and are wrapped into one")
            }
            Self::Narrow(share) => {
                write!(formatter, "its values span only {:.2} % of the period", 100.0 * share)
            }
        }
    }
}

impl Period {
    /// The ends of the period as they were given.
    pub fn ends(&self) -> [f32; 2] {
        [self.centre - self.half, self.centre + self.half]
    }

    /// Its length.
    pub fn length(&self) -> f64 {
        2.0 * f64::from(self.half)
    }

    /// Whether the ascending values of the column fit the period.
    pub fn check(&self, ascending: &[f64]) -> Option<Misfit> {
        let length = self.length();
        let span = (ascending[ascending.len() - 1] - ascending[0]) / length;
        if span > SPAN.1 {
            return Some(Misfit::Wrapped(span));
        }
        // The circle without the widest gap between two values, over the seam too.
        let turns = |x: &f64| (x / length).rem_euclid(1.0);
        let mut turns: Vec<f64> = ascending.iter().map(turns).collect();
        turns.sort_unstable_by(f64::total_cmp);
        let seam = 1.0 - turns[turns.len() - 1] + turns[0];
        let widest = turns.windows(2).map(|pair| pair[1] - pair[0]).fold(seam, f64::max);
        (1.0 - widest < SPAN.0).then_some(Misfit::Narrow(1.0 - widest))
    }
}

/// The deviation of standardised values on a circle from their mean direction (Mardia and Jupp
/// 2000, "Directional Statistics", section 2.2).
pub fn circular_deviation(values: &[f32]) -> f32 {
    let angles = || values.iter().map(|u| f64::from(*u) * std::f64::consts::PI);
    let (sine, cosine) =
        angles().fold((0.0, 0.0), |(sine, cosine), a| (sine + a.sin(), cosine + a.cos()));
    let mean = sine.atan2(cosine);
    let difference = |angle: f64| ((angle - mean).sin()).atan2((angle - mean).cos());
    let squares: f64 = angles().map(|angle| difference(angle).powi(2)).sum();
    let deviation = (squares / values.len() as f64).sqrt() / std::f64::consts::PI;
    (deviation as f32).max(SMALLEST_DEVIATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A heading in degrees fits a period of 360 wherever it starts, and no period in radians.
        #[test]
        fn a_period_fits_values_of_its_unit(
            mut headings in prop::collection::vec(0f64..360.0, 50..200),
            start in -360f64..360.0,
        ) {
            headings.sort_unstable_by(f64::total_cmp);
            let check = |text: &str| text.parse::<Period>().unwrap().check(&headings);
            let own = format!("heading={start}..{}", start + 360.0);
            prop_assert_eq!(check(&own), None);
            prop_assert!(matches!(check("heading=0..6.2832"), Some(Misfit::Wrapped(_))));
            let radians: Vec<f64> = headings.iter().map(|x| x.to_radians()).collect();
            let degrees = "heading=0..360".parse::<Period>().unwrap();
            prop_assert!(matches!(degrees.check(&radians), Some(Misfit::Narrow(_))));
        }
    }
}
