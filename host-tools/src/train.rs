//! `flowlet train`: rows in, model file out.

mod architecture;
mod conflicts;
mod job;
mod latent;
mod provenance;
mod report;
mod search;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use flowlet::{Libm, Math, Micromath};

use crate::error::{Error, Result};
use crate::family::Image;
use crate::names::{Name, Names};
use crate::output::Draft;
use crate::rows::dataset::Dataset;
use crate::rows::missing::Missing;
use crate::rows::period::Period;
use crate::rows::precision::Offset;
use crate::rows::prepare::{self, Wild};
use crate::rows::roles::Roles;
use crate::rows::split::Division;
use crate::rows::table::Table;
use crate::signal::{self, windows};
use crate::training::alarms::Options;
use crate::training::export::Score;
use crate::training::selection::{Base, Choice};
use crate::training::transform::Marginal;

use job::Job;
pub use report::OPERATING_POINTS;

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
    /// Where to write the model file; `-` for standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Family of the model.
    #[arg(long, value_enum, default_value = "auto")]
    family: Choice,
    #[command(flatten)]
    search: search::Options,
    /// Most time for training, such as 90s or 10m, looked at after each epoch; by default 10m
    /// for all candidates of --family auto together, and none for another family.
    #[arg(long, value_name = "TIME")]
    time_limit: Option<humantime::Duration>,
    /// Number of couplings or autoregressive layers; by default 3 with splines, else 5. With
    /// --image, steps of each level, by default 8.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    layers: Option<u16>,
    /// Rows are images of so many lines, columns and channels, line by line, each pixel's channels
    /// side by side: makes --family glow a multi-scale one.
    #[arg(long, value_name = "HxWxC")]
    image: Option<Image>,
    /// Density that the flow maps rows to; by default Student-t, whose tails bear wild rows, and
    /// with --periodic the standard normal one.
    #[arg(long, value_enum)]
    base: Option<Base>,
    #[command(flatten)]
    latent: latent::Options,
    /// Number of components of --base mixture or student-t-mixture, by default 5, of --prior mixture, or of --family
    /// gmm, by default the best of 1 to 10 by the Bayesian information criterion.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    components: Option<u16>,
    /// Widths of the one to three hidden layers of each conditioner; by default 32,32, of a
    /// spline-coupling 32,16, and 64,64 for 10000 training rows or more without --image.
    #[arg(long, value_name = "N,N")]
    hidden: Option<Widths>,
    /// Features that a fixed monotone map, fitted to their quantiles, gives a normal shape first.
    #[arg(long, value_enum, default_value = "none")]
    marginal: Marginal,
    /// Give the features a unit covariance first, by a fixed linear map.
    #[arg(long)]
    whiten: bool,
    /// Most passes over the training rows; by default 200.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Rows of one step; by default 32 to 256, growing with the number of rows.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
    /// Learning rate at the start; by default 0.002.
    #[arg(long, value_parser = positive)]
    learning_rate: Option<f64>,
    /// Standard deviation of Gaussian noise on training rows, where each feature has 1: smooths the
    /// density of few rows.
    #[arg(long, default_value_t = 0.0, value_parser = noise)]
    noise: f32,
    /// Epochs without a better validation loss after which training stops; by default 20.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    patience: Option<u32>,
    /// Seed of every random draw: the same seed gives the same file, byte for byte, unless the
    /// time limit ended training or kept --family auto from trying a family.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Columns that are not features, such as a time stamp. May be given once for each column, as
    /// may --context and --periodic: a name may then hold commas.
    #[arg(long, value_name = "COLUMN,...")]
    exclude: Vec<Names<Name>>,
    /// Columns that are no features but condition their density, such as a speed or a load: the
    /// flow learns p(features | context).
    #[arg(long, value_name = "COLUMN,...")]
    context: Vec<Names<Name>>,
    /// Columns whose values lie on a circle, such as a phase or a heading, each with one period,
    /// whose ends are one value; what lies beyond is wrapped. Only families with splines know them.
    #[arg(long, value_name = "COLUMN=LOW..HIGH,...")]
    periodic: Vec<Names<Period>>,
    /// What becomes of rows that lack a value: an empty cell, NaN, NA, null and the like. A value
    /// that is infinite is there, and always refused.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// What is subtracted from a column before its values become f32, in training as on the device:
    /// for a column that varies little at a large value.
    #[arg(long, value_name = "COLUMN=VALUE,...")]
    offset: Vec<Names<Offset>>,
    /// How rows are divided into those that train, that stop training, and that set the threshold.
    #[arg(long, value_enum, default_value = "blocks")]
    split: Division,
    /// What becomes of the few rows with a value far from all others, such as a glitch or an error
    /// code.
    #[arg(long, value_enum, default_value = "drop")]
    wild: Wild,
    /// Number of flows that judge a row together, 1 to 4: of seeds --seed, --seed + 1 and so on,
    /// by default 1, or with --family auto those with the highest log-density on the rows for
    /// early stopping, by default always the same families. They share the time limit, and flash
    /// and cycles of all add up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=flowlet::MAX_MEMBERS as i64))]
    ensemble: Option<u8>,
    /// What rows are judged by.
    #[arg(long, value_enum, default_value = "balanced")]
    score: Score,
    /// Share of normal rows that may score above the threshold; of several, the first one decides what
    /// is an anomaly, and the file holds a threshold for each.
    #[arg(long, value_name = "RATE,...", value_delimiter = ',', default_value = "0.01", value_parser = rate)]
    false_alarm_rate: Vec<f64>,
    #[command(flatten)]
    alarms: Options,
    /// Arithmetic that the threshold will hold for.
    #[arg(long, value_enum, default_value = "libm")]
    math: Arithmetic,
    #[command(flatten)]
    signal: signal::options::Options,
}

/// The `Math` of the firmware.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Arithmetic {
    /// Exact to an ulp; the firmware's default.
    Libm,
    /// Rough; for `Flow<_, _, _, Micromath>`.
    Micromath,
}

impl Arithmetic {
    /// Its number in a file.
    fn id(self) -> u32 {
        match self {
            Self::Libm => Libm::ID,
            Self::Micromath => Micromath::ID,
        }
    }
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

/// What the files hold.
struct Input {
    training: Dataset,
    validation: Option<Dataset>,
    /// How the rows come from a raw signal, the words of a `Signal`; nothing where they do not.
    signal: Vec<u32>,
}

/// Reads rows that come as they are.
fn read(table: Table, roles: &Roles, validation: Option<&Path>, missing: Missing) -> Result<Input> {
    let training = table.read(&roles.exclude, &roles.context)?;
    let validation = validation.map(|path| {
        let mut table = Table::open(path)?.with_missing(missing);
        table.read_columns(training.names.clone())
    });
    Ok(Input { validation: validation.transpose()?, training, signal: Vec::new() })
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    conflicts::check(arguments)?;
    // Found before any work.
    arguments.alarms.rows_between_false_alarms()?;
    let inputs = [Some(&arguments.training), arguments.validation.as_ref()];
    let inputs: Vec<_> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    if inputs.iter().filter(|input| **input == Path::new("-")).count() > 1 {
        return Err(Error::Options { option: "--validation -", with: "training rows from `-`" });
    }
    Draft::check(&arguments.output, &inputs)?;
    if let Some(picture) = &arguments.search.search_picture {
        Draft::check(picture, &inputs)?;
    }
    let Arguments { exclude, context, periodic, offset, missing, signal, .. } = arguments;
    let table = Table::open(&arguments.training)?.with_missing(*missing);
    let roles = Roles::new(&table, exclude, context, periodic, offset)?;
    let validation = arguments.validation.as_deref();
    let Input { training, validation, signal } = match signal.rate {
        None => read(table, &roles, validation, *missing)?,
        Some(rate) => {
            let Roles { exclude, context, .. } = &roles;
            let options = signal;
            let request = windows::Request {
                options,
                rate,
                exclude,
                context,
                label: None,
                is_training: true,
            };
            let made = windows::make(table, &request)?;
            let validation = validation.map(|path| windows::read(path, *missing, &made, context));
            let validation = validation.transpose()?;
            Input { validation, signal: made.signal.words(), training: made.rows }
        }
    };
    let context = roles.context.len();
    let features = training.names.len() - context;
    if !(2..=flowlet::MAX_FEATURES).contains(&features) {
        return Err(Error::Features { path: training.path, features });
    }
    if let Some(image) = arguments.image.filter(|image| image.values() != features) {
        return Err(Error::Image { path: training.path, image, features });
    }
    let request = prepare::Request {
        roles: &roles,
        division: arguments.split,
        wild: if arguments.latent.is_binary() { Wild::None } else { arguments.wild },
        seed: arguments.seed,
    };
    let rows = prepare::prepare(training, validation, &request)?;
    let job = Job { arguments, context, rows: &rows, signal: &signal };
    report::warn(&job);
    if arguments.family == Choice::Vae {
        return latent::run(&job);
    }
    let trained = if arguments.search.budget.is_set() { search::run(&job) } else { job.train() }?;
    let file = job.export(&trained)?;
    Draft::create(&arguments.output)?.complete(file.bytes())?;
    report::report(&job, &file, &trained)
}
