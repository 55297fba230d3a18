//! How near a fitted q is to the density p: what the importance weights w = p(z) / q(z) of its own
//! draws tell.
//!
//! All is computed from ln w in f64, sums of weights as log-sum-exp. Where p lacks its constant, ln w
//! is off by ln of it, and so are the two bounds; the other figures are not.

use std::fmt;

use crate::error::{Error, Result};
use crate::training::generalised_pareto::{FEWEST, Fit};

/// Share of the draws that at most are the tail of the weights, and what the square root of their
/// number is multiplied by for the same (Vehtari et al. 2024, "Pareto Smoothed Importance Sampling").
const TAIL: (f64, f64) = (0.2, 3.0);
/// The shape above which no number of draws that one could wait for helps.
const LARGEST_SHAPE: f64 = 0.7;

/// ln w of independent draws of q.
#[derive(Clone, Debug)]
pub struct LogWeights(Vec<f64>);

/// What the weights say of q.
#[derive(Clone, Copy, Debug)]
pub struct Diagnostics {
    /// Draws judged, S.
    pub draws: usize,
    /// The evidence lower bound, nats: the mean of ln w.
    pub elbo: f64,
    /// The importance-weighted bound of all draws at once, nats: the best estimate of the log
    /// evidence.
    pub log_evidence: f64,
    /// Effective sample size over the number of draws, in (0, 1].
    pub effective_share: f64,
    /// Pareto-k of the largest weights; negative infinity where they are all one.
    pub pareto_shape: f64,
}

/// What Pareto-k allows to do with q's draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// k is below min(1 - 1 / log10 S, 0.7).
    Reliable,
    /// k is above it, but below 0.7.
    NeedsMoreDraws,
    /// k is from 0.7 to 1.
    Unreliable,
    /// k is 1 or more.
    Useless,
}

impl LogWeights {
    /// From ln p(z) - ln q(z) of each draw; a p of 0, ln p of negative infinity, is a weight of 0.
    pub fn new(values: Vec<f64>) -> Result<Self> {
        let is_wrong = |value: &f64| value.is_nan() || *value == f64::INFINITY;
        match values.iter().position(is_wrong) {
            Some(draw) => Err(Error::Weight { draw, value: values[draw] }),
            None => Ok(Self(values)),
        }
    }

    /// Mean of ln w.
    pub fn elbo(&self) -> f64 {
        self.importance_weighted_bound(1)
    }

    /// The importance-weighted bound (Burda et al. 2016, "Importance Weighted Autoencoders"):
    /// the mean over groups of `points` draws of ln of their mean weight. It does not fall in the mean
    /// as there are more points, and ends at the log evidence.
    pub fn importance_weighted_bound(&self, points: usize) -> f64 {
        let groups = self.0.chunks_exact(points.clamp(1, self.0.len().max(1)));
        let count = groups.len() as f64;
        groups.map(|group| log_sum_exp(group) - (group.len() as f64).ln()).sum::<f64>() / count
    }

    /// (sum w)^2 / sum w^2 over the number of draws (Kish 1965).
    pub fn effective_share(&self) -> f64 {
        let squares: Vec<f64> = self.0.iter().map(|own| 2.0 * own).collect();
        let log_size = 2.0 * log_sum_exp(&self.0) - log_sum_exp(&squares);
        (log_size - (self.0.len() as f64).ln()).exp()
    }

    /// Shape of the generalised Pareto distribution of the largest weights, with the weak prior of the
    /// method. Negative infinity where the largest weights are all one.
    pub fn pareto_shape(&self) -> f64 {
        let count = self.0.len() as f64;
        let tail = (TAIL.0 * count).min(TAIL.1 * count.sqrt()).ceil() as usize;
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let (Some(largest), Some(cutoff)) = (sorted.first(), sorted.get(tail)) else {
            return f64::INFINITY;
        };
        let cutoff = (cutoff - largest).exp();
        let exceedances: Vec<f64> =
            sorted[..tail].iter().map(|own| (own - largest).exp() - cutoff).collect();
        match Fit::new(&exceedances) {
            Some(fit) => fit.shape_with_prior(),
            None if tail >= FEWEST && 1.0 - cutoff < 1e-9 => f64::NEG_INFINITY,
            None => f64::INFINITY,
        }
    }

    /// All of these at once.
    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics {
            draws: self.0.len(),
            elbo: self.elbo(),
            log_evidence: self.importance_weighted_bound(self.0.len()),
            effective_share: self.effective_share(),
            pareto_shape: self.pareto_shape(),
        }
    }
}

impl Diagnostics {
    /// By the thresholds of Vehtari et al. 2024.
    pub fn verdict(&self) -> Verdict {
        let needed = 1.0 - 1.0 / (self.draws as f64).log10();
        match self.pareto_shape {
            shape if shape < needed.min(LARGEST_SHAPE) => Verdict::Reliable,
            shape if shape < LARGEST_SHAPE => Verdict::NeedsMoreDraws,
            shape if shape < 1.0 => Verdict::Unreliable,
            _ => Verdict::Useless,
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { draws, elbo, log_evidence, effective_share, pareto_shape } = self;
        write!(
            formatter,
            "{draws} draws: ELBO {elbo:.4}, log evidence {log_evidence:.4} by importance weights, \
             ESS/N {effective_share:.3}, Pareto-k {pareto_shape:.2}: {}",
            self.verdict()
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reliable => "reliable, weighted draws give expectations under the posterior",
            Self::NeedsMoreDraws => "needs more draws before weighted ones can be trusted",
            Self::Unreliable => {
                "unreliable, weights vary too much; take more layers or steps, or write the model \
                 in other parameters"
            }
            Self::Useless => "useless, the fit misses parts of the posterior",
        })
    }
}

/// ln of the sum of exp.
fn log_sum_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln() + largest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Exp1, StandardNormal};

    use super::*;

    fn weights(values: Vec<f64>) -> LogWeights {
        LogWeights::new(values).expect("numbers")
    }

    fn normals(count: usize, seed: u64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| StandardNormal.sample(&mut random)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Groups of 2 k draws are pairs of groups of k, so that the law holds to the last draw.
        #[test]
        fn the_bound_does_not_fall_with_more_points(seed in any::<u64>(), spread in 0.0f64..50.0) {
            let own = weights(normals(1024, seed).iter().map(|value| spread * value).collect());
            let mut last = own.elbo();
            for points in [2, 4, 8, 16, 32, 64, 128, 1024] {
                let bound = own.importance_weighted_bound(points);
                prop_assert!(bound >= last - 1e-9, "{points}: {bound} {last}");
                last = bound;
            }
        }

        /// The constant that p lacks moves the bounds alone, however large it is.
        #[test]
        fn a_constant_moves_the_bounds_alone(seed in any::<u64>(), constant in -1e4f64..1e4) {
            let values = normals(400, seed);
            let own = weights(values.clone()).diagnostics();
            let moved = weights(values.iter().map(|value| value + constant).collect()).diagnostics();
            prop_assert!((moved.elbo - own.elbo - constant).abs() < 1e-8);
            prop_assert!((moved.log_evidence - own.log_evidence - constant).abs() < 1e-8);
            prop_assert!((moved.effective_share - own.effective_share).abs() < 1e-8);
            prop_assert!((moved.pareto_shape - own.pareto_shape).abs() < 1e-6);
        }
    }

    /// Weights exp(k t) of an exponential t are Pareto with shape k; ESS/N is that of their moments.
    #[test]
    fn pareto_weights_have_the_shape_they_were_made_with() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let verdicts = [Verdict::Reliable, Verdict::Unreliable, Verdict::Useless];
        for (shape, verdict) in [0.2, 0.85, 1.4].into_iter().zip(verdicts) {
            let mut draw = || shape * <Exp1 as Distribution<f64>>::sample(&Exp1, &mut random);
            let own = weights((0..20_000).map(|_| draw()).collect()).diagnostics();
            assert!((own.pareto_shape - shape).abs() < 0.3, "{own}");
            assert_eq!(own.verdict(), verdict, "{own}");
            if shape == 0.2 {
                let expected = (1.0 - 2.0 * shape) / (1.0 - shape).powi(2);
                assert!((own.effective_share - expected).abs() < 0.02, "{own}");
            }
        }
    }

    #[test]
    fn few_draws_need_a_smaller_shape() {
        let of = |draws, pareto_shape| {
            let own = Diagnostics {
                draws,
                pareto_shape,
                elbo: 0.0,
                log_evidence: 0.0,
                effective_share: 1.0,
            };
            own.verdict()
        };
        assert_eq!(of(100, 0.49), Verdict::Reliable);
        assert_eq!(of(100, 0.51), Verdict::NeedsMoreDraws);
        assert_eq!(of(1000, 0.66), Verdict::Reliable);
        assert_eq!(of(1_000_000, 0.69), Verdict::Reliable);
        assert_eq!(of(1_000_000, 0.71), Verdict::Unreliable);
    }

    #[test]
    fn equal_weights_are_the_best() {
        let own = weights(vec![-3.5; 1000]).diagnostics();
        assert_eq!((own.elbo, own.verdict()), (-3.5, Verdict::Reliable));
        assert!((own.log_evidence + 3.5).abs() < 1e-12);
        assert!((own.effective_share - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(matches!(LogWeights::new(vec![0.0, f64::NAN]), Err(Error::Weight { draw: 1, .. })));
        assert!(LogWeights::new(vec![f64::INFINITY]).is_err());
        assert!(LogWeights::new(vec![0.0, f64::NEG_INFINITY]).is_ok());
    }
}
