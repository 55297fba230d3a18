//! Standardisation of the features, and noise for those that come in steps.

use std::str::FromStr;

use flowlet::write::Feature;
use flowlet::{Periodic, Standardisation};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::rows::dataset::Dataset;

/// Values further than this many standard deviations from the mean do not count in either.
pub const WILD: f64 = 20.0;

/// Of a periodic column, half periods: one that is constant.
const SMALLEST_DEVIATION: f32 = 1e-3;

/// What training does with one column.
#[derive(Clone, Debug)]
pub struct Column {
    /// As the file will hold it.
    pub feature: Feature,
    /// Width of the steps that the column comes in, raw units: a counter, or few digits.
    pub step: Option<f32>,
    /// Every value is the same.
    pub constant: bool,
    /// Standard deviation, standardised: 1 but for a periodic column, which its period scales.
    pub deviation: f32,
}

impl Column {
    /// A raw value as the device standardises it.
    pub fn standardise(&self, x: f32) -> f32 {
        let Feature { centre, scale, low, high, .. } = self.feature;
        Standardisation { centre, scale, low, high }.inverse(x)
    }

    /// Uniform noise of one step, centred, in standardised units: a column of steps has no
    /// density, and a flow would put spikes on them (Theis et al. 2016, "A note on the
    /// evaluation of generative models", section 3.1).
    pub fn noise(&self, random: &mut ChaCha8Rng) -> f32 {
        match self.step {
            Some(step) => (random.random::<f32>() - 0.5) * step / self.feature.scale,
            None => 0.0,
        }
    }
}

/// A column whose values lie on a circle, `phase=0..360` on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Its name.
    pub column: String,
    /// Middle of the period.
    centre: f32,
    /// Half of its length.
    half: f32,
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

/// Fits every column of `dataset`; those of `periods`, which it must have, lie on circles.
pub fn fit(dataset: &Dataset, periods: &[Period]) -> Result<Vec<Column>> {
    let column = |(index, name): (usize, &String)| {
        let values: Vec<f32> = dataset.rows().map(|row| row[index] as f32).collect();
        fit_column(name, values)
    };
    let mut columns: Vec<Column> = dataset.names.iter().enumerate().map(column).collect();
    for Period { column, centre, half } in periods {
        let index = dataset.column(column)?;
        let own = &mut columns[index];
        let feature = &mut own.feature;
        (feature.centre, feature.scale, feature.periodic) = (*centre, *half, true);
        let values: Vec<f32> =
            dataset.rows().map(|row| own.standardise(row[index] as f32)).collect();
        own.deviation = circular_deviation(&values);
    }
    Ok(columns)
}

/// The deviation of standardised values on a circle from their mean direction (Mardia and Jupp
/// 2000, "Directional Statistics", section 2.2).
fn circular_deviation(values: &[f32]) -> f32 {
    let angles = || values.iter().map(|u| f64::from(*u) * std::f64::consts::PI);
    let (sine, cosine) =
        angles().fold((0.0, 0.0), |(sine, cosine), a| (sine + a.sin(), cosine + a.cos()));
    let mean = sine.atan2(cosine);
    let difference = |angle: f64| ((angle - mean).sin()).atan2((angle - mean).cos());
    let squares: f64 = angles().map(|angle| difference(angle).powi(2)).sum();
    let deviation = (squares / values.len() as f64).sqrt() / std::f64::consts::PI;
    (deviation as f32).max(SMALLEST_DEVIATION)
}

/// Which of the columns lie on circles.
pub fn periodic(columns: &[Column]) -> Periodic {
    let numbered = columns.iter().enumerate();
    numbered.filter(|(_, column)| column.feature.periodic).map(|(number, _)| number).collect()
}

fn fit_column(name: &str, mut values: Vec<f32>) -> Column {
    values.sort_unstable_by(f32::total_cmp);
    let (low, high) = (values[0], values[values.len() - 1]);
    let constant = low == high;
    let (centre, scale) = match constant {
        // A hundredth of its size stands for a deviation from a constant.
        true => (low, (low.abs() / 100.0).max(1e-6)),
        false => mean_and_deviation(&values),
    };
    let step = if constant { Some(scale) } else { step(&values) };
    let feature = Feature {
        name: name.into(),
        centre,
        scale,
        low,
        high,
        periodic: false,
        offset: 0.0,
        step: 0.0,
    };
    Column { feature, step, constant, deviation: 1.0 }
}

/// Mean and standard deviation of what is not wild, so that a broken row does not flatten the
/// whole feature.
fn mean_and_deviation(sorted: &[f32]) -> (f32, f32) {
    let mut kept = sorted;
    loop {
        let count = kept.len() as f64;
        let mean = kept.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let squares = kept.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / count).sqrt();
        let inside = |x: &f32| (f64::from(*x) - mean).abs() <= WILD * deviation;
        let start = kept.partition_point(|x| !inside(x) && f64::from(*x) < mean);
        let end = kept.partition_point(|x| inside(x) || f64::from(*x) < mean);
        let next = &kept[start..end];
        if next.len() == kept.len() || next.first() == next.last() {
            return (mean as f32, (deviation as f32).max(f32::MIN_POSITIVE));
        }
        kept = next;
    }
}

/// The step of a column whose values repeat on a regular grid, such as integers.
///
/// At least four rows a distinct value on average, and every gap a multiple of the smallest.
fn step(sorted: &[f32]) -> Option<f32> {
    let mut distinct = sorted.to_vec();
    distinct.dedup();
    if distinct.len() * 4 > sorted.len() {
        return None;
    }
    let low = f64::from(distinct[0]);
    let gaps = distinct.windows(2).map(|pair| f64::from(pair[1]) - f64::from(pair[0]));
    let step = gaps.fold(f64::INFINITY, f64::min);
    let on_grid = |x: &f32| {
        let steps = (f64::from(*x) - low) / step;
        (steps - steps.round()).abs() < 0.05
    };
    distinct.iter().all(on_grid).then_some(step as f32)
}
