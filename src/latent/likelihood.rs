//! The density of a row given its latent values, p(x | z), from the decoder's outputs.
//!
//! Gaussian: each feature i has a mean m_i and a raw log-deviation r_i, both depending on z. The
//! deviation s_i is held between a least one a and a largest one b of standardised units by a soft
//! clip, ln s_i = c + w r_i / (w + |r_i|) with c = ln(a b) / 2 and w = ln(b / a) / 2: without a least
//! one a feature that the decoder knows exactly would have a density without bound (Rybkin et al.
//! 2021, "Simple and Effective VAE Training with Calibrated Decoders"). The decoder's rows lie in
//! blocks of 8, the means of four features and then their raw log-deviations; rows beyond the last
//! feature are zero.
//!
//! Bernoulli: each feature is 1 with probability 1 / (1 + exp(-l_i)), else 0; the rows are the l_i.

use rand_core::Rng;

use crate::draw::symmetric_uniform;
use crate::kernel::Block;
use crate::math::{Libm, Math, bounded, soft_clip};
use crate::scalar::{GROUP, ScalarMap};

/// ln(2 pi) / 2.
const HALF_LN_TWO_PI: f32 = 0.918_938_5;

/// What a deviation may be, standardised: its logarithm and inverse stay far from f32's ends.
const DEVIATIONS: core::ops::RangeInclusive<f32> = 1e-6..=1e6;

/// Exponents beyond which a logit makes no difference.
const SATURATED: f32 = 80.0;

/// The density of a row given its latent values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Likelihood {
    /// Independent Gaussians, ln of their deviations within `centre` +- `clip`.
    Gaussian {
        /// ln of the middle deviation, standardised.
        centre: f32,
        /// How far ln of a deviation may be from it.
        clip: f32,
    },
    /// Independent features that are 0 or 1.
    Bernoulli,
}

impl Likelihood {
    /// Numbers in a file.
    pub(crate) const GAUSSIAN: u32 = 1;
    pub(crate) const BERNOULLI: u32 = 2;

    /// The Gaussian one of these least and largest deviations, by libm whatever the model's
    /// [`Math`]: it is taken once, when a file is loaded.
    pub fn gaussian(least: f32, largest: f32) -> Self {
        let (low, high) = (Libm::ln(least), Libm::ln(largest));
        Self::Gaussian { centre: 0.5 * (low + high), clip: 0.5 * (high - low) }
    }

    /// Reads words 4, 6 and 7 of section 13, or says which one is wrong.
    pub(crate) fn read(kind: u32, deviations: [u32; 2]) -> Result<Self, usize> {
        let [least, largest] = deviations.map(f32::from_bits);
        match kind {
            Self::GAUSSIAN if !DEVIATIONS.contains(&least) => Err(6),
            Self::GAUSSIAN if !DEVIATIONS.contains(&largest) || largest <= least => Err(7),
            Self::GAUSSIAN => Ok(Self::gaussian(least, largest)),
            Self::BERNOULLI => match deviations.iter().position(|word| *word != 0) {
                Some(index) => Err(6 + index),
                None => Ok(Self::Bernoulli),
            },
            _ => Err(4),
        }
    }

    /// Rows of the decoder's output layer.
    pub(crate) fn rows(self, features: usize) -> usize {
        match self {
            Self::Gaussian { clip, .. } => ScalarMap::Affine { clip }.rows(features),
            Self::Bernoulli => features,
        }
    }

    /// Gives `each` every value of `row` with the two numbers that the decoder's `outputs` say of it:
    /// mean and log-deviation, or the logit and 0.
    #[inline(always)]
    fn for_each(
        self,
        row: &mut [f32],
        mut outputs: impl Iterator<Item = Block>,
        mut each: impl FnMut(&mut f32, f32, f32),
    ) {
        match self {
            Self::Gaussian { centre, clip } => {
                for values in row.chunks_mut(GROUP) {
                    let Some(block) = outputs.next() else { break };
                    let (means, raws) = block.split_at(GROUP);
                    for ((value, mean), raw) in values.iter_mut().zip(means).zip(raws) {
                        each(value, bounded(*mean), centre + soft_clip(*raw, clip));
                    }
                }
            }
            Self::Bernoulli => {
                for values in row.chunks_mut(2 * GROUP) {
                    let Some(block) = outputs.next() else { break };
                    for (value, logit) in values.iter_mut().zip(&block) {
                        each(value, bounded(*logit), 0.0);
                    }
                }
            }
        }
    }

    /// log p(x | z), in nats, of the standardised `row`, which stays as it is.
    #[inline(never)]
    pub(crate) fn log_density<M: Math>(
        self,
        row: &mut [f32],
        outputs: impl Iterator<Item = Block>,
    ) -> f32 {
        let (features, mut sum) = (row.len() as f32, 0.0);
        match self {
            Self::Gaussian { .. } => {
                self.for_each(row, outputs, |x, mean, log_deviation| {
                    let residual = (*x - mean) * M::exp(-log_deviation);
                    sum += -0.5 * (residual * residual) - log_deviation;
                });
                sum - features * HALF_LN_TWO_PI
            }
            Self::Bernoulli => {
                self.for_each(row, outputs, |x, logit, _| {
                    sum -= softplus::<M>(if *x > 0.5 { -logit } else { logit });
                });
                sum
            }
        }
    }

    /// The standardised `row` becomes its residuals, each in its own deviations.
    #[inline(never)]
    pub(crate) fn residuals<M: Math>(self, row: &mut [f32], outputs: impl Iterator<Item = Block>) {
        self.for_each(row, outputs, |x, first, log_deviation| {
            *x = match self {
                Self::Gaussian { .. } => bounded((*x - first) * M::exp(-log_deviation)),
                // (x - p) / sqrt(p (1 - p)).
                Self::Bernoulli if *x > 0.5 => M::exp(-0.5 * saturated(first)),
                Self::Bernoulli => -M::exp(0.5 * saturated(first)),
            };
        });
    }

    /// `row` becomes the mean of x, standardised.
    #[inline(never)]
    pub(crate) fn mean<M: Math>(self, row: &mut [f32], outputs: impl Iterator<Item = Block>) {
        self.for_each(row, outputs, |x, first, _| {
            *x = match self {
                Self::Gaussian { .. } => first,
                Self::Bernoulli => probability::<M>(first),
            };
        });
    }

    /// `row` becomes the deviation of x, standardised.
    #[inline(never)]
    pub(crate) fn deviation<M: Math>(self, row: &mut [f32], outputs: impl Iterator<Item = Block>) {
        self.for_each(row, outputs, |x, first, log_deviation| {
            *x = match self {
                Self::Gaussian { .. } => M::exp(log_deviation),
                Self::Bernoulli => {
                    let one = probability::<M>(first);
                    M::sqrt(one * (1.0 - one))
                }
            };
        });
    }

    /// `row`, of normal draws, becomes a draw of x, standardised.
    #[inline(never)]
    pub(crate) fn draw<M: Math, R: Rng>(
        self,
        random: &mut R,
        row: &mut [f32],
        outputs: impl Iterator<Item = Block>,
    ) {
        self.for_each(row, outputs, |x, first, log_deviation| {
            *x = match self {
                Self::Gaussian { .. } => bounded(first + M::exp(log_deviation) * *x),
                Self::Bernoulli => {
                    let uniform = 0.5 + 0.5 * symmetric_uniform(random);
                    if uniform < probability::<M>(first) { 1.0 } else { 0.0 }
                }
            };
        });
    }
}

fn saturated(logit: f32) -> f32 {
    let logit = if logit < SATURATED { logit } else { SATURATED };
    if logit > -SATURATED { logit } else { -SATURATED }
}

/// 1 / (1 + exp(-l)).
fn probability<M: Math>(logit: f32) -> f32 {
    1.0 / (1.0 + M::exp(-saturated(logit)))
}

/// ln(1 + exp(t)), without an exponential that overflows.
fn softplus<M: Math>(t: f32) -> f32 {
    let positive = if t > 0.0 { t } else { 0.0 };
    positive + M::ln(1.0 + M::exp(-saturated(t.abs())))
}
