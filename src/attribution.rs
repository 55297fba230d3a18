//! Which feature is to blame: what the score of a row falls by where one feature takes a better value.
//!
//! Each feature in turn is moved to the value under which the row, all else as it is, scores least; the
//! difference is what the feature's own value adds to the score. It asks how normal the row would be
//! without the fault, as a counterfactual explanation does (Wachter, Mittelstadt and Russell 2018,
//! "Counterfactual Explanations without Opening the Black Box", equation 2, with one feature changed),
//! and needs no gradient.
//!
//! The value is sought among quantiles of the training rows, and then between the neighbours of the
//! best of them by golden sections (Kiefer 1953, "Sequential minimax search for a maximum"); features
//! that are 0 or 1 have nothing between. The number of scores is fixed, [`scores`]: a row costs so many
//! times what its score does, and is asked about after an alarm.
//!
//! In a file, section 8 has Q, at least 1, and for each feature Q of its values, `f32`, in ascending
//! order, in its unit and less its offset.

use crate::Error;
use crate::file::tag;

/// Golden sections behind the best quantile.
pub(crate) const SECTIONS: usize = 8;

/// The smaller part of a golden section, (3 - sqrt 5) / 2.
const GOLDEN: f32 = 0.381_966;

/// Scores of which the attribution of one row of `features` is made, with `quantiles` in the file; of a
/// Bernoulli likelihood it is made of fewer, 1 + `features` x `quantiles`.
pub const fn scores(features: usize, quantiles: usize) -> usize {
    1 + features * (quantiles + 2 + SECTIONS)
}

/// Values of the training rows that attribution tries, borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Quantiles<'m> {
    /// Of each feature, at least 1.
    count: usize,
    values: &'m [f32],
}

impl<'m> Quantiles<'m> {
    /// Views the words of section 8 in a file of so many features, and checks every one.
    pub(crate) fn read(words: &'m [u32], features: usize) -> Result<Self, Error> {
        let length = |expected| {
            let actual = words.len();
            Error::SectionLength { tag: tag::ATTRIBUTION, actual, expected }
        };
        let (count, values) = words.split_first().ok_or(length(1 + features))?;
        let count = *count as usize;
        let expected = count.saturating_mul(features);
        if count == 0 || values.len() != expected {
            return Err(length(expected.max(features).saturating_add(1)));
        }
        let own = Self { count, values: bytemuck::must_cast_slice(values) };
        let is_usable = |feature: &usize| {
            let values = own.of(*feature);
            // The standard library's `is_sorted` keeps a panic.
            let mut pairs = values.iter().zip(values.iter().skip(1));
            values.iter().all(|value| value.is_finite()) && pairs.all(|(low, high)| low <= high)
        };
        match (0..features).find(|feature| !is_usable(feature)) {
            Some(feature) => Err(Error::Quantiles { feature }),
            None => Ok(own),
        }
    }

    /// Whether all of them are 0 or 1, which a Bernoulli likelihood needs; else the first feature that
    /// has others.
    #[cfg(feature = "latent")]
    pub(crate) fn check_binary(&self, features: usize) -> Result<(), Error> {
        let is_binary = |feature: &usize| self.of(*feature).iter().all(|x| *x == 0.0 || *x == 1.0);
        match (0..features).find(|feature| !is_binary(feature)) {
            Some(feature) => Err(Error::Quantiles { feature }),
            None => Ok(()),
        }
    }

    /// How many each feature has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Those of a feature, ascending.
    pub fn of(&self, feature: usize) -> &'m [f32] {
        let start = feature.saturating_mul(self.count);
        let own = self.values.get(start..).and_then(|rest| rest.get(..self.count));
        own.unwrap_or_default()
    }
}

/// Which values of a feature are tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Search {
    /// Those in the file, and what lies between them.
    Between,
    /// Those in the file alone, of features that are 0 or 1.
    #[cfg(feature = "latent")]
    Listed,
}

/// Writes into `attributions` what the value of each feature adds to the score of `x`, 0 or more; `x` is
/// the same again afterwards. `score` is that of a row.
pub(crate) fn attribute(
    quantiles: Option<Quantiles>,
    search: Search,
    x: &mut [f32],
    attributions: &mut [f32],
    mut score: impl FnMut(&[f32]) -> Result<f32, Error>,
) -> Result<(), Error> {
    let quantiles = quantiles.ok_or(Error::NoQuantiles)?;
    let own_score = score(x)?;
    let (found, expected) = (attributions.len(), x.len());
    if found != expected {
        return Err(Error::RowLength { found, expected });
    }
    for (feature, attribution) in attributions.iter_mut().enumerate() {
        let own = x.get(feature).copied().unwrap_or_default();
        let least = least(quantiles.of(feature), search, |value| {
            if let Some(place) = x.get_mut(feature) {
                *place = value;
            }
            score(x)
        })?;
        if let Some(place) = x.get_mut(feature) {
            *place = own;
        }
        *attribution = if least < own_score { own_score - least } else { 0.0 };
    }
    Ok(())
}

/// The least score that a row has where one feature takes another value: `values` are tried first, then
/// what lies between the neighbours of the best. `score` is that of the row with the feature at a value.
fn least(
    values: &[f32],
    search: Search,
    mut score: impl FnMut(f32) -> Result<f32, Error>,
) -> Result<f32, Error> {
    let mut best = (f32::INFINITY, 0);
    for (place, value) in values.iter().enumerate() {
        let own = score(*value)?;
        if own < best.0 {
            best = (own, place);
        }
    }
    let (mut least, place) = best;
    if search != Search::Between {
        return Ok(least);
    }
    let at = |place: usize| values.get(place).copied();
    let middle = at(place).unwrap_or_default();
    let mut low = place.checked_sub(1).and_then(at).unwrap_or(middle);
    let mut high = at(place + 1).unwrap_or(middle);
    let within = |low: f32, high: f32, part: f32| low + part * (high - low);
    let mut left = within(low, high, GOLDEN);
    let mut right = within(low, high, 1.0 - GOLDEN);
    let (mut at_left, mut at_right) = (score(left)?, score(right)?);
    for _ in 0..SECTIONS {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = within(low, high, GOLDEN);
            at_left = score(left)?;
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = within(low, high, 1.0 - GOLDEN);
            at_right = score(right)?;
        }
        for own in [at_left, at_right] {
            if own < least {
                least = own;
            }
        }
    }
    Ok(least)
}
