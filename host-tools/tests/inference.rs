//! Laws of variational inference: bounds stay below what they bound, draws have the posterior's
//! moments on the device's code, a seed repeats, and what cannot be fitted is refused.

use burn::tensor::{Device, Tensor};
use clap::ValueEnum;
use flowlet::write::ModelFile;
use flowlet_tools::error::{Error, Result};
use flowlet_tools::family::{Base, Family};
use flowlet_tools::inference::amortised::{self, AmortisedPosterior};
use flowlet_tools::inference::descent::Schedule;
use flowlet_tools::inference::importance::Verdict;
use flowlet_tools::inference::latent::{LatentModel, LinearGaussian};
use flowlet_tools::inference::target::banana::Banana;
use flowlet_tools::inference::target::funnel::Funnel;
use flowlet_tools::inference::target::regression::Regression;
use flowlet_tools::inference::target::{Known, Standardisation, Target, log_normal};
use flowlet_tools::inference::{Options, fit_posterior};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn quick(family: Family, steps: usize) -> Options {
    Options {
        hidden: vec![16],
        schedule: Schedule { steps, learning_rate: 3e-3 },
        judged_draws: 4000,
        ..Options::new(family, Some(2))
    }
}

/// Whether the fit is good, or hardly begun.
#[test]
fn bounds_stay_below_the_log_evidence() {
    for (steps, base) in
        [(1, Base::StandardNormal), (200, Base::StandardNormal), (200, Base::StudentT)]
    {
        let families = Family::value_variants().iter().copied();
        for family in families.filter(|family| family.default_layers().is_some()) {
            let own =
                fit_posterior(&Banana, &Options { base, ..quick(family, steps) }).expect("a fit");
            // ln w has a deviation of less than 10 here, the mean of 4,000 one of less than 0.16.
            let (elbo, evidence) = (own.diagnostics.elbo, Banana.log_evidence());
            assert!(elbo <= evidence + 0.5, "{family} {steps}: {elbo}");
            assert!(own.log_weights.importance_weighted_bound(20) >= elbo, "{family} {steps}");
        }
    }
}

/// The firmware's own call, on the file that a fit writes.
#[test]
fn the_device_draws_the_posterior() {
    let target = Regression::default();
    let schedule = Schedule { steps: 1000, learning_rate: 3e-3 };
    let options = Options { schedule, hidden: vec![32], ..target.options() };
    let posterior = fit_posterior(&target, &options).expect("a fit");
    let error = posterior.diagnostics.log_evidence - target.log_evidence();
    assert!(error.abs() < 0.01, "{}", posterior.diagnostics);
    assert_eq!(posterior.diagnostics.verdict(), Verdict::Reliable, "{}", posterior.diagnostics);

    let flow = flowlet::Flow::<4, 64>::from_bytes(posterior.file.bytes()).expect("a model file");
    flow.expect_features(&["w0", "w1", "w2", "w3"]).expect("the parameters");
    assert!(flow.threshold().is_none());
    assert!(flow.model().provenance().contains("kind=posterior"));
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let draws: Vec<[f32; 4]> =
        (0..20_000).map(|_| flow.sample(&mut random, 1.0).expect("a draw")).collect();
    let (mean, factor) = target.posterior();
    // L^T (w - mean) is N(0, I) with L L^T the precision.
    let whiten = |w: &[f32; 4]| -> [f64; 4] {
        std::array::from_fn(|i| (i..4).map(|j| factor[j][i] * (f64::from(w[j]) - mean[j])).sum())
    };
    let whitened: Vec<[f64; 4]> = draws.iter().map(whiten).collect();
    let average = |of: &dyn Fn(&[f64; 4]) -> f64| whitened.iter().map(of).sum::<f64>() / 20_000.0;
    for i in 0..4 {
        let own = average(&|w| w[i]);
        assert!(own.abs() < 0.08, "mean {i}: {own}");
        for j in 0..=i {
            let own = average(&|w| w[i] * w[j]) - if i == j { 1.0 } else { 0.0 };
            assert!(own.abs() < 0.1, "covariance {i} {j}: {own}");
        }
    }
}

#[test]
fn a_seed_repeats_to_the_bit() {
    let fit = |seed| {
        let options = Options { seed, judged_draws: 200, ..quick(Family::Iaf, 20) };
        let file: ModelFile = fit_posterior(&Funnel, &options).expect("a fit").file;
        file.bytes().to_vec()
    };
    assert!(fit(3) == fit(3));
    assert!(fit(3) != fit(4));
}

/// A density of so many parameters that is this number everywhere.
struct Constant(usize, f32);

impl Target for Constant {
    fn name(&self) -> &str {
        "constant"
    }

    fn names(&self) -> Vec<String> {
        (0..self.0).map(|number| format!("z{number}")).collect()
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        z.sum_dim(1) * 0.0 + self.1
    }
}

/// Two correlated values, of other units: N(250, 30^2), and a tenth of the first one and N(0, 3^2).
struct FarOff;

impl Target for FarOff {
    fn name(&self) -> &str {
        "far off"
    }

    fn names(&self) -> Vec<String> {
        vec!["first".into(), "second".into()]
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let (first, second) = (z.clone().narrow(1, 0, 1), z.narrow(1, 1, 1));
        let ln = |deviation: f64| Tensor::full_like(&first, deviation.ln());
        log_normal(first.clone() - 250.0, ln(30.0))
            + log_normal(second - first.clone() * 0.1, ln(3.0))
    }

    fn standardisation(&self) -> Vec<Standardisation> {
        vec![
            Standardisation { centre: 200.0, scale: 50.0 },
            Standardisation { centre: 20.0, scale: 5.0 },
        ]
    }
}

/// Its constant is that of a density, 0.
#[test]
fn parameters_may_have_any_unit() {
    let own = fit_posterior(&FarOff, &quick(Family::RealNvp, 800)).expect("a fit");
    assert!((-0.03..0.001).contains(&own.diagnostics.elbo), "{}", own.diagnostics);
    assert!(own.diagnostics.log_evidence.abs() < 0.01, "{}", own.diagnostics);
}

/// Two parameters on this scale.
struct Scaled(f32);

impl Target for Scaled {
    fn name(&self) -> &str {
        "scaled"
    }

    fn names(&self) -> Vec<String> {
        vec!["first".into(), "second".into()]
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        log_normal(z.clone(), Tensor::zeros_like(&z)).sum_dim(1)
    }

    fn standardisation(&self) -> Vec<Standardisation> {
        vec![Standardisation { centre: 0.0, scale: self.0 }; 2]
    }
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let refuse = |target: Constant, options: Options| -> Result<()> {
        fit_posterior(&target, &options).map(drop)
    };
    let options = || quick(Family::RealNvp, 50);
    for family in [Family::Gmm, Family::Gaussian] {
        let options = Options::new(family, None);
        assert!(matches!(refuse(Constant(2, 0.0), options), Err(Error::NoLayers { .. })));
    }
    for base in [Base::Mixture { components: 2 }, Base::StudentTMixture { components: 2 }] {
        let options = Options { base, ..options() };
        assert!(matches!(refuse(Constant(2, 0.0), options), Err(Error::NoReparameterisation)));
    }
    for parameters in [0, 1, flowlet::MAX_FEATURES + 1] {
        let error = refuse(Constant(parameters, 0.0), options());
        assert!(matches!(error, Err(Error::Parameters { .. })), "{parameters}");
    }
    let error = refuse(Constant(2, f32::NAN), options());
    assert!(matches!(error, Err(Error::NoGradient { first: 1, last: 20, .. })), "{error:?}");
    let error = fit_posterior(&Scaled(0.0), &options()).map(drop);
    assert!(matches!(error, Err(Error::Standardisation { parameters: 2 })), "{error:?}");
    let few = Options { judged_draws: 0, ..options() };
    assert!(matches!(refuse(Constant(2, 0.0), few), Err(Error::FewDraws { .. })));
}

/// The best diagonal Gaussian of the linear-Gaussian model has a gap of 0.7855.
#[test]
fn a_flow_goes_below_the_best_diagonal_gaussian() {
    let fit = |flow, steps| -> f64 {
        let schedule = Schedule { steps, learning_rate: 2e-3 };
        let options = amortised::Options { flow, schedule, rows: 64, draws: 2, seed: 0 };
        let own: AmortisedPosterior = amortised::fit(&LinearGaussian, &options).expect("a fit");
        let x = LinearGaussian.draw(100, &mut ChaCha8Rng::seed_from_u64(9), &Device::flex());
        own.gap(&LinearGaussian, x, 64, 1)
    };
    let diagonal = fit(None, 1000);
    assert!((0.77..0.85).contains(&diagonal), "{diagonal}");
    let flow = fit(Some((Family::Iaf, 1)), 600);
    assert!((-0.01..0.1).contains(&flow), "{flow}");
}
