//! What scores mean: a table of those of normal rows that training never saw ([`flowlet::Calibration`]).

use flowlet::write::Calibration;
use flowlet::{Libm, Tail, Threshold};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::rows::dataset::Dataset;
use crate::training::generalised_pareto::{Fit, GeneralisedPareto};

/// Rows whose scores all go into the file, and so many entries that more rows get.
const ENTRIES: usize = 256;
/// Of them, the largest scores, each of which is an entry.
const LARGEST: usize = 128;

/// Of the rows, those of the largest scores that a tail is fitted to: a tenth, and not fewer nor more
/// than these, but of few rows a third.
const EXCEEDANCES: (usize, usize) = (30, 500);
/// Fewest rows that a tail is fitted to.
const FEWEST_ROWS: usize = 60;
/// A shape closer to 0, or below it, counts as 0: no normal row is then impossible, however far out.
const SMALLEST_SHAPE: f64 = 0.01;
/// A threshold follows the shape of the tail only where the rows are fewer than this share of those that
/// the rate needs: within their reach, the shape would move it more than it says.
const REACH: f64 = 0.5;

/// Rows from which on `false_alarm_rate` can be met: with fewer, even the largest score lets
/// more rows through.
pub fn rows_needed(false_alarm_rate: f64) -> usize {
    (1.0 / false_alarm_rate).ceil() as usize - 1
}

/// Held-out rows that score above a threshold, so many that no handful decides it.
pub const HANDFUL: f64 = 5.0;

/// What a threshold rests on.
#[derive(Clone, Copy, Debug)]
pub enum Basis {
    /// The held-out rows themselves.
    Rows,
    /// An exponential tail from the start of this one, within the rows' reach.
    Exponential(Tail),
    /// The generalised Pareto tail, beyond their reach.
    Extrapolation(Tail),
}

impl Basis {
    /// Of a threshold for `rate`: a tail where a handful of rows would decide it.
    pub fn of(calibration: &flowlet::Calibration, rate: f32) -> Self {
        let (rows, single, rate) = (f64::from(calibration.rows()), rate, f64::from(rate));
        let tail = calibration.tail().filter(|tail| rows * rate < HANDFUL && single < tail.share);
        match tail {
            None => Self::Rows,
            Some(tail) if rows >= REACH * rows_needed(rate) as f64 => Self::Exponential(tail),
            Some(tail) => Self::Extrapolation(tail),
        }
    }
}

/// The threshold for a false-alarm rate. Where a handful of held-out rows would decide it, it is that of
/// an exponential tail, which the largest tenth of them decide together, and beyond their reach that of
/// the generalised Pareto tail in the file; without a tail the largest score where they are too few.
///
/// Windows that share samples are worth only the share `independent` of their number. The scale of the
/// exponential tail then rests on so few that its error counts: of m exceedances with a mean of s, the next
/// one is predicted by a Pareto tail of scale s and shape 1 / m (Gelman et al. 2013, "Bayesian Data
/// Analysis", section 2.6, for a scale of which nothing else is known).
pub fn threshold(device: &dyn Device, rate: f32, independent: f64) -> Result<f32> {
    let Some(calibration) = device.calibration() else { return device.threshold_at(rate) };
    match Basis::of(&calibration, rate) {
        Basis::Exponential(tail) => {
            let (scale, count) = mean_excess(&calibration, tail.start);
            let shape = if independent < 1.0 { 1.0 / (count * independent).max(1.0) } else { 0.0 };
            Ok(Tail { shape: shape as f32, scale, ..tail }.quantile::<Libm>(rate))
        }
        Basis::Extrapolation(tail) => Ok(tail.quantile::<Libm>(rate)),
        Basis::Rows => match device.threshold_at(rate) {
            Err(Error::Device(flowlet::Error::FewRows { .. })) => {
                Ok(calibration.quantiles().last().map_or(f32::MAX, |(score, _)| score))
            }
            other => other,
        },
    }
}

/// Mean of what scores are above `start`, which is one of them, and how many are.
fn mean_excess(calibration: &flowlet::Calibration, start: f32) -> (f32, f64) {
    let (mut sum, mut count, mut left) = (0.0, 0.0, calibration.rows());
    for (score, above) in calibration.quantiles() {
        if score > start {
            let alike = f64::from(left - above);
            sum += alike * f64::from(score - start);
            count += alike;
        }
        left = above;
    }
    ((sum / count) as f32, count)
}

/// A calibration of the length that one from so many rows has, with `rates` thresholds.
pub fn sketch(rows: usize, rates: usize) -> Calibration {
    let scores: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    let thresholds = vec![(0.5, 0.0); rates];
    Calibration {
        rows: rows as u32,
        thresholds,
        quantiles: quantiles(&scores),
        tail: tail(&scores),
    }
}

/// The scores of held-out rows, none of them below that of the training rows at the same rank, and no
/// thresholds yet.
///
/// Rows in time order may lack a state of the plant among those few; a model knows training rows best,
/// so that a score which more training rows exceed than held-out ones is too low.
pub fn calibration(
    device: &mut dyn Device,
    training: &Dataset,
    held_out: &Dataset,
) -> Result<Calibration> {
    let (training, mut scores) = (ascending(device, training)?, ascending(device, held_out)?);
    raise(&mut scores, &training);
    Ok(of_scores(&scores))
}

/// The scores of `rows` of the machine on site, none of which the model has seen, and no thresholds yet.
pub fn of_rows(device: &mut dyn Device, rows: &Dataset) -> Result<Calibration> {
    Ok(of_scores(&ascending(device, rows)?))
}

fn ascending(device: &mut dyn Device, rows: &Dataset) -> Result<Vec<f32>> {
    let scores = rows.single_rows().map(|row| device.score(&row));
    let mut scores = scores.collect::<Result<Vec<f32>>>()?;
    scores.sort_unstable_by(f32::total_cmp);
    Ok(scores)
}

fn of_scores(ascending: &[f32]) -> Calibration {
    Calibration {
        rows: ascending.len() as u32,
        thresholds: Vec::new(),
        quantiles: quantiles(ascending),
        tail: tail(ascending),
    }
}

/// Raises ascending scores to those of `training`, ascending too, at the same share of rows.
fn raise(scores: &mut [f32], training: &[f32]) {
    let share = 1.0 / (scores.len() + 1) as f64;
    for (place, score) in scores.iter_mut().enumerate() {
        // Without the small change, what is just above a whole number would round up.
        let rank =
            ((training.len() + 1) as f64 * (place + 1) as f64 * share - 1e-9).ceil() as usize;
        *score = score.max(training[rank.clamp(1, training.len()) - 1]);
    }
}

/// Entries of the table: scores of their own, each with the number of rows above it. Many rows have one
/// for each of the largest scores, and for the rest ever fewer toward the smallest.
fn quantiles(ascending: &[f32]) -> Vec<(f32, u32)> {
    let rows = ascending.len();
    let mut entries: Vec<(f32, u32)> = Vec::new();
    let mut above = rows;
    for (place, score) in ascending.iter().enumerate() {
        let is_last_alike = ascending.get(place + 1).is_none_or(|next| next > score);
        let left = rows - place - 1;
        // Between the largest and all of them, each is so much further from the top than the next.
        let ratio = (rows as f64 / LARGEST as f64).powf(1.0 / (ENTRIES - LARGEST) as f64);
        let is_due = rows <= ENTRIES || left < LARGEST || left as f64 * ratio <= above as f64;
        if is_last_alike && is_due {
            entries.push((*score, left as u32));
            above = left;
        }
    }
    entries
}

/// The tail beyond ascending scores; none where they are few or alike.
fn tail(ascending: &[f32]) -> Option<Tail> {
    let rows = ascending.len();
    if rows < FEWEST_ROWS {
        return None;
    }
    let (fewest, most) = EXCEEDANCES;
    let count = (rows / 10).clamp(fewest, most).min(rows / 3);
    let (below, above) = ascending.split_at(rows - count);
    let start = *below.last()?;
    let exceedances: Vec<f64> = above.iter().map(|score| f64::from(score - start)).collect();
    let fit = Fit::new(&exceedances)?;
    let error = fit.standard_error_of_shape().unwrap_or(1.0 / (count as f64).sqrt());
    let GeneralisedPareto { shape, scale } = match fit.distribution {
        heavy if heavy.shape >= SMALLEST_SHAPE => heavy,
        // Of an exponential distribution the most likely scale is the mean.
        _ => {
            GeneralisedPareto { shape: 0.0, scale: exceedances.iter().sum::<f64>() / count as f64 }
        }
    };
    Some(Tail {
        start,
        scale: scale as f32,
        shape: shape as f32,
        share: (count + 1) as f32 / (rows + 1) as f32,
        shape_error: error as f32,
    })
}

/// The false-alarm rates that a threshold in the tail may have, where its shape is wrong by one
/// standard error either way.
pub fn extrapolated_rates(tail: Tail, threshold: f32) -> [f64; 2] {
    let excess = f64::from(threshold - tail.start);
    [-1.0, 1.0].map(|errors| {
        let shape = f64::from(tail.shape) + errors * f64::from(tail.shape_error);
        let distribution = GeneralisedPareto { shape, scale: f64::from(tail.scale) };
        f64::from(tail.share) * distribution.survival(excess)
    })
}

/// Says what the thresholds of a model are, and what they rest on, if that is little.
pub fn report(device: &dyn Device) {
    for threshold in device.calibration().iter().flat_map(flowlet::Calibration::thresholds) {
        let Threshold { rows, false_alarm_rate, score } = threshold;
        log::info!(
            "threshold {score} at a false-alarm rate of {false_alarm_rate}, from {rows} rows"
        );
        warn_of_few_rows(device, threshold);
    }
}

/// Says what a false-alarm rate rests on, if that is little.
fn warn_of_few_rows(device: &dyn Device, threshold: Threshold) {
    // As it was asked for, without the digits that f32 adds.
    let rate: f64 = threshold.false_alarm_rate.to_string().parse().unwrap_or(1.0);
    let (held_out, needed) = (threshold.rows as usize, rows_needed(rate));
    let above = held_out as f64 * rate;
    if above >= HANDFUL {
        return;
    }
    let basis = |calibration| Basis::of(&calibration, threshold.false_alarm_rate);
    let rests = match device.calibration().map_or(Basis::Rows, basis) {
        Basis::Exponential(_) => {
            "it follows an exponential tail fitted to the largest of their scores".into()
        }
        Basis::Extrapolation(tail) => {
            let [low, high] = extrapolated_rates(tail, threshold.score);
            format!(
                "it is extrapolated along a tail fitted to the largest of their scores, of shape {:.2} \
                 with a standard error of {:.2}, by which the rate may be from {low:.1e} to {high:.1e}",
                tail.shape, tail.shape_error
            )
        }
        Basis::Rows if held_out < needed => "the largest of their scores is taken".into(),
        Basis::Rows => "a handful of rows decides it".into(),
    };
    let steadier = (HANDFUL / rate).ceil();
    if held_out < needed {
        log::warn!(
            "only {held_out} rows are left for the threshold, a false-alarm rate of {rate} needs \
             {needed}: {rests}; {steadier} would make it steady"
        );
    } else {
        log::warn!(
            "{held_out} rows are left for the threshold, of which a false-alarm rate of {rate} lets \
             {above:.0} score higher: {rests}; {steadier} would make it steady"
        );
    }
}

#[cfg(test)]
mod tests {
    use flowlet::Model;
    use flowlet::write::{Description, Feature, ModelFile};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::device;

    /// A model that says of scores what these held-out ones do.
    fn file(mut scores: Vec<f32>) -> ModelFile {
        scores.sort_unstable_by(f32::total_cmp);
        described(&scores, None)
    }

    /// The same with a tail.
    fn calibrated(ascending: Vec<f32>) -> ModelFile {
        described(&ascending, tail(&ascending))
    }

    fn described(scores: &[f32], tail: Option<Tail>) -> ModelFile {
        let feature = |name: &str| Feature {
            name: name.into(),
            centre: 0.0,
            scale: 1.0,
            low: -1.0,
            high: 1.0,
            periodic: false,
            offset: 0.0,
            step: 0.0,
        };
        let calibration = Calibration {
            rows: scores.len() as u32,
            thresholds: vec![(0.01, 0.0)],
            quantiles: quantiles(scores),
            tail,
        };
        Description {
            features: vec![feature("a"), feature("b")],
            calibration: Some(calibration),
            ..Description::default()
        }
        .to_file()
    }

    proptest! {
        /// Among n + 1 exchangeable rows, each is as likely to be the new one: at most a share of
        /// them has so small a p-value, and just those above the threshold have.
        #[test]
        fn a_new_row_has_a_small_p_value_at_most_as_often_as_promised(
            mut all in prop_oneof![
                prop::collection::vec(-100f32..100.0, 101..400),
                prop::collection::vec((-20i8..20).prop_map(f32::from), 101..200),
            ],
            rate in 0.01f32..0.5,
        ) {
            let mut alarms = 0;
            for new in 0..all.len() {
                let score = all.swap_remove(new);
                let file = file(all.clone());
                let model = Model::<Libm>::from_bytes(file.bytes()).unwrap();
                let is_small = model.p_value(score).unwrap() <= rate;
                prop_assert_eq!(is_small, score > model.threshold_at(rate).unwrap());
                alarms += usize::from(is_small);
                all.push(score);
                let last = all.len() - 1;
                all.swap(new, last);
            }
            prop_assert!(alarms as f64 <= f64::from(rate) * all.len() as f64 + 1e-4);
        }

        #[test]
        fn few_rows_all_have_an_entry_and_many_the_largest(
            scores in prop::collection::vec(-100f32..100.0, 1..3000),
        ) {
            let mut ascending = scores.clone();
            ascending.sort_unstable_by(f32::total_cmp);
            let entries = quantiles(&ascending);
            prop_assert!(entries.len() <= ENTRIES + 1);
            let mut distinct = ascending.clone();
            distinct.dedup();
            let kept = if scores.len() <= ENTRIES { scores.len() } else { LARGEST };
            let largest = &distinct[distinct.len() - kept.min(distinct.len())..];
            for score in largest.iter().filter(|score| **score >= ascending[ascending.len() - kept]) {
                prop_assert!(entries.iter().any(|(own, _)| own == score));
            }
            for (score, above) in entries {
                prop_assert_eq!(above as usize, scores.iter().filter(|own| **own > score).count());
            }
        }

        #[test]
        fn no_score_is_below_that_of_training_rows(
            mut scores in prop::collection::vec(-100f32..100.0, 1..200),
            mut training in prop::collection::vec(-100f32..100.0, 1..800),
            share in 0.0f64..1.0,
        ) {
            for ascending in [&mut scores, &mut training] {
                ascending.sort_unstable_by(f32::total_cmp);
            }
            let before = scores.clone();
            raise(&mut scores, &training);
            prop_assert!(scores.is_sorted());
            prop_assert!(scores.iter().zip(&before).all(|(raised, own)| raised >= own));
            let place = (share * scores.len() as f64) as usize;
            let above = training.iter().filter(|own| **own > scores[place]).count() as f64;
            let left = (scores.len() - place) as f64 / (scores.len() + 1) as f64;
            prop_assert!(above <= left * (training.len() + 1) as f64);
        }
    }

    /// The scores of many rows are those that a share of 1e-4 exceeds, from 2,000 rows of a normal
    /// distribution, whose tail is lighter than any of these: the true rate is no larger.
    #[test]
    fn a_tail_reaches_beyond_the_rows() {
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut scores: Vec<f32> =
                (0..2000).map(|_| StandardNormal.sample(&mut random)).collect();
            scores.sort_unstable_by(f32::total_cmp);
            let tail = tail(&scores).expect("rows enough");
            assert!(tail.shape >= 0.0 && tail.start < scores[1999]);
            let threshold = tail.quantile::<Libm>(1e-4);
            // Of a normal distribution, 3.719 is exceeded so often.
            assert!((3.5..6.0).contains(&threshold), "{threshold}");
            let [low, high] = extrapolated_rates(tail, threshold);
            assert!(low < 1e-4 && 1e-4 < high, "{low} {high}");
        }
        assert_eq!(tail(&[1.0; 2000]), None);
        assert_eq!(tail(&[1.0, 2.0, 3.0]), None);
    }

    /// Of 99 rows of a normal distribution the threshold for 1 % is near what it is of all of them,
    /// 2.33, and no row moves it much.
    #[test]
    fn no_row_decides_a_threshold_of_few() {
        let of = |scores: &[f32]| {
            let mut scores = scores.to_vec();
            scores.sort_unstable_by(f32::total_cmp);
            let file = calibrated(scores);
            threshold(&*device::open(&file, "few rows").unwrap(), 0.01, 1.0).unwrap()
        };
        for seed in 0..10 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let scores: Vec<f32> = (0..100).map(|_| StandardNormal.sample(&mut random)).collect();
            let all = of(&scores);
            assert!((1.8..3.6).contains(&all), "{all}");
            for row in 0..scores.len() {
                let without: Vec<f32> = [&scores[..row], &scores[row + 1..]].concat();
                assert!((of(&without) - all).abs() < 0.4, "{all}, and {} without", of(&without));
            }
        }
    }

    #[test]
    fn too_few_rows_say_so() {
        assert_eq!(rows_needed(0.01), 99);
        let at = |count: u32, rate| {
            let file = file((1..=count).map(|n| n as f32).collect());
            Model::<Libm>::from_bytes(file.bytes()).unwrap().threshold_at(rate)
        };
        assert_eq!(at(98, 0.01), Err(flowlet::Error::FewRows { rows: 98 }));
        assert_eq!(at(99, 0.01), Ok(99.0));
        assert_eq!(at(199, 0.01), Ok(198.0));
        assert_eq!(at(99, 0.0), Err(flowlet::Error::Rate));
        assert_eq!(at(99, f32::NAN), Err(flowlet::Error::Rate));
    }
}
