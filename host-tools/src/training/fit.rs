//! Maximum likelihood: the loop that turns rows into a flow.
//!
//! Steps down the mean negative log-density of standardised rows ([`averaged`](super::averaged)), with
//! [`patience`](super::patience): the weights of the epoch with the best validation loss are kept.
//!
//! Two habits make the flow a better detector. Fresh Gaussian noise on every training row keeps
//! the density from spikes on single rows (Rothfuss et al. 2019, "Noise Regularization for
//! Conditional Density Estimation"); validation rows have none. And the weights that are
//! validated and kept are a moving average of the steps'.
//!
//! A plain Gaussian is the yardstick: a flow that ends below it on the rows for early stopping learned
//! nothing, and is refused.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use flowlet::write::{Layer, Linear};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::family::{Architecture, Flow, Sizes};
use crate::rows::dataset::Dataset;
use crate::rows::standardise::{self, Column};
use crate::training::averaged::Averaged;
use crate::training::conditional;
use crate::training::curve::{Curve, Point};
use crate::training::loss;
use crate::training::mixture;
use crate::training::patience::Patience;
use crate::training::transform::{self, Transform};

/// Rows of one validation pass.
const VALIDATION_BATCH: usize = 1024;

/// Widths of the network that shifts and scales the features as the context says.
const CONDITIONAL_HIDDEN: [usize; 2] = [16, 16];

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

/// What one epoch came to; losses are mean negative log-densities of standardised rows, nats, the
/// largest ones left out ([`loss::mean`]).
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
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Fixed layers in front of the flow.
    pub transform: Transform,
    /// The weights of the best epoch.
    pub flow: Flow,
    /// That epoch.
    pub best: Epoch,
    /// Epochs run; none by expectation maximisation.
    pub epochs: usize,
    /// What each of them reached.
    pub curve: Curve,
    /// Whether the time limit ended training, in which case another run may end elsewhere.
    pub out_of_time: bool,
    /// Whether it is still below a plain Gaussian, because it had few epochs.
    pub unfinished: bool,
}

/// Rows on their way to the flow: standardised, with the noise of their steps.
pub(crate) struct Rows<'a> {
    columns: &'a [Column],
    context: usize,
    standardised: Vec<f32>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(dataset: &Dataset, columns: &'a [Column], context: usize) -> Self {
        let row = |row: &[f64]| -> Vec<f32> {
            row.iter().zip(columns).map(|(x, column)| column.standardise(*x)).collect()
        };
        Self { columns, context, standardised: dataset.rows().flat_map(row).collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.standardised.len() / self.columns.len()
    }

    /// The rows numbered `batch`, row-major, with fresh noise of each column's steps.
    pub(crate) fn stepped(&self, batch: &[usize], random: &mut ChaCha8Rng) -> Vec<f32> {
        let width = self.columns.len();
        let mut values = Vec::with_capacity(batch.len() * width);
        for number in batch {
            let row = &self.standardised[number * width..][..width];
            let (x, context) = row.split_at(width - self.context);
            let noisy = |(x, column): (&f32, &Column)| x + column.noise(*x, random);
            values.extend(x.iter().zip(self.columns).map(noisy));
            // A context has none: it is given, not modelled.
            values.extend(context);
        }
        values
    }

    /// The same, transformed and with Gaussian noise of `noise` times each column's deviation, and
    /// log |det| of the transform for each row.
    fn noisy(
        &self,
        transform: &Transform,
        batch: &[usize],
        noise: f32,
        random: &mut ChaCha8Rng,
    ) -> (Vec<f32>, Vec<f64>) {
        let mut values = self.stepped(batch, random);
        let width = self.columns.len();
        let log_det_jacobian = transform.apply(&mut values);
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
    ) -> (Tensor<2>, Vec<f64>) {
        let (values, log_det_jacobian) = self.noisy(transform, batch, noise, random);
        let shape = [batch.len(), self.columns.len()];
        (Tensor::from_data(TensorData::new(values, shape), device), log_det_jacobian)
    }

    /// All rows, with the noise of their steps.
    fn all(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        let numbers: Vec<usize> = (0..self.count()).collect();
        self.stepped(&numbers, random)
    }

    /// The features of all rows, with the noise of their steps.
    pub(crate) fn features(&self, random: &mut ChaCha8Rng) -> Vec<f32> {
        self.without_context(&self.all(random))
    }

    fn without_context(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.columns.len();
        rows.chunks_exact(width).flat_map(|row| &row[..width - self.context]).copied().collect()
    }
}

/// Trains on `training` and stops on `validation`, both in raw units, their offsets subtracted.
pub fn fit(
    options: &Options,
    training: &Dataset,
    validation: &Dataset,
    columns: &[Column],
    progress: impl FnMut(Epoch),
) -> Result<Fitted> {
    let start = Instant::now();
    let is_time_over = || options.time_limit.is_some_and(|limit| start.elapsed() >= limit);
    let training = Rows::new(training, columns, options.context);
    let validation = Rows::new(validation, columns, options.context);
    let sizes = sizes(columns, options.context);
    let network = match options.context {
        0 => None,
        _ => Some(train_conditional(options, &training, &validation, sizes, is_time_over)?),
    };
    let transform = fit_transform(options, &training, &validation, sizes, network.as_deref())?;
    if options.architecture.family.default_layers().is_none() {
        return fit_mixture(options, transform, &training, &validation, is_time_over);
    }
    let new = |random: &mut _, device: &_| Flow::new(&options.architecture, sizes, random, device);
    let task =
        Task { options, transform: &transform, training: &training, validation: &validation };
    let Descent { best, flow, epochs, curve, start_loss, out_of_time } =
        task.descend(new, is_time_over, progress)?;
    let judge = task.judge();
    let gaussian = judge.gaussian_losses(&training, options.noise);
    let losses = judge.losses(&flow);
    let is_behind = |gaussian: &Vec<f64>| loss::is_behind(&losses, gaussian, sizes.features);
    let unfinished = match gaussian.filter(is_behind) {
        None => false,
        // It was on its way from where it started.
        Some(_) if best.number == epochs && best.validation_loss < start_loss => true,
        Some(gaussian) => {
            return Err(Error::LearnedNothing {
                reached: -best.validation_loss,
                gaussian: -loss::mean(&gaussian),
                learning_rate: options.learning_rate,
                epochs,
            });
        }
    };
    Ok(Fitted { transform, flow, best, epochs, curve, out_of_time, unfinished })
}

/// Those of rows of `columns`, the last `context` of them their context.
fn sizes(columns: &[Column], context: usize) -> Sizes {
    let features = columns.len() - context;
    Sizes { features, context, periodic: standardise::periodic(columns) }
}

/// What stands in front of the flow; `network` is that of the shifts and scales given the context, none
/// where only the shape of a flow is asked for.
fn fit_transform(
    options: &Options,
    training: &Rows,
    validation: &Rows,
    sizes: Sizes,
    network: Option<&[Linear]>,
) -> Result<Transform> {
    let mut random = ChaCha8Rng::seed_from_u64(options.seed ^ 0x7472_616e_7366);
    let (values, further) = (training.all(&mut random), validation.all(&mut random));
    let Sizes { features, context, periodic } = sizes;
    let [rows, further] =
        [&values, &further].map(|values| transform::Rows { values, features, context });
    let conditional = match network {
        Some(network) => conditional::layer(network, further, periodic),
        None if context > 0 => {
            let flow = Flow::conditional(sizes, &CONDITIONAL_HIDDEN, &mut random, &Device::flex());
            let (layers, _) = flow.export();
            layers.into_iter().next().map(|layer| (layer, vec![None; features]))
        }
        None => None,
    };
    Transform::fit(options.transform, conditional, rows, further, options.seed)
}

/// The network of a shift and a scale of each feature given the context.
fn train_conditional(
    options: &Options,
    training: &Rows,
    validation: &Rows,
    sizes: Sizes,
    is_time_over: impl Fn() -> bool,
) -> Result<Vec<Linear>> {
    let identity = Transform::identity(sizes.features, sizes.context);
    let task = Task { options, transform: &identity, training, validation };
    let new =
        |random: &mut _, device: &_| Flow::conditional(sizes, &CONDITIONAL_HIDDEN, random, device);
    let (layers, _) = task.descend(new, is_time_over, |_| ())?.flow.export();
    match layers.into_iter().next() {
        Some(Layer::Coupling { network, .. }) => Ok(network),
        _ => unreachable!("a flow of one coupling"),
    }
}

/// What a flow is trained on, and how.
struct Task<'a> {
    options: &'a Options,
    transform: &'a Transform,
    training: &'a Rows<'a>,
    validation: &'a Rows<'a>,
}

/// A flow at its best epoch.
struct Descent {
    best: Epoch,
    flow: Flow,
    /// Epochs run.
    epochs: usize,
    curve: Curve,
    /// Validation loss of the flow as it was made.
    start_loss: f64,
    out_of_time: bool,
}

impl Task<'_> {
    fn judge(&self) -> Judge<'_> {
        Judge { transform: self.transform, rows: self.validation, seed: self.options.seed }
    }

    /// Trains the flow that `new` makes.
    fn descend(
        &self,
        new: impl Fn(&mut ChaCha8Rng, &Device) -> Flow,
        is_time_over: impl Fn() -> bool,
        mut progress: impl FnMut(Epoch),
    ) -> Result<Descent> {
        let Self { options, transform, training, .. } = self;
        let features = training.columns.len() - training.context;
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let device = Device::flex().autodiff();
        let start_flow = new(&mut random, &device);
        let judge = self.judge();
        let start_loss = loss::mean(&judge.losses(&start_flow.valid()));
        let Options { learning_rate, epochs, .. } = **options;
        let mut patience = Patience::new(learning_rate, options.patience, 0, start_loss, features);
        let mut flow = Averaged::new(start_flow.clone());
        let mut is_fresh = true;
        let mut order: Vec<usize> = (0..training.count()).collect();
        let mut best: Option<(Epoch, Flow)> = None;
        let mut curve = Curve::default();
        let (mut run, mut out_of_time) = (0, false);
        for number in 1..=epochs {
            run = number;
            order.shuffle(&mut random);
            let mut losses = Vec::with_capacity(order.len());
            for batch in order.chunks(options.batch_size) {
                let (x, log_dets) =
                    training.tensor(transform, batch, options.noise, &mut random, &device);
                if is_fresh {
                    flow.module.initialise(x.clone());
                    flow = Averaged::new(flow.module);
                    is_fresh = false;
                }
                let log_density = flow.module.log_density(x);
                let own = negative(&log_density, &log_dets);
                // A step along a gradient that is no number would end the run.
                if own.iter().all(|loss| loss.is_finite()) {
                    flow = flow.step(-log_density.mean(), patience.learning_rate());
                }
                losses.extend(own);
            }
            let validation_loss = loss::mean(&judge.losses(&flow.average));
            let is_best = patience.note(number, validation_loss);
            let training_loss = loss::mean(&losses);
            let epoch = Epoch { number, training_loss, validation_loss, best: patience.best() };
            if is_best {
                best = Some((epoch, flow.average.clone()));
            }
            progress(epoch);
            curve.push(Point {
                epoch: number,
                training: -training_loss,
                validation: -validation_loss,
            });
            if patience.is_over(number) {
                break;
            }
            out_of_time = number < epochs && is_time_over();
            if out_of_time {
                break;
            }
            if patience.starts_again(number, validation_loss) {
                flow = Averaged::new(start_flow.clone());
                is_fresh = true;
            }
        }
        let (best, flow) = best.ok_or(Error::Diverged { learning_rate: options.learning_rate })?;
        Ok(Descent { best, flow, epochs: run, curve, start_loss, out_of_time })
    }
}

/// The flow that training would start from, which has the shape of what comes of it: what it will cost
/// is known before. Not for a family without layers.
pub fn untrained(
    options: &Options,
    training: &Dataset,
    validation: &Dataset,
    columns: &[Column],
) -> Result<Fitted> {
    let training = Rows::new(training, columns, options.context);
    let validation = Rows::new(validation, columns, options.context);
    let sizes = sizes(columns, options.context);
    let transform = fit_transform(options, &training, &validation, sizes, None)?;
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let flow = Flow::new(&options.architecture, sizes, &mut random, &Device::flex());
    let best = Epoch { number: 0, training_loss: 0.0, validation_loss: 0.0, best: 0 };
    let curve = Curve::default();
    Ok(Fitted { transform, flow, best, epochs: 0, curve, out_of_time: false, unfinished: true })
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
    let rows = training.without_context(&rows);
    let features = training.columns.len() - training.context;
    let components = options.components.clone();
    let (flow, out_of_time) =
        mixture::fit(&rows, features, components, options.seed, is_time_over)?;
    let flow = flow.beside(training.context);
    let mean =
        |rows| loss::mean(&Judge { transform: &transform, rows, seed: options.seed }.losses(&flow));
    let (training_loss, validation_loss) = (mean(training), mean(validation));
    let best = Epoch { number: 0, training_loss, validation_loss, best: 0 };
    let curve = Curve::default();
    Ok(Fitted { transform, flow, best, epochs: 0, curve, out_of_time, unfinished: false })
}

/// The loss of each row, given the log-densities of the transformed rows, shape \[rows, 1\].
fn negative(log_density: &Tensor<2>, log_dets: &[f64]) -> Vec<f64> {
    let values: Vec<f32> =
        log_density.clone().into_data().try_to_vec().expect("log-densities are made of f32");
    values.iter().zip(log_dets).map(|(own, log_det)| -f64::from(*own) - log_det).collect()
}

/// Rows that flows are judged by, with the same noise every time so that they compare.
struct Judge<'a> {
    transform: &'a Transform,
    rows: &'a Rows<'a>,
    seed: u64,
}

impl Judge<'_> {
    /// The same of a Gaussian of the features alone, fitted to `training` with the same `noise`; none
    /// where there is none.
    fn gaussian_losses(&self, training: &Rows, noise: f32) -> Option<Vec<f64>> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let numbers: Vec<usize> = (0..training.count()).collect();
        let (rows, _) = training.noisy(self.transform, &numbers, noise, &mut random);
        let rows = training.without_context(&rows);
        let features = training.columns.len() - training.context;
        let (gaussian, _) = mixture::fit(&rows, features, 1..=1, self.seed, || false).ok()?;
        Some(self.losses(&gaussian.beside(training.context)))
    }

    /// The loss of each row.
    fn losses(&self, flow: &Flow) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ 0x7661_6c69_6461_7465);
        let device = Device::flex();
        let numbers: Vec<usize> = (0..self.rows.count()).collect();
        let batches = numbers.chunks(VALIDATION_BATCH).flat_map(|batch| {
            let (x, log_dets) = self.rows.tensor(self.transform, batch, 0.0, &mut random, &device);
            negative(&flow.log_density(x), &log_dets)
        });
        batches.collect()
    }
}
