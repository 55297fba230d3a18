//! `flowlet train`: rows in, model file out.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;

use flowlet::{Libm, Math, Micromath};
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::calibrate;
use crate::dataset::{Dataset, Table};
use crate::device;
use crate::error::{Error, Result};
use crate::export;
use crate::family::{Architecture, Family};
use crate::fit::{self, Epoch, Options};
use crate::output::Draft;
use crate::preprocess;

/// Fewest training rows.
const MINIMUM_ROWS: usize = 50;
/// Fewest rows for early stopping and for the threshold.
const MINIMUM_HELD_OUT: usize = 4;

/// Train a flow on the rows of a CSV file and write it as a model file.
///
/// The rows must be normal ones: the flow learns their density, and what is improbable under it
/// counts as an anomaly. Each column is a feature; the header names it.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// CSV file with a header and one row of numbers a line; `-` for standard input.
    training: PathBuf,
    /// CSV file of further normal rows, half for early stopping and half for the threshold;
    /// without it, a fifth of the training rows.
    #[arg(long, value_name = "CSV")]
    validation: Option<PathBuf>,
    /// Where to write the model file.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Family of the flow.
    #[arg(long, value_enum, default_value = "real-nvp")]
    family: Family,
    /// Number of couplings.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=64))]
    layers: u16,
    /// Widths of the one to three hidden layers of each conditioner.
    #[arg(long, default_value = "64,64", value_name = "N,N")]
    hidden: Widths,
    /// Most passes over the training rows.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Rows of one step; by default 32 to 256, growing with the number of rows.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// Learning rate at the start.
    #[arg(long, default_value_t = 2e-3, value_parser = positive)]
    learning_rate: f64,
    /// Standard deviation of the Gaussian noise on training rows, in standard deviations of each
    /// feature; by default 0.1 for up to 4000 rows, then shrinking with the root of their number.
    #[arg(long, value_parser = noise)]
    noise: Option<f32>,
    /// Epochs without a better validation loss after which training stops.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,
    /// Seed of every random draw: the same seed gives the same file, byte for byte.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Columns that are not features, such as a time stamp.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    exclude: Vec<String>,
    /// Share of normal rows that may score above the threshold.
    #[arg(long, default_value_t = 0.01, value_parser = rate)]
    false_alarm_rate: f64,
    /// Arithmetic that the threshold will hold for.
    #[arg(long, value_enum, default_value = "libm")]
    math: Arithmetic,
}

/// The `Math` of the firmware.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Arithmetic {
    /// Exact to an ulp; the firmware's default.
    Libm,
    /// Rough; for `Flow<_, _, _, Micromath>`.
    Micromath,
}

/// Widths of hidden layers, `64,64` on the command line.
#[derive(Clone, Debug)]
struct Widths(Vec<usize>);

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let width =
            |word: &str| word.trim().parse().ok().filter(|width| (1..=1024).contains(width));
        let widths: Option<Vec<usize>> = text.split(',').map(width).collect();
        match widths.filter(|widths| widths.len() <= flowlet::MAX_HIDDEN) {
            Some(widths) => Ok(Self(widths)),
            None => Err("expected one to three widths from 1 to 1024, such as 64,64".into()),
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number between 0 and 1".into()),
    }
}

fn noise(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (1e-6..=0.5).contains(&value) => Ok(value),
        _ => Err("expected a share from 0.000001 to 0.5".into()),
    }
}

/// The three parts of the rows.
struct Split {
    training: Dataset,
    early_stopping: Dataset,
    held_out: Dataset,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    Draft::check(&arguments.output)?;
    let split = split(arguments)?;
    let Split { training, early_stopping, held_out } = &split;
    let columns = preprocess::fit(training);
    for column in columns.iter().filter(|column| column.constant) {
        log::warn!(
            "{}: column `{}` is constant ({}): any other value will count as an anomaly; \
             leave it out with --exclude {} if that is not meant",
            training.path,
            column.feature.name,
            column.feature.low,
            column.feature.name
        );
    }
    if training.names.iter().any(|name| name.eq_ignore_ascii_case("label")) {
        log::warn!(
            "{}: column `label` is used as a feature; --exclude label if it is not one",
            training.path
        );
    }
    let needed = calibrate::rows_needed(arguments.false_alarm_rate);
    if held_out.rows().len() < needed {
        log::warn!(
            "only {} rows are left for the threshold, a false-alarm rate of {} needs {needed}: \
             the largest of their scores is taken",
            held_out.rows().len(),
            arguments.false_alarm_rate
        );
    }

    let architecture = Architecture {
        family: arguments.family,
        layers: arguments.layers.into(),
        hidden: arguments.hidden.0.clone(),
    };
    let rows = training.rows().len();
    let options = Options {
        architecture,
        epochs: arguments.epochs as usize,
        batch_size: arguments.batch_size.map_or(default_batch_size(rows), |size| size as usize),
        learning_rate: arguments.learning_rate,
        noise: arguments.noise.unwrap_or(default_noise(rows)),
        patience: arguments.patience as usize,
        seed: arguments.seed,
    };
    let progress = Progress::new(options.epochs);
    let fitted = fit::fit(&options, &training.values, &early_stopping.values, &columns, |epoch| {
        progress.show(epoch);
    })?;
    progress.finish();

    let bytes: &[u8] = &training.values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let stepped = columns.iter().filter(|column| column.step.is_some());
    let stepped: Vec<_> = stepped.map(|column| column.feature.name.as_str()).collect();
    let provenance = [
        ("tool", format!("flowlet {}", env!("CARGO_PKG_VERSION"))),
        ("family", "real-nvp".into()),
        ("seed", options.seed.to_string()),
        ("training_rows", rows.to_string()),
        ("training_crc32c", format!("{:08x}", flowlet::file::checksum(bytes))),
        ("epochs", format!("{} of {}", fitted.best.number, fitted.epochs)),
        ("training_log_density", format!("{:.4}", -fitted.best.training_loss)),
        ("validation_log_density", format!("{:.4}", -fitted.best.validation_loss)),
        ("noise", format!("{:.4}", options.noise)),
        ("dequantised", stepped.join(",")),
    ];
    let math = match arguments.math {
        Arithmetic::Libm => Libm::ID,
        Arithmetic::Micromath => Micromath::ID,
    };
    let layers = fitted.flow.export();
    let rate = arguments.false_alarm_rate;
    let file = export::export(layers, &columns, math, held_out, rate, &provenance)?;
    let write = |source| Error::Write { path: arguments.output.clone(), source };
    let mut draft = Draft::create(&arguments.output)?;
    draft.write_all(file.bytes()).map_err(write)?;
    draft.finish()?;

    let device = device::open(&file, "the trained model")?;
    let summary = device.summary();
    let threshold = device.threshold().map_or(f32::NAN, |threshold| threshold.score);
    log::info!(
        "best epoch {} of {}: log-density {:.3} in training, {:.3} on validation rows \
         (standardised units, nats)",
        fitted.best.number,
        fitted.epochs,
        -fitted.best.training_loss,
        -fitted.best.validation_loss
    );
    log::info!(
        "threshold {threshold} at a false-alarm rate of {rate}, from {} rows",
        held_out.rows().len()
    );
    log::info!(
        "{}: {} bytes of flash, {} bytes of stack, {} multiply-adds a row",
        arguments.output.display(),
        file.bytes().len(),
        summary.ram_bytes,
        summary.multiply_adds
    );
    Ok(())
}

/// Small sets take small steps, large sets larger ones for speed.
fn default_batch_size(rows: usize) -> usize {
    (rows / 32).clamp(32, 256)
}

/// The fewer the rows, the wider each must stand for its neighbourhood.
fn default_noise(rows: usize) -> f32 {
    (0.1 * (4000.0 / rows as f32).sqrt()).min(0.1)
}

fn split(arguments: &Arguments) -> Result<Split> {
    let training = Table::open(&arguments.training)?.read(&arguments.exclude)?;
    let features = training.names.len();
    if !(2..=flowlet::MAX_FEATURES).contains(&features) {
        return Err(Error::Features { path: training.path, features });
    }
    let mut random = ChaCha8Rng::seed_from_u64(arguments.seed ^ 0x73_706c_6974);
    let (training, validation) = match &arguments.validation {
        Some(path) => {
            let validation = Table::open(path)?.read_columns(training.names.clone())?;
            (training, validation)
        }
        None => {
            let fifth = training.rows().len() / 5;
            log::info!("{}: {fifth} rows are set aside for validation", training.path);
            let (validation, training) = divide(&training, fifth, &mut random);
            (training, validation)
        }
    };
    let rows = training.rows().len();
    if rows < MINIMUM_ROWS {
        return Err(Error::TooFewRows { path: training.path, rows, minimum: MINIMUM_ROWS });
    }
    let half = validation.rows().len() / 2;
    if half < MINIMUM_HELD_OUT {
        let (path, rows) = (validation.path.clone(), validation.rows().len());
        return Err(Error::TooFewRows { path, rows, minimum: 2 * MINIMUM_HELD_OUT });
    }
    let (held_out, early_stopping) = divide(&validation, half, &mut random);
    Ok(Split { training, early_stopping, held_out })
}

/// `count` rows of `dataset` by chance, and the rest, both in their old order.
fn divide(dataset: &Dataset, count: usize, random: &mut ChaCha8Rng) -> (Dataset, Dataset) {
    let mut chosen = vec![false; dataset.rows().len()];
    chosen[..count].fill(true);
    chosen.shuffle(random);
    let part = |wanted: bool| {
        let rows = dataset.rows().zip(&chosen).filter(|(_, chosen)| **chosen == wanted);
        let values = rows.flat_map(|(row, _)| row.iter().copied()).collect();
        Dataset { path: dataset.path.clone(), names: dataset.names.clone(), values }
    };
    (part(true), part(false))
}

/// A bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    epochs: usize,
}

impl Progress {
    fn new(epochs: usize) -> Self {
        let quiet = !log::log_enabled!(log::Level::Info);
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let style =
                ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}");
            let bar = ProgressBar::new(epochs as u64);
            bar.set_style(style.expect("a constant template"));
            bar
        });
        Self { bar, epochs }
    }

    fn show(&self, epoch: Epoch) {
        let Epoch { number, training_loss, validation_loss, best } = epoch;
        let losses =
            format!("training loss {training_loss:.4}, validation loss {validation_loss:.4}");
        match &self.bar {
            Some(bar) => {
                bar.set_position(number as u64);
                bar.set_message(format!("{losses}, best epoch {best}"));
            }
            None if number == 1 || number % 10 == 0 => {
                log::info!(
                    "epoch {number} of at most {}: {losses}, best epoch {best}",
                    self.epochs
                );
            }
            None => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
