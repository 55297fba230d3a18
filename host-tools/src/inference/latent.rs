//! Latent variable models p(z) p(x | z) whose density of a row, p(x), is known, so that it can be told
//! how far a posterior q(z | x) is from the true one: the gap ln p(x) - ELBO is the mean of
//! KL(q(z | x) | p(z | x)).

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::target::log_normal;
use super::target::quadrature::{self, log_integral};

/// A model of rows x of D values by codes z of L values, z ~ N(0, I).
pub trait LatentModel {
    /// What it is, for a reader.
    fn name(&self) -> &str;

    /// L.
    fn latent(&self) -> usize;

    /// Means of x given codes, shape \[rows, L\] to \[rows, D\].
    fn mean(&self, z: Tensor<2>) -> Tensor<2>;

    /// Standard deviations of x given z, D of them.
    fn deviations(&self) -> Vec<f64>;

    /// ln p(x) of one row of D values, nats.
    fn log_evidence(&self, x: &[f64]) -> f64;

    /// Rows that the model draws, shape \[rows, D\].
    fn draw(&self, rows: usize, random: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
        let z = normals([rows, self.latent()], random, device);
        let deviations = self.deviations();
        let noise = normals([rows, deviations.len()], random, device);
        self.mean(z) + noise * row(&deviations, device)
    }

    /// ln p(z) + ln p(x | z), shape \[rows, 1\].
    fn log_joint(&self, x: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        let device = z.device();
        let log_deviations: Vec<f64> = self.deviations().iter().map(|own| own.ln()).collect();
        let log_deviations = row(&log_deviations, &device).repeat_dim(0, z.dims()[0]);
        let log_prior = log_normal(z.clone(), Tensor::zeros_like(&z)).sum_dim(1);
        log_normal(x - self.mean(z), log_deviations).sum_dim(1) + log_prior
    }
}

/// Draws of N(0, 1).
pub(super) fn normals(shape: [usize; 2], random: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
    let draws = (0..shape[0] * shape[1]).map(|_| StandardNormal.sample(random));
    Tensor::from_data(TensorData::new(draws.collect::<Vec<f32>>(), shape), device)
}

fn row(values: &[f64], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [1, count]), device)
}

/// x ~ N(W z + b, diag(s^2)) with D = 6 and L = 3: probabilistic PCA, whose posterior is a Gaussian of
/// full covariance.
#[derive(Clone, Copy, Debug)]
pub struct LinearGaussian;

impl LinearGaussian {
    const VALUES: usize = 6;
    const LATENT: usize = 3;

    fn weight(i: usize, j: usize) -> f64 {
        (1.3 * i as f64 + 2.1 * j as f64 + 0.5).sin()
    }

    fn bias(i: usize) -> f64 {
        0.3 * i as f64 - 0.75
    }
}

impl LatentModel for LinearGaussian {
    fn name(&self) -> &str {
        "linear-Gaussian"
    }

    fn latent(&self) -> usize {
        Self::LATENT
    }

    fn mean(&self, z: Tensor<2>) -> Tensor<2> {
        let device = z.device();
        let column = |j| {
            let column: Vec<f64> = (0..Self::VALUES).map(|i| Self::weight(i, j)).collect();
            row(&column, &device)
        };
        let weights = Tensor::cat((0..Self::LATENT).map(column).collect(), 0);
        let bias: Vec<f64> = (0..Self::VALUES).map(Self::bias).collect();
        z.matmul(weights) + row(&bias, &device)
    }

    fn deviations(&self) -> Vec<f64> {
        (0..Self::VALUES).map(|i| 0.4 + 0.1 * i as f64).collect()
    }

    /// x ~ N(b, W W^T + diag(s^2)), value by value given those before it.
    fn log_evidence(&self, x: &[f64]) -> f64 {
        let deviations = self.deviations();
        let covariance = |i: usize, j: usize| {
            let shared: f64 =
                (0..Self::LATENT).map(|k| Self::weight(i, k) * Self::weight(j, k)).sum();
            shared + if i == j { deviations[i].powi(2) } else { 0.0 }
        };
        // The Cholesky factor of the covariance, and x - b solved by it.
        let mut factor = vec![[0.0; Self::VALUES]; Self::VALUES];
        let mut whitened = [0.0; Self::VALUES];
        let mut log_density = 0.0;
        for i in 0..Self::VALUES {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
                let rest = covariance(i, j) - known;
                factor[i][j] = if i == j { rest.sqrt() } else { rest / factor[j][j] };
            }
            let known: f64 = (0..i).map(|j| factor[i][j] * whitened[j]).sum();
            let rest = x[i] - Self::bias(i) - known;
            whitened[i] = rest / factor[i][i];
            log_density += quadrature::log_normal(rest, factor[i][i].powi(2));
        }
        log_density
    }
}

/// x1 ~ N(z2 + 0.7 z1^2, 0.3^2), x2 ~ N(z1, 1.5^2): the posterior is a curved ridge.
#[derive(Clone, Copy, Debug)]
pub struct CurvedPosterior;

impl LatentModel for CurvedPosterior {
    fn name(&self) -> &str {
        "banana-shaped posterior"
    }

    fn latent(&self) -> usize {
        2
    }

    fn mean(&self, z: Tensor<2>) -> Tensor<2> {
        let (first, second) = (z.clone().narrow(1, 0, 1), z.narrow(1, 1, 1));
        Tensor::cat(vec![second + first.clone().square() * 0.7, first], 1)
    }

    fn deviations(&self) -> Vec<f64> {
        vec![0.3, 1.5]
    }

    /// The integral over z2 has a closed form, that over z1 is by quadrature.
    fn log_evidence(&self, x: &[f64]) -> f64 {
        log_integral(-15.0..15.0, 6000, |first| {
            quadrature::log_normal(first, 1.0)
                + quadrature::log_normal(x[0] - 0.7 * first * first, 1.0 + 0.09)
                + quadrature::log_normal(x[1] - first, 2.25)
        })
    }
}

/// x1 ~ N(z1^2, 0.5^2), x2 ~ N(z2 + 0.5 z1, 0.5^2): the sign of z1 is all but lost, so that the
/// posterior has two modes.
#[derive(Clone, Copy, Debug)]
pub struct BimodalPosterior;

impl LatentModel for BimodalPosterior {
    fn name(&self) -> &str {
        "bimodal posterior"
    }

    fn latent(&self) -> usize {
        2
    }

    fn mean(&self, z: Tensor<2>) -> Tensor<2> {
        let (first, second) = (z.clone().narrow(1, 0, 1), z.narrow(1, 1, 1));
        Tensor::cat(vec![first.clone().square(), second + first * 0.5], 1)
    }

    fn deviations(&self) -> Vec<f64> {
        vec![0.5, 0.5]
    }

    /// As of [`CurvedPosterior`].
    fn log_evidence(&self, x: &[f64]) -> f64 {
        log_integral(-15.0..15.0, 6000, |first| {
            quadrature::log_normal(first, 1.0)
                + quadrature::log_normal(x[0] - first * first, 0.25)
                + quadrature::log_normal(x[1] - 0.5 * first, 1.0 + 0.25)
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::family::values;

    /// p(x) is the mean of p(x | z) over draws of the prior.
    #[test]
    fn the_evidence_is_that_of_draws_of_the_prior() {
        check(&LinearGaussian);
        check(&CurvedPosterior);
        check(&BimodalPosterior);
    }

    /// For a row that the model drew.
    fn check(model: &impl LatentModel) {
        let random = &mut ChaCha8Rng::seed_from_u64(7);
        let device = Device::flex();
        let draws = 400_000;
        let x = model.draw(1, random, &device);
        let z = normals([draws, model.latent()], random, &device);
        let log_prior = values(log_normal(z.clone(), Tensor::zeros_like(&z)).sum_dim(1));
        let log_joint = values(model.log_joint(x.clone().repeat_dim(0, draws), z));
        let likelihoods = log_joint.iter().zip(log_prior);
        let sum: f64 = likelihoods.map(|(joint, prior)| f64::from(joint - prior).exp()).sum();
        let x: Vec<f64> = values(x).iter().map(|value| f64::from(*value)).collect();
        let error = (sum / draws as f64).ln() - model.log_evidence(&x);
        assert!(error.abs() < 0.05, "{}: {error}", model.name());
    }
}
