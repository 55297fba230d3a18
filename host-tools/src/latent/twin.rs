//! The trainable twin of [`flowlet::LatentModel`]; the formulas and their sources stand there.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use flowlet::write::{self, LatentFlow};
use flowlet::{Likelihood, Periodic};
use rand_chacha::ChaCha8Rng;

use crate::family::base::StudentT;
use crate::family::math::soft_clip;
use crate::family::network::Network;
use crate::family::{self, Architecture, Family, Flow, Sizes, given};

/// Least and largest deviation of a feature given its latent values, standardised. A larger floor
/// costs nats where the code nearly determines a feature.
pub const DEVIATIONS: (f32, f32) = (0.01, 4.0);
/// Fewest degrees of freedom of a Student-t likelihood that a file holds.
const LEAST_TAILS: f32 = 2.01;
/// Bound of ln of the posterior's deviations, as on the device.
pub const POSTERIOR_CLIP: f64 = 7.0;
/// Values that the encoder gives a posterior flow.
pub const SUMMARY: usize = flowlet::MAX_SUMMARY;

/// The density of a row given its latent values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Independent Gaussians, their means and deviations depending on the latent values.
    Gaussian,
    /// Independent Student-t densities, whose degrees of freedom are trained.
    StudentT,
    /// Independent features that are 0 or 1.
    Bernoulli,
}

impl Decoder {
    /// Outputs for so many features.
    pub fn outputs(self, features: usize) -> usize {
        match self {
            Self::Gaussian | Self::StudentT => 2 * features,
            Self::Bernoulli => features,
        }
    }
}

/// ln of the middle deviation, and how far ln of a deviation may be from it, as on the device.
pub fn log_deviations() -> (f64, f64) {
    let (least, largest) = DEVIATIONS;
    match Likelihood::gaussian(least, largest) {
        Likelihood::Gaussian { centre, clip } => (centre.into(), clip.into()),
        Likelihood::StudentT { .. } | Likelihood::Bernoulli => (0.0, 0.0),
    }
}

/// A family of posteriors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posterior {
    /// A diagonal Gaussian.
    Gaussian,
    /// A flow over one, given what the encoder says.
    Flow {
        /// Its family.
        family: Family,
        /// Its layers.
        layers: usize,
        /// Widths of the hidden layers of its conditioners.
        hidden: Vec<usize>,
    },
}

impl Posterior {
    /// Values that the encoder gives it.
    pub fn summary(&self) -> usize {
        match self {
            Self::Gaussian => 0,
            Self::Flow { .. } => SUMMARY,
        }
    }

    /// Near the identity, over so many latent values.
    fn flow(&self, latents: usize, random: &mut ChaCha8Rng, device: &Device) -> Flow {
        let (family, layers, hidden) = match self {
            Self::Gaussian => (Family::Iaf, 0, Vec::new()),
            Self::Flow { family, layers, hidden } => (*family, *layers, hidden.clone()),
        };
        let base = family::Base::StandardNormal;
        let architecture = Architecture { family, layers, hidden, base, image: None };
        let periodic = Periodic::default();
        let sizes = Sizes { features: latents, context: self.summary(), periodic };
        Flow::new(&architecture, sizes, random, device)
    }
}

/// A latent variable model under training. Rows are standardised, each with its context behind it.
#[derive(Module, Debug)]
pub struct Autoencoder {
    /// C.
    #[module(skip)]
    context: usize,
    /// L.
    #[module(skip)]
    latents: usize,
    /// H.
    #[module(skip)]
    summary: usize,
    #[module(skip)]
    likelihood: Decoder,
    /// Of a Student-t likelihood.
    tails: Option<StudentT>,
    encoder: Network,
    decoder: Network,
    posterior: Flow,
    prior: Flow,
}

/// ln of an importance weight in its terms, each of shape \[rows, 1\], nats, standardised.
#[derive(Clone, Debug)]
pub struct Terms {
    /// log p(x | z).
    pub reconstruction: Tensor<2>,
    /// log p(z).
    pub prior: Tensor<2>,
    /// log q(z | x).
    pub posterior: Tensor<2>,
}

impl Autoencoder {
    /// From networks as a file holds them, and a prior; the posterior starts as a Gaussian one.
    pub fn new(
        [context, latents]: [usize; 2],
        likelihood: Decoder,
        [encoder, decoder]: [&[write::Linear]; 2],
        posterior: &Posterior,
        prior: Flow,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        Self {
            context,
            latents,
            summary: posterior.summary(),
            likelihood,
            tails: (likelihood == Decoder::StudentT).then(|| StudentT::new(device)),
            encoder: Network::from_layers(encoder, device),
            decoder: Network::from_layers(decoder, device),
            posterior: posterior.flow(latents, random, device),
            prior,
        }
    }

    /// x, and the context if there is one.
    fn split(&self, rows: Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        let features = rows.dims()[1] - self.context;
        match self.context {
            0 => (rows, None),
            count => (rows.clone().narrow(1, 0, features), Some(rows.narrow(1, features, count))),
        }
    }

    /// ln of the importance weight of rows, shape \[rows, D + C\], at the draws that `noise` of
    /// N(0, I) stands for, shape \[rows, L\].
    pub fn terms(&self, rows: Tensor<2>, noise: Tensor<2>) -> Terms {
        let (x, context) = self.split(rows);
        let outputs = self.encoder.run(given(context.as_ref(), x.clone()));
        let part = |first, count| outputs.clone().narrow(1, first, count);
        let summary = (self.summary > 0).then(|| part(0, self.summary));
        let mean = part(self.summary, self.latents);
        let raw = part(self.summary + self.latents, self.latents);
        let log_deviation = soft_clip(raw, POSTERIOR_CLIP);
        let (u, log_det_jacobian) = self.posterior.forward(noise.clone(), summary.as_ref());
        let z = mean + log_deviation.clone().exp() * u;
        let posterior = log_normal(noise).sum_dim(1) - log_det_jacobian - log_deviation.sum_dim(1);
        let outputs = self.decoder.run(given(context.as_ref(), z.clone()));
        let reconstruction = self.log_likelihood(x, outputs);
        Terms { reconstruction, prior: self.prior.log_density(z), posterior }
    }

    fn log_likelihood(&self, x: Tensor<2>, outputs: Tensor<2>) -> Tensor<2> {
        match self.likelihood {
            Decoder::Gaussian | Decoder::StudentT => {
                let [_, features] = x.dims();
                let mean = outputs.clone().narrow(1, 0, features);
                let (centre, clip) = log_deviations();
                let log_deviation = soft_clip(outputs.narrow(1, features, features), clip) + centre;
                let residual = (x - mean) * (-log_deviation.clone()).exp();
                let density = match &self.tails {
                    Some(tails) => tails.log_density(residual),
                    None => log_normal(residual).sum_dim(1),
                };
                density - log_deviation.sum_dim(1)
            }
            Decoder::Bernoulli => {
                let against = (x * -2.0 + 1.0) * outputs;
                let softplus = relu(against.clone()) + (-against.abs()).exp().log1p();
                -softplus.sum_dim(1)
            }
        }
    }

    /// The parts as a file holds them: encoder, decoder, posterior and prior.
    pub fn export(&self) -> (Vec<write::Linear>, Vec<write::Linear>, LatentFlow, LatentFlow) {
        let flow = |flow: &Flow| {
            let (layers, base) = flow.export();
            LatentFlow { layers, base }
        };
        (self.encoder.export(), self.decoder.export(), flow(&self.posterior), flow(&self.prior))
    }

    /// L and H.
    pub fn sizes(&self) -> (usize, usize) {
        (self.latents, self.summary)
    }

    /// The density of a row given its latent values, as a file holds it.
    pub fn likelihood(&self) -> write::Likelihood {
        let (least, largest) = DEVIATIONS;
        match (self.likelihood, &self.tails) {
            (Decoder::Bernoulli, _) => write::Likelihood::Bernoulli,
            (_, None) => write::Likelihood::Gaussian { least, largest },
            (_, Some(tails)) => {
                let degrees_of_freedom = tails.exported_degrees_of_freedom().max(LEAST_TAILS);
                write::Likelihood::StudentT { least, largest, degrees_of_freedom }
            }
        }
    }
}

/// log N(z) of each value.
fn log_normal(z: Tensor<2>) -> Tensor<2> {
    z.square() * -0.5 - 0.5 * (2.0 * std::f64::consts::PI).ln()
}
