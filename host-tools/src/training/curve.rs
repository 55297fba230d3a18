//! What each epoch of a training reached, thinned so far that a model file can hold it.
//!
//! The file lies in flash, where nothing reads its provenance: some six epochs are kept, 100 bytes
//! a flow, half a hundredth of a default model or less. Most of a training happens in its first
//! epochs, so that the epochs kept stand in about equal ratios.

use std::fmt;

/// Keys of the curves, one for each flow of a file.
pub const KEYS: [&str; flowlet::MAX_MEMBERS] = ["curve_0", "curve_1", "curve_2", "curve_3"];
/// Most epochs that are kept, besides the best one.
const POINTS: usize = 6;

/// What an epoch reached, in nats, standardised units: mean log-densities, or of a latent model evidence
/// lower bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Of the training rows, during the epoch.
    pub training: f64,
    /// Of the rows for early stopping, after it.
    pub validation: f64,
}

/// The epochs of one training, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(Vec<Point>);

impl Curve {
    /// The epoch after the others.
    pub fn push(&mut self, point: Point) {
        self.0.push(point);
    }

    /// The epochs.
    pub fn points(&self) -> &[Point] {
        &self.0
    }

    /// The first epoch, the last one, that numbered `best`, and a few between; none without a finite
    /// value.
    pub fn thinned(&self, best: usize) -> Self {
        let last = self.0.len();
        let place = |step: usize| (last as f64).powf(step as f64 / (POINTS - 1) as f64).round();
        let kept: Vec<usize> = (0..POINTS).map(|step| place(step) as usize).collect();
        let is_kept = |point: &&Point| {
            (kept.contains(&point.epoch) || point.epoch == best)
                && point.training.is_finite()
                && point.validation.is_finite()
        };
        Self(self.0.iter().filter(is_kept).copied().collect())
    }

    /// Reads what [`Display`](fmt::Display) wrote; none if `text` is no curve.
    pub fn read(text: &str) -> Option<Self> {
        let point = |words: &str| {
            let mut words = words.split_whitespace();
            let epoch = words.next()?.parse().ok()?;
            let mut value = || words.next()?.parse().ok().filter(|value: &f64| value.is_finite());
            let (training, validation) = (value()?, value()?);
            words.next().is_none().then_some(Point { epoch, training, validation })
        };
        let points: Option<Vec<Point>> = text.split(',').map(point).collect();
        points.filter(|points| points.is_sorted_by_key(|point| point.epoch)).map(Self)
    }
}

/// Epoch, training and validation of each, between commas.
impl fmt::Display for Curve {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        for (place, Point { epoch, training, validation }) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(formatter, "{comma}{epoch} {training:.2} {validation:.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(epochs: usize) -> Curve {
        let point = |epoch| Point {
            epoch,
            training: -10.0 / epoch as f64,
            validation: -11.0 / epoch as f64 - 0.01 * epoch as f64,
        };
        Curve((1..=epochs).map(point).collect())
    }

    proptest! {
        #[test]
        fn a_thinned_curve_is_short_and_keeps_both_ends_and_the_best(
            epochs in 1usize..5000, best: prop::sample::Index,
        ) {
            let best = 1 + best.index(epochs);
            let thinned = curve(epochs).thinned(best);
            let kept: Vec<usize> = thinned.points().iter().map(|point| point.epoch).collect();
            prop_assert!(kept.is_sorted() && kept.len() <= POINTS + 1);
            for epoch in [1, best, epochs] {
                prop_assert!(kept.contains(&epoch), "{epoch} is missing from {kept:?}");
            }
            prop_assert!(thinned.to_string().len() <= 25 * (POINTS + 1));
        }

        #[test]
        fn a_curve_reads_back_as_it_was_written(epochs in 1usize..300) {
            let text = curve(epochs).thinned(1).to_string();
            let read = Curve::read(&text).expect("a curve");
            prop_assert_eq!(read.to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9 .,eEinfNa-]{0,40}") {
            let read = Curve::read(&text);
            let is_finite = |curve: Curve| curve.points().iter().all(|own| own.training.is_finite());
            prop_assert!(read.is_none_or(is_finite), "{}", text);
        }
    }

    #[test]
    fn an_epoch_without_a_number_is_left_out() {
        let mut curve = curve(5);
        curve.0[2].training = f64::NAN;
        curve.0[3].validation = f64::NEG_INFINITY;
        let kept: Vec<usize> = curve.thinned(5).0.iter().map(|point| point.epoch).collect();
        assert_eq!(kept, [1, 2, 5]);
        assert_eq!(Curve::read(""), None);
    }
}
