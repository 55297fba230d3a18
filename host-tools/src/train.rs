//! `flowlet train`: rows in, model file out.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use flowlet::write::ModelFile;
use flowlet::{Libm, Math, Micromath};

use crate::device;
use crate::error::{Error, Result};
use crate::family::{self, Architecture, DEFAULT_HIDDEN, Family, Image};
use crate::output::{self, Draft};
use crate::rows::split::{self, Split};
use crate::rows::standardise::{self, Column, Period};
use crate::training::calibrate;
use crate::training::ensemble::{Combine, Member};
use crate::training::export;
use crate::training::fit::{self, Fitted, Options};
use crate::training::progress::Progress;
use crate::training::selection::{self, Base, Candidate, Choice};
use crate::training::transform::{self, Marginal, Transform};

/// Time for all candidates of `--family auto`.
const AUTO_TIME: Duration = Duration::from_secs(600);

/// Most passes over the training rows.
const EPOCHS: u32 = 200;
/// Epochs without a better validation loss after which training stops.
const PATIENCE: u32 = 20;
/// Of AdamW, at the start.
const LEARNING_RATE: f64 = 2e-3;

/// Gaussians of a mixture behind layers.
const BASE_COMPONENTS: usize = 5;
/// Most Gaussians that a mixture without layers gets by itself.
const MOST_COMPONENTS: usize = 10;

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
    /// Density that the flow maps rows to; by default the standard normal one.
    #[arg(long, value_enum)]
    base: Option<Base>,
    /// Number of Gaussians of --base mixture, by default 5, or of --family gmm, by default the
    /// best of 1 to 10 by the Bayesian information criterion.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    components: Option<u16>,
    /// Widths of the one to three hidden layers of each conditioner; by default 64,64, and 32,32
    /// with --image.
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
    /// Columns that are not features, such as a time stamp.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    exclude: Vec<String>,
    /// Columns that are no features but condition their density, such as a speed or a load: the
    /// flow learns p(features | context).
    #[arg(long, value_delimiter = ',', value_name = "COLUMN,...")]
    context: Vec<String>,
    /// Columns whose values lie on a circle, such as a phase or a heading, each with one period,
    /// whose ends are one value; what lies beyond is wrapped. Only families with splines know them.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN=LOW..HIGH,...")]
    periodic: Vec<Period>,
    /// Number of flows that judge a row together, 1 to 4: of seeds --seed, --seed + 1 and so on,
    /// by default 1, or with --family auto those with the highest log-density on the rows for
    /// early stopping, by default always the same families. They share the time limit, and flash
    /// and cycles of all add up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=flowlet::MAX_MEMBERS as i64))]
    ensemble: Option<u8>,
    /// What the log-densities of an ensemble come to; by default their mean, which is usually the
    /// better detector, but no normalised density, and cannot be sampled.
    #[arg(long, value_enum)]
    combine: Option<Combine>,
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

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    arguments.check()?;
    let inputs = [Some(&arguments.training), arguments.validation.as_ref()];
    let inputs: Vec<_> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    Draft::check(&arguments.output, &inputs)?;
    let split = split::split(
        &arguments.training,
        arguments.validation.as_deref(),
        &arguments.exclude,
        &arguments.context,
        arguments.seed,
    )?;
    arguments.check_image(&split)?;
    let columns = standardise::fit(&split.training, &arguments.periodic)?;
    let job = Job { arguments, split: &split, columns: &columns };
    job.warn();
    let trained = match arguments.family {
        Choice::Fixed(family) => job.train_fixed(family)?,
        Choice::Auto => job.train_several()?,
    };
    let file = job.export(&trained.members(), &trained.origin)?;
    Draft::create(&arguments.output)?.complete(file.bytes())?;
    job.report(&file, &trained)
}

/// The flows of a model and how they came about.
struct Trained {
    flows: Vec<(Candidate, u64, Fitted)>,
    origin: Origin,
}

/// What a file says of all of its flows.
struct Origin {
    /// What was asked for, and what was picked.
    family: String,
    time_limit: Option<Duration>,
    out_of_time: bool,
}

impl Trained {
    fn members(&self) -> Vec<Member<'_>> {
        let flows = self.flows.iter();
        flows
            .map(|(candidate, seed, fitted)| Member { candidate: *candidate, seed: *seed, fitted })
            .collect()
    }
}

/// Rows and how to train on them.
struct Job<'a> {
    arguments: &'a Arguments,
    split: &'a Split,
    columns: &'a [Column],
}

impl Job<'_> {
    /// Says what is odd about the rows.
    fn warn(&self) {
        let Split { training, held_out, .. } = self.split;
        for column in self.columns.iter().filter(|column| column.constant) {
            log::warn!(
                "{}: column `{}` is constant ({}): any other value will count as an anomaly; \
                 leave it out with --exclude {} if that is not meant",
                training.path,
                column.feature.name,
                column.feature.low,
                column.feature.name
            );
        }
        for option in self.arguments.unused() {
            log::warn!("{option} means nothing with a family without layers: it is not used");
        }
        let mut names = training.names.iter();
        if let Some(label) = names.find(|name| name.eq_ignore_ascii_case("label")) {
            log::warn!(
                "{}: column `{label}` is used as a feature; --exclude {label} if it is not one",
                training.path
            );
        }
        let rate = self.arguments.false_alarm_rate;
        let needed = calibrate::rows_needed(rate);
        if held_out.rows().len() < needed {
            log::warn!(
                "only {} rows are left for the threshold, a false-alarm rate of {rate} needs \
                 {needed}: the largest of their scores is taken",
                held_out.rows().len()
            );
        }
    }

    /// Number of flows, if the user wants one.
    fn count(&self) -> Option<usize> {
        self.arguments.ensemble.map(usize::from)
    }

    /// Trains flows of one family, of one seed behind the other.
    fn train_fixed(&self, family: Family) -> Result<Trained> {
        let time_limit = self.arguments.time_limit.map(Duration::from);
        let candidate = Candidate { family, base: self.arguments.base };
        let start = Instant::now();
        let mut flows = Vec::new();
        let count = self.count().unwrap_or(1);
        for number in 0..count {
            let left = (count - number) as u32;
            let share = time_limit.map(|limit| limit.saturating_sub(start.elapsed()) / left);
            let seed = self.arguments.seed.wrapping_add(number as u64);
            if count > 1 {
                log::info!("flow {number}, seed {seed}");
            }
            flows.push((candidate, seed, self.fit(candidate, seed, share)?));
        }
        let out_of_time = flows.iter().any(|(_, _, fitted)| fitted.out_of_time);
        let origin = Origin { family: family.to_string(), time_limit, out_of_time };
        Ok(Trained { flows, origin })
    }

    fn train_several(&self) -> Result<Trained> {
        let limit = self.arguments.time_limit.map_or(AUTO_TIME, Duration::from);
        let is_conditional = !self.arguments.context.is_empty();
        let is_periodic = !self.arguments.periodic.is_empty();
        let candidates = selection::candidates(self.count(), is_conditional, is_periodic);
        let seed = self.arguments.seed;
        let trials = selection::train_all(&candidates, limit, |candidate, share| {
            let seconds = Duration::from_secs(share.as_secs());
            log::info!("{candidate}: {} at most", humantime::format_duration(seconds));
            self.fit(candidate, seed, Some(share))
        });
        let out_of_time = selection::is_out_of_time(&trials);
        let size = |candidate: Candidate, fitted: &Fitted| {
            let member = Member { candidate, seed, fitted };
            export::draft(&[member], self.columns, self.arguments.context.len())
        };
        log::info!("{}", selection::report(&trials, size)?);
        let picked = selection::pick(trials, self.count())?;
        let family = format!("auto: picked {}", selection::names(&picked));
        let origin = Origin { family, time_limit: Some(limit), out_of_time };
        let flow = |(candidate, fitted): (Candidate, Fitted)| (candidate, seed, fitted);
        Ok(Trained { flows: picked.into_iter().map(flow).collect(), origin })
    }

    fn fit(&self, candidate: Candidate, seed: u64, time_limit: Option<Duration>) -> Result<Fitted> {
        let Self { arguments, split, columns } = self;
        let (architecture, components) = arguments.architecture(candidate)?;
        let rows = split.training.rows().len();
        let options = Options {
            architecture,
            components,
            context: arguments.context.len(),
            transform: transform::Choice { marginal: arguments.marginal, whiten: arguments.whiten },
            epochs: arguments.epochs.unwrap_or(EPOCHS) as usize,
            batch_size: arguments.batch_size.map_or(default_batch_size(rows), |size| size as usize),
            learning_rate: arguments.learning_rate.unwrap_or(LEARNING_RATE),
            noise: arguments.noise,
            patience: arguments.patience.unwrap_or(PATIENCE) as usize,
            seed,
            time_limit,
        };
        let progress = Progress::new(options.epochs);
        let single = |values: &[f64]| values.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let training = &single(&split.training.values);
        let stopping = &single(&split.early_stopping.values);
        let fitted = fit::fit(&options, training, stopping, columns, |epoch| progress.show(epoch));
        progress.finish();
        fitted
    }

    /// The model file of `members`, which says how they came about.
    fn export(&self, members: &[Member], origin: &Origin) -> Result<ModelFile> {
        let Split { training, held_out, .. } = self.split;
        let bytes: Vec<u8> =
            training.values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
        let stepped = self.columns.iter().filter(|column| column.step.is_some());
        let stepped: Vec<_> = stepped.map(|column| column.feature.name.as_str()).collect();
        let mut provenance = vec![
            ("tool", format!("flowlet {}", env!("CARGO_PKG_VERSION"))),
            ("family", origin.family.clone()),
            ("seed", self.arguments.seed.to_string()),
            ("training_rows", training.rows().len().to_string()),
            ("training_crc32c", format!("{:08x}", flowlet::file::checksum(&bytes))),
        ];
        if let Some(limit) = origin.time_limit {
            let limit = humantime::format_duration(limit);
            let how =
                if origin.out_of_time { "reached, another run may differ" } else { "not reached" };
            provenance.push(("time_limit", format!("{limit}, {how}")));
        }
        let combine = self.arguments.combine.unwrap_or_default();
        if let [Member { fitted: Fitted { best, epochs, .. }, .. }] = members {
            if *epochs > 0 {
                provenance.push(("epochs", format!("{} of {epochs}", best.number)));
            }
            let entry = |key, loss: f64| (key, format!("{:.4}", -loss));
            provenance.push(entry("training_log_density", best.training_loss));
            provenance.push(entry("validation_log_density", best.validation_loss));
        } else {
            provenance.push(("ensemble", combine.describe(members.len())));
            let keys = ["flow_0", "flow_1", "flow_2", "flow_3"];
            provenance.extend(keys.into_iter().zip(members.iter().map(Member::provenance)));
        }
        provenance.push(("noise", self.arguments.noise.to_string()));
        provenance.push(("dequantised", stepped.join(",")));
        if let [Member { fitted: Fitted { transform, .. }, .. }, ..] = members {
            provenance.extend(self.describe(transform));
        }
        provenance.extend(self.arguments.image.map(|image| ("image", image.to_string())));
        let math = match self.arguments.math {
            Arithmetic::Libm => Libm::ID,
            Arithmetic::Micromath => Micromath::ID,
        };
        let rate = self.arguments.false_alarm_rate;
        let context = self.arguments.context.len();
        let flows = (members, combine);
        export::export(flows, self.columns, context, math, held_out, rate, &provenance)
    }

    /// What stands in front of the first flow; the others' are fitted to the same rows.
    fn describe(&self, transform: &Transform) -> Vec<(&'static str, String)> {
        let mut entries = Vec::new();
        let transformed = self.columns.iter().zip(&transform.gains);
        let transformed: Vec<_> = transformed
            .filter(|(_, gain)| gain.is_some())
            .map(|(column, _)| column.feature.name.as_str())
            .collect();
        if !transformed.is_empty() {
            entries.push(("marginal", transformed.join(",")));
        }
        if transform.is_whitening() {
            entries.push(("whitened", "yes".into()));
        }
        entries
    }

    fn report(&self, file: &ModelFile, trained: &Trained) -> Result<()> {
        let device = device::open(file, "the trained model")?;
        let summary = device.summary();
        for ((family, seed, fitted), flow) in trained.flows.iter().zip(&summary.members) {
            let how = match fitted.epochs {
                0 => flow.base.clone(),
                epochs => format!("best epoch {} of {epochs}", fitted.best.number),
            };
            let which = match trained.flows.len() {
                1 => String::new(),
                _ => format!("{family}, seed {seed}: "),
            };
            let stopped = if fitted.out_of_time { ", stopped by the time limit" } else { "" };
            log::info!(
                "{which}{how}{stopped}: log-density {:.3} in training, {:.3} on validation rows \
                 (standardised units, nats)",
                -fitted.best.training_loss,
                -fitted.best.validation_loss
            );
        }
        if let [(_, _, Fitted { transform, .. }), ..] = &trained.flows[..] {
            for (key, value) in self.describe(transform) {
                log::info!("{key}: {value}");
            }
        }
        if let Some(combination) = &summary.combination {
            log::info!("{combination}");
        }
        log::info!(
            "threshold {} at a false-alarm rate of {}, from {} rows",
            device.threshold().map_or(f32::NAN, |threshold| threshold.score),
            self.arguments.false_alarm_rate,
            self.split.held_out.rows().len()
        );
        log::info!(
            "{}: {} bytes of flash, {} bytes of stack, {} multiply-adds a row",
            output::shown(&self.arguments.output),
            file.bytes().len(),
            summary.ram_bytes,
            summary.multiply_adds
        );
        Ok(())
    }
}

impl Arguments {
    /// Refuses options that do not go together.
    fn check(&self) -> Result<()> {
        let repeated = |name| self.exclude.contains(name);
        if self.context.iter().any(repeated) {
            return Err(Error::Options {
                option: "--context",
                with: "the same column in --exclude",
            });
        }
        let is_one = match self.family {
            Choice::Fixed(_) => self.ensemble.is_none_or(|count| count == 1),
            Choice::Auto => self.ensemble == Some(1),
        };
        if is_one && self.combine.is_some() {
            return Err(Error::Options { option: "--combine", with: "one flow" });
        }
        let periodic: Vec<_> = self.periodic.iter().map(|period| &period.column).collect();
        let is_among = |names: &[String]| periodic.iter().any(|column| names.contains(column));
        let repeated = |(place, column)| periodic[..place].contains(column);
        for (is_refused, with) in [
            (is_among(&self.exclude), "the same column in --exclude"),
            (is_among(&self.context), "the same column in --context"),
            (periodic.iter().enumerate().any(repeated), "the same column twice"),
        ] {
            if is_refused {
                return Err(Error::Options { option: "--periodic", with });
            }
        }
        let family = match self.family {
            Choice::Fixed(family) => family,
            Choice::Auto => {
                let given = [
                    ("--layers", self.layers.is_some()),
                    ("--image", self.image.is_some()),
                    ("--base", self.base.is_some()),
                    ("--components", self.components.is_some()),
                ];
                return match given.into_iter().find(|(_, given)| *given) {
                    Some((option, _)) => Err(Error::Options { option, with: "--family auto" }),
                    None => Ok(()),
                };
            }
        };
        self.architecture(Candidate { family, base: self.base }).map(drop)
    }

    /// Options of training by gradient that were given for a family trained without.
    fn unused(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("--hidden", self.hidden.is_some()),
            ("--epochs", self.epochs.is_some()),
            ("--batch-size", self.batch_size.is_some()),
            ("--learning-rate", self.learning_rate.is_some()),
            ("--patience", self.patience.is_some()),
        ];
        let is_without_layers =
            matches!(self.family, Choice::Fixed(family) if family.default_layers().is_none());
        given
            .into_iter()
            .filter(move |(_, given)| is_without_layers && *given)
            .map(|(option, _)| option)
    }

    /// Refuses rows that are no such images.
    fn check_image(&self, split: &Split) -> Result<()> {
        let features = split.training.names.len() - self.context.len();
        match self.image {
            Some(image) if image.values() != features => {
                Err(Error::Image { path: split.training.path.clone(), image, features })
            }
            _ => Ok(()),
        }
    }

    /// The architecture, and the numbers of Gaussians that a mixture without layers may have.
    fn architecture(
        &self,
        Candidate { family, base }: Candidate,
    ) -> Result<(Architecture, RangeInclusive<usize>)> {
        let components = self.components.map(usize::from);
        let refuse = |option, with| Err(Error::Options { option, with });
        if family.default_layers().is_none() && !self.context.is_empty() {
            return refuse("--context", "a family without layers");
        }
        if family != Family::Glow && self.image.is_some() {
            return refuse("--image", "another family than glow");
        }
        if !self.periodic.is_empty() && !family.maps_circles() {
            return refuse("--periodic", "a family without splines");
        }
        let is_transformed = self.marginal != Marginal::None || self.whiten;
        if !self.periodic.is_empty() && is_transformed {
            return refuse("--periodic", "--marginal or --whiten");
        }
        if !self.periodic.is_empty() && matches!(base, Some(Base::StudentT | Base::Mixture)) {
            return refuse("--periodic", "--base student-t or mixture");
        }
        let base = match (family, base) {
            (Family::Gmm | Family::Gaussian, _) if self.layers.is_some() => {
                return refuse("--layers", "a family without layers");
            }
            (Family::Gmm | Family::Gaussian, Some(_)) => {
                return refuse("--base", "a family without layers");
            }
            (Family::Gaussian, None) if components.is_some() => {
                return refuse("--components", "--family gaussian");
            }
            (Family::Gaussian, None) => family::Base::Mixture { components: 1 },
            (Family::Gmm, None) => {
                family::Base::Mixture { components: components.unwrap_or(MOST_COMPONENTS) }
            }
            (_, Some(Base::Mixture)) => {
                family::Base::Mixture { components: components.unwrap_or(BASE_COMPONENTS) }
            }
            _ if components.is_some() => {
                return refuse("--components", "a family and base without mixtures");
            }
            (_, Some(Base::StudentT)) => family::Base::StudentT,
            (_, Some(Base::StandardNormal) | None) => family::Base::StandardNormal,
        };
        let components = match (family, components) {
            (Family::Gaussian, _) => 1..=1,
            (_, Some(components)) => components..=components,
            (_, None) => 1..=MOST_COMPONENTS,
        };
        let image = self.image;
        let (layers, hidden) = match image {
            Some(_) => (Some(Image::DEFAULT_STEPS), &Image::DEFAULT_HIDDEN[..]),
            None => (family.default_layers(), &DEFAULT_HIDDEN[..]),
        };
        let layers = self.layers.map(usize::from).or(layers).unwrap_or(0);
        let hidden = self.hidden.as_ref().map_or(hidden, |widths| &widths.0).to_vec();
        Ok((Architecture { family, layers, hidden, base, image }, components))
    }
}

/// Small sets take small steps, large sets larger ones for speed.
fn default_batch_size(rows: usize) -> usize {
    (rows / 32).clamp(32, 256)
}
