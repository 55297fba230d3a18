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
//! Student-t: the same with a Student-t density of n degrees of freedom in place of each Gaussian, s_i
//! its scale, so that its deviation is s_i sqrt(n / (n - 2)) (Lange, Little and Taylor 1989, "Robust
//! Statistical Modeling Using the t Distribution"): a value that is far out costs ln of its residual and
//! not the square. Its Cargo feature is `student-t`.
//!
//! Bernoulli: each feature is 1 with probability 1 / (1 + exp(-l_i)), else 0; the rows are the l_i.

use rand_core::Rng;

use crate::base::{Base, ln_1p, student_t_constant};
use crate::draw::symmetric_uniform;
use crate::kernel::Block;
use crate::math::{Libm, Math, bounded, soft_clip};
use crate::periodic::Periodic;
use crate::scalar::{GROUP, ScalarMap};

/// ln(2 pi) / 2.
const HALF_LN_TWO_PI: f32 = 0.918_938_5;

/// What a deviation may be, standardised: its logarithm and inverse stay far from f32's ends.
const DEVIATIONS: core::ops::RangeInclusive<f32> = 1e-6..=1e6;

/// Degrees of freedom of a Student-t likelihood: it has a variance.
const DEGREES_OF_FREEDOM: core::ops::RangeInclusive<f32> = 2.01..=1e4;

/// The word of section 13 that holds them.
const TAILS: usize = 19;

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
    /// Independent Student-t densities, ln of their scales within `centre` +- `clip`.
    StudentT {
        /// ln of the middle scale, standardised.
        centre: f32,
        /// How far ln of a scale may be from it.
        clip: f32,
        /// Their degrees of freedom.
        degrees_of_freedom: f32,
    },
    /// Independent features that are 0 or 1.
    Bernoulli,
}

impl Likelihood {
    /// Numbers in a file.
    pub(crate) const GAUSSIAN: u32 = 1;
    pub(crate) const BERNOULLI: u32 = 2;
    pub(crate) const STUDENT_T: u32 = 3;

    /// The Gaussian one of these least and largest deviations, by libm whatever the model's
    /// [`Math`]: it is taken once, when a file is loaded.
    pub fn gaussian(least: f32, largest: f32) -> Self {
        let (low, high) = (Libm::ln(least), Libm::ln(largest));
        Self::Gaussian { centre: 0.5 * (low + high), clip: 0.5 * (high - low) }
    }

    /// Reads words 4, 6, 7 and 19 of section 13, or says which one is wrong.
    pub(crate) fn read(kind: u32, [least, largest, tails]: [u32; 3]) -> Result<Self, usize> {
        let words = [(6, least), (7, largest), (TAILS, tails)];
        let used = match kind {
            Self::GAUSSIAN => 2,
            Self::STUDENT_T => 3,
            Self::BERNOULLI => 0,
            _ => return Err(4),
        };
        if let Some((word, _)) = words.iter().skip(used).find(|(_, value)| *value != 0) {
            return Err(*word);
        }
        if used == 0 {
            return Ok(Self::Bernoulli);
        }
        let [least, largest, degrees_of_freedom] = [least, largest, tails].map(f32::from_bits);
        if !DEVIATIONS.contains(&least) {
            return Err(6);
        }
        if !DEVIATIONS.contains(&largest) || largest <= least {
            return Err(7);
        }
        match Self::gaussian(least, largest) {
            Self::Gaussian { centre, clip } if kind == Self::STUDENT_T => {
                match DEGREES_OF_FREEDOM.contains(&degrees_of_freedom) {
                    true => Ok(Self::StudentT { centre, clip, degrees_of_freedom }),
                    false => Err(TAILS),
                }
            }
            gaussian => Ok(gaussian),
        }
    }

    /// What of this crate it needs, besides latent models.
    pub(crate) fn cargo_feature(self) -> Option<&'static str> {
        matches!(self, Self::StudentT { .. }).then_some("student-t")
    }

    /// The density of what a draw adds to the mean, in scales; of a Bernoulli one it is not used.
    pub(crate) fn noise(self) -> Base<'static> {
        match self {
            Self::StudentT { degrees_of_freedom, .. } => Base::StudentT { degrees_of_freedom },
            _ => Base::StandardNormal { periodic: Periodic::default() },
        }
    }

    /// The deviation of a feature whose scale is 1.
    fn widening<M: Math>(self) -> f32 {
        match self {
            Self::StudentT { degrees_of_freedom: n, .. } if cfg!(feature = "student-t") => {
                M::sqrt(n / (n - 2.0))
            }
            _ => 1.0,
        }
    }

    /// Rows of the decoder's output layer.
    pub(crate) fn rows(self, features: usize) -> usize {
        match self {
            Self::Gaussian { clip, .. } | Self::StudentT { clip, .. } => {
                ScalarMap::Affine { clip }.rows(features)
            }
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
            Self::Gaussian { centre, clip } | Self::StudentT { centre, clip, .. } => {
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
            Self::StudentT { degrees_of_freedom: n, .. } if cfg!(feature = "student-t") => {
                let mut logs = 0.0;
                self.for_each(row, outputs, |x, mean, log_scale| {
                    let residual = (*x - mean) * M::exp(-log_scale);
                    logs += ln_1p::<M>(residual * residual / n);
                    sum -= log_scale;
                });
                features * student_t_constant::<M>(n) - 0.5 * (n + 1.0) * logs + sum
            }
            // A file with the other likelihood is refused without its Cargo feature.
            Self::StudentT { .. } => sum,
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
        let widening = self.widening::<M>();
        self.for_each(row, outputs, |x, first, log_scale| {
            *x = match self {
                Self::Gaussian { .. } | Self::StudentT { .. } => {
                    bounded((*x - first) * M::exp(-log_scale) / widening)
                }
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
                Self::Gaussian { .. } | Self::StudentT { .. } => first,
                Self::Bernoulli => probability::<M>(first),
            };
        });
    }

    /// `row` becomes the deviation of x, standardised.
    #[inline(never)]
    pub(crate) fn deviation<M: Math>(self, row: &mut [f32], outputs: impl Iterator<Item = Block>) {
        let widening = self.widening::<M>();
        self.for_each(row, outputs, |x, first, log_scale| {
            *x = match self {
                Self::Gaussian { .. } | Self::StudentT { .. } => widening * M::exp(log_scale),
                Self::Bernoulli => {
                    let one = probability::<M>(first);
                    M::sqrt(one * (1.0 - one))
                }
            };
        });
    }

    /// `row`, of draws from [`Likelihood::noise`], becomes a draw of x, standardised.
    #[inline(never)]
    pub(crate) fn draw<M: Math, R: Rng>(
        self,
        random: &mut R,
        row: &mut [f32],
        outputs: impl Iterator<Item = Block>,
    ) {
        self.for_each(row, outputs, |x, first, log_scale| {
            *x = match self {
                Self::Gaussian { .. } | Self::StudentT { .. } => {
                    bounded(first + M::exp(log_scale) * *x)
                }
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
