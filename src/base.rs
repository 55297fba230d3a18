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
//! | 4 | mixture of Student-t densities, diagonal | components K, degrees of freedom n (f32) | as for kind 3, diagonal |
//!
//! A component of the last kind is one t over the whole row, not one a feature: with y = U (z - mean)
//! it is c(n, D) + ln |det U| - (n + D)/2 ln(1 + |y|^2 / n), so a row costs one logarithm a component.

use core::ops::RangeInclusive;

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

/// Of a Student-t density.
const DEGREES_OF_FREEDOM: RangeInclusive<f32> = 1.0..=1e4;

/// The word of the flow's header with the base's first setting.
const SETTINGS: usize = 6;

/// Whether this build has mixtures of Student-t densities.
const STUDENT_T_MIXTURE: bool = cfg!(all(feature = "mixture", feature = "student-t"));

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
    /// A mixture of multivariate Student-t densities, whose components an outlier moves less (Peel
    /// and McLachlan 2000, "Robust mixture modelling using the t distribution").
    StudentTMixture {
        /// The components' shares, places and scales.
        mixture: Mixture<'m>,
        /// Their degrees of freedom, which they share.
        degrees_of_freedom: f32,
    },
}

/// The components of a mixture, borrowed from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Mixture<'m> {
    size: usize,
    full: bool,
    /// Of all components.
    parameters: &'m [f32],
}

/// One component, p(z) = |det U| q(U (z - mean)), where q is the density around 0 of unit scale. Of a
/// Gaussian, U^T U is the inverse covariance.
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
    pub(crate) const STUDENT_T_MIXTURE: u32 = 4;

    /// Views the base that the header's words describe; `parameters` are those behind the layers.
    pub(crate) fn read(
        kind: u32,
        settings: [u32; 2],
        features: usize,
        parameters: &'m [f32],
    ) -> Result<Self, Error> {
        let [first, second] = settings;
        let missing = |name| Err(Error::Feature { name });
        let mixture = |full| Mixture { size: features, full, parameters };
        let base = match kind {
            Self::STANDARD_NORMAL if settings != [0; 2] && !cfg!(feature = "spline") => {
                return missing("spline");
            }
            Self::STUDENT_T | Self::STUDENT_T_MIXTURE if !cfg!(feature = "student-t") => {
                return missing("student-t");
            }
            Self::MIXTURE | Self::STUDENT_T_MIXTURE if !cfg!(feature = "mixture") => {
                return missing("mixture");
            }
            Self::STANDARD_NORMAL => Self::StandardNormal { periodic: Periodic::new(settings) },
            Self::STUDENT_T => Self::StudentT { degrees_of_freedom: f32::from_bits(first) },
            Self::MIXTURE => Self::Mixture(mixture(second == 1)),
            Self::STUDENT_T_MIXTURE => Self::StudentTMixture {
                mixture: mixture(false),
                degrees_of_freedom: f32::from_bits(second),
            },
            kind => return Err(Error::Base { kind }),
        };
        if let Some(setting) = base.wrong_setting(settings, features) {
            return Err(Error::BaseSetting { word: SETTINGS + setting });
        }
        let words = base.mixture().map_or(0, |mixture| first as usize * mixture.stride());
        if words != parameters.len() {
            return Err(Error::BaseParameters { found: parameters.len(), expected: words });
        }
        if let Some(mixture) = base.mixture() {
            mixture.check()?;
        }
        Ok(base)
    }

    /// The components, if the base is a mixture.
    pub(crate) fn mixture(self) -> Option<Mixture<'m>> {
        match self {
            Self::Mixture(mixture) | Self::StudentTMixture { mixture, .. } => Some(mixture),
            Self::StandardNormal { .. } | Self::StudentT { .. } => None,
        }
    }

    /// The first setting that such a base cannot have.
    fn wrong_setting(self, [first, second]: [u32; 2], features: usize) -> Option<usize> {
        let components = (1..=MAX_COMPONENTS).contains(&(first as usize));
        let usable = match self {
            Self::StandardNormal { periodic } => return periodic.word_beyond(features),
            Self::StudentT { degrees_of_freedom } => {
                [DEGREES_OF_FREEDOM.contains(&degrees_of_freedom), second == 0]
            }
            Self::Mixture(_) => [components, second <= 1],
            Self::StudentTMixture { degrees_of_freedom, .. } => {
                [components, DEGREES_OF_FREEDOM.contains(&degrees_of_freedom)]
            }
        };
        usable.iter().position(|usable| !usable)
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
                mixture.log_density::<M>(z, work, standard_normal)
            }
            Self::StudentTMixture { mixture, degrees_of_freedom: n } if STUDENT_T_MIXTURE => {
                let kernel = |y: &[f32]| multivariate_student_t_kernel::<M>(n, y);
                multivariate_student_t_constant::<M>(n, z.len())
                    + mixture.log_density::<M>(z, work, kernel)
            }
            // Refused by `read`.
            _ => 0.0,
        }
    }

    /// The probability of each component of a mixture given `z`, p(c | z), into `shares`, and the
    /// number of the most probable one; `work` is at least as long as `z`.
    #[cfg(feature = "latent")]
    pub(crate) fn responsibilities<M: Math>(
        self,
        z: &[f32],
        work: &mut [f32],
        shares: &mut [f32],
    ) -> usize {
        match self {
            Self::Mixture(mixture) if cfg!(feature = "mixture") => {
                mixture.responsibilities::<M>(z, work, shares, standard_normal)
            }
            Self::StudentTMixture { mixture, degrees_of_freedom: n } if STUDENT_T_MIXTURE => {
                let kernel = |y: &[f32]| multivariate_student_t_kernel::<M>(n, y);
                mixture.responsibilities::<M>(z, work, shares, kernel)
            }
            _ => 0,
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
                // One at a time, so that they are independent.
                z.chunks_mut(1).try_for_each(|z| {
                    fill_student_t::<M, R>(degrees_of_freedom, random, temperature, z)
                })
            }
            Self::Mixture(mixture) if cfg!(feature = "mixture") => {
                let component = mixture.draw::<M, R>(random);
                fill_normal::<M, R>(random, temperature, z)?;
                component.place(z);
                Ok(())
            }
            Self::StudentTMixture { mixture, degrees_of_freedom } if STUDENT_T_MIXTURE => {
                let component = mixture.draw::<M, R>(random);
                fill_student_t::<M, R>(degrees_of_freedom, random, temperature, z)?;
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
        self.mixture().map_or(0, |mixture| mixture.parameters.len())
    }

    /// The Cargo features that a firmware needs for it.
    pub fn cargo_features(self) -> [Option<&'static str>; 2] {
        match self {
            Self::StandardNormal { periodic } if periodic.is_empty() => [None, None],
            Self::StandardNormal { .. } => [Some("spline"), None],
            Self::StudentT { .. } => [Some("student-t"), None],
            Self::Mixture(_) => [Some("mixture"), None],
            Self::StudentTMixture { .. } => [Some("mixture"), Some("student-t")],
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
        logs += ln_1p::<M>(z * z / n);
    }
    z.len() as f32 * constant - 0.5 * (n + 1.0) * logs
}

/// c(n) = ln gamma((n + 1)/2) - ln gamma(n / 2) - ln(n pi)/2, within 1e-6 where [`Math`] is exact.
///
/// ln gamma(y + 1/2) - ln gamma(y) = ln(y)/2 - 1/(8 y) + 1/(192 y^3) - 1/(640 y^5) + ..., taken
/// where four terms suffice, at y = n/2 + 4, since gamma(x + 1) = x gamma(x). The difference of
/// two ln gamma would lose all digits to their size as n grows.
pub(crate) fn student_t_constant<M: Math>(n: f32) -> f32 {
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

/// -(n + D)/2 ln(1 + |y|^2 / n): a multivariate Student-t density but for its constant.
fn multivariate_student_t_kernel<M: Math>(n: f32, y: &[f32]) -> f32 {
    let mut squares = 0.0;
    for y in y {
        squares += y * y;
    }
    -0.5 * (n + y.len() as f32) * ln_1p::<M>(squares / n)
}

/// c(n, D) = ln gamma((n + D)/2) - ln gamma(n / 2) - D/2 ln(n pi).
///
/// The ratio of the gammas is a product of D/2 factors, for gamma(x + 1) = x gamma(x); where D is
/// odd it starts at (n + 1)/2, and c(n) leads there. Each factor is taken over n/2, and so loses no
/// digits as n grows.
fn multivariate_student_t_constant<M: Math>(n: f32, features: usize) -> f32 {
    let (odd, pairs) = (features % 2, features / 2);
    let first = if odd == 1 { student_t_constant::<M>(n) } else { 0.0 };
    let factor = |pair: usize| (n + (odd + 2 * pair) as f32) / n;
    first + log_product::<M>((0..pairs).map(factor)) - (2 * pairs) as f32 * HALF_LN_TWO_PI
}

/// ln(1 + x) of x >= 0. Rounding takes digits of x from 1 + x; the ratio gives them back (Higham
/// 2002, "Accuracy and Stability of Numerical Algorithms", section 1.14.1).
pub(crate) fn ln_1p<M: Math>(x: f32) -> f32 {
    let sum = 1.0 + x;
    let rounded = sum - 1.0;
    if rounded > 0.0 { M::ln(sum) * (x / rounded) } else { x }
}

/// Fills `z` with a draw from the multivariate Student-t density around 0, `temperature` times as
/// wide.
///
/// Two values at a time by the polar method (Bailey 1994, "Polar generation of random variates with
/// the t-distribution"), whose two directions are a bivariate draw. Given the values before it, a
/// further pair is Student-t too, with as many more degrees of freedom and wider by the squares of
/// those values (Ding 2016, "On the conditional distribution of the multivariate t distribution"), so
/// no chi-square variate is needed.
fn fill_student_t<M: Math, R: Rng>(
    n: f32,
    random: &mut R,
    temperature: f32,
    z: &mut [f32],
) -> Result<(), Error> {
    let (mut degrees_of_freedom, mut squares) = (n, 0.0);
    for pair in z.chunks_mut(2) {
        let (u, v, square) = in_disc(random)?;
        // The square is at least 2^-47, so its power is finite for every n from 1 on.
        let power = M::exp(-2.0 / degrees_of_freedom * M::ln(square));
        let radius = M::sqrt((n + squares) * (power - 1.0) / square);
        for (z, direction) in pair.iter_mut().zip(&[u, v]) {
            let drawn = bounded(direction * radius);
            squares += drawn * drawn;
            degrees_of_freedom += 1.0;
            *z = temperature * drawn;
        }
    }
    Ok(())
}

impl<'m> Mixture<'m> {
    /// Words of a component.
    fn stride(self) -> usize {
        1 + self.size + if self.full { Upper::words(self.size) } else { self.size }
    }

    /// Number of components.
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

    /// ln sum_k w_k p_k(z), by a running log-sum-exp; `kernel` is ln of the components' density
    /// around 0 of unit scale.
    fn log_density<M: Math>(
        self,
        z: &[f32],
        work: &mut [f32],
        kernel: impl Fn(&[f32]) -> f32,
    ) -> f32 {
        let mut sum = LogSumExp::default();
        for component in self.iter() {
            sum.add::<M>(component.log_share::<M>(z, work, &kernel));
        }
        sum.value::<M>()
    }

    /// Of each component its share of the density at `z`, and the number of the largest one.
    #[cfg(feature = "latent")]
    fn responsibilities<M: Math>(
        self,
        z: &[f32],
        work: &mut [f32],
        shares: &mut [f32],
        kernel: impl Fn(&[f32]) -> f32,
    ) -> usize {
        let mut sum = LogSumExp::default();
        let (mut most, mut largest) = (0, f32::MIN);
        for (number, (component, share)) in self.iter().zip(shares.iter_mut()).enumerate() {
            *share = component.log_share::<M>(z, work, &kernel);
            sum.add::<M>(*share);
            if *share > largest {
                (most, largest) = (number, *share);
            }
        }
        let all = sum.value::<M>();
        for share in shares {
            *share = M::exp((*share - all).max(-80.0));
        }
        most
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

    /// ln of weight times density at `z`; `kernel` is ln of the density around 0 of unit scale.
    #[inline(always)]
    fn log_share<M: Math>(
        self,
        z: &[f32],
        work: &mut [f32],
        kernel: impl Fn(&[f32]) -> f32,
    ) -> f32 {
        let work = work.get_mut(..z.len()).unwrap_or_default();
        self.whiten(z, work);
        let log_determinant = match self.full {
            true => log_product::<M>(self.upper().diagonal()),
            false => log_product::<M>(self.factor.iter().copied()),
        };
        self.log_weight + (kernel(work) + log_determinant)
    }

    /// U (z - mean), into `work`.
    fn whiten(self, z: &[f32], work: &mut [f32]) {
        let centred = work.iter_mut().zip(z).zip(self.mean);
        if self.full {
            for ((own, z), mean) in centred {
                *own = z - mean;
            }
            self.upper().multiply(work);
            for own in work {
                *own = bounded(*own);
            }
        } else {
            for (((own, z), mean), scale) in centred.zip(self.factor) {
                *own = bounded((z - mean) * scale);
            }
        }
    }

    /// From a draw around 0 of unit scale to one of this component.
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
        /// The constant that lets the density integrate to 1, of one feature and of many.
        #[test]
        fn student_t_constants_are_those_of_f64(log_n in 0f64..4.0, features in 1usize..=64) {
            let n = 10f64.powf(log_n) as f32;
            let x = f64::from(n) / 2.0;
            let expected = |features: usize| {
                let gammas = libm::lgamma(x + 0.5 * features as f64) - libm::lgamma(x);
                gammas - 0.5 * features as f64 * (2.0 * x * core::f64::consts::PI).ln()
            };
            let error = f64::from(student_t_constant::<Libm>(n)) - expected(1);
            prop_assert!(error.abs() < 4e-7, "{error}");
            let constant = f64::from(multivariate_student_t_constant::<Libm>(n, features));
            let error = constant - expected(features);
            // Its terms grow with the features, and their rounding with them: 1.1e-5 was seen at 63.
            prop_assert!(error.abs() < 4e-7 + 3e-7 * features as f64, "{error} of {constant}");
        }

        #[test]
        fn ln_1p_is_that_of_f64(log_x in -45f32..45.0) {
            let x = log_x.exp();
            let expected = f64::from(x).ln_1p();
            prop_assert!((f64::from(ln_1p::<Libm>(x)) / expected - 1.0).abs() < 4e-7);
        }
    }
}
