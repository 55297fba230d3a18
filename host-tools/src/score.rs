//! `flowlet score`: one line out for each row in, as the device would compute it.

use std::path::{Path, PathBuf};

use flowlet::LatentTerms;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::latent::device::Latent;
use crate::output;
use crate::rows::missing::Missing;
use crate::rows::table::Table;
use crate::signal::windows::{Judgeable, Source};

/// Score the rows of a CSV file.
///
/// Writes the columns log_density (nats, raw units), score (what the row is judged by, higher is less
/// normal) and anomaly (1 where the score is above the model's threshold, empty where the model has
/// none). Columns are matched by name, others are ignored, and rows are read as they come, so that a file may be
/// larger than memory. A model of a raw signal reads its samples, and writes a line for each window, with the
/// number of its first sample in front (sample, from 0). Numbers are written so that they read back to the same bits.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of rows; `-` for standard input.
    rows: PathBuf,
    /// Write the mode of each row too, the most probable component of a latent model's mixture prior
    /// (mode, from 1), and the probability of each (mode_1 and so on).
    #[arg(long)]
    modes: bool,
    /// Write a bound too, below a latent model's log-density (nats, raw units): the importance-weighted
    /// one over N of the points in its file, the mean over all disjoint groups of so many. Over 1 it is
    /// the evidence lower bound.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    bound: Option<u16>,
    /// Of a raw signal, the column that tells recordings apart; by default that of training.
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// What becomes of rows that lack a value, such as an empty cell or NaN: those that are
    /// dropped have empty cells in the output.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// Add a column p_value: share of normal rows that score as high, at most; empty where the model has
    /// no calibration.
    #[arg(long)]
    p_value: bool,
    /// Add a column attribution_FEATURE for each feature: by how much its value raises the score, over
    /// the best that it could be in this row.
    #[arg(long)]
    attribution: bool,
    /// CSV file to write; standard output without it, or for `-`.
    #[arg(short, long, value_name = "CSV")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let inputs: [&Path; 2] = [&arguments.model, &arguments.rows];
    output::Table::check(arguments.output.as_deref(), &inputs)?;
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let threshold = device.threshold();
    let mut table = Table::open(&arguments.rows)?.with_missing(arguments.missing);
    let segment = arguments.segment.as_deref();
    let mut source = Source::of(&file, &*device, &table, segment, None)?;
    let offsets = device.offsets();
    let questions = Questions::of(&mut *device, arguments)?;
    let mut header: Vec<_> = source.is_signal().then(|| "sample".to_owned()).into_iter().collect();
    header.extend(questions.header());
    if arguments.attribution {
        let names = device.feature_names();
        header.extend(names.iter().map(|name| format!("attribution_{name}")));
    }
    let mut output = output::Table::create(arguments.output.as_deref(), &header)?;
    let mut count = 0;
    while let Some(Judgeable { sample, values, .. }) = source.next(&mut table)? {
        let Some(values) = values else {
            output.row(header.iter().map(|_| String::new()))?;
            continue;
        };
        count += 1;
        let row = device::row(&values, &offsets);
        let score = device.score(&row)?;
        let p_value = device.p_value(score).map_or(String::new(), |p_value| p_value.to_string());
        let anomaly = match threshold {
            Some(threshold) => u8::from(score > threshold.score).to_string(),
            None => String::new(),
        };
        let p_value = arguments.p_value.then_some(p_value);
        let judged = [score.to_string(), anomaly].into_iter().chain(p_value);
        let mut cells: Vec<String> = sample.map(|sample| sample.to_string()).into_iter().collect();
        match device.latent() {
            None => {
                cells.push(device.log_density(&row)?.to_string());
                cells.extend(judged);
            }
            Some(latent) => cells.extend(judged.chain(questions.answers(latent, &row)?)),
        }
        if arguments.attribution {
            cells.extend(device.attribute(&row)?.iter().map(f32::to_string));
        }
        output.row(cells)?;
    }
    table.warn();
    source.check(count, table.path())?;
    output.finish()
}

/// What is asked of a model besides the score and the alarm; of a flow no more than a p-value.
struct Questions {
    is_latent: bool,
    p_value: bool,
    modes: usize,
    points: Option<usize>,
}

impl Questions {
    /// Refuses what the model in the file cannot answer.
    fn of(device: &mut dyn Device, arguments: &Arguments) -> Result<Self> {
        let path = arguments.model.display().to_string();
        let points = arguments.bound.map(usize::from);
        let Some(latent) = device.latent() else {
            let p_value = arguments.p_value;
            return match (arguments.modes, points) {
                (true, _) => Err(Error::NoLatents { path, what: "modes" }),
                (_, Some(_)) => Err(Error::NoLatents { path, what: "bound" }),
                (false, None) => Ok(Self { is_latent: false, p_value, modes: 0, points }),
            };
        };
        let modes = match (arguments.modes, latent.modes()) {
            (false, _) => 0,
            (true, Some(modes)) => modes,
            (true, None) => {
                let what = "has no modes: train it with --prior mixture".into();
                return Err(Error::LatentLacks { path, what });
            }
        };
        let (asked, held) = (points.unwrap_or(0), latent.points());
        if asked > held {
            let what =
                format!("holds {held} points, --bound asks for {asked}: train it with --points");
            return Err(Error::LatentLacks { path, what });
        }
        Ok(Self { is_latent: true, p_value: arguments.p_value, modes, points })
    }

    fn header(&self) -> Vec<String> {
        let judged = ["score", "anomaly"].into_iter().chain(self.p_value.then_some("p_value"));
        let judged = judged.map(String::from);
        if !self.is_latent {
            return ["log_density".to_owned()].into_iter().chain(judged).collect();
        }
        let terms = ["reconstruction", "prior", "posterior"].map(String::from);
        let bound = self.points.map(|_| "bound".to_owned());
        let mode = (self.modes > 0).then(|| "mode".to_owned());
        let modes = (1..=self.modes).map(|mode| format!("mode_{mode}"));
        judged.into_iter().chain(terms).chain(bound).chain(mode).chain(modes).collect()
    }

    fn answers(&self, latent: &mut dyn Latent, row: &[f32]) -> Result<Vec<String>> {
        let LatentTerms { reconstruction, prior, posterior } = latent.latent_terms(row)?;
        let mut answers = [reconstruction, prior, posterior].map(|term| term.to_string()).to_vec();
        if let Some(points) = self.points {
            answers.push(latent.bound(row, points)?.to_string());
        }
        if self.modes > 0 {
            let (mode, shares) = latent.mode(row)?;
            answers.push((mode + 1).to_string());
            answers.extend(shares.iter().map(f32::to_string));
        }
        Ok(answers)
    }
}
