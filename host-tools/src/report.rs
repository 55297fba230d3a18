//! `flowlet report`: all that is known of a model, on one page.
//!
//! `facts` puts the file's own lines in words, `training`, `histogram`, `ranking`, `promise` and
//! `pairs` draw with what `picture` gives them, `firmware` is what to copy, and `page` puts all of it into
//! HTML that holds no script and no address, and in which a name from a CSV file is text wherever it stands.

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
use flowlet::write::ModelFile;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::blame::Blame;
use crate::cost::board::{self, Board};
use crate::cost::{self, Cost};
use crate::device::{self, Device, Summary};
use crate::error::Result;
use crate::evaluate::{self, Evaluation};
use crate::judged::{self, Judged, is_label};
use crate::message::{self, excerpt};
use crate::output::Draft;
use crate::rows::missing::Missing;
use crate::rows::precision::with_offset;
use crate::rows::table::Table;
use crate::signal::windows::Source;
use pairs::Clouds;

/// Samples that are drawn.
const SAMPLES: usize = 300;
/// Of their generator.
const SEED: u64 = 0;

/// Write a page about a model: how it was trained, how it judges rows, what it costs.
///
/// The page is one HTML file with its pictures inside: it needs no network and runs no script. Rows of
/// --test show how the model judges what it has not seen, and where they have labels how well it tells
/// anomalies from normal rows.
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
    let inputs = [Some(&*arguments.model), arguments.test.as_deref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().collect();
    Draft::check(&arguments.output, &inputs)?;
    let file = device::read(&arguments.model)?;
    let mut device = device::open(&file, &arguments.model.display().to_string())?;
    let device = &mut *device;
    let test = match &arguments.test {
        Some(path) => Some(test(&file, device, path, arguments)?),
        None => None,
    };
    let (summary, tally) = (device.summary(), cost::tally_of_draws(device)?);
    let judged = test.as_ref().map_or(&[][..], |test| &test.judged);
    let findings = Findings {
        name: message::path(&arguments.model.file_name().unwrap_or_default().display().to_string()),
        flash_bytes: file.bytes().len(),
        boards: board::costs(|core| Cost::of(&summary, file.bytes().len(), &tally, core)),
        thresholds: page::thresholds(device),
        held_out: device.calibration().as_ref().map_or(Vec::new(), held_out),
        clouds: clouds(device, judged)?,
        ranges: ranges(device),
        firmware: firmware::Lines::of(&summary, &arguments.model),
        summary,
        test,
    };
    let page = page::html(&findings)?;
    Draft::create(&arguments.output)?.complete(page.as_bytes())
}

fn test(
    file: &ModelFile,
    device: &mut dyn Device,
    path: &Path,
    arguments: &Arguments,
) -> Result<Test> {
    let mut table = Table::open(path)?.with_missing(arguments.missing);
    let label = label(device, &table, arguments)?;
    let mut source = Source::of(file, device, &table, None, label.as_deref())?;
    let judged = judged::judge(device, &mut table, &mut source)?;
    let threshold = device.threshold().map(|threshold| threshold.score);
    let mut evaluation = Evaluation::new(&judged, threshold, f64::from(device.log_scale_sum()));
    evaluation.blame = Blame::of(device, &judged)?;
    for warning in evaluation.warnings() {
        log::warn!("{}: {warning}", message::path(table.path()));
    }
    let normal = judged.iter().filter(|own| !own.is_anomaly);
    let mut p_values: Vec<f32> = normal.filter_map(|own| device.p_value(own.score)).collect();
    p_values.sort_unstable_by(f32::total_cmp);
    let calibration_rows = device.calibration().map_or(0, |own| own.rows() as usize);
    Ok(Test { label, judged, p_values, calibration_rows, evaluation })
}

/// The label column that the user names, or else the one column that is called like one.
fn label(device: &dyn Device, table: &Table, arguments: &Arguments) -> Result<Option<String>> {
    if let Some(label) = &arguments.label {
        evaluate::refuse_label(device, &arguments.model, label)?;
        return Ok(Some(label.clone()));
    }
    let read: Vec<String> =
        device.feature_names().into_iter().chain(device.context_names()).collect();
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
