//! `flowlet report`: all that is known of a model, on one page.
//!
//! `facts` puts the file's own lines in words, `training`, `histogram`, `ranking`, `promise` and
//! `pairs` draw with what `picture` gives them, `baseline` sets another model beside this one, `firmware`
//! is what to copy, and `page` puts all of it into HTML that holds no script and no address, and in which a
//! name from a CSV file is text wherever it stands.

mod baseline;
mod facts;
mod firmware;
mod histogram;
mod page;
mod pairs;
mod picture;
mod promise;
mod ranking;
mod training;

use std::path::{Path, PathBuf};

use flowlet::Calibration;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::blame::Blame;
use crate::comparison::Comparison;
use crate::cost::board::{self, Board};
use crate::cost::{self, Cost};
use crate::device::{self, Device, Summary};
use crate::error::Result;
use crate::evaluate::{self, Evaluation};
use crate::judged::{self, Judge, Judged};
use crate::message::{self, excerpt};
use crate::output::Draft;
use crate::rows::label::is_label;
use crate::rows::missing::Missing;
use crate::rows::precision::with_offset;
use crate::rows::table::Table;
use baseline::{Baseline, Side};
use pairs::Clouds;

/// Samples that are drawn.
const SAMPLES: usize = 300;
/// Of their generator.
const SEED: u64 = 0;

/// Write a page about a model: how it was trained, how it judges rows, what it costs.
///
/// The page is one HTML file with its pictures inside: it needs no network and runs no script. Rows of
/// --test show how the model judges what it has not seen, and where they have labels how well it tells
/// anomalies from normal rows; --baseline sets a second model beside it.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Model file.
    model: PathBuf,
    /// CSV file of rows that the model was not trained on; `-` for standard input.
    #[arg(long, value_name = "CSV")]
    test: Option<PathBuf>,
    /// Name of the column that holds 0 for normal and 1 for anomaly; by default the one that is called
    /// label, anomaly or outlier, if there is one.
    #[arg(long, value_name = "COLUMN", requires = "test")]
    label: Option<String>,
    /// No column is a label, whatever it is called.
    #[arg(long, requires = "test", conflicts_with = "label")]
    unlabelled: bool,
    /// A second model to compare this one with, on the same rows of --test: such as one that has as a
    /// feature what this one has as its context.
    #[arg(long, value_name = "MODEL", requires = "test")]
    baseline: Option<PathBuf>,
    /// What becomes of rows that lack a value, such as an empty cell or NaN.
    #[arg(long, value_enum, default_value = "refuse")]
    missing: Missing,
    /// HTML file to write; `-` for standard output.
    #[arg(short, long, value_name = "HTML")]
    output: PathBuf,
}

/// All that the page is made of.
struct Findings {
    /// The model file's name.
    name: String,
    summary: Summary,
    flash_bytes: usize,
    /// What a score takes of common boards.
    boards: Vec<(&'static Board, Cost)>,
    /// The file's score of each threshold, and what it rests on.
    thresholds: Vec<page::Threshold>,
    /// Scores of held-out rows in the file, each with the number of rows that it stands for.
    held_out: Vec<(f64, f64)>,
    test: Option<Test>,
    /// Another model, and this one as it stands beside it.
    baseline: Option<Baseline>,
    clouds: Clouds,
    /// Of each feature, what nearly all training rows lie between, in raw units; nothing where the file
    /// does not know.
    ranges: Vec<[f64; 2]>,
    /// The lines of a firmware.
    firmware: firmware::Lines,
}

/// The rows of the user's file.
struct Test {
    /// Name of the label column.
    label: Option<String>,
    judged: Vec<Judged>,
    /// Of the normal rows, ascending.
    p_values: Vec<f32>,
    /// Number of held-out rows that these rest on.
    calibration_rows: usize,
    evaluation: Evaluation,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let models = [Some(&*arguments.model), arguments.baseline.as_deref()];
    let models: Vec<&Path> = models.into_iter().flatten().collect();
    let inputs: Vec<&Path> = models.iter().copied().chain(arguments.test.as_deref()).collect();
    Draft::check(&arguments.output, &inputs)?;
    let files = models.iter().map(|path| device::read(path)).collect::<Result<Vec<_>>>()?;
    let mut judges = judged::open(&models, &files)?;
    let (test, baseline) = match &arguments.test {
        Some(path) => test(&mut judges, path, arguments)?,
        None => (None, None),
    };
    let Some(Judge { device, file, .. }) = judges.first_mut() else { return Ok(()) };
    let device = &mut **device;
    let flash_bytes = file.bytes().len();
    let (summary, tally) = (device.summary(), cost::tally_of_draws(device)?);
    let judged = test.as_ref().map_or(&[][..], |test| &test.judged);
    let findings = Findings {
        name: name(&arguments.model),
        flash_bytes,
        boards: board::costs(|core| Cost::of(&summary, flash_bytes, &tally, core)),
        thresholds: page::thresholds(device),
        held_out: device.calibration().as_ref().map_or(Vec::new(), held_out),
        clouds: clouds(device, judged)?,
        ranges: ranges(device),
        firmware: firmware::Lines::of(&summary, &arguments.model),
        summary,
        test,
        baseline,
    };
    let page = page::html(&findings)?;
    Draft::create(&arguments.output)?.complete(page.as_bytes())
}

fn name(model: &Path) -> String {
    message::path(&model.file_name().unwrap_or_default().display().to_string())
}

/// What the rows say of the model, and of the baseline beside it.
fn test(
    judges: &mut [Judge],
    path: &Path,
    arguments: &Arguments,
) -> Result<(Option<Test>, Option<Baseline>)> {
    let mut table = Table::open(path)?.with_missing(arguments.missing);
    let label = label(judges, &table, arguments)?;
    let judged = judged::judge(judges, &mut table, None, label.as_deref())?;
    let comparison = Comparison::between(judges, &judged);
    let evaluations = evaluate::evaluations(judges, &judged, &table);
    let baseline = match comparison {
        Some(comparison) => {
            let sides = judges.iter_mut().zip(&judged).zip(&evaluations);
            let sides = sides.map(|((judge, judged), own)| Side::of(judge, judged, own.clone()));
            let sides = sides.collect::<Result<_>>()?;
            let name = arguments.baseline.as_deref().map_or(String::new(), name);
            Some(Baseline { name, sides, comparison })
        }
        None => None,
    };
    let firsts = (judges.first_mut(), judged.into_iter().next(), evaluations.into_iter().next());
    let (Some(judge), Some(judged), Some(mut evaluation)) = firsts else { return Ok((None, None)) };
    let device = &mut *judge.device;
    evaluation.blame = Blame::of(device, &judged)?;
    let normal = judged.iter().filter(|own| !own.is_anomaly);
    let mut p_values: Vec<f32> = normal.filter_map(|own| device.p_value(own.score)).collect();
    p_values.sort_unstable_by(f32::total_cmp);
    let calibration_rows = device.calibration().map_or(0, |own| own.rows() as usize);
    let test = Test { label, judged, p_values, calibration_rows, evaluation };
    Ok((Some(test), baseline))
}

/// The label column that the user names, or else the one column that is called like one.
fn label(judges: &[Judge], table: &Table, arguments: &Arguments) -> Result<Option<String>> {
    if let Some(label) = &arguments.label {
        for judge in judges {
            judge.refuse_label(label)?;
        }
        return Ok(Some(label.clone()));
    }
    let read: Vec<String> = judges.iter().flat_map(Judge::names).collect();
    let mut labels = table.names().iter().filter(|name| is_label(name) && !read.contains(name));
    match (labels.next(), labels.next()) {
        (Some(label), None) if !arguments.unlabelled => {
            log::info!(
                "{}: column `{}` is taken as the label; --unlabelled if it is none",
                message::path(table.path()),
                excerpt(label)
            );
            Ok(Some(label.clone()))
        }
        _ => Ok(None),
    }
}

/// The file's own table of scores.
fn held_out(calibration: &Calibration) -> Vec<(f64, f64)> {
    let mut left = calibration.rows();
    let entry = |(score, above): (f32, u32)| {
        let rows = left - above;
        left = above;
        (f64::from(score), f64::from(rows))
    };
    calibration.quantiles().map(entry).collect()
}

fn ranges(device: &dyn Device) -> Vec<[f64; 2]> {
    let ranges = device.ranges().into_iter().zip(device.offsets());
    ranges.map(|(ends, offset)| ends.map(|end| with_offset(end, offset))).collect()
}

/// Rows and samples in raw units. A conditional model draws its samples given the context of rows.
fn clouds(device: &mut dyn Device, judged: &[Judged]) -> Result<Clouds> {
    let (features, offsets) = (device.feature_names().len(), device.offsets());
    let raw = |row: &[f32]| -> Vec<f64> {
        row.iter().zip(&offsets).map(|(x, offset)| with_offset(*x, *offset)).collect()
    };
    let of_kind = |is_anomaly: bool| {
        let rows: Vec<&Judged> = judged.iter().filter(|own| own.is_anomaly == is_anomaly).collect();
        pairs::spread(&rows).map(|own| raw(&own.row)).collect()
    };
    let is_conditional = offsets.len() > features;
    let mut samples = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    for number in 0..SAMPLES {
        let context = match judged.get(number * judged.len() / SAMPLES) {
            Some(own) => own.row[features..].to_vec(),
            None if is_conditional => break,
            None => Vec::new(),
        };
        let mut row = vec![0.0; features];
        device.sample(&mut random, 1.0, &mut row, &context)?;
        row.extend(context);
        samples.push(raw(&row));
    }
    Ok(Clouds { rows: of_kind(false), anomalies: of_kind(true), samples })
}
