//! An invertible linear map in LU form (Kingma and Dhariwal 2018, "Glow", section 3.2, eq. 10).
//!
//! z = L U x, with L lower triangular, its diagonal 1, and U upper triangular. So log |det dz/dx|
//! is the sum of ln |U_ii|, and the other direction takes two triangular solves. Together with
//! fixed permutations and [`ActNorm`](super::ActNorm) it is Glow's 1 x 1 convolution; alone,
//! behind a shift, it makes a Gaussian of full covariance.
//!
//! In a file: the columns of L below the diagonal, then those of U down to the diagonal; no
//! settings.

use super::{Bijection, Record, Sizes, Work};
use crate::Error;
use crate::math::{Math, bounded};
use crate::triangular::{UnitLower, Upper, is_diagonal, log_product};

/// An invertible linear map borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct LuLinear<'m> {
    lower: UnitLower<'m>,
    upper: Upper<'m>,
    words: usize,
}

impl<'m> Bijection<'m> for LuLinear<'m> {
    fn new(_: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self {
        let features = sizes.features;
        let (lower, rest) =
            parameters.split_at_checked(UnitLower::words(features)).unwrap_or_default();
        let upper = rest.get(..Upper::words(features)).unwrap_or_default();
        Self {
            lower: UnitLower::new(features, lower),
            upper: Upper::new(features, upper),
            words: lower.len() + upper.len(),
        }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        record.unused(0..Record::SETTINGS)?;
        if self.words != features * features {
            return Err(record.shape(0));
        }
        match self.upper.diagonal().position(|entry| !is_diagonal(entry)) {
            Some(index) => {
                // The diagonal ends column `index`.
                let index = UnitLower::words(features) + Upper::words(index + 1) - 1;
                Err(Error::Parameter { layer: record.layer, index })
            }
            None => Ok(self.words),
        }
    }

    fn inverse<M: Math>(&self, row: &mut [f32], _: &mut Work<'_>) -> f32 {
        self.upper.multiply(row);
        self.lower.multiply(row);
        bound(row);
        log_product::<M>(self.upper.diagonal())
    }

    fn forward<M: Math>(&self, row: &mut [f32], _: &mut Work<'_>) -> f32 {
        self.lower.solve(row);
        bound(row);
        self.upper.solve(row);
        bound(row);
        -log_product::<M>(self.upper.diagonal())
    }

    fn multiply_adds(&self) -> usize {
        self.words
    }
}

fn bound(row: &mut [f32]) {
    for value in row {
        *value = bounded(*value);
    }
}
