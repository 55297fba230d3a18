//! Eight schools: effects of coaching in parallel experiments (Rubin 1981; Gelman et al. 2013,
//! "Bayesian Data Analysis", section 5.5).
//!
//! y_j ~ N(theta_j, sigma_j^2), theta_j ~ N(mu, tau^2), mu ~ N(0, 5^2), tau ~ half-Cauchy(0, 5), which
//! enters as ln tau. Centred, the parameters are mu, ln tau and each theta_j, whose spread hangs on
//! tau as in a funnel; non-centred, (theta_j - mu) / tau in its place, which has none of it.

use burn::tensor::{Tensor, TensorData};

use super::quadrature::{self, log_integral};
use super::{Known, Target, column, log_normal};
use crate::family::Family;
use crate::inference::Options;
use crate::inference::descent::Schedule;

/// Estimated effect and its standard error at each school.
const SCHOOLS: [(f64, f64); 8] = [
    (28.0, 15.0),
    (8.0, 10.0),
    (-3.0, 16.0),
    (7.0, 11.0),
    (-1.0, 9.0),
    (1.0, 11.0),
    (18.0, 10.0),
    (12.0, 18.0),
];
/// Deviation of mu, and scale of tau.
const PRIOR: f64 = 5.0;

/// What stands for the effect of a school.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// theta_j.
    Centred,
    /// (theta_j - mu) / tau.
    NonCentred,
}

/// The unnormalised posterior.
#[derive(Clone, Copy, Debug)]
pub struct EightSchools(pub Parameters);

impl Target for EightSchools {
    fn name(&self) -> &str {
        match self.0 {
            Parameters::Centred => "eight schools, centred",
            Parameters::NonCentred => "eight schools, non-centred",
        }
    }

    fn names(&self) -> Vec<String> {
        let effect = match self.0 {
            Parameters::Centred => "theta",
            Parameters::NonCentred => "eta",
        };
        let effects = (1..=SCHOOLS.len()).map(|school| format!("{effect}{school}"));
        ["mu".into(), "log_tau".into()].into_iter().chain(effects).collect()
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let [draws, _] = z.dims();
        let schools = SCHOOLS.len();
        let row = |of: fn(&(f64, f64)) -> f64| {
            let values: Vec<f32> = SCHOOLS.iter().map(|school| of(school) as f32).collect();
            let row = Tensor::<2>::from_data(TensorData::new(values, [1, schools]), &z.device());
            row.repeat_dim(0, draws)
        };
        let (effects, log_errors) = (row(|(effect, _)| *effect), row(|(_, error)| error.ln()));
        let (mu, log_tau) = (column(&z, 0), column(&z, 1));
        let own = z.clone().narrow(1, 2, schools);
        let (wide_mu, wide_log_tau) =
            (mu.clone().repeat_dim(1, schools), log_tau.clone().repeat_dim(1, schools));
        let (theta, log_prior) = match self.0 {
            Parameters::Centred => (own.clone(), log_normal(own - wide_mu, wide_log_tau)),
            Parameters::NonCentred => {
                let none = Tensor::zeros_like(&own);
                (wide_mu + own.clone() * wide_log_tau.exp(), log_normal(own, none))
            }
        };
        let log_likelihood = log_normal(effects - theta, log_errors).sum_dim(1);
        let deviation = Tensor::full_like(&mu, PRIOR.ln());
        log_likelihood + log_prior.sum_dim(1) + log_normal(mu, deviation) + log_prior_of(log_tau)
    }
}

/// ln of the half-Cauchy density of tau and of d tau / d ln tau: ln(2 / pi) + u - ln(1 + exp(2 u)) with
/// u = ln(tau / 5), in the even form u - ln(1 + exp(2 u)) = -|u| - ln(1 + exp(-2 |u|)).
fn log_prior_of(log_tau: Tensor<2>) -> Tensor<2> {
    let u = (log_tau - PRIOR.ln()).abs();
    -u.clone() - (u * -2.0).exp().log1p() + (2.0 / std::f64::consts::PI).ln()
}

impl Known for EightSchools {
    /// All but tau has a closed form: given tau, the y_j are independent N(mu, sigma_j^2 + tau^2), and
    /// so is the prior of mu; the integral over ln tau is by quadrature.
    fn log_evidence(&self) -> f64 {
        log_integral(-40.0..40.0, 4000, |log_tau| {
            let (mut precision, mut weighted) = (1.0 / PRIOR.powi(2), 0.0);
            let mut log_density = quadrature::log_normal(0.0, PRIOR.powi(2));
            for (effect, error) in SCHOOLS {
                let variance = error * error + (2.0 * log_tau).exp();
                log_density += quadrature::log_normal(effect, variance);
                precision += 1.0 / variance;
                weighted += effect / variance;
            }
            // The integral over mu of a normal density's shape.
            log_density += 0.5 * (2.0 * std::f64::consts::PI / precision).ln();
            log_density += 0.5 * weighted * weighted / precision;
            let u = (log_tau - PRIOR.ln()).abs();
            log_density - u - (-2.0 * u).exp().ln_1p() + (2.0 / std::f64::consts::PI).ln()
        })
    }

    /// Centred, it takes twice as many layers and steps.
    fn options(&self) -> Options {
        match self.0 {
            Parameters::NonCentred => Options::new(Family::RealNvp, Some(4)),
            Parameters::Centred => {
                let schedule = Schedule { steps: 4000, learning_rate: 3e-3 };
                Options { schedule, ..Options::new(Family::RealNvp, Some(8)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::family::values;
    use crate::inference::importance::LogWeights;

    /// The mean likelihood of draws of the prior, which is wide enough for it.
    #[test]
    fn the_evidence_is_that_of_draws_of_the_prior() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let draws = 100_000;
        let (mut rows, mut log_priors) = (Vec::new(), Vec::new());
        for _ in 0..draws {
            let normals: [f64; 9] = std::array::from_fn(|_| StandardNormal.sample(&mut random));
            let share: f64 = random.random_range(1e-6..1.0 - 1e-6);
            let log_tau = (PRIOR * (0.5 * std::f64::consts::PI * share).tan()).ln();
            let u = log_tau - PRIOR.ln();
            let normal: f64 = normals.iter().map(|own| quadrature::log_normal(*own, 1.0)).sum();
            let half_cauchy = (2.0 / std::f64::consts::PI).ln() + u - (2.0 * u).exp().ln_1p();
            log_priors.push(normal - PRIOR.ln() + half_cauchy);
            rows.extend([PRIOR * normals[0], log_tau].into_iter().chain(normals[1..].to_vec()));
        }
        let rows: Vec<f32> = rows.iter().map(|value| *value as f32).collect();
        let rows = Tensor::<2>::from_data(TensorData::new(rows, [draws, 10]), &Device::flex());
        let target = EightSchools(Parameters::NonCentred);
        let log_joints = values(target.log_density(rows));
        let log_weights = log_joints.iter().zip(log_priors).map(|(p, q)| f64::from(*p) - q);
        let weights = LogWeights::new(log_weights.collect()).expect("finite");
        let error = weights.diagnostics().log_evidence - target.log_evidence();
        assert!(error.abs() < 0.03, "{error}");
    }

    /// One density in two sets of parameters: they differ by the Jacobian, tau to the 8.
    #[test]
    fn centred_and_non_centred_are_one_density() {
        let device = Device::flex();
        let (mu, log_tau) = (3.0f32, 0.7f32);
        let eta: Vec<f32> = (0..8).map(|school| (school as f32).sin()).collect();
        let theta: Vec<f32> = eta.iter().map(|eta| mu + eta * log_tau.exp()).collect();
        let log_density = |parameters, own: &[f32]| {
            let row = [&[mu, log_tau], own].concat();
            let row = Tensor::<2>::from_data(TensorData::new(row, [1, 10]), &device);
            f64::from(values(EightSchools(parameters).log_density(row))[0])
        };
        let centred = log_density(Parameters::Centred, &theta);
        let non_centred = log_density(Parameters::NonCentred, &eta);
        assert!((centred + 8.0 * f64::from(log_tau) - non_centred).abs() < 1e-4);
    }
}
