//! `flowlet train --family vae`: its options, its trainings one after the other, and what is told of
//! them.

mod findings;

use std::time::{Duration, Instant};

use super::job::{EPOCHS, Job, LEARNING_RATE, PATIENCE, default_batch_size};
use super::{Arguments, provenance, report};
use crate::device;
use crate::error::{Error, Result};
use crate::family::Family;
use crate::latent::export::{self, Judgement};
use crate::latent::fit::{self, Bound, Epoch, Fitted};
use crate::latent::prior::{self, Prior as Start};
use crate::latent::twin::{Decoder, Posterior as Shape};
use crate::message;
use crate::output::{self, Draft};
use crate::rows::dataset::Dataset;
use crate::rows::prepare::Prepared;
use crate::rows::split::Split;
use crate::rows::standardise::{Column, Spread};
use crate::training::alarms;
use crate::training::curve;
use crate::training::fit::Rows;
use crate::training::progress::Progress;
use findings::{Findings, terms};

/// Most latent values that there are by default.
const MOST_LATENTS: usize = 8;
/// Nats by which a flow posterior must raise the validation bound to be kept.
const GAIN: f64 = 0.1;
/// Points in a file by default.
const POINTS: usize = 32;
/// Components of a mixture prior by default.
const COMPONENTS: usize = 5;
/// Widths of the hidden layers of encoder and decoder by default.
const HIDDEN: [usize; 2] = [64, 64];
/// Layers of a posterior flow by default, and the widths of their conditioners' hidden layers.
const IAF_LAYERS: usize = 2;
const REAL_NVP_LAYERS: usize = 4;
const POSTERIOR_HIDDEN: [usize; 1] = [64];

/// Options of latent models.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Number of latent values of --family vae, which a row is encoded to; by default two thirds of the
    /// number of features, 2 to 8.
    #[arg(long, value_name = "L", value_parser = clap::value_parser!(u8).range(2..=flowlet::MAX_FEATURES as i64))]
    pub(super) latent: Option<u8>,
    /// Density of the latent values given a row, of --family vae; by default auto.
    #[arg(long, value_enum)]
    pub(super) posterior: Option<Posterior>,
    /// Density of the latent values, of --family vae; by default normal.
    #[arg(long, value_enum)]
    pub(super) prior: Option<Prior>,
    /// Density of the features given the latent values, of --family vae; by default student-t.
    #[arg(long, value_enum)]
    pub(super) likelihood: Option<Likelihood>,
    /// Number of points in the file of --family vae that a bound of the log-density is taken over; by
    /// default 32.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub(super) points: Option<u16>,
}

impl Options {
    /// Whether the features are 0 and 1.
    pub(super) fn is_binary(&self) -> bool {
        self.likelihood == Some(Likelihood::Bernoulli)
    }
}

/// The value of `--posterior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Posterior {
    /// Both a Gaussian one and an inverse autoregressive flow are trained, and the flow is kept if it
    /// raises the validation bound by more than 0.1 nats.
    #[default]
    Auto,
    /// A diagonal Gaussian: the least code and time on a device.
    Gaussian,
    /// An inverse autoregressive flow (Kingma et al. 2016), of 2 layers unless --layers says otherwise.
    Iaf,
    /// Real NVP, of 4 couplings unless --layers says otherwise.
    RealNvp,
}

/// The value of `--prior`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Prior {
    /// N(0, I).
    #[default]
    Normal,
    /// A mixture of Gaussians, whose --components are the modes of operation.
    Mixture,
    /// A Real NVP of 4 couplings.
    Flow,
}

/// The value of `--likelihood`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Likelihood {
    /// Independent Student-t densities, whose heavier tails bear values that are far out.
    #[default]
    StudentT,
    /// Independent Gaussians: a few cycles less on a device.
    Gaussian,
    /// Independent features, each 0 or 1.
    Bernoulli,
}

/// Trains, writes the file and says what came of it.
pub fn run(job: &Job) -> Result<()> {
    let binary;
    let is_binary = job.arguments.latent.is_binary();
    let job = if is_binary {
        binary = as_binary(job.rows, job.context)?;
        &Job { rows: &binary, ..*job }
    } else {
        job
    };
    let trained = train(job)?;
    let mut facts = facts(job, &trained);
    let Arguments { math, false_alarm_rate, latent, seed, .. } = job.arguments;
    let judgement = Judgement {
        math: math.id(),
        points: latent.points.map_or(POINTS, usize::from),
        seed: *seed,
        false_alarm_rates: false_alarm_rate,
        alarms: &job.alarms()?,
        signal: job.signal,
    };
    let Prepared { split, columns, .. } = job.rows;
    let draft = export::describe(&trained.fitted, columns).to_file();
    let findings = Findings::of(job, &trained, &mut *device::open(&draft, "the trained model")?)?;
    facts.extend(findings.facts());
    let file = export::export(&trained.fitted, columns, split, &judgement, &facts)?;
    Draft::create(&job.arguments.output)?.complete(file.bytes())?;
    let mut device = device::open(&file, "the trained model")?;
    findings.tell(job, &trained, &*device);
    alarms::report(device::detector(&file, "the trained model"));
    // A feature of 0 and 1 has no values off its constant.
    if !is_binary {
        report::off_constants(job, &mut *device)?;
    }
    let summary = device.summary();
    log::info!(
        "{}: {} bytes of flash, {} bytes of stack, {} multiply-adds a row",
        message::path(&output::shown(&job.arguments.output)),
        file.bytes().len(),
        summary.ram_bytes,
        summary.multiply_adds
    );
    Ok(())
}

/// The model that was kept, and why.
struct Trained {
    fitted: Fitted,
    /// What the prior started from, where that was chosen.
    start: Option<&'static str>,
    /// What the flow posterior gained over the Gaussian one, where both were trained.
    gain: Option<f64>,
    time_limit: Option<Duration>,
    out_of_time: bool,
}

/// Trains with the Gaussian posterior from each start of the prior, or with the posterior asked for,
/// and from the best one with a flow posterior, where that is to be tried.
fn train(job: &Job) -> Result<Trained> {
    let arguments = job.arguments;
    let limit = arguments.time_limit.map(Duration::from);
    let begin = Instant::now();
    let asked = arguments.latent.posterior.unwrap_or_default();
    let first =
        shape(arguments, if asked == Posterior::Auto { Posterior::Gaussian } else { asked });
    let starts = starts(job);
    let is_auto = asked == Posterior::Auto;
    let (names, mut runs) = (starts.len() > 1, starts.len() + usize::from(is_auto));
    let mut out_of_time = false;
    let mut train = |what: &str, posterior: &Shape, prior: &Start| -> Result<Fitted> {
        let left = limit.map(|limit| limit.saturating_sub(begin.elapsed()) / runs.max(1) as u32);
        runs -= 1;
        if !what.is_empty() {
            log::info!("{what}");
        }
        let fitted = fit(job, posterior, prior, left)?;
        out_of_time |= fitted.out_of_time;
        Ok(fitted)
    };
    let mut best: Option<(&'static str, Start, Fitted)> = None;
    let mut failures = Vec::new();
    for (name, prior) in starts {
        let what = if names { format!("prior that starts from {name}") } else { String::new() };
        match train(&what, &first, &prior) {
            Ok(fitted) => {
                if names {
                    log::info!("{what}: validation bound {:.3}", elbo(&fitted));
                }
                if best.as_ref().is_none_or(|(_, _, other)| elbo(&fitted) > elbo(other)) {
                    best = Some((name, prior, fitted));
                }
            }
            Err(error) if names && is_of_training(&error) => {
                log::warn!("{what} is left out: {error}");
                failures.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    let Some((name, prior, mut fitted)) = best else { return Err(failures.swap_remove(0)) };
    let mut gain = None;
    if is_auto {
        match train("flow posterior", &shape(arguments, Posterior::Iaf), &prior) {
            Ok(other) => {
                let own = elbo(&other) - elbo(&fitted);
                gain = Some(own);
                log::info!(
                    "the flow posterior gains {own:.3} nats on validation rows and {}",
                    if own > GAIN {
                        "is kept"
                    } else {
                        "is not worth it: the Gaussian one is kept"
                    }
                );
                if own > GAIN {
                    fitted = other;
                }
            }
            Err(error) if is_of_training(&error) => {
                log::warn!("the flow posterior is left out: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    let start = names.then_some(name);
    Ok(Trained { fitted, start, gain, time_limit: limit, out_of_time })
}

/// Whether another training may succeed.
fn is_of_training(error: &Error) -> bool {
    matches!(error, Error::Diverged { .. } | Error::LearnedNothing { .. })
}

fn elbo(fitted: &Fitted) -> f64 {
    fitted.best.validation.elbo
}

/// The posterior asked for.
fn shape(arguments: &Arguments, posterior: Posterior) -> Shape {
    let layers = |default| arguments.layers.map_or(default, usize::from);
    let hidden = POSTERIOR_HIDDEN.to_vec();
    match posterior {
        Posterior::Auto | Posterior::Gaussian => Shape::Gaussian,
        Posterior::Iaf => Shape::Flow { family: Family::Iaf, layers: layers(IAF_LAYERS), hidden },
        Posterior::RealNvp => {
            Shape::Flow { family: Family::RealNvp, layers: layers(REAL_NVP_LAYERS), hidden }
        }
    }
}

/// The priors to train with, each with a name where there are several.
fn starts(job: &Job) -> Vec<(&'static str, Start)> {
    let arguments = job.arguments;
    let components = arguments.components.map_or(COMPONENTS, usize::from);
    match arguments.latent.prior.unwrap_or_default() {
        Prior::Normal => vec![("", Start::Normal)],
        Prior::Flow => vec![("", Start::Flow)],
        Prior::Mixture => {
            let Prepared { split, columns, .. } = job.rows;
            let rows = Rows::new(&split.training, columns, job.context);
            let options = options(job, &Shape::Gaussian, &Start::Normal, None);
            match fit::components(&options, &rows, columns) {
                None => vec![("chance", Start::Mixture { components, start: Vec::new() })],
                Some(linear) => {
                    let features = columns.len() - job.context;
                    let rows = fit::features(&options, &rows);
                    let (latents, seed) = (options.latents, arguments.seed);
                    prior::starts(&rows, features, &linear, latents, components, seed)
                }
            }
        }
    }
}

fn options(
    job: &Job,
    posterior: &Shape,
    prior: &Start,
    time_limit: Option<Duration>,
) -> fit::Options {
    let arguments = job.arguments;
    let features = job.rows.columns.len() - job.context;
    let rows = job.rows.split.training.lines.len();
    let latents = (2 * features).div_ceil(3).clamp(2, MOST_LATENTS);
    let batch_size = arguments.batch_size.map_or(default_batch_size(rows), |size| size as usize);
    fit::Options {
        latents: arguments.latent.latent.map_or(latents, usize::from),
        hidden: arguments.hidden.as_ref().map_or(HIDDEN.to_vec(), |widths| widths.0.clone()),
        likelihood: match arguments.latent.likelihood.unwrap_or_default() {
            Likelihood::Gaussian => Decoder::Gaussian,
            Likelihood::StudentT => Decoder::StudentT,
            Likelihood::Bernoulli => Decoder::Bernoulli,
        },
        posterior: posterior.clone(),
        prior: prior.clone(),
        context: job.context,
        epochs: arguments.epochs.unwrap_or(EPOCHS) as usize,
        batch_size,
        learning_rate: arguments.learning_rate.unwrap_or(LEARNING_RATE),
        noise: arguments.noise,
        patience: arguments.patience.unwrap_or(PATIENCE) as usize,
        seed: arguments.seed,
        time_limit,
    }
}

fn fit(
    job: &Job,
    posterior: &Shape,
    prior: &Start,
    time_limit: Option<Duration>,
) -> Result<Fitted> {
    let options = options(job, posterior, prior, time_limit);
    let progress = Progress::new(options.epochs);
    let Prepared { split: Split { training, early_stopping, .. }, columns, .. } = job.rows;
    let fitted = fit::fit(&options, training, early_stopping, columns, |epoch| {
        let Epoch { number, training, validation, best } = epoch;
        let bounds =
            format!("training bound {:.4}, validation bound {}", training.elbo, terms(&validation));
        progress.tell(number, best, &bounds);
    });
    progress.finish();
    fitted
}

/// The same rows, whose features are 0 or 1 and stay so.
fn as_binary(rows: &Prepared, context: usize) -> Result<Prepared> {
    let Prepared { split, columns, constants, facts, runs, rows } = rows;
    let features = columns.len() - context;
    for dataset in [&split.training, &split.early_stopping, &split.held_out] {
        check_binary(dataset, features)?;
    }
    let plain = |(number, column): (usize, &Column)| {
        let mut column = column.clone();
        if number < features {
            (column.feature.centre, column.feature.scale) = (0.0, 1.0);
            (column.spread, column.deviation) = (Spread::Nothing, 1.0);
        }
        column
    };
    Ok(Prepared {
        split: split.clone(),
        columns: columns.iter().enumerate().map(plain).collect(),
        constants: constants.clone(),
        facts: facts.clone(),
        runs: runs.clone(),
        rows: *rows,
    })
}

fn check_binary(dataset: &Dataset, features: usize) -> Result<()> {
    for (row, line) in dataset.rows().zip(&dataset.lines) {
        let values = row.iter().zip(&dataset.names).take(features);
        if let Some((value, column)) = values.into_iter().find(|(x, _)| **x != 0.0 && **x != 1.0) {
            return Err(Error::NotBinary {
                path: dataset.path.clone(),
                line: *line,
                column: column.clone(),
                value: *value,
            });
        }
    }
    Ok(())
}

/// What the file says of its making.
fn facts(job: &Job, trained: &Trained) -> Vec<(&'static str, String)> {
    let Trained { fitted, start, gain, time_limit, out_of_time } = trained;
    let Epoch { number, training, validation, .. } = fitted.best;
    let mut facts = provenance::of_rows(job, "vae", *time_limit, *out_of_time);
    facts.push(("epochs", format!("{number} of {}", fitted.epochs)));
    facts.extend(start.map(|start| ("prior_start", start.to_owned())));
    facts.extend(gain.map(|gain| ("flow_posterior_gain", format!("{gain:.4}"))));
    let nats = |key, value: f64| (key, format!("{value:.4}"));
    facts.extend([
        nats("training_elbo", training.elbo),
        nats("validation_elbo", validation.elbo),
        nats("validation_reconstruction", validation.reconstruction),
        nats("validation_prior", validation.prior),
        nats("validation_posterior", validation.posterior),
    ]);
    facts.push(("noise", job.arguments.noise.to_string()));
    facts.push((curve::KEYS[0], fitted.curve.thinned(number).to_string()));
    facts
}
