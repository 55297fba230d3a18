//! Expectation maximisation: rows to a mixture of Gaussians of full covariance (Dempster et al.
//! 1977), their number by the Bayesian information criterion (Schwarz 1978).
//!
//! The work is the crate linfa-clustering's, in f64, started from k-means.

use std::ops::RangeInclusive;

use burn::tensor::{Device, Tensor, TensorData};
use flowlet::write::Component;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{GaussianMixtureModel, GmmError};
use linfa_linalg::cholesky::Cholesky;
use ndarray::Array2;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::error::{Error, Result};
use crate::family::Flow;
use crate::preprocess::WILD;

/// Added to the variances, standardised units: the first with which the fit succeeds.
const REGULARISERS: [f64; 3] = [1e-6, 1e-4, 1e-2];
/// Of the mean log-likelihood, nats: less gain ends the iteration.
const TOLERANCE: f64 = 1e-4;
const MAX_ITERATIONS: u64 = 1000;

/// Fits mixtures of `components` Gaussians to standardised rows, row-major, and returns the best
/// one, and whether time was over before all numbers of Gaussians were tried. Rows with a wild
/// value, which no Gaussian explains, are left out.
pub fn fit(
    rows: &[f32],
    features: usize,
    components: RangeInclusive<usize>,
    seed: u64,
    is_time_over: impl Fn() -> bool,
) -> Result<(Flow, bool)> {
    let tame = |row: &&[f32]| row.iter().all(|x| f64::from(x.abs()) <= WILD);
    let rows: Vec<f32> = rows.chunks_exact(features).filter(tame).flatten().copied().collect();
    let count = rows.len() / features;
    let values = rows.iter().map(|x| f64::from(*x)).collect();
    let observations = Array2::from_shape_vec([count, features], values).expect("whole rows");
    let observations = DatasetBase::from(observations);
    let device = Device::flex();
    let data = Tensor::from_data(TensorData::new(rows, [count, features]), &device);

    let mut best: Option<(f64, Flow)> = None;
    let mut out_of_time = false;
    for number in components.clone().filter(|number| *number <= count) {
        out_of_time = best.is_some() && is_time_over();
        if out_of_time {
            break;
        }
        let attempts = REGULARISERS.iter().map(|regulariser| {
            let random = Xoshiro256Plus::seed_from_u64(seed);
            let model = GaussianMixtureModel::params_with_rng(number, random)
                .reg_covariance(*regulariser)
                .tolerance(TOLERANCE)
                .max_n_iterations(MAX_ITERATIONS)
                .fit(&observations)?;
            self::components(&model)
        });
        // A Gaussian on fewer rows than it has dimensions is a spike, not a density.
        let needed = (features + 1) as f32 / count as f32;
        let sound = |found: &Vec<Component>| {
            number == 1 || found.iter().all(|component| component.log_weight.exp() >= needed)
        };
        let Some(found) = attempts.filter_map(Result::ok).find(sound) else { continue };
        let flow = Flow::from_components(&found, &device);
        let log_likelihood: f32 = flow.log_density(data.clone()).sum().into_scalar();
        let parameters = number * (1 + features + features * (features + 1) / 2) - 1;
        let criterion = parameters as f64 * (count as f64).ln() - 2.0 * f64::from(log_likelihood);
        if criterion.is_finite() && best.as_ref().is_none_or(|(least, _)| criterion < *least) {
            best = Some((criterion, flow));
        }
    }
    match best {
        Some((_, flow)) => Ok((flow, out_of_time)),
        None => Err(Error::Mixture { components: *components.end() }),
    }
}

/// The components as the device's file holds them.
fn components(model: &GaussianMixtureModel<f64>) -> Result<Vec<Component>, GmmError> {
    let parts = model.weights().iter().zip(model.means().outer_iter());
    let component = |((weight, mean), precision): ((&f64, _), ndarray::ArrayView2<f64>)| {
        let mean: ndarray::ArrayView1<f64> = mean;
        let factor = precision.cholesky()?;
        Ok(Component {
            log_weight: weight.ln().min(0.0) as f32,
            mean: mean.iter().map(|x| *x as f32).collect(),
            precision_factor: factor.t().iter().map(|x| *x as f32).collect(),
        })
    };
    parts.zip(model.precisions().outer_iter()).map(component).collect()
}
