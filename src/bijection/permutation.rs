//! A fixed permutation of the features, so that the next coupling splits them otherwise.
//!
//! z_i = x_p(i), and x_p(i) = z_i the other way; its log-determinant is 0. In a file: one word
//! an entry of p.

use super::{Bijection, Work};
use crate::Error;
use crate::math::Math;
use crate::record::{Record, Sizes};

/// A permutation borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Permutation<'m> {
    /// The entries of p, each the bits of a `u32`: they lie among parameters.
    order: &'m [f32],
}

impl<'m> Permutation<'m> {
    /// p, entry by entry.
    pub fn order(&self) -> impl Iterator<Item = usize> + use<'m> {
        self.order.iter().map(|entry| entry.to_bits() as usize)
    }
}

impl<'m> Bijection<'m> for Permutation<'m> {
    fn new(_: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self {
        let features = sizes.features;
        Self { order: parameters.get(..features).unwrap_or_default() }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        record.unused(0..Record::SETTINGS)?;
        if self.order.len() != features {
            return Err(record.shape(0));
        }
        let mut seen = 0u64;
        for (index, from) in self.order().enumerate() {
            let bit = u32::try_from(from).ok().and_then(|from| 1u64.checked_shl(from));
            let bit = bit.filter(|_| from < self.order.len()).unwrap_or(0);
            if bit == 0 || seen & bit != 0 {
                return Err(Error::Permutation { layer: record.layer, index });
            }
            seen |= bit;
        }
        Ok(self.order.len())
    }

    fn inverse<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        for (z, from) in work.row.iter_mut().zip(self.order()) {
            *z = row.get(from).copied().unwrap_or_default();
        }
        for (x, z) in row.iter_mut().zip(work.row.iter()) {
            *x = *z;
        }
        0.0
    }

    fn forward<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        for (z, to) in row.iter().zip(self.order()) {
            if let Some(x) = work.row.get_mut(to) {
                *x = *z;
            }
        }
        for (z, x) in row.iter_mut().zip(work.row.iter()) {
            *z = *x;
        }
        0.0
    }
}
