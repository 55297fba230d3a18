//! Affine coupling (Dinh et al. 2017, "Density estimation using Real NVP", eqs. 4 and 7).
//!
//! The row is split into two halves. One, the condition, passes unchanged; each value of the
//! other is mapped by an affine map whose shift t and log-scale s a network computes from the
//! condition: x = z exp(s) + t. The Jacobian is triangular, so log |det dx/dz| is the sum of s.
//!
//! In a file, the settings are: 0 or 1 for the half that is transformed, the clip of the
//! log-scale (f32), the number of hidden layers, and their widths. The output layer's rows come
//! in blocks of 8, each with the shifts of four features and then their raw log-scales; rows
//! beyond the last feature are zero.

use super::{Bijection, Record, Work};
use crate::Error;
use crate::kernel::ROWS;
use crate::math::Math;
use crate::network::Network;
use crate::scalar::Affine;

/// Features that one block of outputs serves.
const GROUP: usize = ROWS / 2;

/// First setting of the network.
const NETWORK: usize = 2;

/// Largest clip: exp(80) and exp(-80) are finite and not subnormal.
const MAX_CLIP: f32 = 80.0;

/// The half of a row that a coupling transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Features 0 to D/2 (rounded down), given the rest.
    First,
    /// Features from D/2 (rounded down) on, given those before.
    Second,
}

impl Half {
    /// Numbers of the features transformed and of those that condition them.
    pub fn sizes(self, features: usize) -> (usize, usize) {
        let first = features / 2;
        match self {
            Self::First => (first, features - first),
            Self::Second => (features - first, first),
        }
    }

    /// Splits a row into (transformed, condition).
    fn split(self, row: &mut [f32]) -> (&mut [f32], &[f32]) {
        let (first, second) = row.split_at_mut_checked(row.len() / 2).unwrap_or_default();
        match self {
            Self::First => (first, second),
            Self::Second => (second, first),
        }
    }
}

/// Row of the output layer that computes the shift of transformed feature `feature`.
#[cfg(feature = "write")]
pub(crate) fn shift_row(feature: usize) -> usize {
    feature / GROUP * ROWS + feature % GROUP
}

/// Row of the output layer that computes the raw log-scale of transformed feature `feature`.
#[cfg(feature = "write")]
pub(crate) fn log_scale_row(feature: usize) -> usize {
    shift_row(feature) + GROUP
}

/// An affine coupling borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Coupling<'m> {
    transformed: Half,
    clip: f32,
    network: Network<'m>,
}

impl<'m> Coupling<'m> {
    /// The half that is transformed.
    pub fn transformed(&self) -> Half {
        self.transformed
    }

    /// The network that conditions it.
    pub fn network(&self) -> &Network<'m> {
        &self.network
    }

    /// Maps each transformed value by `map`, which returns it with the logarithm of its slope.
    fn apply(
        &self,
        row: &mut [f32],
        work: &mut Work<'_>,
        map: impl Fn(Affine, f32) -> (f32, f32),
    ) -> f32 {
        let (transformed, condition) = self.transformed.split(row);
        let outputs = self.network.run(condition, &mut work.network);
        let mut log_det_jacobian = 0.0;
        for (values, block) in transformed.chunks_mut(GROUP).zip(outputs) {
            let (shifts, log_scales) = block.split_at(GROUP);
            for ((value, shift), raw) in values.iter_mut().zip(shifts).zip(log_scales) {
                let (mapped, log_slope) = map(Affine::new(*shift, *raw, self.clip), *value);
                *value = mapped;
                log_det_jacobian += log_slope;
            }
        }
        log_det_jacobian
    }
}

impl<'m> Bijection<'m> for Coupling<'m> {
    fn new(record: &Record<'m>, features: usize, parameters: &'m [f32]) -> Self {
        let transformed = if record.word(0) == 0 { Half::First } else { Half::Second };
        let (outputs, inputs) = transformed.sizes(features);
        let rows = outputs.div_ceil(GROUP) * ROWS;
        Self {
            transformed,
            clip: f32::from_bits(record.word(1) as u32),
            network: Network::new(record, NETWORK, inputs, rows, parameters),
        }
    }

    fn check(&self, record: &Record<'m>, _: usize) -> Result<usize, Error> {
        if record.word(0) > 1 {
            return Err(record.shape(0));
        }
        if !(f32::MIN_POSITIVE..=MAX_CLIP).contains(&self.clip) {
            return Err(record.shape(1));
        }
        record.unused(NETWORK + Network::WORDS..Record::SETTINGS)?;
        self.network.check(record, NETWORK)
    }

    fn inverse<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        self.apply(row, work, Affine::inverse::<M>)
    }

    fn forward<M: Math>(&self, row: &mut [f32], work: &mut Work<'_>) -> f32 {
        self.apply(row, work, Affine::forward::<M>)
    }

    fn width(&self) -> usize {
        self.network.width()
    }

    fn multiply_adds(&self) -> usize {
        self.network.multiply_adds()
    }
}
