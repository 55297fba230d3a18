//! Bayesian linear regression, whose posterior is a Gaussian known in closed form (Bishop 2006,
//! "Pattern Recognition and Machine Learning", section 3.3): y = X w + noise, w ~ N(0, I), noise of
//! deviation 1/2.

use burn::tensor::{Tensor, TensorData};

use super::{Known, Target, log_normal};
use crate::family::Family;
use crate::inference::Options;

/// Weights to infer.
const WEIGHTS: usize = 4;
/// Rows of data.
const ROWS: usize = 20;
/// Deviation of the noise.
const NOISE: f64 = 0.5;

/// The unnormalised posterior of the weights, given made-up rows.
#[derive(Clone, Debug)]
pub struct Regression {
    /// ROWS x WEIGHTS, row-major.
    inputs: Vec<f64>,
    outputs: Vec<f64>,
}

impl Default for Regression {
    /// Rows whose columns are correlated, and so are the weights then.
    fn default() -> Self {
        let input = |row: usize, column: usize| match column {
            0 => 1.0,
            _ => (0.7 * row as f64).sin() + 0.5 * (1.9 * row as f64 + column as f64).cos(),
        };
        let inputs: Vec<f64> =
            (0..ROWS * WEIGHTS).map(|number| input(number / WEIGHTS, number % WEIGHTS)).collect();
        let truth = [0.5, -1.0, 0.8, 0.3];
        let output = |(row, inputs): (usize, &[f64])| {
            let mean: f64 = inputs.iter().zip(truth).map(|(input, weight)| input * weight).sum();
            mean + NOISE * 1.4 * (2.3 * row as f64 + 0.4).sin()
        };
        let outputs = inputs.chunks(WEIGHTS).enumerate().map(output).collect();
        Self { inputs, outputs }
    }
}

impl Target for Regression {
    fn name(&self) -> &str {
        "Bayesian linear regression"
    }

    fn names(&self) -> Vec<String> {
        (0..WEIGHTS).map(|weight| format!("w{weight}")).collect()
    }

    fn log_density(&self, z: Tensor<2>) -> Tensor<2> {
        let [draws, _] = z.dims();
        let device = z.device();
        let tensor = |values: &[f64], shape: [usize; 2]| {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let mean = z.clone().matmul(tensor(&self.inputs, [ROWS, WEIGHTS]).transpose());
        let difference = tensor(&self.outputs, [1, ROWS]).repeat_dim(0, draws) - mean;
        let log_noise = Tensor::full_like(&difference, NOISE.ln());
        let log_prior = log_normal(z.clone(), Tensor::zeros_like(&z)).sum_dim(1);
        log_normal(difference, log_noise).sum_dim(1) + log_prior
    }
}

impl Regression {
    /// Means of the weights' posterior and the lower Cholesky factor of its precision
    /// I + X^T X / noise^2.
    pub fn posterior(&self) -> ([f64; WEIGHTS], [[f64; WEIGHTS]; WEIGHTS]) {
        let mut precision = [[0.0; WEIGHTS]; WEIGHTS];
        let mut weighted = [0.0; WEIGHTS];
        for (row, output) in self.inputs.chunks(WEIGHTS).zip(&self.outputs) {
            for i in 0..WEIGHTS {
                weighted[i] += row[i] * output / NOISE.powi(2);
                for j in 0..WEIGHTS {
                    precision[i][j] += row[i] * row[j] / NOISE.powi(2);
                }
            }
        }
        (0..WEIGHTS).for_each(|i| precision[i][i] += 1.0);
        let factor = cholesky(&precision);
        let mut mean = weighted;
        for i in 0..WEIGHTS {
            let known: f64 = (0..i).map(|j| factor[i][j] * mean[j]).sum();
            mean[i] = (mean[i] - known) / factor[i][i];
        }
        for i in (0..WEIGHTS).rev() {
            let known: f64 = (i + 1..WEIGHTS).map(|j| factor[j][i] * mean[j]).sum();
            mean[i] = (mean[i] - known) / factor[i][i];
        }
        (mean, factor)
    }
}

impl Known for Regression {
    /// ln p(y, m) - ln N(m; m, S) at the posterior mean m, for p(y) = p(y, w) / p(w | y) at every w.
    fn log_evidence(&self) -> f64 {
        let (mean, factor) = self.posterior();
        let log_normal = super::quadrature::log_normal;
        let rows = self.inputs.chunks(WEIGHTS).zip(&self.outputs).map(|(row, output)| {
            let fitted: f64 = row.iter().zip(mean).map(|(input, weight)| input * weight).sum();
            log_normal(output - fitted, NOISE.powi(2))
        });
        let weights = mean.iter().map(|weight| log_normal(*weight, 1.0));
        let posterior = (0..WEIGHTS).map(|i| log_normal(0.0, factor[i][i].powi(-2)));
        rows.chain(weights).sum::<f64>() - posterior.sum::<f64>()
    }

    fn options(&self) -> Options {
        Options::new(Family::RealNvp, Some(4))
    }
}

/// L with L L^T = the matrix, which is positive definite.
fn cholesky(matrix: &[[f64; WEIGHTS]; WEIGHTS]) -> [[f64; WEIGHTS]; WEIGHTS] {
    let mut factor = [[0.0; WEIGHTS]; WEIGHTS];
    for i in 0..WEIGHTS {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = matrix[i][j] - known;
            factor[i][j] = if i == j { rest.sqrt() } else { rest / factor[j][j] };
        }
    }
    factor
}
