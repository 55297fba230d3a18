//! From a raw sensor row to the flow's first input, and back.
//!
//! Each feature is standardised: u = (x - centre) / scale. The logarithm of its slope,
//! -ln scale, counts in the log-density, which therefore holds for raw units.

use crate::Error;
use crate::math::{Libm, Math, bounded};

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

    /// ln scale, by libm whatever the flow's [`Math`]: it is taken once, when a file is loaded.
    pub(crate) fn log_scale(self) -> f32 {
        Libm::ln(self.scale)
    }
}
