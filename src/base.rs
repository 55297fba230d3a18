//! Base densities: what the row is once every bijection is undone.
//!
//! In a file, words 2, 6 and 7 of the flow's header are the base's kind and its two settings;
//! its parameters stand behind those of the layers.
//!
//! | kind | density | settings | parameters |
//! |---|---|---|---|
//! | 1 | standard normal, uniform on [-1, 1) where a feature is periodic | mask of the periodic features ([`Periodic`]) | none |
//! | 2 | Student-t | degrees of freedom (f32), 0 | none |
//! | 3 | mixture of Gaussians | components K, 0 = diagonal or 1 = full covariance | for each component: ln of its weight, D means, and the columns of U down to the diagonal (full) or the diagonal of U |

use rand_core::Rng;

use crate::Error;
use crate::draw::{draw, symmetric_uniform};
use crate::kernel::add_scaled;
use crate::math::{LIMIT, LogSumExp, Math, bounded};
use crate::periodic::Periodic;
use crate::triangular::{Upper, is_diagonal, log_product};

/// ln(2 pi) / 2.
const HALF_LN_TWO_PI: f32 = 0.918_938_5;

/// Pairs of draws after which a generator counts as stuck: a sound one gets that far once in
/// 10^42 times.
const MAX_DRAWS: usize = 64;

/// Most components of a mixture.
pub const MAX_COMPONENTS: usize = 1 << 10;

/// A density over rows of the base, borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub enum Base<'m> {
    /// N(0, I); one period of a periodic feature is uniform, and independent of the others.
    StandardNormal {
        /// Those that are.
        periodic: Periodic,
    },
    /// Independent Student-t densities, whose tails are heavier than a Gaussian's (Alexanderson
    /// and Henter 2020, "Robust model training and generalisation with Studentising flows").
    StudentT {
        /// Their degrees of freedom.
        degrees_of_freedom: f32,
    },
    /// A mixture of Gaussians (Izmailov et al. 2020, "Semi-Supervised Learning with Normalizing
    /// Flows"; with no bijection before it, the classical one).
    Mixture(Mixture<'m>),
}

/// A mixture of Gaussians borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Mixture<'m> {
    size: usize,
    full: bool,
    /// Of all components.
    parameters: &'m [f32],
}

/// One Gaussian: N(z) = |det U| N(U (z - mean); 0, I), with U^T U the inverse covariance.
#[derive(Clone, Copy)]
struct Component<'m> {
    log_weight: f32,
    mean: &'m [f32],
    full: bool,
    /// Packed, or its diagonal alone.
    factor: &'m [f32],
}

impl<'m> Base<'m> {
    /// Numbers in a file.
    pub(crate) const STANDARD_NORMAL: u32 = 1;
    pub(crate) const STUDENT_T: u32 = 2;
    pub(crate) const MIXTURE: u32 = 3;

    /// Views the base that the header's words describe; `parameters` are those behind the layers.
    pub(crate) fn read(
        kind: u32,
        settings: [u32; 2],
        features: usize,
        parameters: &'m [f32],
    ) -> Result<Self, Error> {
        let [first, second] = settings;
        let refuse = |word| Err(Error::BaseSetting { word });
        let base = match kind {
            Self::STANDARD_NORMAL if settings != [0; 2] && !cfg!(feature = "spline") => {
                return Err(Error::Feature { name: "spline" });
            }
            Self::STANDARD_NORMAL => Self::StandardNormal { periodic: Periodic::new(settings) },
            Self::STUDENT_T if !cfg!(feature = "student-t") => {
                return Err(Error::Feature { name: "student-t" });
            }
            Self::STUDENT_T => Self::StudentT { degrees_of_freedom: f32::from_bits(first) },
            Self::MIXTURE if !cfg!(feature = "mixture") => {
                return Err(Error::Feature { name: "mixture" });
            }
            Self::MIXTURE => {
                Self::Mixture(Mixture { size: features, full: second == 1, parameters })
            }
            kind => return Err(Error::Base { kind }),
        };
        let words = match base {
            Self::StandardNormal { periodic } => match periodic.word_beyond(features) {
                Some(word) => return refuse(6 + word),
                None => 0,
            },
            Self::StudentT { degrees_of_freedom } if !(1.0..=1e4).contains(&degrees_of_freedom) => {
                return refuse(6);
            }
            Self::StudentT { .. } if second != 0 => return refuse(7),
            Self::StudentT { .. } => 0,
            Self::Mixture(_) if !(1..=MAX_COMPONENTS).contains(&(first as usize)) => {
                return refuse(6);
            }
            Self::Mixture(_) if second > 1 => return refuse(7),
            Self::Mixture(mixture) => first as usize * mixture.stride(),
        };
        if words != parameters.len() {
            return Err(Error::BaseParameters { found: parameters.len(), expected: words });
        }
        if let Self::Mixture(mixture) = base {
            mixture.check()?;
        }
        Ok(base)
    }

    /// Natural logarithm of the density at `z`; `work` is at least as long.
    pub(crate) fn log_density<M: Math>(self, z: &[f32], work: &mut [f32]) -> f32 {
        match self {
            Self::StandardNormal { periodic } if periodic.is_empty() => standard_normal(z),
            Self::StandardNormal { periodic } => on_circles(periodic, z),
            Self::StudentT { degrees_of_freedom } if cfg!(feature = "student-t") => {
                student_t::<M>(degrees_of_freedom, z)
            }
            Self::Mixture(mixture) if cfg!(feature = "mixture") => {
                mixture.log_density::<M>(z, work.get_mut(..z.len()).unwrap_or_default())
            }
            // Refused by `read`.
            _ => 0.0,
        }
    }

    /// Fills `z` with a draw; `temperature` scales the distance from the centre, that of the
    /// component in a mixture. What is uniform on a circle has no centre.
    #[inline(never)]
    pub(crate) fn sample<M: Math, R: Rng>(
        self,
        random: &mut R,
        temperature: f32,
        z: &mut [f32],
    ) -> Result<(), Error> {
        match self {
            Self::StudentT { degrees_of_freedom } if cfg!(feature = "student-t") => {
                for z in z {
                    *z = temperature * student_t_draw::<M, R>(degrees_of_freedom, random)?;
                    *z = bounded(*z);
                }
                Ok(())
            }
            Self::Mixture(mixture) if cfg!(feature = "mixture") => {
                let component = mixture.draw::<M, R>(random);
                fill_normal::<M, R>(random, temperature, z)?;
                component.place(z);
                Ok(())
            }
            Self::StandardNormal { periodic } if !periodic.is_empty() => {
                fill_normal::<M, R>(random, temperature, z)?;
                let circles = z.iter_mut().enumerate();
                for (_, z) in circles.filter(|(feature, _)| periodic.contains(*feature)) {
                    *z = symmetric_uniform(random);
                }
                Ok(())
            }
            _ => fill_normal::<M, R>(random, temperature, z),
        }
    }

    /// Products of one log-density.
    pub(crate) fn multiply_adds(self) -> usize {
        match self {
            Self::Mixture(mixture) => mixture.parameters.len(),
            _ => 0,
        }
    }

    /// The Cargo feature that a firmware needs for it.
    pub fn cargo_feature(self) -> Option<&'static str> {
        match self {
            Self::StandardNormal { periodic } if periodic.is_empty() => None,
            Self::StandardNormal { .. } => Some("spline"),
            Self::StudentT { .. } => Some("student-t"),
            Self::Mixture(_) => Some("mixture"),
        }
    }
}

/// log N(z) = -1/2 sum z_i^2 - D/2 ln(2 pi), summed in the order of the features.
fn standard_normal(z: &[f32]) -> f32 {
    let mut squares = 0.0;
    for z in z {
        squares += z * z;
    }
    -0.5 * squares - z.len() as f32 * HALF_LN_TWO_PI
}

/// The same, but ln(1/2) for each periodic feature, whose period is 2.
fn on_circles(periodic: Periodic, z: &[f32]) -> f32 {
    let (mut squares, mut others) = (0.0, 0.0);
    for (feature, z) in z.iter().enumerate() {
        if !periodic.contains(feature) {
            squares += z * z;
            others += 1.0;
        }
    }
    let circles = z.len() as f32 - others;
    -0.5 * squares - others * HALF_LN_TWO_PI - circles * core::f32::consts::LN_2
}

/// Sum over the features of ln t_n(z) = c(n) - (n + 1)/2 ln(1 + z^2 / n).
fn student_t<M: Math>(n: f32, z: &[f32]) -> f32 {
    let constant = student_t_constant::<M>(n);
    let mut logs = 0.0;
    for z in z {
        logs += M::ln(1.0 + z * z / n);
    }
    z.len() as f32 * constant - 0.5 * (n + 1.0) * logs
}

/// c(n) = ln gamma((n + 1)/2) - ln gamma(n / 2) - ln(n pi)/2, within 1e-6 where [`Math`] is exact.
///
/// ln gamma(y + 1/2) - ln gamma(y) = ln(y)/2 - 1/(8 y) + 1/(192 y^3) - 1/(640 y^5) + ..., taken
/// where four terms suffice, at y = n/2 + 4, since gamma(x + 1) = x gamma(x). The difference of
/// two ln gamma would lose all digits to their size as n grows.
fn student_t_constant<M: Math>(n: f32) -> f32 {
    let x = 0.5 * n;
    let mut ratio = 1.0;
    for i in [0.0, 1.0, 2.0, 3.0] {
        ratio *= (x + i) / (x + i + 0.5);
    }
    let y = x + 4.0;
    let inverse = 1.0 / y;
    let square = inverse * inverse;
    let series = inverse * (-1.0 / 8.0 + square * (1.0 / 192.0 - square * (1.0 / 640.0)));
    0.5 * M::ln(ratio * ratio * y / (n * core::f32::consts::PI)) + series
}

/// A Student-t draw by the polar method (Bailey 1994, "Polar generation of random variates with
/// the t-distribution").
fn student_t_draw<M: Math, R: Rng>(n: f32, random: &mut R) -> Result<f32, Error> {
    let (u, _, square) = in_disc(random)?;
    // w is at least 2^-47, so its power is finite for every n from 1 on.
    let power = M::exp(-2.0 / n * M::ln(square));
    Ok(u * M::sqrt(n * (power - 1.0) / square))
}

impl<'m> Mixture<'m> {
    /// Words of a component.
    fn stride(self) -> usize {
        1 + self.size + if self.full { Upper::words(self.size) } else { self.size }
    }

    /// Number of Gaussians.
    pub fn components(self) -> usize {
        self.parameters.len().checked_div(self.stride()).unwrap_or(0)
    }

    /// Whether they have full covariances.
    pub fn is_full(self) -> bool {
        self.full
    }

    fn iter(self) -> impl Iterator<Item = Component<'m>> {
        // A stride is never 0.
        self.parameters.chunks(self.stride().max(1)).filter_map(move |words| {
            let (log_weight, rest) = words.split_first()?;
            let (mean, factor) = rest.split_at_checked(self.size)?;
            Some(Component { log_weight: *log_weight, mean, full: self.full, factor })
        })
    }

    /// Refuses shares that do not add up to 1, and covariances that are none.
    fn check(self) -> Result<(), Error> {
        let mut sum = 0.0;
        for (number, component) in self.iter().enumerate() {
            let usable = (-LIMIT..=0.0).contains(&component.log_weight)
                && component.mean.iter().all(|mean| bounded(*mean) == *mean)
                && component.factor.iter().all(|entry| bounded(*entry) == *entry)
                && component.diagonal().all(is_diagonal);
            if !usable {
                return Err(Error::Component { number });
            }
            sum += libm::expf(component.log_weight);
        }
        match (0.999..=1.001).contains(&sum) {
            true => Ok(()),
            false => Err(Error::Component { number: self.components() }),
        }
    }

    /// ln sum_k w_k N_k(z), by a running log-sum-exp.
    fn log_density<M: Math>(self, z: &[f32], work: &mut [f32]) -> f32 {
        let mut sum = LogSumExp::default();
        for component in self.iter() {
            sum.add::<M>(component.log_weight + component.log_density::<M>(z, work));
        }
        sum.value::<M>()
    }

    /// A component by its share.
    fn draw<M: Math, R: Rng>(self, random: &mut R) -> Component<'m> {
        let none = Component { log_weight: 0.0, mean: &[], full: false, factor: &[] };
        let components = self.iter().map(|component| (component.log_weight, component));
        draw::<M, R, _>(components, random).unwrap_or(none)
    }
}

impl<'m> Component<'m> {
    fn upper(self) -> Upper<'m> {
        Upper::new(self.mean.len(), self.factor)
    }

    fn diagonal(self) -> impl Iterator<Item = f32> {
        let alone: &[f32] = if self.full { &[] } else { self.factor };
        let packed = if self.full { self.upper() } else { Upper::new(0, &[]) };
        alone.iter().copied().chain(packed.diagonal())
    }

    fn log_density<M: Math>(self, z: &[f32], work: &mut [f32]) -> f32 {
        for ((own, z), mean) in work.iter_mut().zip(z).zip(self.mean) {
            *own = z - mean;
        }
        if self.full {
            self.upper().multiply(work);
        } else {
            for (own, scale) in work.iter_mut().zip(self.factor) {
                *own *= scale;
            }
        }
        for own in work.iter_mut() {
            *own = bounded(*own);
        }
        standard_normal(work) + log_product::<M>(self.diagonal())
    }

    /// From a draw of N(0, I) to one of this Gaussian.
    fn place(self, z: &mut [f32]) {
        if self.full {
            self.upper().solve(z);
        } else {
            for (z, scale) in z.iter_mut().zip(self.factor) {
                *z /= scale;
            }
        }
        add_scaled(z, self.mean, 1.0);
        for z in z {
            *z = bounded(*z);
        }
    }
}

/// Fills `z` with normal draws of standard deviation `temperature`, two at a time by the polar
/// method (Marsaglia and Bray 1964), which needs neither tables nor double precision.
fn fill_normal<M: Math, R: Rng>(
    random: &mut R,
    temperature: f32,
    z: &mut [f32],
) -> Result<(), Error> {
    for pair in z.chunks_mut(2) {
        let (u, v, square) = in_disc(random)?;
        let radius = temperature * M::sqrt(-2.0 * M::ln(square) / square);
        for (z, direction) in pair.iter_mut().zip(&[u, v]) {
            *z = bounded(direction * radius);
        }
    }
    Ok(())
}

/// A point (u, v) in the unit disc without its centre, and u^2 + v^2.
fn in_disc<R: Rng>(random: &mut R) -> Result<(f32, f32, f32), Error> {
    (0..MAX_DRAWS)
        .map(|_| {
            let (u, v) = (symmetric_uniform(random), symmetric_uniform(random));
            (u, v, u * u + v * v)
        })
        .find(|(_, _, square)| *square > 0.0 && *square < 1.0)
        .ok_or(Error::RandomSource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Libm;
    use proptest::prelude::*;

    proptest! {
        /// The constant that lets the density integrate to 1.
        #[test]
        fn student_t_constant_is_that_of_f64(log_n in 0f64..4.0) {
            let n = 10f64.powf(log_n) as f32;
            let x = f64::from(n) / 2.0;
            let gammas = libm::lgamma(x + 0.5) - libm::lgamma(x);
            let constant = gammas - 0.5 * (2.0 * x * core::f64::consts::PI).ln();
            let error = f64::from(student_t_constant::<Libm>(n)) - constant;
            prop_assert!(error.abs() < 4e-7, "{error}");
        }
    }
}
