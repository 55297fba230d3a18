//! One posterior q(z | x) for all rows x: an encoder gives a mean, a deviation and a context for each
//! row, a flow given the context shapes what it draws, and the mean and deviation place it (Rezende
//! and Mohamed 2015, "Variational Inference with Normalizing Flows"; Kingma et al. 2016, "Improving
//! Variational Inference with Inverse Autoregressive Flow").
//!
//! z = mean(x) + deviation(x) u, u = forward(eps; h(x)). Without layers u is eps, and q a diagonal
//! Gaussian.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowlet::Periodic;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::descent::{Schedule, descend};
use super::latent::{LatentModel, normals};
use crate::error::Result;
use crate::family::network::Network;
use crate::family::{Architecture, Base, Family, Flow, Sizes, values};

/// Widths of the encoder's hidden layers.
const HIDDEN: [usize; 2] = [64, 64];
/// Values that the encoder tells the flow of a row.
const CONTEXT: usize = 16;
/// Rows that one call judges.
const BATCH: usize = 64;

/// How to fit.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Family of the flow, one with layers, and how many it has; none for a diagonal Gaussian.
    pub flow: Option<(Family, usize)>,
    /// Of the descent.
    pub schedule: Schedule,
    /// Rows of one step, each drawn anew from the model.
    pub rows: usize,
    /// Draws of z for each of them.
    pub draws: usize,
    /// Of every draw.
    pub seed: u64,
}

/// An encoder and the flow that it conditions.
#[derive(Module, Debug)]
pub struct AmortisedPosterior {
    #[module(skip)]
    latent: usize,
    encoder: Network,
    flow: Option<Flow>,
}

/// What the encoder says of rows.
struct Encoded {
    mean: Tensor<2>,
    log_deviation: Tensor<2>,
    context: Tensor<2>,
}

impl AmortisedPosterior {
    fn new(
        [features, latent]: [usize; 2],
        flow: Option<(Family, usize)>,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let encoder = Network::new(features, &HIDDEN, 2 * latent + CONTEXT, random, device);
        let flow = flow.map(|(family, layers)| {
            let hidden = HIDDEN.to_vec();
            let base = Base::StandardNormal;
            let architecture = Architecture { family, layers, hidden, base, image: None };
            let sizes = Sizes { features: latent, context: CONTEXT, periodic: Periodic::default() };
            Flow::new(&architecture, sizes, random, device)
        });
        Self { latent, encoder, flow }
    }

    fn encode(&self, x: Tensor<2>) -> Encoded {
        let outputs = self.encoder.run(x);
        let part = |first, count| outputs.clone().narrow(1, first, count);
        Encoded {
            mean: part(0, self.latent),
            log_deviation: part(self.latent, self.latent),
            context: part(2 * self.latent, CONTEXT),
        }
    }

    /// So many draws of z given one row x, shape \[1, D\] to \[draws, L\].
    pub fn sample(&self, x: Tensor<2>, draws: usize, random: &mut ChaCha8Rng) -> Tensor<2> {
        let base = normals([draws, self.latent], random, &x.device());
        self.draw(x.repeat_dim(0, draws), base)
    }

    /// A draw of z for each row x, from base draws of shape \[rows, L\].
    fn draw(&self, x: Tensor<2>, base: Tensor<2>) -> Tensor<2> {
        let Encoded { mean, log_deviation, context } = self.encode(x);
        let u = match &self.flow {
            Some(flow) => flow.forward(base, Some(&context)).0,
            None => base,
        };
        mean + log_deviation.exp() * u
    }

    /// ln q(z | x), shape \[rows, 1\].
    fn log_density(&self, x: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        let Encoded { mean, log_deviation, context } = self.encode(x);
        let u = (z - mean) * (-log_deviation.clone()).exp();
        let own = match &self.flow {
            Some(flow) => flow.log_density(Tensor::cat(vec![u, context], 1)),
            None => super::target::log_normal(u.clone(), Tensor::zeros_like(&u)).sum_dim(1),
        };
        own - log_deviation.sum_dim(1)
    }

    /// The gap ln p(x) - ELBO, nats, in the mean over the rows x, shape \[rows, D\], with so many draws
    /// of z for each.
    pub fn gap(&self, model: &impl LatentModel, x: Tensor<2>, draws: usize, seed: u64) -> f64 {
        let ([rows, features], device) = (x.dims(), x.device());
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut elbo = 0.0;
        for first in (0..rows).step_by(BATCH) {
            let own = x.clone().narrow(0, first, BATCH.min(rows - first));
            let repeated = own.repeat_dim(0, draws);
            let base = normals([repeated.dims()[0], self.latent], &mut random, &device);
            let z = self.draw(repeated.clone(), base);
            let log_q = values(self.log_density(repeated.clone(), z.clone()));
            let log_p = values(model.log_joint(repeated, z));
            elbo += log_p.iter().zip(log_q).map(|(p, q)| f64::from(*p) - f64::from(q)).sum::<f64>();
        }
        let evidence: f64 = values(x)
            .chunks(features)
            .map(|row| {
                let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
                model.log_evidence(&row)
            })
            .sum();
        (evidence - elbo / draws as f64) / rows as f64
    }
}

/// Fits q(z | x) to the posteriors of `model` by reverse KL in the mean over the rows that it draws,
/// with the path gradient of [`super::posterior`].
pub fn fit(model: &impl LatentModel, options: &Options) -> Result<AmortisedPosterior> {
    let device = Device::flex().autodiff();
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let sizes = [model.deviations().len(), model.latent()];
    let posterior = AmortisedPosterior::new(sizes, options.flow, &mut random, &device);
    descend(posterior, options.schedule, |posterior| {
        let x = model.draw(options.rows, &mut random, &device).repeat_dim(0, options.draws);
        let base = normals([options.rows * options.draws, model.latent()], &mut random, &device);
        let z = posterior.draw(x.clone(), base);
        let log_q = posterior.clone().no_grad().log_density(x.clone(), z.clone());
        (log_q - model.log_joint(x, z)).mean()
    })
}
