//! Maximum likelihood: the loop that turns rows into a flow.
//!
//! AdamW without decay (Loshchilov and Hutter 2019) on the mean negative log-density of
//! standardised rows, gradients clipped by norm, the learning rate halved when the validation
//! loss stays, early stopping on it, and the weights of its best epoch kept.
//!
//! Two habits make the flow a better detector. Fresh Gaussian noise on every training row keeps
//! the density from spikes on single rows (Rothfuss et al. 2019, "Noise Regularization for
//! Conditional Density Estimation"); validation rows have none. And the weights that are
//! validated and kept are a moving average of the steps' (Polyak and Juditsky 1992).

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::family::{Architecture, Flow, Sizes};
use crate::rows::standardise::{self, Column};
use crate::training::mixture;
use crate::training::transform::{self, Transform};

/// Rows of one validation pass.
const VALIDATION_BATCH: usize = 1024;
/// Of the moving average of the weights, each step.
const AVERAGE_DECAY: f64 = 0.99;

/// How to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to train.
    pub architecture: Architecture,
    /// Numbers of Gaussians to choose from in a mixture without layers.
    pub components: RangeInclusive<usize>,
    /// How many of the columns, the last ones, are context.
    pub context: usize,
    /// What stands between the standardisation and the flow.
    pub transform: transform::Choice,
    /// Most passes over the training rows.
    pub epochs: usize,
    /// Rows of one step.
    pub batch_size: usize,
    /// Of AdamW, at the start.
    pub learning_rate: f64,
    /// Standard deviation of the noise on training rows, in deviations of each column.
    pub noise: f32,
    /// Epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// Of every draw: the same seed gives the same flow to the bit, unless time runs out.
    pub seed: u64,
    /// Training stops after the epoch in which this time is over.
    pub time_limit: Option<Duration>,
}

/// What one epoch came to; losses are mean negative log-densities of standardised rows, nats.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Over the training rows, during the epoch.
    pub training_loss: f64,
    /// Over the rows for early stopping, after it.
    pub validation_loss: f64,
    /// Number of the best epoch so far.
    pub best: usize,
}

/// A trained flow.
#[derive(Debug)]
pub struct Fitted {
    /// Fixed layers in front of the flow.
    pub transform: Transform,
    /// The weights of the best epoch.
    pub flow: Flow,
    /// That epoch.
    pub best: Epoch,
    /// Epochs run; none by expectation maximisation.
    pub epochs: usize,
    /// Whether the time limit ended training, in which case another run may end elsewhere.
    pub out_of_time: bool,
}

/// Rows on their way to the flow: standardised, with the noise of their steps.
struct Rows<'a> {
    columns: &'a [Column],
    context: usize,
    standardised: Vec<f32>,
}

impl<'a> Rows<'a> {
    fn new(raw: &[f32], columns: &'a [Column], context: usize) -> Self {
        let row = |row: &[f32]| -> Vec<f32> {
            row.iter().zip(columns).map(|(x, column)| column.standardise(*x)).collect()
        };
        Self {
            columns,
            context,
            standardised: raw.chunks_exact(columns.len()).flat_map(row).collect(),
        }
    }

    fn count(&self) -> usize {
        self.standardised.len() / self.columns.len()
    }

    /// The rows numbered `batch`, row-major, with fresh noise of each column's steps.
    fn stepped(&self, batch: &[usize], random: &mut ChaCha8Rng) -> Vec<f32> {
        let width = self.columns.len();
        let mut values = Vec::with_capacity(batch.len() * width);
        for number in batch {
            let row = &self.standardised[number * width..][..width];
            let (x, context) = row.split_at(width - self.context);
            values.extend(x.iter().zip(self.columns).map(|(x, column)| x + column.noise(random)));
            // A context has none: it is given, not modelled.
            values.extend(context);
        }
        values
    }

    /// The same, transformed and with Gaussian noise of `noise` times each column's deviation, and
    /// the sum of log |det| of the transform.
    fn noisy(
        &self,
        transform: &Transform,
        batch: &[usize],
        noise: f32,
        random: &mut ChaCha8Rng,
    ) -> (Vec<f32>, f64) {
        let mut values = self.stepped(batch, random);
        let width = self.columns.len();
        let log_det_jacobian = transform.apply(&mut values, width);
        if noise > 0.0 {
            for row in values.chunks_mut(width) {
                let features = &mut row[..width - self.context];
                for (x, column) in features.iter_mut().zip(self.columns) {
                    let gaussian: f32 = StandardNormal.sample(random);
                    *x += noise * column.deviation * gaussian;
                }
            }
        }
        (values, log_det_jacobian)
    }

    /// The same as a tensor, shape \[rows, D + C\].
    fn tensor(
        &self,
        transform: &Transform,
        batch: &[usize],
        noise: f32,
        random: &mut ChaCha8Rng,
        device: &Device,
    ) -> (Tensor<2>, f64) {
        let (values, log_det_jacobian) = self.noisy(transform, batch, noise, random);
        let shape = [batch.len(), self.columns.len()];
        (Tensor::from_data(TensorData::new(values, shape), device), log_det_jacobian)
    }

    /// The features of all rows, with the noise of their steps.
    fn features(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        let numbers: Vec<usize> = (0..self.count()).collect();
        let width = self.columns.len();
        let rows = self.stepped(&numbers, random);
        rows.chunks_exact(width).flat_map(|row| &row[..width - self.context]).copied().collect()
    }
}

/// Trains on `training` and stops on `validation`, both row-major in raw units.
pub fn fit(
    options: &Options,
    training: &[f32],
    validation: &[f32],
    columns: &[Column],
    mut progress: impl FnMut(Epoch),
) -> Result<Fitted> {
    let start = Instant::now();
    let is_time_over = || options.time_limit.is_some_and(|limit| start.elapsed() >= limit);
    let training = Rows::new(training, columns, options.context);
    let validation = Rows::new(validation, columns, options.context);
    let sizes = Sizes {
        features: columns.len() - options.context,
        context: options.context,
        periodic: standardise::periodic(columns),
    };
    let transform = {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed ^ 0x7472_616e_7366);
        let (rows, further) = (training.features(&mut random), validation.features(&mut random));
        Transform::fit(options.transform, &rows, &further, sizes.features, options.seed)?
    };
    if options.architecture.family.default_layers().is_none() {
        return fit_mixture(options, transform, &training, &validation, is_time_over);
    }
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let mut flow = Flow::new(&options.architecture, sizes, &mut random, &device);
    let mut averaged = flow.valid();
    let mut steps = 0.0;
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(0.0)
        .with_epsilon(1e-8)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(5.0)))
        .init();
    let mut order: Vec<usize> = (0..training.count()).collect();
    let mut learning_rate = options.learning_rate;
    let mut best: Option<(Epoch, Flow)> = None;
    let mut since_change = 0;
    let mut run = 0;
    let mut out_of_time = false;
    for number in 1..=options.epochs {
        run = number;
        order.shuffle(&mut random);
        let (mut sum, mut rows) = (0.0, 0);
        for batch in order.chunks(options.batch_size) {
            let (x, log_det_jacobian) =
                training.tensor(&transform, batch, options.noise, &mut random, &device);
            if number == 1 && rows == 0 {
                flow.initialise(x.clone());
                averaged = flow.valid();
            }
            let loss = -flow.log_density(x).mean();
            let value = f64::from(loss.clone().into_scalar::<f32>())
                - log_det_jacobian / batch.len() as f64;
            // A step along a gradient that is no number would end the run.
            if value.is_finite() {
                let gradients = GradientsParams::from_grads(loss.backward(), &flow);
                flow = optimizer.step(learning_rate, flow, gradients);
                steps += 1.0;
                // Early steps weigh less, so that the start is soon forgotten.
                averaged.average(&flow, AVERAGE_DECAY.min((1.0 + steps) / (10.0 + steps)));
                sum += value * batch.len() as f64;
                rows += batch.len();
            }
        }
        let validation_loss =
            validation_loss((&transform, &averaged), &validation, options.seed, &plain);
        let better = validation_loss.is_finite()
            && best.as_ref().is_none_or(|(epoch, _)| validation_loss < epoch.validation_loss);
        let best_number = if better { number } else { best.as_ref().map_or(0, |(b, _)| b.number) };
        let training_loss = sum / f64::from(rows.max(1) as u32);
        let epoch = Epoch { number, training_loss, validation_loss, best: best_number };
        if better {
            best = Some((epoch, averaged.clone()));
            since_change = 0;
        } else {
            since_change += 1;
        }
        progress(epoch);
        if number - best_number >= options.patience {
            break;
        }
        out_of_time = number < options.epochs && is_time_over();
        if out_of_time {
            break;
        }
        if since_change * 3 >= options.patience {
            learning_rate *= 0.5;
            since_change = 0;
        }
    }
    let (best, flow) = best.ok_or(Error::Diverged { learning_rate: options.learning_rate })?;
    Ok(Fitted { transform, flow, best, epochs: run, out_of_time })
}

/// Expectation maximisation knows no epochs; its rows have the noise of one.
fn fit_mixture(
    options: &Options,
    transform: Transform,
    training: &Rows,
    validation: &Rows,
    is_time_over: impl Fn() -> bool,
) -> Result<Fitted> {
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let numbers: Vec<usize> = (0..training.count()).collect();
    let (rows, _) = training.noisy(&transform, &numbers, options.noise, &mut random);
    let features = training.columns.len();
    let components = options.components.clone();
    let (flow, out_of_time) =
        mixture::fit(&rows, features, components, options.seed, is_time_over)?;
    let loss = |rows| validation_loss((&transform, &flow), rows, options.seed, &Device::flex());
    let (training_loss, validation_loss) = (loss(training), loss(validation));
    let best = Epoch { number: 0, training_loss, validation_loss, best: 0 };
    Ok(Fitted { transform, flow, best, epochs: 0, out_of_time })
}

/// Mean negative log-density, with the same noise every time so that epochs compare.
fn validation_loss(
    (transform, flow): (&Transform, &Flow),
    rows: &Rows,
    seed: u64,
    device: &Device,
) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x7661_6c69_6461_7465);
    let numbers: Vec<usize> = (0..rows.count()).collect();
    let mut sum = 0.0;
    for batch in numbers.chunks(VALIDATION_BATCH) {
        let (x, log_det_jacobian) = rows.tensor(transform, batch, 0.0, &mut random, device);
        sum -= f64::from(flow.log_density(x).sum().into_scalar::<f32>()) + log_det_jacobian;
    }
    sum / rows.count() as f64
}
