//! The generalised Pareto distribution, the limit of what lies beyond a high threshold (Pickands
//! 1975), and its fit to such exceedances.
//!
//! Survival S(x) = (1 + k x / sigma)^(-1/k) for x >= 0, exp(-x / sigma) where k is 0. The shape k is
//! that of the tail: above 0 it is heavy and the moments of order 1/k and more are infinite, below 0
//! nothing lies beyond -sigma / k. Zhang and Stephens, whose fit it is, call k what is -k here.

/// Fewest exceedances that a fit is made of.
pub const FEWEST: usize = 5;
/// The prior of the shape in Pareto smoothed importance sampling: as if so many further exceedances
/// had told that it is so large (Vehtari et al. 2024, "Pareto Smoothed Importance Sampling",
/// appendix).
const PRIOR: (f64, f64) = (10.0, 0.5);

/// A generalised Pareto distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneralisedPareto {
    /// k.
    pub shape: f64,
    /// sigma, positive, in the unit of the exceedances.
    pub scale: f64,
}

/// What a fit came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The estimate, without a prior on the shape.
    pub distribution: GeneralisedPareto,
    /// Exceedances that it was made of.
    pub count: usize,
}

impl Fit {
    /// Fits the distances by which values exceed a threshold, in any order. There is no fit to fewer
    /// than [`FEWEST`], to a value that is negative or not finite, or where a quarter of them are 0.
    ///
    /// The empirical Bayes estimate of Zhang and Stephens (2009, "A New and Efficient Estimation
    /// Method for the Generalized Pareto Distribution"): b = -k / sigma is averaged over a
    /// grid, each point weighted by its profile likelihood, on which the best k given b has a closed
    /// form.
    pub fn new(exceedances: &[f64]) -> Option<Self> {
        let count = exceedances.len();
        let usable = |x: &f64| x.is_finite() && *x >= 0.0;
        if count < FEWEST || !exceedances.iter().all(usable) {
            return None;
        }
        let mut sorted = exceedances.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let largest = sorted[count - 1];
        let quartile = sorted[(count as f64 / 4.0 + 0.5) as usize - 1];
        if quartile == 0.0 {
            return None;
        }
        let n = count as f64;
        let points = 30 + n.sqrt() as usize;
        let point = |j: usize| {
            let spread = 1.0 - (points as f64 / (j as f64 - 0.5)).sqrt();
            1.0 / largest + spread / (3.0 * quartile)
        };
        let shape = |b: f64| sorted.iter().map(|x| (-b * x).ln_1p()).sum::<f64>() / n;
        let grid: Vec<f64> = (1..=points).map(point).filter(|b| *b != 0.0).collect();
        let profile = |b: &f64| {
            let k = shape(*b);
            n * ((-b / k).ln() - k - 1.0)
        };
        let profiles: Vec<f64> = grid.iter().map(profile).collect();
        let best = profiles.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = profiles.iter().map(|own| (own - best).exp()).collect();
        let b = grid.iter().zip(&weights).map(|(b, weight)| b * weight).sum::<f64>()
            / weights.iter().sum::<f64>();
        let k = shape(b);
        // Of b = 0 the limit, an exponential distribution.
        let scale = if b == 0.0 { sorted.iter().sum::<f64>() / n } else { -k / b };
        let distribution = GeneralisedPareto { shape: k, scale };
        (k.is_finite() && scale.is_finite() && scale > 0.0).then_some(Self { distribution, count })
    }

    /// k drawn towards 1/2 by the weak prior that Pareto smoothed importance sampling puts on it, so
    /// that few exceedances say little.
    pub fn shape_with_prior(&self) -> f64 {
        let (weight, prior) = PRIOR;
        let n = self.count as f64;
        (n * self.distribution.shape + weight * prior) / (n + weight)
    }

    /// Asymptotic standard error of k, that of the maximum likelihood, which this estimate attains
    /// nearly: (1 + k) / sqrt(n), for k > -1/2 (Smith 1987, "Estimating Tails of Probability
    /// Distributions"). None below, where no such law holds.
    pub fn standard_error_of_shape(&self) -> Option<f64> {
        let shape = self.distribution.shape;
        (shape > -0.5).then(|| (1.0 + shape) / (self.count as f64).sqrt())
    }
}

impl GeneralisedPareto {
    /// The probability of a value above `x`.
    pub fn survival(&self, x: f64) -> f64 {
        let Self { shape, scale } = *self;
        let y = x.max(0.0) / scale;
        if shape == 0.0 {
            return (-y).exp();
        }
        // Beyond the end of a short tail there is nothing.
        let base = (shape * y).max(-1.0);
        (-base.ln_1p() / shape).exp()
    }

    /// The x above which a share `survival` of the values lies, in \[0, 1\]: the inverse of
    /// [`GeneralisedPareto::survival`], exact far out where 1 - survival is no number of its own.
    pub fn inverse_survival(&self, survival: f64) -> f64 {
        self.at(-survival.ln())
    }

    /// The x below which a share `probability` of the values lies.
    pub fn quantile(&self, probability: f64) -> f64 {
        self.at(-(-probability).ln_1p())
    }

    /// x from -ln S(x).
    fn at(&self, exponent: f64) -> f64 {
        let Self { shape, scale } = *self;
        match shape == 0.0 {
            true => scale * exponent,
            false => scale * (shape * exponent).exp_m1() / shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::E;

    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Draws by the formula of the quantile, written here once more.
    fn draws(shape: f64, scale: f64, count: usize, seed: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || {
            let u: f64 = 1.0 - random.random::<f64>();
            if shape == 0.0 { -scale * u.ln() } else { scale * (u.powf(-shape) - 1.0) / shape }
        };
        (0..count).map(|_| draw()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Within five standard errors, and within the scale's, (1 + k) sqrt 2 / sqrt n of it at most.
        #[test]
        fn the_fit_finds_what_the_draws_were_made_of(
            shape in prop_oneof![Just(0.0), -0.3f64..1.5],
            log_scale in -5f64..5.0,
            count in 300usize..3000,
            seed in any::<u64>(),
        ) {
            let scale = log_scale.exp();
            let fit = Fit::new(&draws(shape, scale, count, seed)).expect("a fit");
            let error = (fit.distribution.shape - shape).abs();
            let standard_error = fit.standard_error_of_shape().expect("a tail with moments");
            prop_assert!(error < 5.0 * standard_error, "{shape} {fit:?}");
            let error = (fit.distribution.scale / scale).ln().abs();
            let bound = 5.0 * (2.0 * (1.0 + shape.max(0.0)) / count as f64).sqrt();
            prop_assert!(error < bound, "{scale} {fit:?}");
        }

        /// The unit of the exceedances is that of the scale and changes nothing else.
        #[test]
        fn the_fit_knows_no_unit(shape in -0.3f64..1.5, count in 20usize..200, seed in any::<u64>()) {
            let unit = 1024.0;
            let values = draws(shape, 1.0, count, seed);
            let own = Fit::new(&values).expect("a fit").distribution;
            let others: Vec<f64> = values.iter().map(|value| value * unit).collect();
            let other = Fit::new(&others).expect("a fit").distribution;
            prop_assert!((own.shape - other.shape).abs() < 1e-9);
            prop_assert!((own.scale * unit / other.scale - 1.0).abs() < 1e-9);
        }

        #[test]
        fn quantiles_invert_the_survival(
            shape in prop_oneof![Just(0.0), Just(1e-12), -0.9f64..2.0],
            scale in 0.01f64..100.0,
            log_survival in -40f64..-0.01,
        ) {
            let distribution = GeneralisedPareto { shape, scale };
            let x = distribution.inverse_survival(log_survival.exp());
            // Near the end of a short tail the distance to it, which decides, has lost its digits.
            let lost = 1e-15 * (-shape.min(0.0) * -log_survival).exp() / shape.abs().max(1e-3);
            let error = (distribution.survival(x).ln() - log_survival).abs();
            prop_assert!(error < 1e-9 + 10.0 * lost, "{error}");
            let probability = log_survival.exp();
            let x = distribution.quantile(probability);
            prop_assert!((distribution.survival(x) - (1.0 - probability)).abs() < 1e-12);
        }
    }

    #[test]
    fn an_exponential_distribution_is_the_one_of_shape_0() {
        let exponential = GeneralisedPareto { shape: 0.0, scale: 2.0 };
        let nearly = GeneralisedPareto { shape: 1e-10, scale: 2.0 };
        for x in [0.0, 0.5, 3.0, 20.0] {
            assert!((exponential.survival(x) - (-x / 2.0).exp()).abs() < 1e-15);
            assert!((nearly.survival(x) - exponential.survival(x)).abs() < 1e-8);
        }
        assert!((exponential.inverse_survival(1.0 / E) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_lies_beyond_the_end_of_a_short_tail() {
        let short = GeneralisedPareto { shape: -0.5, scale: 1.0 };
        assert_eq!(short.survival(2.0), 0.0);
        assert_eq!(short.survival(1e9), 0.0);
        assert_eq!(short.survival(-1.0), 1.0);
        assert!((short.inverse_survival(0.0) - 2.0).abs() < 1e-12);
    }

    /// Ten pseudo exceedances of shape 1/2: as many real ones go half the way.
    #[test]
    fn the_prior_weighs_as_much_as_ten_exceedances() {
        let distribution = GeneralisedPareto { shape: 1.5, scale: 1.0 };
        let shape = |count| Fit { distribution, count }.shape_with_prior();
        assert_eq!(shape(10), 1.0);
        assert!((shape(1_000_000) - 1.5).abs() < 1e-4);
    }

    #[test]
    fn what_cannot_be_fitted_is_told() {
        for values in [
            &[1.0; 4][..],
            &[1.0, 2.0, 3.0, 4.0, f64::NAN],
            &[1.0, 2.0, 3.0, 4.0, f64::INFINITY],
            &[-1.0, 2.0, 3.0, 4.0, 5.0],
            &[0.0, 0.0, 3.0, 4.0, 5.0],
        ] {
            assert_eq!(Fit::new(values), None, "{values:?}");
        }
        assert!(Fit::new(&[1.0, 2.0, 3.0, 4.0, 5.0]).is_some());
        assert!(Fit::new(&[2.0; 50]).is_none_or(|fit| fit.distribution.shape < 0.0));
    }
}
