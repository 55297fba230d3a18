//! Act-norm (Kingma and Dhariwal 2018, "Glow", section 3.1): a scale and a shift a feature.
//!
//! x = scale z + shift. Training sets both from the first batch, so that z starts with mean 0 and
//! variance 1; they are parameters like any other afterwards. log |det dx/dz| = sum ln |scale|.
//!
//! In a file: D shifts, then D scales; no settings.

use super::{Bijection, Work};
use crate::Error;
use crate::math::{Math, bounded};
use crate::record::{Record, Sizes};
use crate::triangular::{is_diagonal, log_product};

/// An act-norm borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct ActNorm<'m> {
    shift: &'m [f32],
    scale: &'m [f32],
}

impl<'m> Bijection<'m> for ActNorm<'m> {
    fn new(_: &Record<'m>, sizes: Sizes, parameters: &'m [f32]) -> Self {
        let features = sizes.features;
        let (shift, rest) = parameters.split_at_checked(features).unwrap_or_default();
        Self { shift, scale: rest.get(..features).unwrap_or_default() }
    }

    fn check(&self, record: &Record<'m>, features: usize) -> Result<usize, Error> {
        record.unused(0..Record::SETTINGS)?;
        if self.scale.len() != features {
            return Err(record.shape(0));
        }
        match self.scale.iter().position(|scale| !is_diagonal(*scale)) {
            Some(index) => Err(Error::Parameter { layer: record.layer, index: features + index }),
            None => Ok(2 * features),
        }
    }

    fn inverse<M: Math>(&self, row: &mut [f32], _: &mut Work<'_>) -> f32 {
        for ((value, shift), scale) in row.iter_mut().zip(self.shift).zip(self.scale) {
            *value = bounded((*value - shift) / scale);
        }
        -log_product::<M>(self.scale.iter().copied())
    }

    fn forward<M: Math>(&self, row: &mut [f32], _: &mut Work<'_>) -> f32 {
        for ((value, shift), scale) in row.iter_mut().zip(self.shift).zip(self.scale) {
            *value = bounded(*value * scale + shift);
        }
        log_product::<M>(self.scale.iter().copied())
    }

    fn multiply_adds(&self) -> usize {
        self.scale.len()
    }
}
