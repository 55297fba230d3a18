//! The loop that raises the evidence lower bound of a latent model on rows, one draw a row
//! (Kingma and Welling 2014, estimator of eq. 7 with the density of the draw in place of a closed form).
//!
//! As for flows ([`crate::training::fit`]): a moving average of the weights, and early stopping, here on
//! four fixed draws for each validation row, so that epochs compare. Where networks start by chance, the
//! terms of prior and posterior come in slowly over the first epochs (Bowman et al. 2016, "Generating
//! Sentences from a Continuous Space", section 3.1): a start by components needs no such help. An epoch
//! that ends worse than the start took too long steps, and a model that ends below independent
//! Gaussians learned nothing, as for flows.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::prior::Prior;
use super::start::Components;
use super::twin::{Autoencoder, Decoder, Posterior, Terms};
use crate::error::{Error, Result};
use crate::family::network::Network;
use crate::family::values;
use crate::rows::dataset::Dataset;
use crate::rows::standardise::Column;
use crate::training::averaged::Averaged;
use crate::training::curve::{Curve, Point};
use crate::training::fit::Rows;
use crate::training::loss;
use crate::training::patience::Patience;

/// Rows of one validation pass, and draws for each.
const VALIDATION_BATCH: usize = 512;
const DRAWS: usize = 4;
/// Epochs over which prior and posterior come in where there is no start by components.
pub const WARM_UP: usize = 30;

/// How to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// L.
    pub latents: usize,
    /// Widths of the hidden layers of encoder and decoder.
    pub hidden: Vec<usize>,
    /// The density of a row given its latent values.
    pub likelihood: Decoder,
    /// The posterior.
    pub posterior: Posterior,
    /// The prior, as it starts.
    pub prior: Prior,
    /// How many of the columns, the last ones, are context.
    pub context: usize,
    /// Most passes over the training rows.
    pub epochs: usize,
    /// Rows of one step.
    pub batch_size: usize,
    /// Of Adam, at the start.
    pub learning_rate: f64,
    /// Standard deviation of Gaussian noise on training rows, standardised.
    pub noise: f32,
    /// Epochs without a better validation bound after which training stops.
    pub patience: usize,
    /// Of every draw: the same seed gives the same model to the bit, unless time runs out.
    pub seed: u64,
    /// Training stops after the epoch in which this time is over.
    pub time_limit: Option<Duration>,
}

/// Means over rows of the bound and its terms, standardised units, nats; the largest losses are left
/// out of the bound, as of every loss ([`loss::mean`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    /// The evidence lower bound.
    pub elbo: f64,
    /// Mean of log p(x | z).
    pub reconstruction: f64,
    /// Mean of log p(z).
    pub prior: f64,
    /// Mean of log q(z | x).
    pub posterior: f64,
}

/// What one epoch came to.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Over the training rows, one draw each, during the epoch.
    pub training: Bound,
    /// Over the rows for early stopping, after it.
    pub validation: Bound,
    /// Number of the best epoch so far.
    pub best: usize,
}

/// A trained latent model.
#[derive(Debug)]
pub struct Fitted {
    /// The weights of the best epoch.
    pub model: Autoencoder,
    /// What they were trained for.
    pub options: Options,
    /// That epoch.
    pub best: Epoch,
    /// Epochs run.
    pub epochs: usize,
    /// What each of them reached.
    pub curve: Curve,
    /// Whether the time limit ended training.
    pub out_of_time: bool,
    /// Whether it is still below a Gaussian for each feature alone, because it had few epochs.
    pub unfinished: bool,
}

impl Bound {
    /// Of the importance weights of rows, `draws` behind each other for each, and their losses.
    fn of(terms: &[[f32; 3]], draws: usize) -> (Self, Vec<f64>) {
        let mean = |own: usize| {
            terms.iter().map(|terms| f64::from(terms[own])).sum::<f64>() / terms.len() as f64
        };
        let loss = |terms: &[[f32; 3]]| {
            let logs = terms.iter().map(|[reconstruction, prior, posterior]| {
                f64::from(*posterior) - f64::from(*prior) - f64::from(*reconstruction)
            });
            logs.sum::<f64>() / draws as f64
        };
        let losses: Vec<f64> = terms.chunks(draws).map(loss).collect();
        let elbo = -loss::mean(&losses);
        (Self { elbo, reconstruction: mean(0), prior: mean(1), posterior: mean(2) }, losses)
    }
}

/// Trains on `training` and stops on `validation`, both in raw units, their offsets subtracted.
pub fn fit(
    options: &Options,
    training: &Dataset,
    validation: &Dataset,
    columns: &[Column],
    mut progress: impl FnMut(Epoch),
) -> Result<Fitted> {
    let start = Instant::now();
    let is_time_over = || options.time_limit.is_some_and(|limit| start.elapsed() >= limit);
    let width = columns.len();
    let training = Rows::new(training, columns, options.context);
    let judge = Judge::new(Rows::new(validation, columns, options.context), options, columns);
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let device = Device::flex().autodiff();
    let linear = components(options, &training, columns);
    let is_warm = linear.is_some();
    if !is_warm && options.likelihood != Decoder::Bernoulli {
        log::warn!(
            "training starts by chance: a start by components takes hidden layers of {} units or more",
            2 * options.latents.min(width - options.context)
        );
    }
    let features = width - options.context;
    let start_model = begin(options, linear.as_ref(), features, &mut random, &device);
    let start_bound = Bound::of(&judge.terms(&start_model.valid()), DRAWS).0.elbo;
    let warm_up = if is_warm { 0 } else { WARM_UP };
    let Options { learning_rate, epochs, .. } = *options;
    let mut patience =
        Patience::new(learning_rate, options.patience, warm_up, -start_bound, features);
    let mut model = Averaged::new(start_model.clone());
    let mut order: Vec<usize> = (0..training.count()).collect();
    let mut best: Option<(Epoch, Autoencoder)> = None;
    let mut curve = Curve::default();
    let (mut run, mut out_of_time) = (0, false);
    for number in 1..=epochs {
        run = number;
        let share = if is_warm { 1.0 } else { (number as f64 / WARM_UP as f64).min(1.0) };
        order.shuffle(&mut random);
        let mut all = Vec::with_capacity(order.len());
        for batch in order.chunks(options.batch_size) {
            let mut rows = training.stepped(batch, &mut random);
            spread(&mut rows, width, options, &mut random);
            let rows = tensor(rows, width, &device);
            let noise = normal(batch.len(), options.latents, &mut random, &device);
            let terms = model.module.terms(rows, noise);
            let own = read(&terms);
            // A step along a gradient that is no number would end the run.
            if own.iter().flatten().all(|term| term.is_finite()) {
                let divergence = terms.posterior - terms.prior;
                let loss = (divergence * share - terms.reconstruction).mean();
                model = model.step(loss, patience.learning_rate());
            }
            all.extend(own);
        }
        let (validation, _) = Bound::of(&judge.terms(&model.average), DRAWS);
        let is_best = patience.note(number, -validation.elbo);
        let training = Bound::of(&all, 1).0;
        let epoch = Epoch { number, training, validation, best: patience.best() };
        if is_best {
            best = Some((epoch, model.average.clone()));
        }
        progress(epoch);
        curve.push(Point { epoch: number, training: training.elbo, validation: validation.elbo });
        if patience.is_over(number) {
            break;
        }
        out_of_time = number < epochs && is_time_over();
        if out_of_time {
            break;
        }
        if patience.starts_again(number, -validation.elbo) {
            model = Averaged::new(start_model.clone());
        }
    }
    let (best, model) = best.ok_or(Error::Diverged { learning_rate: options.learning_rate })?;
    let unfinished = match judge.better_gaussian(&model, options.likelihood) {
        None => false,
        // It was on its way from where it started.
        Some(_) if best.number == run && best.validation.elbo > start_bound => true,
        Some(gaussian) => {
            return Err(Error::LearnedNothing {
                reached: best.validation.elbo,
                gaussian,
                learning_rate: options.learning_rate,
                epochs: run,
            });
        }
    };
    let options = options.clone();
    Ok(Fitted { model, options, best, epochs: run, curve, out_of_time, unfinished })
}

/// The linear model that training starts from, where the likelihood is Gaussian and the networks have
/// room for it.
pub(crate) fn components(
    options: &Options,
    training: &Rows,
    columns: &[Column],
) -> Option<Components> {
    if options.likelihood == Decoder::Bernoulli {
        return None;
    }
    let features = columns.len() - options.context;
    let linear = Components::of(&self::features(options, training), features, options.latents);
    linear.fits(&options.hidden).then_some(linear)
}

/// The features of the rows, with the noise of their steps, that the start is fitted to.
pub(crate) fn features(options: &Options, training: &Rows) -> Vec<f32> {
    training.features(&mut ChaCha8Rng::seed_from_u64(options.seed ^ 0x73_7461_7274))
}

/// The model that training starts from.
fn begin(
    options: &Options,
    linear: Option<&Components>,
    features: usize,
    random: &mut ChaCha8Rng,
    device: &Device,
) -> Autoencoder {
    let Options { latents, context, likelihood, hidden, posterior, .. } = options;
    let summary = posterior.summary();
    let mut network =
        |inputs, outputs| Network::new(inputs, hidden, outputs, random, device).export();
    let mut encoder = network(context + features, summary + 2 * latents);
    let mut decoder = network(context + latents, likelihood.outputs(features));
    if let Some(linear) = linear {
        linear.set_encoder(&mut encoder, *context, summary, *latents);
        linear.set_decoder(&mut decoder, *context, *latents);
    }
    let prior = options.prior.flow(*latents, random, device);
    let networks = [&encoder[..], &decoder[..]];
    Autoencoder::new([*context, *latents], *likelihood, networks, posterior, prior, random, device)
}

/// Adds the noise that the user asked for to the features.
fn spread(rows: &mut [f32], width: usize, options: &Options, random: &mut ChaCha8Rng) {
    if options.noise > 0.0 && options.likelihood != Decoder::Bernoulli {
        for x in rows.chunks_mut(width).flat_map(|row| &mut row[..width - options.context]) {
            let gaussian: f32 = StandardNormal.sample(random);
            *x += options.noise * gaussian;
        }
    }
}

fn tensor(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / width, width];
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn normal(rows: usize, latents: usize, random: &mut ChaCha8Rng, device: &Device) -> Tensor<2> {
    let draws = (0..rows * latents).map(|_| StandardNormal.sample(random)).collect();
    tensor(draws, latents, device)
}

/// Reconstruction, prior and posterior of each row.
fn read(terms: &Terms) -> Vec<[f32; 3]> {
    let Terms { reconstruction, prior, posterior } = terms.clone();
    let all = values(Tensor::cat(vec![reconstruction, prior, posterior], 1));
    all.as_chunks().0.to_vec()
}

/// Rows that models are judged by, with the same noise and draws every time so that they compare.
struct Judge {
    width: usize,
    features: usize,
    latents: usize,
    /// Each row as often as it has draws.
    rows: Vec<f32>,
    noise: Vec<f32>,
}

impl Judge {
    fn new(rows: Rows, options: &Options, columns: &[Column]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed ^ 0x7661_6c69_6461_7465);
        let numbers: Vec<usize> = (0..rows.count()).collect();
        let (width, latents) = (columns.len(), options.latents);
        let rows = rows.stepped(&numbers, &mut random);
        let rows: Vec<f32> = rows.chunks(width).flat_map(|row| row.repeat(DRAWS)).collect();
        let draws = rows.len() / width * latents;
        let noise = (0..draws).map(|_| StandardNormal.sample(&mut random)).collect();
        Self { width, features: width - options.context, latents, rows, noise }
    }

    fn terms(&self, model: &Autoencoder) -> Vec<[f32; 3]> {
        let device = Device::flex();
        let rows = self.rows.chunks(VALIDATION_BATCH * DRAWS * self.width);
        let noise = self.noise.chunks(VALIDATION_BATCH * DRAWS * self.latents);
        let batches = rows.zip(noise).flat_map(|(rows, noise)| {
            let rows = tensor(rows.to_vec(), self.width, &device);
            read(&model.terms(rows, tensor(noise.to_vec(), self.latents, &device)))
        });
        batches.collect()
    }

    /// The mean log-density under independent features, each with its own Gaussian, if the model is
    /// below it beyond all doubt; of binary features there is no such yardstick.
    fn better_gaussian(&self, model: &Autoencoder, likelihood: Decoder) -> Option<f64> {
        if likelihood == Decoder::Bernoulli {
            return None;
        }
        let log_normal = |x: &f32| {
            let x = f64::from(*x);
            0.5 * x * x + 0.5 * (2.0 * std::f64::consts::PI).ln()
        };
        let rows = self.rows.chunks(self.width * DRAWS);
        let gaussian: Vec<f64> =
            rows.map(|row| row[..self.features].iter().map(log_normal).sum()).collect();
        let (_, losses) = Bound::of(&self.terms(model), DRAWS);
        let is_behind = loss::is_behind(&losses, &gaussian, self.features);
        is_behind.then(|| -loss::mean(&gaussian))
    }
}
