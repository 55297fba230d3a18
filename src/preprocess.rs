//! From a raw sensor row to the flow's first input, and back.
//!
//! A column may have an offset, which whoever fills the row subtracts while the value still has all of
//! its digits: f32 has 7, a time stamp or a counter has more. What is left is the raw row of every
//! call.
//!
//! Each feature is then standardised: u = (x - centre) / scale. The logarithm of its slope,
//! -ln scale, counts in the log-density, which therefore holds for raw units.

use crate::Error;
use crate::file::tag;
use crate::math::{Libm, Math, bounded};
use crate::record::Sizes;

/// Refuses a row that is not `features` finite values.
pub(crate) fn check_row(row: &[f32], features: usize) -> Result<(), Error> {
    if row.len() != features {
        return Err(Error::RowLength { found: row.len(), expected: features });
    }
    match row.iter().position(|value| !value.is_finite()) {
        Some(feature) => Err(Error::NotFinite { feature }),
        None => Ok(()),
    }
}

/// Standardises `raw`, a context of the length of `own`, into it.
pub(crate) fn standardise_context(
    raw: &[f32],
    own: &mut [f32],
    standardisations: impl Iterator<Item = Standardisation>,
) -> Result<(), Error> {
    for ((index, value), own) in raw.iter().enumerate().zip(own.iter_mut()) {
        if !value.is_finite() {
            return Err(Error::ContextNotFinite { index });
        }
        *own = *value;
    }
    for (own, standardisation) in own.iter_mut().zip(standardisations) {
        *own = standardisation.inverse(*own);
    }
    Ok(())
}

/// How one feature is standardised, and the range that it had in training.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Standardisation {
    /// What is subtracted, in the feature's unit.
    pub centre: f32,
    /// What the difference is divided by, in the feature's unit; positive.
    pub scale: f32,
    /// Smallest value of the training rows.
    pub low: f32,
    /// Largest value of the training rows.
    pub high: f32,
}

impl Standardisation {
    /// Words that one feature takes in a file.
    pub(crate) const WORDS: usize = 4;

    pub(crate) fn read([centre, scale, low, high]: [f32; Self::WORDS]) -> Self {
        Self { centre, scale, low, high }
    }

    /// Views the words of a section 5: one of each feature, then of each context value.
    pub(crate) fn read_all(
        words: &[u32],
        Sizes { features, context }: Sizes,
    ) -> Result<&[[f32; Self::WORDS]], Error> {
        let (all, rest) = bytemuck::must_cast_slice::<u32, f32>(words).as_chunks();
        if all.len() != features + context || !rest.is_empty() {
            let (actual, expected) = (words.len(), (features + context) * Self::WORDS);
            return Err(Error::SectionLength { tag: tag::STANDARDISATION, actual, expected });
        }
        for (feature, words) in all.iter().enumerate() {
            Self::read(*words).check(feature)?;
        }
        Ok(all)
    }

    /// The sum of ln scale over the first `features` of all.
    pub(crate) fn log_scale_sum(all: &[[f32; Self::WORDS]], features: usize) -> f32 {
        let mut sum = 0.0;
        for words in all.iter().take(features) {
            sum += Self::read(*words).log_scale();
        }
        sum
    }

    /// Refuses a centre, scale or range that would make an infinity of an ordinary row.
    pub(crate) fn check(self, feature: usize) -> Result<(), Error> {
        let finite = self.centre.is_finite() && self.low.is_finite() && self.high.is_finite();
        if finite && self.scale.is_normal() && self.scale > 0.0 && self.low <= self.high {
            Ok(())
        } else {
            Err(Error::Standardisation { feature })
        }
    }

    /// Raw to standardised, held inside [`LIMIT`](crate::math::LIMIT) scales.
    pub fn inverse(self, x: f32) -> f32 {
        bounded((x - self.centre) / self.scale)
    }

    /// Standardised to raw, held inside the finite numbers.
    pub fn forward(self, u: f32) -> f32 {
        let x = u * self.scale + self.centre;
        let x = if x < f32::MAX { x } else { f32::MAX };
        if x > f32::MIN { x } else { f32::MIN }
    }

    /// The value nearest to `x` that a column of this range and `step` can have: within the range and
    /// a whole number of steps from its low end, or of a constant column its only value.
    pub(crate) fn on_step(self, x: f32, step: f32) -> f32 {
        if step == 0.0 && self.low < self.high {
            return x;
        }
        let nearest = self.low + libm::rintf((x - self.low) / step) * step;
        let nearest = if nearest < self.high { nearest } else { self.high };
        if nearest > self.low { nearest } else { self.low }
    }

    /// ln scale, by libm whatever the flow's [`Math`]: it is taken once, when a file is loaded.
    pub(crate) fn log_scale(self) -> f32 {
        Libm::ln(self.scale)
    }
}

/// What a column of a row is before it is standardised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    /// Subtracted from the sensor's value before that becomes an f32.
    pub offset: f64,
    /// Width of the steps that the column comes in, 0 where it has none.
    pub step: f32,
}

impl Column {
    /// Words that one column takes in a file.
    pub const WORDS: usize = 3;

    pub fn read([low, high, step]: [u32; Self::WORDS]) -> Self {
        let offset = f64::from_bits(u64::from(high) << 32 | u64::from(low));
        Self { offset, step: f32::from_bits(step) }
    }

    /// Whether the offset is finite, and the step too and not negative: by their bits, since a
    /// comparison in f64 is a library call on a device.
    pub fn is_usable([_, high, step]: [u32; Self::WORDS]) -> bool {
        const EXPONENT: u32 = 0x7ff0_0000;
        high & EXPONENT != EXPONENT && step < f32::INFINITY.to_bits()
    }
}
