//! Standardisation of the columns, and what of them training spreads.

use flowlet::write::Feature;
use flowlet::{Periodic, Standardisation};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::rows::dataset::Dataset;
use crate::rows::period::{Period, circular_deviation};
use crate::rows::precision::with_offset;
use crate::rows::steps;

/// Values further than this many standard deviations from the mean do not count in either.
pub const WILD: f64 = 20.0;

/// Scale of a constant, as a share of its size and at least.
const CONSTANT: (f32, f32) = (2e-6, 1e-9);
/// Scale of a constant context value: another one must not be far away, since nothing is known of it.
const CONSTANT_CONTEXT: (f32, f32) = (0.01, 1e-6);
/// Of its scales, the least distance from a constant that may be an anomaly.
const OFF_CONSTANT: f32 = 25.0;

/// What training does with one column.
#[derive(Clone, Debug)]
pub struct Column {
    /// As the file will hold it.
    pub feature: Feature,
    /// What training spreads of it.
    pub spread: Spread,
    /// Every value is the same.
    pub constant: bool,
    /// Standard deviation, standardised: 1 but for a periodic column, which its period scales.
    pub deviation: f32,
}

/// Noise on what has no density, in standardised units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// The column is continuous.
    Nothing,
    /// Every value, over one step.
    Steps(f32),
    /// One value, over that width.
    Atom {
        /// The value.
        value: f32,
        /// The width.
        width: f32,
    },
}

impl Column {
    /// A raw value, its offset already subtracted, as the device standardises it.
    pub fn standardise(&self, x: f64) -> f32 {
        let Feature { centre, scale, low, high, .. } = self.feature;
        Standardisation { centre, scale, low, high }.inverse(x as f32)
    }

    /// Uniform noise, centred, for a standardised value.
    pub fn noise(&self, x: f32, random: &mut ChaCha8Rng) -> f32 {
        let width = match self.spread {
            Spread::Steps(step) => step,
            Spread::Atom { value, width } if value == x => width,
            Spread::Nothing | Spread::Atom { .. } => return 0.0,
        };
        (random.random::<f32>() - 0.5) * width
    }

    /// Of a constant: the value, as in the file.
    pub fn constant(&self) -> f64 {
        let Feature { low, offset, .. } = self.feature;
        with_offset(low, offset)
    }

    /// Of a constant: the least distance from it at which a value may be an anomaly, in its unit.
    pub fn off_constant(&self) -> f32 {
        OFF_CONSTANT * self.feature.scale
    }
}

/// Fits every column of `dataset`, the last `context` of them conditioning the others; those of
/// `periods`, which it must have, lie on circles, and `offsets` were subtracted.
pub fn fit(
    dataset: &Dataset,
    context: usize,
    periods: &[Period],
    offsets: &[f64],
) -> Result<Vec<Column>> {
    let features = dataset.names.len() - context;
    let column = |index: usize| {
        let constant = if index < features { CONSTANT } else { CONSTANT_CONTEXT };
        let ascending = dataset.ascending(index);
        let mut column = fit_column(&dataset.names[index], &ascending, constant);
        column.feature.offset = offsets[index];
        column
    };
    let mut columns: Vec<Column> = (0..dataset.names.len()).map(column).collect();
    for Period { column, centre, half } in periods {
        let index = dataset.column(column)?;
        let own = &mut columns[index];
        let ratio = own.feature.scale / half;
        let feature = &mut own.feature;
        (feature.centre, feature.scale, feature.periodic) = (*centre, *half, true);
        own.spread = match own.spread {
            Spread::Steps(step) => Spread::Steps(step * ratio),
            // On a circle no value is far from the others.
            Spread::Nothing | Spread::Atom { .. } => Spread::Nothing,
        };
        let values: Vec<f32> = dataset.rows().map(|row| own.standardise(row[index])).collect();
        own.deviation = circular_deviation(&values);
    }
    Ok(columns)
}

/// Which of the columns lie on circles.
pub fn periodic(columns: &[Column]) -> Periodic {
    let numbered = columns.iter().enumerate();
    numbered.filter(|(_, column)| column.feature.periodic).map(|(number, _)| number).collect()
}

fn fit_column(name: &str, ascending: &[f64], (share, least): (f32, f32)) -> Column {
    let (low, high) = (ascending[0] as f32, ascending[ascending.len() - 1] as f32);
    // What f32 holds as one value is one on the device.
    let constant = low == high;
    let (centre, scale) = match constant {
        true => (low, (low.abs() * share).max(least)),
        false => mean_and_deviation(ascending),
    };
    let step = if constant { None } else { steps::step(ascending) };
    let spread = match (step, steps::atom(ascending)) {
        _ if constant => Spread::Steps(1.0),
        (Some(step), _) => Spread::Steps(step as f32 / scale),
        (None, Some(atom)) => {
            let standardisation = Standardisation { centre, scale, low, high };
            let value = standardisation.inverse(atom.value as f32);
            Spread::Atom { value, width: atom.width as f32 / scale }
        }
        (None, None) => Spread::Nothing,
    };
    let feature = Feature {
        name: name.into(),
        centre,
        scale,
        low,
        high,
        periodic: false,
        offset: 0.0,
        step: step.unwrap_or(0.0) as f32,
    };
    Column { feature, spread, constant, deviation: 1.0 }
}

/// Mean and standard deviation of what is not wild, so that a broken row does not flatten the
/// whole feature.
fn mean_and_deviation(ascending: &[f64]) -> (f32, f32) {
    let mut kept = ascending;
    loop {
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let squares = kept.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let deviation = (squares / count).sqrt();
        let inside = |x: &f64| (x - mean).abs() <= WILD * deviation;
        let start = kept.partition_point(|x| !inside(x) && *x < mean);
        let end = kept.partition_point(|x| inside(x) || *x < mean);
        let next = &kept[start..end];
        if next.len() == kept.len() || next.first() == next.last() {
            return (mean as f32, (deviation as f32).max(f32::MIN_POSITIVE));
        }
        kept = next;
    }
}
