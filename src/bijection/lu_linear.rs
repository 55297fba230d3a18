//! An invertible linear map in LU form (Kingma and Dhariwal 2018, "Glow", section 3.2, eq. 10).
//!
//! z = L U x, with L lower triangular, its diagonal 1, and U upper triangular. So log |det dz/dx|
//! is the sum of ln |U_ii|, and the other direction takes two triangular solves. Together with
//! fixed permutations and [`ActNorm`](super::ActNorm) it is Glow's linear map of a row; alone,
//! behind a shift, it makes a Gaussian of full covariance.
//!
//! With fewer channels c than the row has values n, it is Glow's invertible 1 x 1 convolution: the
//! row is an image of n / c positions, all positions of channel 0 first, then those of channel 1
//! and so on; the same c x c matrix is applied to the channels of each position, and the
//! log-determinant is n / c times that of the matrix.
//!
//! In a file: the columns of L below the diagonal, then those of U down to the diagonal; setting 0
//! is c, a divisor of n.

use super::{Bijection, Work};
use crate::Error;
use crate::math::{Math, bounded};
use crate::record::{Record, Sizes};
use crate::triangular::{UnitLower, Upper, is_diagonal, log_product};

/// An invertible linear map borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct LuLinear<'m> {
    channels: usize,
    positions: usize,
    lower: UnitLower<'m>,
    upper: Upper<'m>,
    words: usize,
}

impl<'m> LuLinear<'m> {
    /// Values of a position, the size of the matrix.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Positions that the matrix is applied at.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Maps the channels of each position, gathered in `spare`.
    #[inline(always)]
    fn at_each_position(&self, row: &mut [f32], spare: &mut [f32], map: impl Fn(&mut [f32])) {
        let values = spare.get_mut(..self.channels).unwrap_or_default();
        for position in 0..self.positions {
            let at = |channel| position + channel * self.positions;
            for (channel, value) in values.iter_mut().enumerate() {
                *value = row.get(at(channel)).copied().unwrap_or_default();
            }
            map(values);
            for (channel, value) in values.iter().enumerate() {
                if let Some(own) = row.get_mut(at(channel)) {
                    *own = bounded(*value);
                }
            }
        }
    }

    /// log |det dz/dx|.
    fn log_det_jacobian<M: Math>(&self) -> f32 {
        self.positions as f32 * log_product::<M>(self.upper.diagonal())
    }
}

impl<'m> Bijection<'m> for LuLinear<'m> {
    fn new(record: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self {
        // What is no divisor is refused by `check`; held in bounds, no size overflows before.
        let channels = record.word(0).min(sizes.features);
        let positions = sizes.features.checked_div(channels).unwrap_or(0);
        let (lower, rest) =
            parameters.split_at_checked(UnitLower::words(channels)).unwrap_or_default();
        let upper = rest.get(..Upper::words(channels)).unwrap_or_default();
        Self {
            channels,
            positions,
            lower: UnitLower::new(channels, lower),
            upper: Upper::new(channels, upper),
            words: lower.len() + upper.len(),
        }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        let Self { channels, positions, .. } = *self;
        if channels != record.word(0) || channels * positions != features {
            return Err(record.shape(0));
        }
        record.unused(1..Record::SETTINGS)?;
        if self.words != channels * channels {
            return Err(record.shape(0));
        }
        match self.upper.diagonal().position(|entry| !is_diagonal(entry)) {
            Some(index) => {
                // The diagonal ends column `index`.
                let index = UnitLower::words(channels) + Upper::words(index + 1) - 1;
                Err(Error::Parameter { layer: record.layer, index })
            }
            None => Ok(self.words),
        }
    }

    fn inverse<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        self.at_each_position(row, work.row, |x| {
            self.upper.multiply(x);
            self.lower.multiply(x);
        });
        self.log_det_jacobian::<M>()
    }

    fn forward<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        self.at_each_position(row, work.row, |z| {
            self.lower.solve(z);
            bound(z);
            self.upper.solve(z);
        });
        -self.log_det_jacobian::<M>()
    }

    fn multiply_adds(&self) -> usize {
        self.positions * self.words
    }
}

fn bound(row: &mut [f32]) {
    for value in row {
        *value = bounded(*value);
    }
}
